"""Sockets to listen on: bound early, so that a port in use ends the start with a sentence; several for several workers.

Each worker listens on a socket of its own on the same port (SO_REUSEPORT), so that none waits for another to accept.
"""

import socket

from service.errors import SettingsError


def bind(host: str, port: int, shared: bool) -> socket.socket:
    """Bind a TCP socket that does not listen yet.

    Args:
        host: name or address.
        port: 0 takes a free one.
        shared: whether other sockets of this user may bind to it too.

    Raises:
        SettingsError: the address is unknown, not this machine's, taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError("MMOE_HOST", host, f"a name or an address ({error})") from None
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise SettingsError("MMOE_PORT", str(port), f"a free port on {host} ({error.strerror})") from None
    made.set_inheritable(True)
    return made


def reserve(host: str, port: int) -> socket.socket:
    """Bind a socket that others may join, unless a stranger listens there; it holds the port and never listens.

    Raises:
        SettingsError: as `bind`.
    """
    bind(host, port, shared=False).close()
    return bind(host, port, shared=True)


def url(bound: socket.socket) -> str:
    """Return the address of a bound socket as a browser takes it."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
