"""Types of ASGI, of headers and of parts of a path and its query."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Annotated, Any

from fastapi import Path, Query

from service.monitoring.windows import WINDOWS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[bytes, bytes]


RawHeaders = list[tuple[bytes, bytes]]


AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
PathName = Annotated[str, Path(description="Name of the model.", json_schema_extra={"pattern": NAME_PATTERN})]
PathVersion = Annotated[int, Path(description="Version of the model.", ge=1)]
KeptVersion = Annotated[int, Path(description="Version; also one that was served before and is still kept.", ge=1)]
Window = Annotated[str, Query(description="How far to look back from now.", json_schema_extra={"enum": list(WINDOWS)})]
