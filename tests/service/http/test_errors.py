"""Every error of the tree has a status, and looks the same from everywhere."""

import json

import pytest

from service import errors
from service.errors import (
    DeadlineExceeded,
    InvalidFeatures,
    NotReady,
    Overloaded,
    ServiceError,
    Unauthorised,
    ValueProblem,
)
from service.http.errors import INTERNAL, STATUSES, error_status, http_error, problem_json, v2_error, wants_json
from service.monitoring.instruments import REASONS
from tests.support.error_tree import leaves


def test_every_error_has_a_status() -> None:
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)}
    assert set(leaves()) <= defined
    assert set(STATUSES) == set(leaves())


def test_statuses_are_errors_and_codes_are_distinct() -> None:
    assert all(400 <= mapping.status < 600 and 400 <= mapping.v2_status < 600 for mapping in STATUSES.values())
    codes = [mapping.code for mapping in STATUSES.values()]
    assert len(set(codes)) == len(codes)


def test_every_refusal_counts_under_its_own_reason() -> None:
    codes = {mapping.code for mapping in STATUSES.values()} | {INTERNAL.code}
    assert codes - {"settings"} == set(REASONS) - {"other"}  # a wrong setting ends the start: no request meets it


def test_a_problem_has_all_members() -> None:
    error = InvalidFeatures([ValueProblem(3, "age", "too old")], more=5)
    status, headers, body = problem_json(error, "/v1/predict", b"id-1")
    assert status == 422
    assert dict(headers)[b"content-type"] == b"application/problem+json"
    assert dict(headers)[b"content-length"] == b"%d" % len(body)
    assert json.loads(body) == {
        "type": "about:blank",
        "title": json.loads(body)["title"],
        "status": 422,
        "detail": str(error),
        "instance": "/v1/predict",
        "code": "invalid_features",
        "request_id": "id-1",
        "error": str(error),
        "errors": [{"row": 3, "feature": "age", "message": "too old"}],
        "more_errors": 5,
    }


def test_who_takes_json_alone_is_given_a_problem_as_such() -> None:
    """KServe's client shows the sentence of no other content type."""
    assert wants_json({b"accept": b"application/json"})
    assert not any(wants_json(headers) for headers in ({}, {b"accept": b"*/*"}, {b"accept": b"application/json, */*"}))
    error = InvalidFeatures([ValueProblem(3, "age", "too old")])
    plain, usual = (problem_json(error, "/v1/predict", b"i", wanted) for wanted in (True, False))
    assert dict(plain.headers)[b"content-type"] == b"application/json"
    assert plain.body == usual.body


def test_v2_says_error_and_nothing_else() -> None:
    status, headers, body = v2_error(InvalidFeatures([ValueProblem(3, "age", "too old")]), b"id-1")
    assert status == 400
    assert dict(headers)[b"content-type"] == b"application/json"
    assert json.loads(body) == {"error": "1 problem in the rows sent: row 3, feature 'age': too old."}


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (Overloaded(2.2), b"retry-after", b"3"),
        (Overloaded(0.0), b"retry-after", b"1"),
        (NotReady("no model"), b"retry-after", b"1"),
        (Unauthorised(), b"www-authenticate", b"Bearer"),
    ],
)
def test_headers_that_tell_what_to_do(error: ServiceError, header: bytes, value: bytes) -> None:
    for response in (problem_json(error, "/", b"x"), v2_error(error, b"x")):
        assert dict(response.headers)[header] == value


def test_an_unexpected_error_tells_nothing_of_itself() -> None:
    assert error_status(KeyError("secret")).status == 500
    for response in (problem_json(KeyError("secret"), "/", b"x"), v2_error(KeyError("secret"), b"x")):
        assert response.status == 500
        assert b"secret" not in response.body


def test_a_subclass_is_found_by_its_base() -> None:
    class Late(DeadlineExceeded):
        pass

    assert error_status(Late(1.0)).status == 504


def test_refusals_of_http_itself_follow_the_protocol_of_the_path() -> None:
    assert json.loads(http_error(404, "No.", "/v2/x", b"i", []).body) == {"error": "No."}
    assert json.loads(http_error(404, "No.", "/v1/x", b"i", []).body)["code"] == "not_found"
