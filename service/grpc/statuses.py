"""Status of gRPC for each error, by the code that HTTP gives it; and its sentence, bounded."""

import math
from collections.abc import Mapping
from urllib.parse import quote

import grpc

from service.errors import NotReady, Overloaded, TooManyWrongKeys
from service.http.errors import INTERNAL, INTERNAL_SENTENCE, error_status
from service.system.quoting import cut

MOST_DETAIL_BYTES = 4 << 10
"""Of a sentence as it is sent, percent-encoded: clients take 8 KiB of metadata by default."""

_UNCHANGED = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"
_Code = grpc.StatusCode

CODES: Mapping[str, grpc.StatusCode] = {
    **dict.fromkeys(("malformed", "invalid_features", "too_large", "media_type"), _Code.INVALID_ARGUMENT),
    **dict.fromkeys(("head_too_large", "transfer_coding", "host_not_allowed"), _Code.INVALID_ARGUMENT),
    **dict.fromkeys(("gates_unavailable", "version_conflict", "artifact", "settings"), _Code.FAILED_PRECONDITION),
    **dict.fromkeys(("overloaded", "wrong_keys"), _Code.RESOURCE_EXHAUSTED),
    **dict.fromkeys(("not_ready", "run_directory_gone"), _Code.UNAVAILABLE),
    **dict.fromkeys(("deadline", "slow_client"), _Code.DEADLINE_EXCEEDED),
    "model_not_found": _Code.NOT_FOUND,
    "unauthorised": _Code.UNAUTHENTICATED,
    "forbidden": _Code.PERMISSION_DENIED,
    INTERNAL.code: _Code.INTERNAL,
}


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Return the status and the sentence of an error; an internal one shows none of its own."""
    code = error_status(error).code
    sentence = INTERNAL_SENTENCE if code == INTERNAL.code else str(error)
    while len(quote(sentence, _UNCHANGED)) > MOST_DETAIL_BYTES:
        sentence = cut(sentence, len(sentence) // 2)
    return CODES[code], sentence


def retry_after(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Return the metadata that says when to try again, in seconds, where that may help."""
    if isinstance(error, Overloaded | TooManyWrongKeys):
        return (("retry-after", str(max(math.ceil(error.retry_after_s), 1))),)
    return (("retry-after", "1"),) if isinstance(error, NotReady) else ()
