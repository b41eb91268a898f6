"""Host allow-list: under which names callers may address the service.

A page in a browser can let its own name point to 127.0.0.1 (DNS rebinding) and then read what
listens there as if it were its own. The browser still sends that name as `Host`, so a service that
answers to its own names alone gives such a page nothing. An address cannot be rebound: where the
service is bound to more than loopback, any address passes.
"""

import ipaddress
import re
from collections.abc import Set

from service.settings import Settings

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]{0,5})?")
_KEPT = 1000


def host_of(value: bytes) -> str | None:
    """Return the name or address that a Host header names, without brackets and port.

    None if it is not valid.
    """
    found = _HOST.fullmatch(value)
    return None if found is None else found[1].decode().strip("[]").lower().removesuffix(".")


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a text is, None if it is a name.

    One of IPv4 on a socket of IPv6 is what it maps to.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Tell whether this names the machine itself: localhost, 127.0.0.0/8 or ::1."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


class Hosts:
    """Allow-list of the hosts that callers may name.

    Args:
        allowed: names and addresses, in lower case; `*.example.com` for all names below one, `*`
            for any. None: any, or loopback names alone where the service is bound to nothing else.
        bound: the address that the service listens on.
    """

    def __init__(self, allowed: Set[str] | None, bound: str) -> None:
        loopback = is_loopback(bound.lower())
        self._any = "*" in allowed if allowed is not None else not loopback
        self._addresses = not loopback
        self._allowed = frozenset(allowed or ())
        self._suffixes = tuple(name[1:] for name in self._allowed if name.startswith("*."))
        self._known: dict[bytes, bool] = {}

    @classmethod
    def of(cls, settings: Settings, operation: bool = False) -> "Hosts":
        """Return those of a port: the main one, or the second."""
        bound = (operation and settings.operation_host) or settings.host
        return cls(settings.allowed_hosts, bound)

    def allows(self, value: bytes) -> bool:
        """Tell whether a Host header is valid and names an allowed host.

        The port does not matter.
        """
        known = self._known.get(value)
        if known is None:
            host = host_of(value)
            known = host is not None and self._is_allowed(host)
            if len(value) <= 255:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[value] = known
        return known

    def _is_allowed(self, host: str) -> bool:
        if self._any or host in self._allowed or host.endswith(self._suffixes) or is_loopback(host):
            return True
        return self._addresses and address_of(host) is not None
