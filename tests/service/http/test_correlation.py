"""Ids of requests: those that came and can be sent back, and those that are made here."""

from service.http.correlation import RequestIdSource, request_id


def test_request_ids() -> None:
    assert request_id({b"x-request-id": b"a b"}) == b"a b"
    for unfit in (b"", b"x" * 129, "ü".encode(), b"a\tb"):
        assert request_id({b"x-request-id": unfit}) is None
    assert request_id({}) is None


def test_ids_differ() -> None:
    one, other = RequestIdSource(), RequestIdSource()
    assert len({one.next(), one.next(), other.next(), other.next()}) == 4
