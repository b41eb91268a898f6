"""Error handlers of FastAPI: each error in the shape of its protocol, counted and logged.

How an error looks is in errors.py; the hot path, which has no FastAPI, asks there too.
"""

from collections.abc import Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from service.errors import MalformedRequest, ServiceError
from service.http.body import Disconnected
from service.http.errors import RawResponse, error_status, http_error, wants_json, write
from service.http.journal import Journal
from service.http.middleware import RequestContext
from service.http.paths import methods_at, names_a_call
from service.monitoring.telemetry import Telemetry
from service.system.quoting import quote

_OF_STARLETTE = ("Not Found", "Method Not Allowed")


class ErrorHandlers:
    """Handlers of the errors of one application.

    Args:
        routes: all of the application's, which say what would have been possible.
        telemetry: counts what is rejected.
        journal: logs what is the service's own fault.
    """

    def __init__(self, routes: Sequence[Route], telemetry: Telemetry | None, journal: Journal) -> None:
        self._routes, self._telemetry, self._journal = routes, telemetry, journal

    def attach(self, app: FastAPI) -> None:
        """Let the application come here with every error."""
        app.add_exception_handler(ServiceError, self._of_the_tree)
        app.add_exception_handler(RequestValidationError, self._of_parameters)
        app.add_exception_handler(HTTPException, self._of_http)
        app.add_exception_handler(Disconnected, self._of_the_client)
        app.add_exception_handler(Exception, self._of_the_tree)

    async def _of_the_tree(self, request: Request, error: Exception) -> Response:
        return self._answer(request, error)

    async def _of_parameters(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if names_a_call(request.scope.get("path_params", {})):
            return await self._of_http(request, HTTPException(404))
        first = error.errors()[0]
        came = f"the parameter {quote(str(first['loc'][-1]))} is {quote(first.get('input'))}"
        expected = first["msg"].removeprefix("Input should be ").partition(", unable")[0]
        return self._answer(request, MalformedRequest(came, expected))

    async def _of_http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, status, detail = request.scope["path"], error.status_code, str(error.detail)
        methods: list[str] = []
        if status in (404, 405) and detail in _OF_STARLETTE:
            methods = methods_at(self._routes, path)
            status = 405 if methods and request.method not in methods else 404
            detail = f"There is nothing at {quote(path)}; GET /docs lists what there is."
        if status == 405:
            detail = f"{request.method} is not possible at {quote(path)}; GET /docs shows what is."
        headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
        if status in (404, 405):
            headers = [(b"allow", ", ".join(methods).encode())] if status == 405 else []
        return _response(http_error(status, detail, path, self._request_id(request), headers))

    async def _of_the_client(self, request: Request, error: Exception) -> Response:
        return Response(status_code=400)  # nobody is there to read it

    def _answer(self, request: Request, error: Exception) -> Response:
        context, path = _context(request), request.scope["path"]
        context.error = error
        request_id = self._request_id(request)
        if self._telemetry is not None:
            self._telemetry.rejected(error_status(error).code)
        if not isinstance(error, ServiceError):
            self._journal.failed(context.ids, path, error)
        return _response(write(error, path, request_id, wants_json(dict(request.scope["headers"]))))

    def _request_id(self, request: Request) -> bytes:
        context = _context(request)
        context.ids = self._journal.with_request_id(context.ids)
        return context.ids.request_id or b""


def _context(request: Request) -> RequestContext:
    context: RequestContext = request.scope["request_context"]
    return context


def _response(answer: RawResponse) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers[:] = answer.headers
    return response
