import re

import pytest

from service import errors
from service.errors import (
    ArtifactError,
    DeadlineExceeded,
    Forbidden,
    GatesUnavailable,
    HeadTooLarge,
    HostNotAllowed,
    InvalidFeatures,
    MalformedRequest,
    ModelNotFound,
    NotReady,
    Overloaded,
    RequestTooLarge,
    RunDirectoryGone,
    ServiceError,
    SettingsError,
    SlowClient,
    TooManyWrongKeys,
    Unauthorised,
    UnsupportedMediaType,
    UnsupportedTransferCoding,
    ValueProblem,
    VersionConflict,
)
from tests.support.error_tree import children, leaves

EXAMPLES: list[ServiceError] = [
    MalformedRequest("the body is not JSON: unexpected end at byte 12", 'an object with "instances" or "inputs"'),
    InvalidFeatures([ValueProblem(3, "age", "expected a number, got true")]),
    RequestTooLarge("the body", 50_000_000, 16_777_216, "bytes", "MMOE_MAX_BODY_BYTES"),
    RequestTooLarge("the body", None, 16_777_216, "bytes", "MMOE_MAX_BODY_BYTES"),
    HeadTooLarge(65536, 100),
    SlowClient("body", 10),
    UnsupportedMediaType("Content-Type", "text/csv", ["application/json"]),
    ModelNotFound("censsus", None, ["census"]),
    ModelNotFound("census", 9, [3, 2], "golden rows are not reproduced"),
    ModelNotFound(None),
    GatesUnavailable("census", "is a shared_bottom model without gates"),
    VersionConflict("There is no version before 1", "Publish one"),
    UnsupportedTransferCoding(b"gzip, chunked"),
    HostNotAllowed(b"rebound.example"),
    Unauthorised(),
    TooManyWrongKeys(0.5),
    Forbidden("This call needs a key of the role 'admin'", "the key 'a' has the role 'predict'", "Use such a key"),
    Overloaded(0.25, 20_000, 20_000),
    Overloaded(1),
    NotReady("no model is loaded yet"),
    RunDirectoryGone("/dev/shm/mmoe-1"),
    DeadlineExceeded(10),
    ArtifactError("the file is empty"),
    SettingsError("MMOE_PORT", "http", "a whole number"),
]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    def draw(kind: type[ServiceError], depth: int) -> list[tuple[int, str]]:
        return [(depth, kind.__name__)] + [line for c in children(kind) for line in draw(c, depth + 1)]

    lines = [re.match(r" {4}([├└│─ ]*)([A-Z]\w+)", line) for line in (errors.__doc__ or "").splitlines()]
    drawn = [(len(line[1]) // 4, line[2]) for line in lines if line]
    assert drawn == draw(ServiceError, 0)


def test_every_leaf_has_an_example_here() -> None:
    assert {type(error) for error in EXAMPLES} == set(leaves())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_is_a_sentence(error: ServiceError) -> None:
    text = str(error)
    assert text.endswith(".")
    assert not text.endswith("..")
    assert text[0].isupper() or text[0].isdigit()
    assert "None" not in text


def test_a_problem_says_where() -> None:
    assert str(ValueProblem(3, "age", "is wrong")) == "row 3, feature 'age': is wrong"
    assert str(ValueProblem(None, None, "no rows")) == "no rows"


def test_many_problems_are_counted_and_three_are_told() -> None:
    error = InvalidFeatures([ValueProblem(row, None, f"fault {row}") for row in range(20)], more=5)
    assert str(error).startswith("25 problems")
    assert "fault 2" in str(error)
    assert "fault 3" not in str(error)
    assert "22 more" in str(error)
    assert len(error.problems) == 20
