"""Sockets to listen on, bound early: a port in use ends the start with a sentence.

Workers share one socket for each port and accept from it as they have time: what waits there when
one of them is killed, or stands still, is accepted by another.
"""

import socket
from collections.abc import Sequence
from typing import NamedTuple

from service.errors import SettingsError
from service.settings import Settings

BACKLOG = 2048
"""Connections that may wait to be accepted."""


class Address(NamedTuple):
    """Address to listen on, and the settings that give it."""

    host: str
    port: int
    setting: str = "MMOE_PORT"
    host_setting: str = "MMOE_HOST"


class Ports(NamedTuple):
    """Sockets of all ports, bound.

    Attributes:
        http: of the main port, and of the second one if there is one.
        grpc: keeps the port of gRPC; None where there is none. Each worker listens on a socket of
            its own there, for gRPC takes none that is made elsewhere.
    """

    http: Sequence[socket.socket]
    grpc: socket.socket | None

    @property
    def all(self) -> list[socket.socket]:
        """Return every socket, that of gRPC last."""
        return [*self.http] if self.grpc is None else [*self.http, self.grpc]


def bind_all(settings: Settings) -> Ports:
    """Bind every port that the settings name.

    Raises:
        SettingsError: as `bind`.
    """
    http, grpc = [bind(address) for address in addresses(settings)], None
    if settings.grpc_port is not None:
        grpc = bind(Address(settings.host, settings.grpc_port, "MMOE_GRPC_PORT"))
        # Set only now, or the port of another service would count as free. This socket keeps the
        # port and does not listen; the same user's others may, if they ask to share it too.
        grpc.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return Ports(http, grpc)


def addresses(settings: Settings) -> list[Address]:
    """Return where HTTP listens: its port, and the second one if there is one."""
    found = [Address(settings.host, settings.port)]
    if settings.operation_port is not None:
        host = settings.operation_host or settings.host
        host_setting = "MMOE_OPERATION_HOST" if settings.operation_host else "MMOE_HOST"
        found.append(Address(host, settings.operation_port, "MMOE_OPERATION_PORT", host_setting))
    return found


def bind(address: Address) -> socket.socket:
    """Bind a TCP socket that does not listen yet.

    Args:
        address: name or address of the host, and port; port 0 takes a free one.

    Raises:
        SettingsError: the address is unknown, not this machine's, taken or not allowed.
    """
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError(address.host_setting, address.host, f"a name or an address ({error})") from None
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(found)
    except OSError as error:
        made.close()
        raise _taken(address, error) from None
    made.set_inheritable(True)
    return made


def listen(settings: Settings, bound: Sequence[socket.socket]) -> None:
    """Listen on bound sockets.

    Args:
        settings: of the service.
        bound: to its `addresses`.

    Raises:
        SettingsError: another process has bound to the port too, and listens already.
    """
    for address, one in zip(addresses(settings), bound, strict=True):
        try:
            one.listen(BACKLOG)
        except OSError as error:
            raise _taken(address, error) from None


def _taken(address: Address, error: OSError) -> SettingsError:
    expected = f"a free port on {address.host} ({error.strerror})"
    return SettingsError(address.setting, str(address.port), expected)


def local_address(bound: socket.socket) -> str:
    """Return what a socket is bound to, such as "127.0.0.1:8000".

    "0.0.0.0:8000" stands for every address there is.
    """
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_to_all(bound: socket.socket) -> bool:
    """Tell whether a socket can be reached on every address of this machine."""
    return bound.getsockname()[0] in ("0.0.0.0", "::")


def url(bound: socket.socket) -> str:
    """Return the address of a bound socket as a browser takes it."""
    host, port = bound.getsockname()[:2]
    if bound_to_all(bound):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
