"""What the hot path does itself, for all other requests: ids out with the answer, and the watch told how it ended."""

from service.engine import Engine
from service.http.body import Message, Receive, Scope, Send
from service.http.metrics import CLIENT_LEFT, AsgiApp, model_of, route_of
from service.http.watch import Identity, Seen, Watch


class Watching:
    """Hold what becomes known of a request while it is answered, in its scope under "watching"."""

    __slots__ = ("error", "identity")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.error: BaseException | None = None


class Watched:
    """Watch the requests that an application answers, and send their ids back.

    Args:
        app: the application behind, whose handlers of errors find a `Watching` in the scope.
        engine: of the process.
        watch: is told.
    """

    def __init__(self, app: AsgiApp, engine: Engine, watch: Watch) -> None:
        self._app, self._engine, self._watch = app, engine, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived, headers, status = self._engine.clock(), dict(scope["headers"]), CLIENT_LEFT
        watching = Watching(self._watch.identify(headers))
        shown = watching.identity if self._watch.everything else self._watch.identify(headers, make=False)
        echoed = shown.headers()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", []))
                names = {name for name, _ in own}
                message = {**message, "headers": own + [header for header in echoed if header[0] not in names]}
            await send(message)

        try:
            await self._app({**scope, "watching": watching}, receive, watch)
        except Exception:
            if watching.error is None or status == CLIENT_LEFT:
                raise
            # It has been logged and answered; the framework only passes it on for the server to log.
        finally:
            if status >= 400 or self._watch.everything:
                self._tell(scope, watching, status, arrived)

    def _tell(self, scope: Scope, watching: Watching, status: int, arrived: float) -> None:
        method, path = scope["method"], scope["path"]
        total_s = self._engine.clock() - arrived
        route, model = route_of(method, path), model_of(self._engine, path)
        self._watch.answered(
            Seen(watching.identity, method, path, route, status, watching.error, model, arrived, total_s)
        )
