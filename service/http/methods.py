"""Which methods a path has, over all routes; and HEAD wherever there is GET."""

from collections.abc import Mapping, Sequence

from starlette.routing import Route

from service.http.body import Message, Receive, Scope, Send
from service.http.metrics import AsgiApp


def methods_at(routes: Sequence[Route], path: str) -> list[str]:
    """List the methods of all routes at a path."""
    found: set[str] = set()
    for route in routes:
        match = route.path_regex.match(path)
        if match is not None and not names_a_call(match.groupdict()):
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def names_a_call(parameters: Mapping[str, object]) -> bool:
    """Tell whether a colon was taken for a part of a name: `hand:predict` is no model but a call."""
    return any(":" in str(value) for key, value in parameters.items() if key != "path")


class HeadLikeGet:
    """Answer HEAD wherever GET is answered, with the same head and no body.

    Args:
        app: the application behind.
        routes: all of its routes.
    """

    def __init__(self, app: AsgiApp, routes: Sequence[Route]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or "GET" not in methods_at(self._routes, scope["path"]):
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)
