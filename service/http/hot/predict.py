"""The hot path: `:predict` and v2 `infer` as a pure ASGI callable in front of the application.

    raw body -> arrays -> batcher -> one run for all requests of a turn -> rendered bytes

Nothing is made per request that is not needed; any other path goes on to the application, which
documents these calls.
"""

import asyncio
import functools

from service.engine import Engine
from service.errors import Overloaded, ServiceError, TooManyWrongKeys
from service.http.admission import APART_BYTES, Admission, IncomingBody
from service.http.body import REQUEST_ID, TIMEOUT, Disconnected, timeout_s
from service.http.canaries import Canaries
from service.http.codecs import v2_infer
from service.http.codecs.endpoint import Endpoint, Endpoints
from service.http.codecs.json_size import FREE_BYTES
from service.http.codecs.keys import ROW_KEY, keyed_by_header
from service.http.codecs.render import with_members
from service.http.codecs.rows import Parsed
from service.http.correlation import TRACEPARENT, CorrelationIds
from service.http.errors import RawResponse, error_status, http_error, wants_json, write
from service.http.front import Front, MetricsSink
from service.http.guard import Guard, peer_of
from service.http.hosts import Hosts
from service.http.hot.head_cache import Call, Head, HeadCache
from service.http.hot.refusals import Refusals, forget_where
from service.http.hot.replies import Reply, ReplyRecorder
from service.http.hot.routing import Route, route_of
from service.http.journal import Journal
from service.http.types import AsgiApp, Receive, Scope, Send

JSON = b"content-type", b"application/json"

_ROUTES_KEPT = 1000
"""Paths are only kept once they led to a model, so that strangers cannot fill the memory; this
bounds the rest."""


class HotPath(Front):
    """Hot path: predictions are answered here, everything else is passed on.

    Args:
        app: the application behind.
        engine: of the process.
        endpoints: of the loaded models.
        admission: of request bodies.
        journal: knows who a request is from, and keeps records of answers.
        guard: lets calls pass.
        metrics: told of every request answered here.

    Attributes:
        head_cache: heads of requests that were answered here, for the protocol in front.
        splits: of requests between versions, by model; empty where there is no canary, and then
            `choose` need not be called.
    """

    def __init__(
        self,
        app: AsgiApp,
        engine: Engine,
        endpoints: Endpoints,
        admission: Admission,
        journal: Journal,
        guard: Guard,
        metrics: MetricsSink | None = None,
    ) -> None:
        super().__init__(app, engine.settings, Hosts.of(engine.settings), journal, engine.clock, metrics)
        self._endpoints = endpoints
        self._admission = admission
        self._batcher = engine.batcher
        self._check = None if guard.keys is None else guard.check
        self.note = ReplyRecorder(engine.clock, endpoints, journal, metrics).note
        self._routes: dict[str, Route] = {}
        self._refusals = Refusals()
        self.head_cache = HeadCache()
        self._canaries = Canaries(engine.catalogue.splits)
        self.splits = self._canaries.splits

    def admit(self, head: Head, peer: str) -> None:
        """Let a large body come, and count it until `release`.

        Raises:
            Unauthorised: the call needs a key.
            Overloaded: too much is held already.
        """
        if self._check is not None:
            self._check(head.call.headers, peer)
        self._admission.budget.take(head.length)

    def release(self, size: int) -> None:
        """Count bytes of a body as held no longer."""
        self._admission.budget.give(size)

    async def respond_with(self, error: ServiceError, call: Call) -> Reply:
        """Answer a call that was refused at its head.

        `note` is to be called when that was sent.
        """
        return await self._refused(error, call, self._clock())

    def choose(self, call: Call) -> Call:
        """Return a call with the version that is to answer it, just before it is answered."""
        route = call.route
        if route.version is not None:
            return call
        name, version, headers = self._canaries.choose(route.name, call.headers)
        return call._replace(route=route._replace(name=name, version=version), headers=headers)

    def route(self, path: str) -> Route | None:
        """Return what a path asks for; None if it is not answered here."""
        return self._routes.get(path) or route_of(path)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection whose host is allowed."""
        route = self.route(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        call = Call(route, scope["method"], scope["path"], dict(scope["headers"]))
        if self.splits:
            call = self.choose(call)
        try:
            with self._admission.incoming(receive) as incoming:
                answer = await self.respond(call, peer_of(scope), None, incoming)
        except Disconnected:
            return
        await send({"type": "http.response.start", "status": answer[0], "headers": answer[1]})
        await send({"type": "http.response.body", "body": answer[2]})
        self.note(call, answer)

    async def respond(self, call: Call, peer: str, body: bytes | None, incoming: IncomingBody | None = None) -> Reply:
        """Answer a call, whatever is wrong with it; `note` is to be called when that was sent.

        Args:
            call: its head.
            peer: the address that it comes from.
            body: as it came, of a length that is taken, and not compressed; None if it is still to
                come.
            incoming: the body that is to come.

        Raises:
            Disconnected: the caller left before the body had come.
        """
        arrived = self._clock()
        try:
            if call.method != "POST":
                ids = self._journal.identify(call.headers)
                return *self._not_post(call, ids), arrived, ids, None, None
            return await self._answer(call, peer, body, incoming, arrived)
        except Disconnected:
            raise
        except Exception as error:
            body = None  # there may be thousands of calls that wait to be refused
            return await self._refused(error, call, arrived)

    async def _answer(
        self, call: Call, peer: str, body: bytes | None, incoming: IncomingBody | None, arrived: float
    ) -> Reply:
        route, _, path, headers = call
        if self._check is not None:
            self._check(headers, peer)
        endpoint = self._endpoints.get(route.name, route.version)
        self._batcher.refuse_if_full()
        allowed_s = self.settings.request_timeout_s
        if TIMEOUT in headers:
            allowed_s = timeout_s(headers, allowed_s)
        if body is None:
            assert incoming is not None
            body = await incoming.read(headers)
        if len(body) > FREE_BYTES:
            length = v2_infer.json_length(headers, body) if route.v2 else len(body)
            await self._admission.count_json(body, length, endpoint.limits)
        came = self._clock()
        if route.v2:
            batch, wanted = v2_infer.parse(endpoint.signature, headers, body)
            if ROW_KEY in headers:
                batch = keyed_by_header(batch, headers[ROW_KEY])
            parsed = self._clock()
            part = await v2_infer.infer(endpoint.model, batch, wanted, arrived, allowed_s)
            ran = self._clock()
            answer_headers, content = v2_infer.render(endpoint.signature, endpoint.model, wanted, part)
            answer_headers.append(endpoint.version_header)
        else:
            if len(body) <= APART_BYTES:
                batch, columns, notes = endpoint.parser.parse(body)
            else:
                batch, columns, notes = await self._parse_large(endpoint, body)
            if ROW_KEY in headers:
                batch = keyed_by_header(batch, headers[ROW_KEY])
            parsed = self._clock()
            part = await endpoint.model.predict(batch, arrived, allowed_s)
            ran = self._clock()
            content = endpoint.renderer.columns(part) if columns else endpoint.renderer.rows(part)
            if notes is not None:
                content = with_members(content, notes.answer())
            answer_headers = [JSON, endpoint.version_header, (b"content-length", b"%d" % len(content))]
        if path not in self._routes and len(self._routes) < _ROUTES_KEPT:
            self._routes[path] = route_of(path) or route  # a canary's version is not in the path
        ids = None
        if REQUEST_ID in headers or TRACEPARENT in headers or self._journal.everything:
            ids = self._journal.identify(headers, make=False)
            answer_headers += ids.headers()
        served = endpoint, batch, part, parsed - came, self._clock() - ran, parsed
        return 200, answer_headers, content, arrived, ids, None, served

    async def _parse_large(self, endpoint: Endpoint, body: bytes) -> Parsed:
        numbers = endpoint.parser.parse_numbers(body)
        if numbers is not None:
            return numbers
        return await self._admission.apart(functools.partial(endpoint.parser.parse_objects, body))

    async def _refused(self, error: Exception, call: Call, arrived: float) -> Reply:
        """Answer an error when its turn has come.

        Until then it holds on to nothing of the request but its head.
        """
        if isinstance(error, ServiceError):
            forget_where(error)
        await self._wait_to_refuse(error)
        ids = self._journal.identify(call.headers)
        status, headers, content = self._problem(error, call, ids)
        return status, headers, content, arrived, ids, error, None

    async def _wait_to_refuse(self, error: Exception) -> None:
        if isinstance(error, Overloaded | TooManyWrongKeys):
            await self._refusals.turn()
        else:
            await _end_of_turn()

    def _problem(self, error: Exception, call: Call, ids: CorrelationIds) -> RawResponse:
        if self._metrics is not None:
            self._metrics.rejected(error_status(error).code)
        if not isinstance(error, ServiceError):
            self._journal.failed(ids, call.path, error)
        known = ids.request_id or b""
        answer = write(error, call.path, known, wants_json(call.headers))
        return answer if ids.trace is None else answer._replace(headers=answer.headers + ids.trace.headers())

    def _not_post(self, call: Call, ids: CorrelationIds) -> RawResponse:
        detail = f"{call.method} is not possible here; send the rows with POST. GET /docs shows how."
        return http_error(405, detail, call.path, ids.request_id or b"", [(b"allow", b"POST")])


async def _end_of_turn() -> None:
    """Wait until the loop has looked at every connection once.

    An error takes so little time that the same client's next request is there before its
    connection is left: one after another, up to 32 of them, they would keep all others, probes and
    new connections too, from being read.
    """
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn
