"""W3C Trace Context, by its own rules: https://www.w3.org/TR/trace-context/."""

import pytest

from service.logs.trace_context import Sampler, TraceContext, read_trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01".encode()


def test_a_valid_header_is_read_and_passed_on_as_it_came() -> None:
    context = read_trace(VALID, b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert context == TraceContext(TRACE, SPAN, 1, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert context.sampled
    assert context.headers() == [(b"traceparent", VALID), (b"tracestate", b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00",
        VALID[:-1],
        VALID + b"0",
        VALID + b"-more",
        VALID.upper(),
        VALID.replace(b"00-4", b"ff-4"),
        VALID.replace(TRACE.encode(), b"0" * 32),
        VALID.replace(SPAN.encode(), b"0" * 16),
        VALID.replace(b"-01", b"-0g"),
        VALID.replace(b"-", b"_"),
        b"\xff" * 55,
        VALID + b"," + VALID,
    ],
)
def test_an_invalid_header_is_as_if_none_had_come(header: bytes) -> None:
    assert read_trace(header) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    later = read_trace(b"cc" + VALID[2:] + b"-what-the-future-will-bring")
    assert later == TraceContext(TRACE, SPAN, 1)
    assert read_trace(b"cc" + VALID[2:] + b".what") is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (b"a=1, b=2 ,,c=3", "a=1,b=2,c=3"),
        (b"tenant@vendor=x y", "tenant@vendor=x y"),
        (b"a=1,a=2", ""),
        (b"A=1", ""),
        (b"a", ""),
        (b"a=\x7f\xff", ""),
        (b",".join(b"k%d=1" % i for i in range(33)), ""),
        (b",".join(b"k%d=1" % i for i in range(32)), ",".join(f"k{i}=1" for i in range(32))),
        (b"a=" + b"x" * 9000, ""),
    ],
)
def test_a_state_is_kept_if_it_is_valid_and_the_trace_in_any_case(state: bytes, kept: str) -> None:
    context = read_trace(VALID, state)
    assert context is not None
    assert context.state == kept


@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_callers_decision_is_followed(flags: str) -> None:
    caller = read_trace(f"00-{TRACE}-{SPAN}-{flags}".encode(), b"a=1")
    own = Sampler(share=0.5).begin(caller)
    if flags == "00":
        assert own is None
        return
    assert own is not None
    assert own.sampled
    assert (own.trace_id, own.parent_id, own.state) == (TRACE, SPAN, "a=1")
    assert own.span_id != SPAN


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_of_new_traces_a_share_is_recorded(share: float) -> None:
    begun = [Sampler(share=share).begin(None) for _ in range(4000)]
    recorded = [context for context in begun if context]
    assert len({context.trace_id for context in recorded}) == len(recorded)
    assert all(context.sampled and context.parent_id is None for context in recorded)
    assert all(read_trace(context.headers()[0][1]) for context in recorded)
    assert len(recorded) / 4000 == pytest.approx(share, abs=0.05)


def test_every_service_decides_alike_on_a_trace() -> None:
    sampler = Sampler(follows_caller=False, share=0.5)
    callers = [Sampler().begin(None) for _ in range(100)]
    decided = [bool(sampler.begin(caller)) for caller in callers]
    assert decided == [bool(sampler.begin(caller)) for caller in callers]
    assert len(set(decided)) == 2
