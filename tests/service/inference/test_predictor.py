import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ArtifactError, GatesUnavailable
from service.inference.answer import Answer
from service.inference.features import Batch
from service.inference.predictor import RUN_ROWS, Predictor

HandModel = Callable[..., Path]
GATES, CONTRIBUTIONS = "gate_weights", "gate_contributions"


def assert_close(came: Any, expected: Any) -> None:
    np.testing.assert_allclose(came, expected, rtol=1e-5, atol=1e-6)


def draw_batch(weights: Any, rows: int, draw: Callable[..., Any], seed: int = 1) -> Batch:
    numeric, categorical = draw(weights, rows, seed)
    return Batch(numeric, categorical, rows)


@pytest.fixture(scope="module", params=["full", "plain", "wide"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def load(hand_model: HandModel, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Predictor]:
    return lambda **variations: Predictor.load(hand_model(tmp_path_factory.mktemp("models"), **variations))


@pytest.fixture(scope="module")
def predictor(load: Callable[..., Predictor], kind: str) -> Predictor:
    return load(kind=kind)


@pytest.fixture(scope="module")
def full(load: Callable[..., Predictor]) -> Predictor:
    return load()


@pytest.fixture
def batch_of(hand_weights: Callable[..., Any], hand_rows: Callable[..., Any]) -> Callable[..., Batch]:
    return lambda kind, rows: draw_batch(hand_weights(kind), rows, hand_rows)


@pytest.mark.parametrize("rows", [1, 2, 33])
def test_answers_are_those_of_the_closed_form(
    predictor: Predictor, kind: str, rows: int, batch_of: Callable[..., Batch], hand_weights: Callable[..., Any]
) -> None:
    batch = batch_of(kind, rows)
    expected = hand_weights(kind).answer(batch.numeric, batch.categorical)
    answer = predictor.run(batch)
    assert list(answer.tasks) == ["price", "sold", "grade"]
    for task, values in answer.tasks.items():
        assert values.dtype == np.float32
        assert_close(values, expected[task])
    assert answer.contributions is None
    if kind == "plain":
        assert answer.gate_weights is None
    else:
        assert answer.gate_weights is not None
        assert_close(answer.gate_weights, expected[GATES])
        np.testing.assert_allclose(answer.gate_weights.sum(axis=-1), 1, rtol=1e-6)


def test_rows_that_miss_no_number_are_answered_alike_by_the_cheaper_session(
    predictor: Predictor, kind: str, batch_of: Callable[..., Batch]
) -> None:
    drawn = batch_of(kind, 40)
    assert drawn.numeric is not None
    batch = drawn._replace(numeric=np.nan_to_num(drawn.numeric, nan=9.0))
    for came, expected in zip(
        predictor.run(batch._replace(complete=True)).arrays(), predictor.run(batch).arrays(), strict=True
    ):
        assert_close(came, expected)


@pytest.mark.parametrize("kind", ["full", "wide"], indirect=True)
def test_contributions_add_up_to_the_gates(
    predictor: Predictor, kind: str, batch_of: Callable[..., Batch], hand_weights: Callable[..., Any]
) -> None:
    batch = batch_of(kind, 70)
    answer = predictor.contributions(batch)
    assert answer.contributions is not None
    assert answer.gate_weights is not None
    expected = hand_weights(kind).answer(batch.numeric, batch.categorical)[CONTRIBUTIONS]
    np.testing.assert_allclose(answer.contributions, expected, rtol=1e-4, atol=1e-5)
    assert predictor.manifest.gates is not None
    logits = answer.contributions.sum(axis=-1) + np.array(predictor.manifest.gates.average_logits)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(answer.gate_weights, softmax, rtol=1e-4, atol=1e-5)
    assert answer.tasks.keys() == {"price", "sold", "grade"}


@pytest.mark.parametrize("kind", ["full", "wide"], indirect=True)
def test_ablation_leaves_out_each_expert_in_turn(
    predictor: Predictor, kind: str, batch_of: Callable[..., Batch], hand_weights: Callable[..., Any]
) -> None:
    batch = batch_of(kind, 5)
    ablated = predictor.ablate(batch)
    assert ablated["price"].shape == (4, 5)
    assert ablated["grade"].shape == (4, 5, 3)
    for expert in range(4):
        mask = 1 - np.eye(4)[expert]
        expected = hand_weights(kind).answer(batch.numeric, batch.categorical, mask)
        for task, values in ablated.items():
            assert_close(values[expert], expected[task])


def test_a_file_whose_masks_are_inputs_answers_alike(
    load: Callable[..., Predictor], full: Predictor, batch_of: Callable[..., Batch]
) -> None:
    first, batch = load(schema=1), batch_of("full", 7)
    for came, expected in zip(first.contributions(batch).arrays(), full.contributions(batch).arrays(), strict=True):
        assert_close(came, expected)
    without, expected_without = first.ablate(batch), full.ablate(batch)
    for task, values in expected_without.items():
        assert_close(without[task], values)


def test_gates_alone_are_the_same_gates(full: Predictor, batch_of: Callable[..., Batch]) -> None:
    batch = batch_of("full", 6)
    alone = full.run(batch, frozenset({GATES}))
    assert alone.tasks == {}
    assert alone.gate_weights is not None
    np.testing.assert_array_equal(alone.gate_weights, full.run(batch).gate_weights)


def test_some_tasks_come_with_at_least_what_was_asked(full: Predictor, batch_of: Callable[..., Batch]) -> None:
    batch = batch_of("full", 2)
    assert "sold" in full.run(batch, frozenset({"sold"})).tasks
    both = full.run(batch, frozenset({"sold", CONTRIBUTIONS}))
    assert "sold" in both.tasks
    assert both.contributions is not None


@pytest.mark.parametrize("rows", [RUN_ROWS, RUN_ROWS + 1, 2 * RUN_ROWS + 7])
def test_large_batches_are_run_in_parts(full: Predictor, rows: int, batch_of: Callable[..., Batch]) -> None:
    batch = batch_of("full", rows)
    answer = full.run(batch)
    assert {len(array) for array in answer.arrays()} == {rows}
    last = full.run(batch.slice(rows - 1, rows))
    assert_close(answer.tasks["grade"][-1:], last.tasks["grade"])


@given(rows=st.integers(1, 40), data=st.data())
def test_a_row_is_answered_alike_in_any_company(
    full: Predictor, hand_weights: Callable[..., Any], hand_rows: Callable[..., Any], rows: int, data: st.DataObject
) -> None:
    batch = draw_batch(hand_weights(), rows, hand_rows, seed=rows)
    start = data.draw(st.integers(0, rows - 1))
    stop = data.draw(st.integers(start + 1, rows))
    together, apart = full.run(batch).slice(start, stop), full.run(batch.slice(start, stop))
    for a, b in zip(together.arrays(), apart.arrays(), strict=True):
        assert_close(a, b)


def test_no_rows_never_reach_onnxruntime(full: Predictor) -> None:
    empty = Batch(np.zeros((0, 3), np.float32), np.zeros((0, 2), object), 0)
    for run in (full.run, full.contributions, full.ablate):
        with pytest.raises(ValueError, match="at least one is needed"):
            run(empty)


def test_without_gates_there_is_nothing_to_inspect(
    load: Callable[..., Predictor], batch_of: Callable[..., Batch]
) -> None:
    plain, batch = load(kind="plain"), batch_of("plain", 2)
    gates = frozenset({GATES})
    for inspect in (plain.contributions, plain.ablate, lambda rows: plain.run(rows, gates)):
        with pytest.raises(GatesUnavailable, match="is a shared_bottom model without gates"):
            inspect(batch)


def test_a_single_expert_cannot_be_left_out(
    load: Callable[..., Predictor], hand_weights: Callable[..., Any], hand_rows: Callable[..., Any]
) -> None:
    single = load(experts=1, name="lonely")
    batch = draw_batch(hand_weights(experts=1), 2, hand_rows)
    assert single.contributions(batch).contributions is not None
    with pytest.raises(GatesUnavailable, match="Model 'lonely' has a single expert"):
        single.ablate(batch)


def own_experts_alone(manifest: dict[str, Any]) -> None:
    """Give each of three tasks one expert, and none to share."""
    manifest |= {"architecture": "cgc", "own_experts": {"price": [0], "sold": [1], "grade": [2]}}
    for task, row in enumerate(manifest["gates"]["average_logits"]):
        row[:] = [logit if expert == task else None for expert, logit in enumerate(row)]


def test_the_only_expert_that_a_gate_sees_cannot_be_left_out(
    load: Callable[..., Predictor], hand_weights: Callable[..., Any], hand_rows: Callable[..., Any]
) -> None:
    apart = load(experts=3, name="apart", edit=own_experts_alone)
    with pytest.raises(GatesUnavailable, match="Model 'apart' has gates that see a single expert each"):
        apart.ablate(draw_batch(hand_weights(experts=3), 2, hand_rows))


def test_a_file_that_answers_otherwise_than_torch_did_is_refused(hand_model: HandModel, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"Golden row 0 gives \S+ for 'price'; expected \S+ within 1e-05"):
        Predictor.load(hand_model(tmp_path, fault="wrong_golden"))


def wrong_gates(manifest: dict[str, Any]) -> None:
    row = manifest["golden"]["outputs"][GATES][2][1]
    row[0], row[1] = row[1], row[0]


def nearly_right(manifest: dict[str, Any]) -> None:
    prices = manifest["golden"]["outputs"]["price"]
    prices[:] = [price + 0.9e-5 for price in prices]


def test_the_tolerance_is_the_manifests(hand_model: HandModel, tmp_path: Path) -> None:
    Predictor.load(hand_model(tmp_path, edit=nearly_right))
    with pytest.raises(ArtifactError, match=r"Golden row 2 gives .* for 'gate_weights'"):
        Predictor.load(hand_model(tmp_path, version=2, edit=wrong_gates))


def test_it_goes_by_the_name_it_is_served_under(hand_model: HandModel, tmp_path: Path) -> None:
    path = hand_model(tmp_path, "census")
    assert Predictor.load(path).name == "census"
    assert Predictor.load(path, name="other").name == "other"


def test_threads_may_run_it_at_once_and_open_a_session_once(
    load: Callable[..., Predictor], batch_of: Callable[..., Batch]
) -> None:
    predictor, batch = load(), batch_of("full", 9)
    answers: list[Answer] = []
    start = threading.Barrier(8)

    def inspect() -> None:
        start.wait()
        answers.append(predictor.contributions(batch))

    threads = [threading.Thread(target=inspect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    for answer in answers[1:]:
        for a, b in zip(answer.arrays(), answers[0].arrays(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_rows_whose_answer_overflows_are_found(full: Predictor, batch_of: Callable[..., Batch]) -> None:
    batch = batch_of("full", 4)
    assert batch.numeric is not None
    assert full.run(batch).rows_not_finite() == []
    batch.numeric[2] = [3e38, -3e38, 3e38]
    answer = full.run(batch)
    assert answer.rows_not_finite() == [2]
