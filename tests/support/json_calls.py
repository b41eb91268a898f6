"""Calls of a service that answers in JSON, by the standard library alone."""

import json
import urllib.request
from typing import Any


def ask(address: str, path: str, body: Any = None) -> Any:
    """Get a path, or post a body to it; returns what the answer's JSON holds."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
