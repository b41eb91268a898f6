"""Calls straight into an application, without a socket."""

import asyncio
from typing import Any

import httpx

Call = tuple[str, str, Any]
"""A method, a path and what is sent as JSON."""


def ask(app: Any, *calls: Call, peer: str = "127.0.0.1", headers: Any = None) -> list[httpx.Response]:
    """Make calls, one after the other, as a client at an address.

    On this machine unless told otherwise.
    """

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            return [await client.request(method, path, json=body) for method, path, body in calls]

    return asyncio.run(run())
