"""Failures of a service: what is tried again, when, and what is not."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mmoe_client import (
    AsyncClient,
    Client,
    ClientError,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    ServerFault,
    TooManyWrongKeys,
    Unreachable,
)

MANIFEST = {"name": "m", "experts": 0, "features": [{"name": "x", "kind": "numeric"}], "tasks": []}
ANSWER = {"model": "m", "version": 1, "outputs": {"tasks": {"t": [0.5]}, "gate_weights": None}}
Failure = Callable[[httpx.Request], httpx.Response]


def status(code: int, word: str, **headers: str) -> Failure:
    def answer(request: httpx.Request) -> httpx.Response:
        document = {"detail": f"It is {word}.", "code": word, "status": code}
        return httpx.Response(code, json=document, headers={name.replace("_", "-"): v for name, v in headers.items()})

    return answer


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset", request=request)


def slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


class Faulty:
    """A service that fails in turn, then answers."""

    def __init__(self, *failures: Failure) -> None:
        self.failures, self.seen = list(failures), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=MANIFEST)
        self.seen.append(request)
        return self.failures.pop(0)(request) if self.failures else httpx.Response(200, json=ANSWER)

    def predict(self, **options: Any) -> Any:
        with Client("http://m", model="m", transport=httpx.MockTransport(self), **options) as client:
            return client.predict([{"x": 1.0}])


@pytest.mark.parametrize("failure", [status(429, "overloaded"), status(503, "not_ready"), broken])
def test_what_may_succeed_later_is_tried_again(failure: Failure) -> None:
    service = Faulty(failure, failure)
    assert service.predict().tasks["t"] == pytest.approx([0.5])
    assert len(service.seen) == 3


def test_asyncio_tries_again_too() -> None:
    service = Faulty(status(503, "not_ready"), broken)

    async def ask() -> Any:
        async with AsyncClient("http://m", model="m", transport=httpx.MockTransport(service)) as client:
            return await client.predict([{"x": 1.0}])

    assert asyncio.run(ask()).version == 1
    assert len(service.seen) == 3


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (status(429, "wrong_keys", retry_after="1"), TooManyWrongKeys),
        (status(500, "internal"), ServerFault),
        (status(504, "deadline"), DeadlineExceeded),
        (slow, DeadlineExceeded),
    ],
)
def test_what_would_only_fail_again_is_not(failure: Failure, error: type[ClientError]) -> None:
    service = Faulty(failure)
    with pytest.raises(error):
        service.predict()
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [(status(503, "not_ready"), NotReady), (status(429, "overloaded"), Overloaded), (broken, Unreachable)],
)
def test_it_gives_up_after_its_tries(failure: Failure, error: type[ClientError]) -> None:
    service = Faulty(*[failure] * 9)
    with pytest.raises(error):
        service.predict(tries=3)
    assert len(service.seen) == 3


def test_a_wait_longer_than_the_time_allowed_is_not_begun() -> None:
    service = Faulty(status(503, "not_ready", retry_after="60"))
    with pytest.raises(NotReady):
        service.predict(timeout_s=5)
    assert len(service.seen) == 1


def test_the_time_left_goes_along() -> None:
    service = Faulty(status(503, "not_ready"))
    service.predict(timeout_s=9)
    first, second = (int(request.headers["x-request-timeout-ms"]) for request in service.seen)
    assert second < first <= 9000


def test_an_answer_that_is_not_of_its_kind_is_a_fault_of_the_service() -> None:
    for answer in (httpx.Response(200, text="<html>"), httpx.Response(200, json={"hello": 1})):
        with pytest.raises(ServerFault):
            Faulty(lambda request, answer=answer: answer).predict()  # type: ignore[misc]


def test_an_error_of_something_else_on_the_way_keeps_its_status() -> None:
    with pytest.raises(NotReady) as caught:
        Faulty(*[lambda request: httpx.Response(503, text="<html>Service Unavailable</html>")] * 2).predict(tries=2)
    assert caught.value.status == 503
