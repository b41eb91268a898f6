"""Requests over HTTP: headers, deadlines, and which failures are worth another try."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from mmoe_client.calls import Call, Reply
from mmoe_client.errors import ClientError, DeadlineExceeded, NotReady, Overloaded, ServerFault, Unreachable, error_of

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Policy:
    """Settings of a client.

    Attributes:
        timeout_s: of a call, tries and pauses included.
        tries: how often a request is sent at most.
        api_key: sent as a bearer token; empty for none.
    """

    timeout_s: float = 30.0
    tries: int = 4
    api_key: str = ""


class Attempts:
    """Attempts at one request: what to send next, and how long to wait before that.

    Args:
        call: the request.
        policy: of the client.
        timeout_s: of this call, in place of the policy's.
        clock: seconds that never go back.
    """

    def __init__(
        self, call: Call, policy: Policy, deadline: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._call, self._policy, self._deadline, self._clock = call, policy, deadline, clock
        self._sent = 0

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Make the next request; the time that is left goes with it.

        Raises:
            DeadlineExceeded: none is left.
        """
        left = self._deadline - self._clock()
        if left <= 0:
            raise DeadlineExceeded("the time allowed ran out before the request could be sent", "deadline")
        self._sent += 1
        headers = {"X-Request-Timeout-Ms": str(max(1, int(left * 1000)))}
        if self._call.json_bytes is not None:
            headers |= {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(self._call.json_bytes)}
        elif self._call.body is not None:
            headers["Content-Type"] = "application/json"
        if self._call.request_id:
            headers["X-Request-Id"] = self._call.request_id
        if self._call.canary_key:
            headers["X-Canary-Key"] = self._call.canary_key
        if self._policy.api_key:
            headers["Authorization"] = f"Bearer {self._policy.api_key}"
        return client.build_request(
            self._call.method, self._call.path, content=self._call.body, headers=headers, timeout=left
        )

    def pause_after(self, failure: httpx.Response | httpx.TransportError) -> float:
        """Return how many seconds to wait before the next try.

        Raises:
            ClientError: there is to be none.
        """
        error, asked = self._described(failure)
        again = isinstance(error, (Overloaded, NotReady)) or (
            isinstance(error, Unreachable) and (self._call.repeatable or isinstance(failure, httpx.ConnectError))
        )
        pause: float = max(
            asked, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._sent - 1)) * random.uniform(0.5, 1.0)
        )
        if not again or self._sent >= self._policy.tries or self._clock() + pause >= self._deadline:
            raise error
        return pause

    def _described(self, failure: httpx.Response | httpx.TransportError) -> tuple[ClientError, float]:
        if isinstance(failure, httpx.TimeoutException):
            return DeadlineExceeded("the service has not answered in the time allowed", "deadline"), 0.0
        if isinstance(failure, httpx.TransportError):
            return Unreachable(f"{failure.request.url}: {failure or type(failure).__name__}"), 0.0
        error = error_of(failure.status_code, _document(failure.content), failure.headers.get("x-request-id", ""))
        after: str = failure.headers.get("retry-after", "")
        wait = float(after) if after.isdecimal() else 0.0
        return error, wait


def reply_of(response: httpx.Response) -> Reply:
    """Read an answer that succeeded.

    Raises:
        ServerFault: it is not JSON, or not JSON before tensors.
    """
    announced = response.headers.get(HEADER_LENGTH, "")
    length = int(announced) if announced.isdecimal() else len(response.content)
    document = _document(response.content[:length])
    if document is None:
        raise ServerFault(f"the answer to {response.request.url} is not JSON", status=response.status_code)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(document, headers, memoryview(response.content)[length:])


def _document(content: bytes) -> object | None:
    try:
        document: object = json.loads(content)
    except ValueError:
        return None
    return document
