"""Authorisation of calls.

A check for those that ask and look, one for those that change the service.

With a file of keys (`MMOE_KEYS_FILE`), a call needs a key of the role predict, or admin where it
changes the service; only probes, metrics and the pages themselves need none. Without, everybody
may ask and look, and nobody may change anything but, where `MMOE_LOCAL_ADMIN` says so, callers on
this machine.
"""

import ipaddress
import logging
import re
import time
from collections.abc import Callable

from fastapi import Request

from service.errors import Forbidden, TooManyWrongKeys, Unauthorised
from service.http.hosts import address_of, is_loopback
from service.http.rate_limiter import RateLimiter
from service.http.types import Headers, Scope
from service.keys import Key, Keys
from service.logs.log import log_event
from service.logs.throttle import Throttle
from service.system.quoting import quote

AUTHORIZATION, API_KEY = b"authorization", b"x-api-key"

WRONG_KEYS_AT_ONCE, WRONG_KEYS_PER_S = 20, 1.0
"""Unknown keys that an address may send to a worker before the answer is 429; valid ones always
pass."""
PEERS = 10_000
"""Addresses whose unknown keys are counted at a time."""

_BEARER = b"bearer "
_OF_BROWSERS = ("origin", "sec-fetch-site")
_OF_PROXIES = re.compile(
    r"via|cdn-loop|proxy-.*|x-original-.*|x-host|x-scheme|front-end-https|x-varnish|x-cloud-trace-context"
    r"|(cf|fastly|fly|x-envoy|x-amzn?|x-azure|x-arr|x-appengine|x-vercel|x-nf|x-bluecoat|x-sucuri|incap)-.*"
    r"|.*forward.*|.*((client|real|remote|connecting|originating|cluster|user|source|peer)-?_?(ip|addr)).*"
)
"""Names of headers that proxies, balancers and CDNs add: whoever the peer is, the caller is
somebody else."""

_LONGEST_PATH = 200
"""Most of a path in the log: a line for which the pipe has no room would hold up the event
loop."""

_ADMIN_KEY = "This call needs a key of the role 'admin'"
_LOCAL_ADMIN = "Without API keys, admin calls are accepted only from this machine and not from a browser"

log = logging.getLogger("service")


class Guard:
    """Guard of calls: they pass, or are refused.

    Args:
        keys: of the callers; None: calls need no key.
        local_admin: whether, without keys, callers on this machine may change the service.
        clock: seconds, monotonic.
    """

    def __init__(self, keys: Keys | None, local_admin: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.keys, self._local_admin = keys, local_admin
        self._wrong = RateLimiter(WRONG_KEYS_AT_ONCE, WRONG_KEYS_PER_S, PEERS, clock)
        self._latest = ""
        self._beyond = Throttle(self._tell)

    def check(self, headers: Headers, peer: str) -> Key | None:
        """Let a call pass that asks for predictions or looks at something; return whose it is.

        A valid key passes whatever else came from its address, which may be that of a balancer
        with many callers.

        Args:
            headers: of the call.
            peer: the address that it comes from.

        Raises:
            Unauthorised: keys are needed, and it has none that is known.
            TooManyWrongKeys: so, and many others came from its address.
        """
        if self.keys is None:
            return None
        presented = _presented(headers)
        if presented is None:
            raise Unauthorised()
        key = self.keys.find(presented)
        if key is None:
            self._count(peer)
            raise Unauthorised("an API key that is not known")
        return key

    def knows(self, headers: Headers, peer: str) -> bool:
        """Tell whether `check` lets a call pass."""
        try:
            self.check(headers, peer)
        except (Unauthorised, TooManyWrongKeys):
            return False
        return True

    def _count(self, peer: str) -> None:
        """Count an unknown key from an address.

        From one of IPv6, of all the 2**64 that its network has.
        """
        address, source = address_of(peer), peer
        if address is not None and address.version == 6:
            source = str(ipaddress.ip_network((int(address), 64), strict=False))
        wait_s = self._wrong.wait_s(source)
        if wait_s > 0:
            self._latest = source
            self._beyond.count()
            raise TooManyWrongKeys(wait_s)

    def _tell(self, count: int) -> None:
        sentence = "Refused for too many unknown API keys (429): %d requests, the last one from %s"
        log_event(log, logging.WARNING, "wrong_keys", sentence, count, self._latest, requests=count, peer=self._latest)

    async def predict(self, request: Request) -> None:
        """Do what `check` does, as a dependency of FastAPI routes."""
        self.check(dict(request.scope["headers"]), peer_of(request.scope))

    async def admin(self, request: Request) -> str:
        """Do what `check_admin` does, as a dependency of FastAPI routes."""
        headers, host = dict(request.scope["headers"]), request.url.hostname or ""
        return self.check_admin(headers, peer_of(request.scope), host, request.method, request.url.path)

    def check_admin(self, headers: Headers, peer: str, host: str | None, method: str, path: str) -> str:
        """Let a call pass that changes the service; return who makes it.

        Args:
            headers: of the call, their names in lower case.
            peer: the address that it comes from.
            host: by which it addresses the service; None where no browser can call.
            method: of HTTP, for the log.
            path: of the call, for the log.

        Raises:
            Unauthorised: as `check`.
            Forbidden: its key has another role; or there are no keys, and it does not come from
                this machine or such calls are off.
        """
        key = self.check(headers, peer)
        if key is None:
            self._check_local(headers, peer, host)
        elif key.role != "admin":
            raise Forbidden(_ADMIN_KEY, f"the key {key.name!r} has the role {key.role!r}", "Use a key with that role")
        by = f"the key {key.name!r}" if key else "a caller on this machine"
        path = path[:_LONGEST_PATH]
        log_event(log, logging.INFO, "admin_call", "Admin call %s %r by %s", method, path, by, path=path, by=by)
        return by

    def _check_local(self, headers: Headers, peer: str, host: str | None) -> None:
        """Refuse callers on other machines, through a proxy, and pages in a browser."""
        if not self._local_admin:
            action = (
                "Name a file of keys with MMOE_KEYS_FILE, or accept calls from this machine with MMOE_LOCAL_ADMIN=true"
            )
            raise Forbidden(_ADMIN_KEY, "the service has no keys", action)
        names = [name.decode("latin-1") for name in headers]
        if not is_loopback(peer):
            action = "Call 127.0.0.1 there, or set up keys with MMOE_KEYS_FILE"
            raise Forbidden(_LOCAL_ADMIN, f"this request comes from {peer!r}", action)
        if proxy := next((name for name in names if _OF_PROXIES.fullmatch(name)), None):
            came = f"this request came through a proxy, as its header {quote(proxy)} says"
            raise Forbidden(_LOCAL_ADMIN, came, "Call the service itself")
        if browser := next((name for name in names if name in _OF_BROWSERS), None):
            raise Forbidden(_LOCAL_ADMIN, f"this request carries {browser!r}", "Use curl")
        if host is not None and not is_loopback(host):  # a page whose name somebody lets point to this machine
            came = f"this request names the host {quote(host)}"
            raise Forbidden(_LOCAL_ADMIN, came, "Call it by 127.0.0.1, ::1 or localhost")


def _presented(headers: Headers) -> bytes | None:
    """Return the key of a request, None if it has none."""
    value = headers.get(AUTHORIZATION)
    if value is not None and value[:7].lower() == _BEARER:
        return value[7:].strip()
    return headers.get(API_KEY)


def peer_of(scope: Scope) -> str:
    """Return the address that a request comes from; empty where it is not known."""
    client = scope.get("client")
    return client[0] if client else ""
