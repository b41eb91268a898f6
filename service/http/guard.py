"""Who may call what: one check for all that ask and look, and one for all that change the service.

With a file of keys (`MMOE_KEYS_FILE`), a call needs a key of the role predict, or admin where it changes the service;
only probes, metrics and the pages themselves need none. Without, everybody may ask and look, and nobody may change
anything but, where `MMOE_LOCAL_ADMIN` says so, callers on this machine.
"""

import ipaddress
import logging

from fastapi import Request

from service.errors import Forbidden, Unauthorised
from service.http.body import Headers
from service.keys import Key, Keys
from service.logs import log_event

AUTHORIZATION, API_KEY = b"authorization", b"x-api-key"

_BEARER = b"bearer "
_OF_BROWSERS = ("origin", "sec-fetch-site")
_OF_PROXIES = ("forwarded", "via", "x-real-ip")

log = logging.getLogger("service")


class Guard:
    """Let calls pass or refuse them.

    Args:
        keys: of the callers; None: calls need no key.
        local_admin: whether, without keys, callers on this machine may change the service.
    """

    def __init__(self, keys: Keys | None, local_admin: bool) -> None:
        self.keys, self._local_admin = keys, local_admin

    def check(self, headers: Headers) -> Key | None:
        """Let a call pass that asks for predictions or looks at something; return whose it is.

        Raises:
            Unauthorised: keys are needed, and it has none that is known.
        """
        if self.keys is None:
            return None
        presented = _presented(headers)
        if presented is None:
            raise Unauthorised()
        key = self.keys.find(presented)
        if key is None:
            raise Unauthorised("an API key that is not known")
        return key

    def knows(self, headers: Headers) -> bool:
        """Tell whether `check` lets a call pass."""
        try:
            self.check(headers)
        except Unauthorised:
            return False
        return True

    async def predict(self, request: Request) -> None:
        """Do what `check` does, as a dependency of FastAPI routes."""
        self.check(dict(request.scope["headers"]))

    async def admin(self, request: Request) -> None:
        """Let a call pass that changes the service; a dependency of FastAPI routes.

        Raises:
            Unauthorised: as `check`.
            Forbidden: its key has another role; or there are no keys, and it does not come from this machine or such
                calls are off.
        """
        key = self.check(dict(request.scope["headers"]))
        if key is None:
            self._check_local(request)
        elif key.role != "admin":
            raise Forbidden(f"the key {key.name!r} of the role {key.role!r}", "a key of the role 'admin'")
        by = f"the key {key.name!r}" if key else "a caller on this machine"
        method, path = request.method, request.url.path
        log_event(log, logging.INFO, "admin_call", "Admin call %s %r by %s", method, path, by, path=path, by=by)

    def _check_local(self, request: Request) -> None:
        """Refuse callers on other machines, through a proxy, and pages in a browser, which tell it by a header."""
        if not self._local_admin:
            raise Forbidden(
                "none, and the service knows no keys",
                "a key of the role 'admin'",
                "Name a file of keys with MMOE_KEYS_FILE, or allow calls from its own machine with MMOE_LOCAL_ADMIN",
            )
        here = "a caller on the machine of the service"
        peer = request.client.host if request.client else ""
        if not _is_loopback(peer):
            raise Forbidden(f"the address {peer!r}", here, "Call 127.0.0.1 there, or set up keys with MMOE_KEYS_FILE")
        names = request.headers.keys()
        if proxy := next((name for name in names if name in _OF_PROXIES or name.startswith("x-forwarded-")), None):
            raise Forbidden(f"come through a proxy, by its header {proxy!r}", here, "Call the service itself")
        if browser := next((name for name in names if name in _OF_BROWSERS), None):
            needed = f"{here} that is no browser"
            raise Forbidden(f"the header {browser!r} of one", needed, "Call it with curl, for example")
        if not _is_local_name(request.url.hostname or ""):  # a page whose name somebody lets point to this machine
            raise Forbidden(f"the host {request.url.hostname!r}", here, "Call it by 127.0.0.1, ::1 or localhost")


def _presented(headers: Headers) -> bytes | None:
    """Return the key of a request, None if it has none."""
    value = headers.get(AUTHORIZATION)
    if value is not None and value[:7].lower() == _BEARER:
        return value[7:].strip()
    return headers.get(API_KEY)


def _is_local_name(host: str) -> bool:
    return host == "localhost" or _is_loopback(host)


def _is_loopback(text: str) -> bool:
    """Tell whether this is an address of the machine itself; one of IPv4 on a socket of IPv6 counts as what it is."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
