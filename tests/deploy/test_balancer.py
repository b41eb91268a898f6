"""The balancer's configuration in a real nginx, before two real services.

None of its answers is lost when one ends.
"""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.balancer import CONFIG, write_config

ROW = {"instances": [{"age": 30, "colour": "red"}]}
CLIENTS, BEFORE, AFTER = 8, 100, 300
"""Connections that ask all the time; answers before a replica is told to end, and after it has."""


class Balanced(NamedTuple):
    """A balancer and the replicas behind it."""

    url: str
    replicas: list[Any]


@pytest.fixture(scope="module")
def balance(
    artifact: Any,
    start_service: Callable[..., Any],
    start_program: Callable[..., Any],
    program: Callable[[str, str], str],
    port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Any]:
    """Give a context manager that runs two services, the second on other models if told so, and
    nginx before them.
    """
    nginx = program("nginx", "nginx")

    @contextmanager
    def start(others: Path = artifact.models_dir) -> Iterator[Balanced]:
        directory, number = tmp_path_factory.mktemp("nginx"), port()
        url, root = f"http://127.0.0.1:{number}", "user root;" if os.geteuid() == 0 else ""
        settings = {"drain_delay_s": "0.5"}
        with start_service(artifact.models_dir, **settings) as a, start_service(others, **settings) as b:
            conf = write_config(directory, number, [a.port, b.port])
            command = [nginx, "-e", "stderr", "-c", str(conf), "-g", f"daemon off; {root}"]
            with start_program(command, url, "/health/ready", directory / "log"):
                yield Balanced(url, [a, b])

    return start


@pytest.fixture(scope="module")
def balanced(balance: Callable[..., Any]) -> Iterator[Balanced]:
    with balance() as running:
        yield running


def test_both_replicas_answer(balanced: Balanced) -> None:
    with httpx.Client(base_url=balanced.url, trust_env=False) as client:
        answers = [client.post("/v1/predict", json=ROW) for _ in range(20)]
    assert Counter(answer.status_code for answer in answers) == {200: 20}
    for replica in balanced.replicas:
        page = httpx.get(f"{replica.url}/metrics", trust_env=False).text
        assert re.search(r'mmoe_requests_total{.*route="predict",status="200"} [1-9]', page)


def test_a_body_larger_than_all_buffers_arrives_whole_and_a_larger_still_is_refused(balanced: Balanced) -> None:
    with httpx.Client(base_url=balanced.url, trust_env=False, timeout=30) as client:
        answer = client.post("/v1/predict", json={"instances": [ROW["instances"][0]] * 9000})
        assert len(answer.json()["predictions"]) == 9000
        refused = client.post("/v1/predict", content=b" " * (17 << 20), headers={"content-type": "application/json"})
        assert refused.status_code == 413
        assert refused.json()["code"] == "too_large"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 404),
        ("POST", "/v1/models/tiny_mmoe:rollback", 403),
        ("POST", "/v1/models/tiny_mmoe:pin", 403),
        ("POST", "/v1/models/tiny_mmoe:canary", 403),
        ("POST", "/v1/models/tiny_mmoe:shadow", 403),
        ("POST", "/v2/repository/models/tiny_mmoe/load", 403),
        ("POST", "/v2/repository/models/tiny_mmoe/unload", 403),
    ],
)
def test_what_concerns_one_replica_is_not_passed_on(balanced: Balanced, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, balanced.url + path, trust_env=False)
    assert answer.status_code == status
    assert "replica" in answer.json()["error" if path.startswith("/v2") else "detail"]


def test_a_replica_that_is_not_ready_is_asked_nothing(balance: Callable[..., Any], tmp_path: Path) -> None:
    with balance(others=tmp_path) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        not_ready = httpx.get(f"{running.replicas[1].url}/health/ready", trust_env=False)
        assert not_ready.status_code == 503
        paths = ("/v1/predict", "/v1/models/tiny_mmoe:predict", "/v1/models/tiny_mmoe:gates") * 5
        assert {client.post(path, json=ROW).status_code for path in paths} == {200}


async def ask(url: str, victim: Any, number: signal.Signals) -> Counter[str]:
    """Ask over many connections.

    Signal a replica after BEFORE answers, go on for AFTER once it has ended.
    """
    seen: Counter[str] = Counter()
    ending: asyncio.Future[int] | None = None
    left = AFTER

    async def client() -> None:
        nonlocal ending, left
        limits = httpx.Timeout(20)
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=limits) as connection:
            while left:
                try:
                    answer = await connection.post("/v1/models/tiny_mmoe:predict", json=ROW)
                    seen[str(answer.status_code)] += 1
                except httpx.TransportError as error:
                    seen[repr(error)] += 1
                if ending is None and seen.total() >= BEFORE:
                    ending = asyncio.ensure_future(asyncio.to_thread(victim.end, number))
                if ending is not None and ending.done():
                    left = max(left - 1, 0)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    assert ending is not None
    assert await ending == (0 if number == signal.SIGTERM else -number)
    return seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_replica_that_ends_under_load_fails_no_request(balance: Callable[..., Any], number: signal.Signals) -> None:
    with balance() as running:
        seen = asyncio.run(ask(running.url, running.replicas[0], number))
        assert set(seen) == {"200"}
        running.replicas[1].end()
        gone = httpx.post(f"{running.url}/v1/predict", json=ROW, trust_env=False)
        assert (gone.status_code, gone.json()["code"], gone.headers["retry-after"]) == (503, "not_ready", "1")
        gone = httpx.post(f"{running.url}/v2/models/tiny_mmoe/infer", json={}, trust_env=False)
        assert gone.status_code == 503
        assert "No replica" in gone.json()["error"]


async def ask_with_one_frozen(url: str, victim: Any, enough: int) -> list[tuple[str, float]]:
    """Ask over many connections.

    Freeze a replica after BEFORE answers, go on until so many have come after that.

    Returns:
        Each answer's status, or what broke it, with its seconds.
    """
    seen: list[tuple[str, float]] = []
    frozen_at: int | None = None

    async def client() -> None:
        nonlocal frozen_at
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as connection:
            while frozen_at is None or len(seen) < frozen_at + enough:
                began = time.monotonic()
                try:
                    status = str((await connection.post("/v1/models/tiny_mmoe:predict", json=ROW)).status_code)
                except httpx.TransportError as error:
                    status = repr(error)
                seen.append((status, time.monotonic() - began))
                if frozen_at is None and len(seen) >= BEFORE:
                    frozen_at = len(seen)
                    victim.process.send_signal(signal.SIGSTOP)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return seen


def test_a_frozen_replica_fails_no_prediction(balance: Callable[..., Any], measured: Callable[[str], None]) -> None:
    with balance() as running:
        victim = running.replicas[0]
        try:
            seen = asyncio.run(ask_with_one_frozen(running.url, victim, 4 * AFTER))
        finally:
            victim.process.send_signal(signal.SIGCONT)
    assert Counter(status for status, _ in seen) == {"200": len(seen)}
    took = [seconds for _, seconds in seen]
    late = sum(seconds > 1 for seconds in took)
    measured(f"of {len(seen)} predictions none failed, {late} took over 1 s, the longest {max(took):.1f} s")


def nginx_test(nginx: str, upstream: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    main = (CONFIG / "nginx.conf").read_text().replace("/tmp/", f"{directory}/")
    (directory / "nginx.conf").write_text(main)
    (directory / "upstream.conf").write_text((CONFIG / upstream).read_text())
    (directory / "grpc.conf").write_text((CONFIG / "grpc.conf").read_text())
    command = [nginx, "-t", "-q", "-e", "stderr", "-c", str(directory / "nginx.conf")]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_nginx_accepts_the_configuration(program: Callable[[str, str], str], tmp_path: Path) -> None:
    nginx = program("nginx", "nginx")
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
    plain = nginx_test(nginx, "upstream-before-1.27.3.conf", tmp_path)
    assert (plain.returncode, plain.stderr) == (0, "")
    following = nginx_test(nginx, "upstream.conf", tmp_path)
    if numbers >= (1, 27, 3):
        assert (following.returncode, following.stderr) == (0, "")
    else:
        assert 'invalid parameter "resolve"' in following.stderr
