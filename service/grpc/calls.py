"""One call: key, message, deadline, answer or error, and what is counted and recorded of it.

    head -> key -> room? -> message -> method -> answer | status

Every method takes a stream of messages, of which it reads one: on the wire that is a call with one
message, and here nothing of it is read before the call may pass.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from service.errors import (
    DeadlineExceeded,
    Forbidden,
    MalformedRequest,
    Overloaded,
    RequestTooLarge,
    ServiceError,
    SlowClient,
    TooManyWrongKeys,
)
from service.grpc.statuses import retry_after, status_of
from service.http.app import Shared
from service.http.body import REQUEST_ID
from service.http.correlation import TRACEPARENT, CorrelationIds
from service.http.errors import error_status
from service.http.hot.head_cache import Call
from service.http.hot.refusals import Refusals, forget_where
from service.http.hot.replies import ReplyRecorder, Served
from service.http.hot.routing import Route
from service.http.journal import RequestRecord
from service.http.middleware import CLIENT_LEFT
from service.http.types import Headers
from service.system.quoting import quote

PREDICTIONS = "grpc_infer"
"""Route under which predictions count; their times are part of the metrics, others' are not."""

_POST = "POST"
_NO_MODEL = ""


class GrpcCall:
    """One call, as its method sees it.

    Attributes:
        headers: its metadata, by name.
        path: that it calls, such as /inference.GRPCInferenceService/ModelInfer.
        arrived: when it came, on the engine's clock.
        allowed_s: what its deadline and the settings leave it, in seconds.
        asked: name and version of the model that it asks, once that is known.
        served: what a prediction was answered with.
    """

    __slots__ = ("allowed_s", "arrived", "asked", "headers", "path", "peer", "served")

    def __init__(self, path: str, headers: Headers, peer: str, arrived: float, allowed_s: float) -> None:
        self.path, self.headers, self.peer = path, headers, peer
        self.arrived, self.allowed_s = arrived, allowed_s
        self.asked: tuple[str | None, int | None] = _NO_MODEL, None
        self.served: Served | None = None


class Method(NamedTuple):
    """Method of the service.

    Attributes:
        route: under which its calls count.
        needs: the role of a key that it needs, if any.
        request: class of its message; None where the method itself reads it.
        answer: takes the call and its message, returns the answer's.
    """

    route: str
    needs: Literal["nothing", "predict", "admin"]
    request: Any
    answer: Callable[[GrpcCall, Any], Awaitable[Any]]


class Calls:
    """Answers calls of all methods, whatever is wrong with them.

    Args:
        shared: with HTTP.
    """

    def __init__(self, shared: Shared) -> None:
        self._engine, self._telemetry, self._journal = shared.engine, shared.telemetry, shared.journal
        self._guard, self._endpoints, self._budget = shared.guard, shared.endpoints, shared.admission.budget
        self._settings, self._clock = shared.engine.settings, shared.engine.clock
        self._note = ReplyRecorder(self._clock, shared.endpoints, shared.journal, shared.telemetry).note
        self._refusals = Refusals()
        self._reading = asyncio.Semaphore(max(1, self._settings.max_buffered_bytes // self._settings.max_body_bytes))

    async def answer(self, path: str, method: Method, context: Any) -> bytes:
        """Answer a call; what it is refused with ends it."""
        call = self._call(path, context)
        try:
            self._check(method, call)
            async with self._message(method, context) as message:
                answer: bytes = (await method.answer(call, message)).SerializeToString()
        except asyncio.CancelledError:  # by the caller, by its deadline or at the end of the drain
            left_s, over = context.time_remaining(), DeadlineExceeded(call.allowed_s)
            late = left_s is not None and left_s <= 0
            status, error = (error_status(over).status, over) if late else (CLIENT_LEFT, None)
            self._record(method.route, call, status, error, self._journal.identify(call.headers))
            raise
        except Exception as refusal:
            failure = refusal
        else:
            ids: CorrelationIds | None = None
            if self._journal.everything or REQUEST_ID in call.headers or TRACEPARENT in call.headers:
                ids = self._journal.identify(call.headers, make=False)
                context.set_trailing_metadata(_metadata(ids))
            self._record(method.route, call, 200, None, ids)
            return answer
        return await self._refuse(method, call, context, failure)

    def _call(self, path: str, context: Any) -> GrpcCall:
        pairs = context.invocation_metadata() or ()
        headers = {key.encode(): value if isinstance(value, bytes) else value.encode() for key, value in pairs}
        left_s, allowed_s = context.time_remaining(), self._settings.request_timeout_s
        allowed_s = allowed_s if left_s is None else min(max(left_s, 0.0), allowed_s)
        return GrpcCall(path, headers, _address(context.peer()), self._clock(), allowed_s)

    def _check(self, method: Method, call: GrpcCall) -> None:
        if method.route == "admin" and self._settings.operation_port is not None:
            rule = "Calls about the repository are accepted only on the port of MMOE_OPERATION_PORT"
            raise Forbidden(rule, "this one came by gRPC", "Send it there, over HTTP")
        if method.needs == "admin":
            self._guard.check_admin(call.headers, call.peer, None, _POST, call.path)
        elif method.needs == "predict":
            self._guard.check(call.headers, call.peer)
        if method.route == PREDICTIONS:
            self._engine.batcher.refuse_if_full()

    @contextlib.asynccontextmanager
    async def _message(self, method: Method, context: Any) -> AsyncIterator[Any]:
        """Read the message; it counts as held until the end of the block."""
        most, allowed_s = self._settings.max_body_bytes, self._settings.client_timeout_s
        try:
            async with asyncio.timeout(allowed_s), self._reading:
                body = await context.read()
        except TimeoutError:
            raise SlowClient("message", allowed_s) from None
        if not isinstance(body, bytes):  # gRPC itself has refused one that is larger
            raise RequestTooLarge("the message", None, most, "bytes", "MMOE_MAX_BODY_BYTES")
        self._budget.take(len(body))
        try:
            yield body if method.request is None else parsed(method.request, body)
        finally:
            self._budget.give(len(body))

    async def _refuse(self, method: Method, call: GrpcCall, context: Any, error: Exception) -> bytes:
        """End a call with the status of an error, when its turn has come."""
        if isinstance(error, ServiceError):
            forget_where(error)
        if isinstance(error, Overloaded | TooManyWrongKeys):
            await self._refusals.turn()
        ids, status = self._journal.identify(call.headers), error_status(error)
        if self._telemetry is not None:
            self._telemetry.rejected(status.code)
        if not isinstance(error, ServiceError):
            self._journal.failed(ids, call.path, error)
        self._record(method.route, call, status.v2_status, error, ids)
        code, sentence = status_of(error)
        await context.abort(code, sentence, (*_metadata(ids), *retry_after(error)))
        raise AssertionError("abort always raises")

    async def refuse_unknown(self, path: str, context: Any) -> bytes:
        """Answer a call that there is not."""
        call = self._call(path, context)
        ids = self._journal.identify(call.headers)
        self._record("other", call, 404, None, ids)
        sentence = f"There is no call {quote(path)}; docs/grpc.md lists those that there are."
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, sentence, _metadata(ids))
        raise AssertionError("abort always raises")

    def _record(
        self, route: str, call: GrpcCall, status: int, error: Exception | None, ids: CorrelationIds | None
    ) -> None:
        """Count a call, and put it on record where that is wanted, as one over HTTP."""
        name, version = call.asked
        if route == PREDICTIONS:
            head = Call(Route(name, version, True, PREDICTIONS), _POST, call.path, call.headers)
            self._note(head, (status, [], b"", call.arrived, ids, error, call.served))
            return
        model = None
        with contextlib.suppress(ServiceError):
            model = self._engine.get(name, version)
        if self._telemetry is not None:
            self._telemetry.request(route, status, model)
        if status >= 400 or self._journal.everything:
            ids = self._journal.with_request_id(ids or self._journal.identify(call.headers, make=False))
            total_s = self._clock() - call.arrived
            self._journal.answered(
                RequestRecord(ids, _POST, call.path, route, status, error, model, call.arrived, total_s)
            )


def parsed(kind: Any, body: bytes) -> Any:
    """Read a message.

    Raises:
        MalformedRequest: it is not one of this kind.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise MalformedRequest(f"the message is not a {name}", f"{name} as protobuf writes it") from None


def _metadata(ids: CorrelationIds) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode(), value.decode()) for name, value in ids.headers())


def _address(peer: str) -> str:
    """Return the address in a name such as ipv4:127.0.0.1:50051; empty where there is none."""
    family, _, place = unquote(peer).partition(":")
    return place.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else ""
