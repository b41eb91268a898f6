"""Graceful shutdown, step by step; with signals and under load it is in test_worker.py."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from service.engine import Engine
from service.settings import Settings
from service.workers.shutdown import GracefulShutdown


class Listener:
    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def close(self) -> None:
        self.closed.set()


async def no_application(scope: object, receive: object, send: object) -> None: ...


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(Settings(models=tmp_path, drain_delay_s=0.01))
    yield made
    made.close()


@pytest.fixture
def handlers_restored() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def server() -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(no_application, log_config=None))


def test_it_is_not_ready_at_once_and_closes_its_doors_later(engine: Engine, server: uvicorn.Server) -> None:
    async def scenario() -> None:
        listeners = [Listener(), Listener()]
        GracefulShutdown(server, engine, listeners, None).begin(0.01)
        assert engine.draining
        assert not server.should_exit
        assert not any(listener.closed.is_set() for listener in listeners)
        async with asyncio.timeout(30):
            for listener in listeners:
                await listener.closed.wait()
        assert server.should_exit
        assert not server.force_exit

    asyncio.run(scenario())


def test_it_ends_no_connection_that_the_server_has_not_met(engine: Engine, server: uvicorn.Server) -> None:
    async def scenario() -> None:
        opening: set[asyncio.Future[None]] = set()

        class LastMoment(Listener):
            """Accept two connections while closing."""

            def close(self) -> None:
                for _ in range(2):
                    coming = asyncio.get_running_loop().create_future()
                    opening.add(coming)
                    coming.add_done_callback(opening.discard)
                super().close()

        listener = LastMoment()
        GracefulShutdown(server, engine, [listener], None, opening).begin(0)
        await listener.closed.wait()
        first, second = opening
        for connection, exits in ((first, False), (second, True)):
            connection.set_result(None)
            while connection in opening:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert server.should_exit == exits

    asyncio.run(scenario())


@pytest.mark.parametrize("launched", [False, True], ids=["alone", "launched"])
def test_asked_twice_it_waits_for_nothing_unless_its_launcher_decides_that(
    engine: Engine, server: uvicorn.Server, launched: bool
) -> None:
    async def scenario() -> None:
        shutdown = GracefulShutdown(server, engine, [], 0 if launched else None)
        shutdown.begin(3600)
        shutdown.begin(3600)
        assert server.should_exit == server.force_exit == (not launched)

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("handlers_restored")
def test_a_signal_begins_it(engine: Engine, server: uvicorn.Server, number: signal.Signals) -> None:
    engine.settings = Settings(models=engine.settings.models, drain_delay_s=0.01 if number == signal.SIGTERM else 3600)

    async def scenario() -> None:
        listener = Listener()
        GracefulShutdown(server, engine, [listener], None).install_signal_handlers()
        signal.raise_signal(number)
        async with asyncio.timeout(30):
            await listener.closed.wait()
        assert engine.draining

    asyncio.run(scenario())


@pytest.mark.usefixtures("handlers_restored")
def test_it_ends_when_its_launcher_is_gone(engine: Engine, server: uvicorn.Server) -> None:
    async def scenario() -> None:
        lifeline, held_by_launcher = os.pipe()
        listener = Listener()
        GracefulShutdown(server, engine, [listener], lifeline).install_signal_handlers()
        os.close(held_by_launcher)
        async with asyncio.timeout(30):
            await listener.closed.wait()
        assert engine.draining
        os.close(lifeline)

    asyncio.run(scenario())
