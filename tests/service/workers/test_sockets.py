"""Sockets: bound early, refused with a sentence, listening later."""

import socket

import pytest

from service.errors import SettingsError
from service.settings import Settings
from service.workers.sockets import Address, bind, listen, url


def test_a_free_port_is_taken_and_told() -> None:
    with bind(Address("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        assert url(bound) == f"http://127.0.0.1:{port}"
    with bind(Address("0.0.0.0", 0)) as bound:
        assert url(bound).startswith("http://127.0.0.1:")


def test_an_address_of_version_6() -> None:
    try:  # a kernel may know IPv6 where no interface has an address of it, as in most containers
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"::1 is not an address of this machine: {error}")
    with bind(Address("::1", 0)) as bound:
        assert url(bound) == f"http://[::1]:{bound.getsockname()[1]}"


def test_a_port_in_use_is_refused_with_a_sentence() -> None:
    with bind(Address("127.0.0.1", 0)) as other:
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"MMOE_PORT is '{port}'; expected a free port on 127\.0\.0\.1"):
            bind(Address("127.0.0.1", port))


def test_strangers_that_share_their_port_are_refused_too() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other, pytest.raises(SettingsError, match="MMOE_"):
        bind(Address("127.0.0.1", other.getsockname()[1]))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a" * 300])
def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=r"MMOE_HOST|MMOE_PORT"):
        bind(Address(host, 0))


def test_a_bound_socket_takes_no_connections_until_it_listens() -> None:
    settings = Settings(port=0, operation_port=0)
    with bind(Address("127.0.0.1", 0)) as main, bind(Address("127.0.0.1", 0)) as second:
        for one in (main, second):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(one.getsockname(), timeout=5)
        listen(settings, [main, second])
        for one in (main, second):
            socket.create_connection(one.getsockname(), timeout=5).close()


def test_who_listens_second_on_a_port_is_refused_with_a_sentence() -> None:
    with bind(Address("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with bind(Address("127.0.0.1", port)) as second:
            first.listen()
            with pytest.raises(SettingsError, match=rf"MMOE_PORT is '{port}'; expected a free port on 127\.0\.0\.1"):
                listen(Settings(port=port), [second])
