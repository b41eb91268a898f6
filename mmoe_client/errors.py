"""Errors of the client, as one tree that mirrors the service's.

ClientError
├── RequestError             the caller can mend it
│   ├── MalformedRequest       not the shape the call takes
│   ├── InvalidFeatures        rows or features are wrong; has the problems
│   ├── RequestTooLarge        over a limit of bytes or rows, and cannot be cut further
│   ├── ModelNotFound          no such model or version
│   ├── GatesUnavailable       the model has no gates to inspect
│   ├── VersionConflict        the versions there are do not allow the change asked for
│   ├── Unauthorised           no valid key
│   ├── TooManyWrongKeys       no valid key, and many such requests before
│   └── Forbidden              a valid key without the role
├── CapacityError            the same request may succeed later
│   ├── Overloaded             too many rows or bytes are waiting
│   ├── NotReady               no model yet, or draining
│   └── DeadlineExceeded       the time allowed ran out
├── ServerFault              a fault of the service, or an answer that is not of its kind
└── Unreachable              nobody answers at the address
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """Problem of one value, row or feature.

    Attributes:
        row: index among the rows given, from 0; None where it is not of one row.
        feature: name of the feature; None where it is not of one feature.
    """

    row: int | None
    feature: str | None
    message: str


class ClientError(Exception):
    """Root of the tree; `str(error)` is the service's sentence.

    Attributes:
        code: the service's word for programs, as in docs/api.md; empty where it gave none.
        status: of HTTP; 0 without an answer.
        request_id: names the request in the service's log; empty without an answer.
    """

    def __init__(self, sentence: str, code: str = "", status: int = 0, request_id: str = "") -> None:
        super().__init__(sentence)
        self.code, self.status, self.request_id = code, status, request_id


class RequestError(ClientError):
    """Error that the caller can mend by sending something else."""


class MalformedRequest(RequestError):
    """Request that is not of the shape the call takes."""


class InvalidFeatures(RequestError):
    """Rows whose values do not fit the model's features.

    Attributes:
        problems: the first ones, in the order of rows.
        more: how many further ones the service has counted.
    """

    def __init__(
        self,
        sentence: str,
        code: str = "",
        status: int = 0,
        request_id: str = "",
        problems: Sequence[Problem] = (),
        more: int = 0,
    ) -> None:
        super().__init__(sentence, code, status, request_id)
        self.problems, self.more = tuple(problems), more


class RequestTooLarge(RequestError):
    """Request over a limit of bytes or rows."""


class ModelNotFound(RequestError):
    """Model or version that is not there, or not loaded."""


class GatesUnavailable(RequestError):
    """Inspection of a model without gates."""


class VersionConflict(RequestError):
    """Change that the versions there are do not allow."""


class Unauthorised(RequestError):
    """Request without a valid key."""


class TooManyWrongKeys(RequestError):
    """Request without a valid key, after many such from the same address."""


class Forbidden(RequestError):
    """Request with a key of another role."""


class CapacityError(ClientError):
    """Error of a request that may succeed later."""


class Overloaded(CapacityError):
    """Too many rows or bytes are waiting."""


class NotReady(CapacityError):
    """No model yet, none of its versions is served, or the process is ending."""


class DeadlineExceeded(CapacityError):
    """The time allowed ran out."""


class ServerFault(ClientError):
    """Fault of the service, or an answer that is not of its kind."""


class Unreachable(ClientError):
    """Nobody answers at the address, or the connection broke."""


BY_CODE: Mapping[str, type[ClientError]] = {
    "malformed": MalformedRequest,
    "invalid_features": InvalidFeatures,
    "too_large": RequestTooLarge,
    "model_not_found": ModelNotFound,
    "gates_unavailable": GatesUnavailable,
    "version_conflict": VersionConflict,
    "unauthorised": Unauthorised,
    "wrong_keys": TooManyWrongKeys,
    "forbidden": Forbidden,
    "overloaded": Overloaded,
    "not_ready": NotReady,
    "run_directory_gone": NotReady,
    "deadline": DeadlineExceeded,
}


def error_of(status: int, document: Any, request_id: str) -> ClientError:
    """Make the error of an answer: a problem document of the service, or anything else.

    Args:
        status: of the answer.
        document: its JSON; None where it has none.
        request_id: of the answer's header; empty where there is none.
    """
    found = document if isinstance(document, dict) else {}
    code = str(found.get("code") or "")
    sentence = str(found.get("detail") or found.get("error") or f"the service answered with status {status}")
    request_id = request_id or str(found.get("request_id") or "")
    kind = BY_CODE.get(code)
    if kind is InvalidFeatures:
        problems = [Problem(e.get("row"), e.get("feature"), str(e.get("message"))) for e in found.get("errors") or ()]
        return InvalidFeatures(sentence, code, status, request_id, problems, int(found.get("more_errors") or 0))
    if kind is None:
        kind = {429: Overloaded, 503: NotReady, 504: DeadlineExceeded, 413: RequestTooLarge}.get(status)
    if kind is None:
        kind = ServerFault if status >= 500 or not found else RequestError
    return kind(sentence, code, status, request_id)
