"""W3C Trace Context of a request, read strictly from `traceparent` and `tracestate`.

https://www.w3.org/TR/trace-context/; whatever is not valid is as if it had not come.
"""

import random
import re
from typing import NamedTuple

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(_KEY + rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MOST_MEMBERS, _LONGEST_STATE = 32, 8192
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 1


class TraceContext(NamedTuple):
    """Trace of a request, and its place in it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits: of the caller's span, or of the one made here.
        flags: the lowest bit says that the trace is recorded.
        state: what the tracing systems passed through want to find again; may be empty.
        parent_id: of the caller's span, if `span_id` is that of one made here.
    """

    trace_id: str
    span_id: str
    flags: int
    state: str = ""
    parent_id: str | None = None

    @property
    def sampled(self) -> bool:
        """Tell whether the trace is recorded."""
        return bool(self.flags & _SAMPLED)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that pass it on."""
        passed = [(b"traceparent", f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}".encode())]
        return [*passed, (b"tracestate", self.state.encode())] if self.state else passed


class Sampler(NamedTuple):
    """Choice of the traces that are recorded.

    Attributes:
        follows_caller: whether the caller's decision counts, where there is one.
        share: of the other traces that is recorded, by trace id, so that every service decides
            alike.
    """

    follows_caller: bool = True
    share: float = 1.0

    def begin(self, caller: TraceContext | None) -> TraceContext | None:
        """Begin a span in the caller's trace, or in a new one.

        None if it is not to be recorded.
        """
        if caller is None:
            low = random.getrandbits(64) or 1
            if low >= self.share * 2**64:
                return None
            return TraceContext(f"{random.getrandbits(64):016x}{low:016x}", new_span_id(), _SAMPLED)
        sampled = caller.sampled if self.follows_caller else self._samples(caller.trace_id)
        if not sampled:
            return None
        return TraceContext(caller.trace_id, new_span_id(), caller.flags | _SAMPLED, caller.state, caller.span_id)

    def _samples(self, trace_id: str) -> bool:
        return int(trace_id[16:], 16) < self.share * 2**64  # the rule of OpenTelemetry's TraceIdRatioBased


def new_span_id() -> str:
    """Make the id of a span."""
    return f"{random.getrandbits(64) or 1:016x}"


def read_trace(traceparent: bytes, tracestate: bytes | None = None) -> TraceContext | None:
    """Return the trace that a request's headers name; None if they are not valid.

    A later version of the format is read as far as this one goes. A `tracestate` that is not valid
    is left out.
    """
    found = _TRACEPARENT.fullmatch(traceparent.strip(b" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags = (part.decode() for part in found.groups()[:4])
    if version == "ff" or (version == "00" and found[5]) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    known = int(flags, 16) & 0b11 if version == "00" else int(flags, 16) & _SAMPLED
    return TraceContext(trace_id, span_id, known, _read_state(tracestate or b""))


def _read_state(tracestate: bytes) -> str:
    if len(tracestate) > _LONGEST_STATE:
        return ""
    members = [member for part in tracestate.split(b",") if (member := part.strip(b" \t"))]
    keys = {member.partition(b"=")[0] for member in members}
    valid = len(members) <= _MOST_MEMBERS and len(keys) == len(members) and all(map(_MEMBER.fullmatch, members))
    return b",".join(members).decode() if valid else ""
