"""`parameters` of the Open Inference Protocol v2: those that change what data means.

Others are a caller's own, and are ignored.
"""

from collections.abc import Collection, Mapping
from typing import Any

from service.errors import MalformedRequest
from service.system.quoting import quote, quotes

CONTENT_TYPE = "content_type"
"""Says how a client of MLServer has coded its data."""
OF_REQUESTS, OF_OUTPUTS = ("np", "pd", "str"), ("np",)
BASE64 = "base64"
_UNSUPPORTED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")


def optional_object(holder: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the "parameters" of a request, an input or an output.

    Empty where absent or null, None if no object.
    """
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    return parameters if type(parameters) is dict else None


def refuse_unsupported(parameters: Mapping[str, Any], what: str, content_types: Collection[str]) -> None:
    """Refuse extensions and codings of data that are not known here, rather than ignore them.

    Args:
        parameters: of a request, an input or an output.
        what: has them, for the sentence.
        content_types: that may be named.

    Raises:
        MalformedRequest: one was asked for.
    """
    for key in _UNSUPPORTED:
        if parameters.get(key) is not None:
            raise MalformedRequest(f"{what} asks for {key!r}", "neither shared memory nor classification")
    if parameters.get("lenient") not in (None, False):
        raise MalformedRequest(f"{what} asks to be lenient", "that of rows, with :predict of v1")
    named = parameters.get(CONTENT_TYPE)
    if named is not None and (type(named) is not str or named not in content_types):
        raise MalformedRequest(
            f"{what} has the content type {quote(named)}", f"none, or {quotes(content_types, ' or ')}"
        )
