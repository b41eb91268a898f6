"""The dashboard and the API reference.

Two pages and their files, served with a policy that lets nothing else in.
"""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Request, Response

from service.http.codecs.render import JsonAnswer
from service.http.openapi.protocol import Alive
from service.http.openapi.schemas import TEXT
from service.http.openapi.typed import answers

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

DOCS_POLICY = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)
"""Swagger UI sets styles inline and draws its icons from data URLs."""

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """File of the page, as it is sent."""

    content: bytes
    media_type: str
    etag: str


def web_router() -> APIRouter:
    """Make the routes of the page; files that changed on disk are seen at the next start."""
    router = APIRouter()
    assets = dict(_assets(files("service.web"), ""))

    @router.get(
        "/",
        summary="The dashboard, or a word that the service is alive",
        tags=["operation"],
        responses=answers(Alive, text__html=TEXT),
    )
    async def page(request: Request) -> Response:
        """Send the dashboard to a browser, `{"status": "alive"}` to who does not ask for HTML.

        KServe's client asks so whether a server of its first protocol is alive.
        """
        if "text/html" in request.headers.get("accept", ""):
            return _send(assets["index.html"], request)
        return JsonAnswer(Alive(status="alive"), headers={"vary": "accept"})

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        """Send the API reference."""
        return _send(assets["docs.html"], request, DOCS_POLICY)

    @router.get("/assets/{path:path}", include_in_schema=False)
    async def asset(request: Request, path: str) -> Response:
        """Send a file of the page."""
        found = assets.get(path)
        if found is None:
            raise HTTPException(404)
        return _send(found, request)

    return router


def _assets(directory: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in directory.iterdir():
        media_type = _TYPES.get(entry.name.rsplit(".", 1)[-1])
        if entry.is_dir():
            found += _assets(entry, f"{prefix}{entry.name}/")
        elif media_type is not None:
            content = entry.read_bytes()
            found.append(
                (prefix + entry.name, Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"'))
            )
    return found


def _send(asset: Asset, request: Request, policy: str = CONTENT_SECURITY_POLICY) -> Response:
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
        "vary": "accept",
        "etag": asset.etag,
    }
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
