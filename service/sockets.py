"""Sockets to listen on: bound early, so that a port in use ends the start with a sentence; several for several workers.

Each worker listens on a socket of its own (SO_REUSEPORT), and the kernel deals new connections out among them. It does
so by a hash, at random: of 8 connections a worker of two gets 2 or fewer in one case of seven. A program of four
instructions makes it deal by the client's port number instead, which most systems count up from one connection to the
next, so that the workers take turns.
"""

import contextlib
import socket
import struct

from service.errors import SettingsError

_SO_ATTACH_REUSEPORT_CBPF = 51
_LOAD_HALF_WORD, _SHIFT_RIGHT, _MODULO, _RETURN_A = 0x28, 0x74, 0x94, 0x16
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets from here count from the IP header
_IPV4_HEADER, _IPV6_HEADER = 20, 40


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


def take_turns(listening: socket.socket, workers: int) -> None:
    """Deal connections to the sockets of a port by the client's port; where the system cannot, leave it at the hash."""
    header = _IPV6_HEADER if listening.family == socket.AF_INET6 else _IPV4_HEADER
    program = b"".join(
        struct.pack("=HBBI", code, 0, 0, operand)
        for code, operand in (
            (_LOAD_HALF_WORD, _NETWORK_HEADER + header),  # the client's port
            (_SHIFT_RIGHT, 1),  # Linux gives out every second one
            (_MODULO, workers),
            (_RETURN_A, 0),
        )
    )
    with contextlib.suppress(OSError):
        _attach(listening, program)


def url(bound: socket.socket) -> str:
    """Return the address of a bound socket as a browser takes it."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _attach(listening: socket.socket, program: bytes) -> None:
    import ctypes

    instructions = ctypes.create_string_buffer(program)
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, fprog)
