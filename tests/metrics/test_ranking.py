import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from metrics.intervals import mean_and_error
from metrics.ranking import areas, auc_error, grouped_auc

pytestmark = pytest.mark.usefixtures("few_rows_a_block")
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw answers with ties, classes, weights and groups, of which some have one class."""
    random = np.random.default_rng(seed)
    groups = random.integers(0, 9, rows)
    classes = ((random.random(rows) < 0.4) & (groups != 3)).astype(np.int64)
    return random.integers(0, 7, rows) / 7, classes, random.integers(1, 5, rows).astype(float), groups


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, weighted=st.booleans())
def test_areas_are_those_of_scikit_learn(seed: int, weighted: bool) -> None:
    answer, classes, times, _ = drawn(seed)
    if not 0 < classes.sum() < len(classes):
        return
    weights = times if weighted else None
    found = areas(answer.astype(np.float32), classes, None if weights is None else weights.astype(np.float32))
    assert found.roc == pytest.approx(roc_auc_score(classes, answer, sample_weight=weights), rel=1e-12)
    expected = average_precision_score(classes, answer, sample_weight=weights)
    assert found.precision == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS)
def test_the_error_of_auc_is_that_of_the_mean_placements(seed: int) -> None:
    answer, classes, times, _ = drawn(seed)
    positive = classes == 1
    if not 2 <= positive.sum() <= len(classes) - 2:
        return
    wins = (answer[positive][:, None] > answer[~positive]) + 0.5 * (answer[positive][:, None] == answer[~positive])
    placed = np.average(wins, axis=1, weights=times[~positive]), np.average(wins, axis=0, weights=times[positive])
    errors = [mean_and_error(of, times[here])[1] for of, here in zip(placed, (positive, ~positive), strict=True)]
    order = np.argsort(answer)
    found = auc_error(answer, classes, times, order, areas(answer, classes, times, order))
    assert found == pytest.approx(np.hypot(errors[0], errors[1]), rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, weighted=st.booleans())
def test_gauc_is_the_mean_of_the_groups_auc_by_their_rows(seed: int, weighted: bool) -> None:
    answer, classes, times, groups = drawn(seed)
    if not weighted:
        times = np.ones(len(times))
    aucs, rows = [], []
    for group in np.unique(groups):
        here = groups == group
        if 0 < classes[here].sum() < here.sum():
            aucs.append(roc_auc_score(classes[here], answer[here], sample_weight=times[here]))
            rows.append(times[here].sum())
    found = grouped_auc(answer, classes, times if weighted else None, groups)
    assert found == (pytest.approx(np.average(aucs, weights=rows)) if aucs else None)


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS)
def test_order_and_names_of_groups_have_no_say_and_a_weight_is_so_many_rows(seed: int) -> None:
    answer, classes, times, groups = drawn(seed)
    found = grouped_auc(answer, classes, times, groups)
    order = np.random.default_rng(seed).permutation(len(answer))
    shuffled = grouped_auc(answer[order], classes[order], times[order], groups[order] * -(2**50) + 5)
    often = [np.repeat(values, times.astype(int)) for values in (answer, classes, groups)]
    repeated = grouped_auc(often[0], often[1], None, often[2])
    expected = None if found is None else pytest.approx(found)
    assert (shuffled, repeated) == (expected, expected)


def test_users_who_are_ranked_right_are_told_from_a_level_that_differs() -> None:
    """One user has higher answers than the other; GAUC sees none of it."""
    answer, classes = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 1, 0, 1])
    assert grouped_auc(answer, classes, None, np.array([1, 1, 2, 2])) == 1.0
    assert roc_auc_score(classes, answer) == 0.75
