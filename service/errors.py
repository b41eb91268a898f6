"""Errors of the service, as one tree that is independent of HTTP.

`http/` maps each leaf to a status, once.

    ServiceError
    ├── RequestError              the caller can mend it
    │   ├── MalformedRequest        not the shape the call takes
    │   ├── InvalidFeatures         well formed, but rows or features are wrong; has the problems
    │   ├── RequestTooLarge         over a limit of bytes or rows
    │   ├── HeadTooLarge            the head of the request is over its limits
    │   ├── SlowClient              the body did not come in time
    │   ├── UnsupportedMediaType    a content type or encoding not spoken here
    │   ├── UnsupportedTransferCoding  a transfer coding not spoken here
    │   ├── HostNotAllowed          addressed by a name that is not the service's
    │   ├── ModelNotFound           no such model or version
    │   ├── GatesUnavailable        the model has no gates to inspect
    │   ├── VersionConflict         the versions there are, or the serving file, forbid the change
    │   ├── Unauthorised            no valid key
    │   ├── TooManyWrongKeys        no valid key, and many such requests from the same address
    │   └── Forbidden               a valid key without the role
    ├── CapacityError             the same request may succeed later
    │   ├── Overloaded              too many rows or bytes are waiting
    │   ├── NotReady                no model yet, or draining
    │   ├── RunDirectoryGone        nothing can be changed for all workers any more
    │   └── DeadlineExceeded        the time allowed ran out before the answer
    ├── ArtifactError             a model file that must not be served
    └── SettingsError             a setting that cannot be used

Only leaves are raised. Each builds its own sentence: what came, what was expected, what to do.
"""

from collections.abc import Sequence
from typing import NamedTuple

from service.system.quoting import cut, listed, quote

MOST_SENTENCE = 1000
"""Characters of the sentence of an error, whatever is in it."""


class ValueProblem(NamedTuple):
    """Problem of one value, row or feature.

    Attributes:
        row: index of the row in the request, from 0; None where the problem is not of one row.
        feature: name of the feature; None where the problem is not of one feature.
    """

    row: int | None
    feature: str | None
    message: str

    def __str__(self) -> str:
        where = [f"row {self.row}"] if self.row is not None else []
        where += [f"feature {quote(self.feature)}"] if self.feature is not None else []
        return f"{', '.join(where)}: {self.message}" if where else self.message


class ServiceError(Exception):
    """Root of the tree; `str(error)` is a sentence for the caller, of bounded length."""

    def __init__(self, sentence: str) -> None:
        super().__init__(cut(sentence, MOST_SENTENCE))


class RequestError(ServiceError):
    """Error that the caller can mend by sending something else."""


class MalformedRequest(RequestError):
    """Request that is not of the shape the call takes.

    Args:
        came: what was found, for example "the body is not JSON: unexpected end at byte 12".
        expected: what the call takes and how to send it.
    """

    def __init__(self, came: str, expected: str) -> None:
        super().__init__(f"{_sentence(came)} Expected {_sentence(expected, capital=False)}")


class InvalidFeatures(RequestError):
    """Rows whose values do not fit the model's features.

    Args:
        problems: at least one, in the order of rows.
        more: how many further problems were found but are not listed.
        all_counted: whether there are no others; a request full of faults is not read to its end.
    """

    def __init__(self, problems: Sequence[ValueProblem], more: int = 0, all_counted: bool = True) -> None:
        self.problems = tuple(problems)
        self.more = more
        count = len(self.problems) + more
        listed = "; ".join(map(str, self.problems[:3])) + (f"; and {count - 3} more" if count > 3 else "")
        counted = f"{count} problem{'s' if count != 1 else ''}" if all_counted else f"More than {count} problems"
        super().__init__(f"{counted} in the rows sent: {listed}.")


class RequestTooLarge(RequestError):
    """Request over a limit.

    Args:
        what: what was counted, for example "the body" or "the request".
        came: how much came; None where reading stopped at the limit.
        limit: the most that is taken.
        unit: "bytes" or "rows".
        setting: environment variable that holds the limit; None where it is fixed.
    """

    def __init__(self, what: str, came: int | None, limit: int, unit: str, setting: str | None) -> None:
        self.came, self.limit, self.unit = came, limit, unit
        size = f"{came} {unit}" if came is not None else f"more than {limit} {unit}"
        advice = f"Send it in parts, or raise {setting}." if setting else "Send it in parts."
        super().__init__(f"{what[:1].upper()}{what[1:]} has {size}; at most {limit} are taken. {advice}")


class HeadTooLarge(RequestError):
    """Request whose head is too large to be taken.

    Args:
        most_bytes: of the head.
        most_headers: in it.
    """

    def __init__(self, most_bytes: int, most_headers: int) -> None:
        super().__init__(
            f"The head of the request is too large; at most {most_bytes} bytes and {most_headers} headers are taken. "
            "Send fewer or shorter headers, and the rows in the body."
        )


class SlowClient(RequestError):
    """Request that did not come in time.

    Args:
        what: what did not come, "head" or "body".
        allowed_s: how long it was waited for.
    """

    def __init__(self, what: str, allowed_s: float) -> None:
        super().__init__(
            f"The {what} of the request took longer than {allowed_s:g} s to come; it is waited for no longer. "
            "Send it in one go, or raise MMOE_CLIENT_TIMEOUT_S."
        )


class UnsupportedMediaType(RequestError):
    """Content type or encoding that is not taken.

    Args:
        header: the header at fault, for example "Content-Type".
        came: its value.
        accepted: values that would be taken.
    """

    def __init__(self, header: str, came: str, accepted: Sequence[str]) -> None:
        super().__init__(f"{header} is {quote(came)}; send {' or '.join(accepted)}.")


class UnsupportedTransferCoding(RequestError):
    """Body sent in another transfer coding than chunked.

    Args:
        came: the value of the header Transfer-Encoding.
    """

    def __init__(self, came: bytes) -> None:
        super().__init__(f"Transfer-Encoding is {quote(came)}; send 'chunked' alone, or a Content-Length.")


class HostNotAllowed(RequestError):
    """Request that names a host which is not the service's.

    Args:
        host: the value of the header Host.
    """

    def __init__(self, host: bytes) -> None:
        super().__init__(
            f"The request is for the host {quote(host)}, by which this service is not to be called. Call it by one of "
            "its own names or addresses, such as localhost, or add this one to MMOE_ALLOWED_HOSTS."
        )


class ModelNotFound(RequestError):
    """Model or version that is not loaded.

    Args:
        name: the model asked for; None where the default model was asked for and there is none.
        version: the version asked for; None for the served one.
        available: what could be asked for instead: model names, or versions of the model named.
        reason: why it is not loaded, where that is known.
    """

    def __init__(
        self,
        name: str | None,
        version: int | None = None,
        available: Sequence[str | int] = (),
        reason: str | None = None,
    ) -> None:
        self.name, self.version = name, version
        if name is None:
            came = "No model was named, and there is more than one or none: name one, or set MMOE_DEFAULT_MODEL"
        elif version is None:
            came = f"There is no model {quote(name)}"
        else:
            came = f"Version {version} of model {quote(name)} is not loaded"
        choice = listed(available) or "nothing; ask GET /v1/models"
        super().__init__(f"{came}{f' ({reason})' if reason else ''}. Available: {choice}.")


class GatesUnavailable(RequestError):
    """Gate inspection of a model that cannot give it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"Model {quote(name)} {reason}, so its gates cannot be inspected; ask for predictions instead."
        )


class VersionConflict(RequestError):
    """Change of the served or compared version that the versions or the serving file forbid.

    Args:
        came: why not.
        action: what to do.
    """

    def __init__(self, came: str, action: str) -> None:
        super().__init__(f"{_sentence(came)} {_sentence(action)}")


class Unauthorised(RequestError):
    """Call without a valid key."""

    def __init__(self, came: str = "no API key") -> None:
        super().__init__(
            f"The request has {came}. Send a valid one, as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'."
        )


class TooManyWrongKeys(RequestError):
    """Call with an unknown key from an address that has sent many of them lately.

    Args:
        retry_after_s: seconds after which one more is looked at as usual.
    """

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            "The request has an API key that is not known, and too many such requests came from its address. "
            f"Send a valid key, which is taken at any time; try another not before {max(retry_after_s, 1):.0f} s."
        )


class Forbidden(RequestError):
    """Call whose key lacks the role, or that comes from where it must not."""

    def __init__(self, rule: str, came: str, action: str) -> None:
        super().__init__(f"{rule}; {came}. {_sentence(action)}")


class CapacityError(ServiceError):
    """Error of a request that may succeed when tried again later."""


class Overloaded(CapacityError):
    """Request that finds too much waiting.

    Args:
        retry_after_s: seconds after which there should be room.
        waiting: how much waits now.
        limit: the most that may wait.
        unit: what is counted.
    """

    def __init__(
        self, retry_after_s: float, waiting: int | None = None, limit: int | None = None, unit: str = "rows"
    ) -> None:
        self.retry_after_s = retry_after_s
        there = f"{waiting} {unit} are waiting" if waiting is not None else f"Too many {unit} are waiting"
        allowed = f" of {limit} allowed" if limit is not None else ""
        super().__init__(f"{there}{allowed}. Try again after {retry_after_s:g} s.")


class NotReady(CapacityError):
    """Request that nothing can answer yet, for example as no model is loaded.

    Args:
        reason: clause without a full stop, such as "the service is draining".
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Not ready: {_sentence(reason, capital=False)} Try again when /health/ready answers 200.")


class RunDirectoryGone(CapacityError):
    """Change after somebody has removed the run directory.

    The workers share nothing any more then.

    Args:
        path: where it was.
    """

    def __init__(self, path: object) -> None:
        super().__init__(
            f"The run directory {path} is gone, so that nothing can be changed for all workers. "
            "Start the service again, with MMOE_RUN_DIR in a place that nothing clears."
        )


class DeadlineExceeded(CapacityError):
    """Request whose time ran out before it was computed.

    Args:
        timeout_s: the time it was given.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"No answer within the {timeout_s:.3g} s allowed. Allow more time, or send fewer rows.")


class ArtifactError(ServiceError):
    """Model file that must not be served.

    Args:
        came: what is wrong with it.
        action: what to do about it; None where `came` says it.
    """

    def __init__(self, came: str, action: str | None = "Export the model again") -> None:
        super().__init__(_sentence(came) if action is None else f"{_sentence(came)} {_sentence(action)}")


class SettingsError(ServiceError):
    """Setting that cannot be used.

    Args:
        variable: the environment variable.
        came: its value.
        expected: what it takes.
    """

    def __init__(self, variable: str, came: str, expected: str) -> None:
        self.variable = variable
        super().__init__(f"{variable} is {quote(came)}; expected {_sentence(expected, capital=False)}")


def _sentence(text: str, capital: bool = True) -> str:
    """End a phrase with one full stop, and by choice begin it with a capital."""
    text = text.strip().removesuffix(".")
    return f"{text[:1].upper()}{text[1:]}." if capital else f"{text}."
