"""Comparing answers.

Against a plain loop over rows, added up over workers, whole after a death.
"""

import math
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.manifest import Manifest, parse_manifest
from service.gates import LEAST_ROWS, jensen_shannon
from service.inference.answer import Answer
from service.inference.predictor import Predictor
from service.monitoring.comparison import KEPT_PAIRS, Pair, ShadowFigures, Tallies
from service.monitoring.matching import assignment
from service.monitoring.shadow_report import shadow_report
from service.run_directory import RunDirectory

Array = Any


@pytest.fixture
def manifest(tmp_path: Path, hand_model: Callable[..., Path]) -> Manifest:
    """Give tasks price (regression), sold (binary) and grade (3 classes) over 4 experts."""
    return Predictor.load(hand_model(tmp_path / "models", "hand", 1)).manifest


def answer(rows: int, seed: int) -> Answer:
    random = np.random.default_rng(seed)
    grade, weights = random.dirichlet(np.ones(3), rows), random.dirichlet(np.ones(4), (rows, 3))
    tasks = {"price": random.normal(size=rows), "sold": random.random(rows), "grade": grade}
    return Answer({name: values.astype(np.float32) for name, values in tasks.items()}, weights.astype(np.float32))


def pair_of(manifest: Manifest) -> Pair:
    return Pair.of("hand", (1, manifest), (2, manifest))


PLACES = (np.arange(3), np.arange(3))


def test_the_figures_are_those_of_a_loop_over_the_rows(manifest: Manifest) -> None:
    ours, theirs = answer(50, 1), answer(50, 2)
    theirs.tasks["price"][7] = np.nan
    figures = pair_of(manifest).compare(ours, theirs, PLACES)
    assert (figures.rows, figures.failed_rows, figures.dropped_rows) == (49, 1, 0)
    partner = best_partners(ours, theirs, leave_out=7)
    assert figures.matching is not None
    assert figures.matching.partner == partner
    for t, task in enumerate(("price", "sold", "grade")):
        apart, classes, divergence, same = [], 0, 0.0, 0
        for row in range(50):
            if row == 7:
                continue
            one, other = np.atleast_1d(ours.tasks[task][row]), np.atleast_1d(theirs.tasks[task][row])
            apart.append([abs(float(a) - float(b)) for a, b in zip(one, other, strict=True)])
            classes += bool(one.argmax() != other.argmax() if task == "grade" else (one[0] >= 0.5) != (other[0] >= 0.5))
            assert ours.gate_weights is not None
            assert theirs.gate_weights is not None
            p, q = ours.gate_weights[row, t], theirs.gate_weights[row, t, partner]
            divergence += float(jensen_shannon(p, q))
            same += int(p.argmax() == q.argmax())
        absolute, largest, disagreements, found_divergence, same_top = figures.task(t)
        assert absolute == pytest.approx(sum(sum(row) / len(row) for row in apart))
        assert largest == pytest.approx(max(max(row) for row in apart))
        assert disagreements == (0 if task == "price" else classes)
        assert found_divergence == pytest.approx(divergence)
        assert same_top == same


def best_partners(ours: Answer, theirs: Answer, leave_out: int) -> list[int]:
    """Try every assignment of 4 experts; return that of the least divergence."""
    assert ours.gate_weights is not None
    assert theirs.gate_weights is not None
    p, q = (np.delete(weights, leave_out, axis=0) for weights in (ours.gate_weights, theirs.gate_weights))
    return list(min(permutations(range(4)), key=lambda order: float(jensen_shannon(p, q[..., list(order)]).sum())))


def test_experts_in_another_order_are_found_again(manifest: Manifest) -> None:
    ours, order = answer(60, 1), [2, 0, 3, 1]
    assert ours.gate_weights is not None
    same = Answer(ours.tasks, ours.gate_weights[..., order])
    found = shadow_report(pair_of(manifest).compare(ours, same, PLACES))
    assert found["expert_match"] == "good"
    assert found["experts"] is not None
    assert [expert["shadow_expert"] for expert in found["experts"]] == [order.index(e) for e in range(4)]
    for task, weights in zip(found["tasks"].values(), ours.gate_weights.mean(axis=0), strict=False):
        assert task["gates"] == {
            "jensen_shannon": pytest.approx(0, abs=1e-6),
            "top_expert_agreement": 1.0,
            "utilisation": pytest.approx(weights.tolist(), abs=1e-6),
            "shadow_utilisation": pytest.approx(weights[order].tolist(), abs=1e-6),
        }


def test_where_no_match_is_good_the_report_says_so(manifest: Manifest) -> None:
    found = shadow_report(pair_of(manifest).compare(answer(500, 1), answer(500, 2), PLACES))
    assert found["expert_match"] == "none"
    assert found["experts"] is not None
    assert not any(expert["good"] for expert in found["experts"])
    few = shadow_report(pair_of(manifest).compare(answer(LEAST_ROWS - 1, 1), answer(LEAST_ROWS - 1, 1), PLACES))
    assert (few["expert_match"], few["experts"]) == ("too_few_rows", None)


def test_an_expert_without_a_partner_differs_by_all_it_gets(
    manifest: Manifest, tmp_path: Path, hand_model: Callable[..., Path]
) -> None:
    more = Predictor.load(hand_model(tmp_path / "others", "more", 1, experts=5)).manifest
    pair, ours = Pair.of("hand", (1, manifest), (2, more)), answer(60, 1)
    assert ours.gate_weights is not None
    theirs = np.insert(ours.gate_weights, 1, 0.0, axis=2)
    theirs[..., 1] = theirs[..., 0] / 2
    theirs[..., 0] /= 2
    figures = pair.compare(ours, Answer(ours.tasks, theirs), PLACES)
    assert figures.matching is not None
    assert figures.matching.partner[1:] == [2, 3, 4]
    matched = [figures.matching.partner[0] or 0, 2, 3, 4]
    alone = ({0, 1} - set(matched)).pop()
    padded = np.insert(ours.gate_weights, 4, 0.0, axis=2)
    for t in range(3):
        expected = float(jensen_shannon(padded[:, t], theirs[:, t][:, [*matched, alone]]).sum())
        assert figures.task(t)[3] == pytest.approx(expected)


@given(st.integers(1, 6), st.integers(0, 999))
def test_no_assignment_costs_less(size: int, seed: int) -> None:
    cost = np.random.default_rng(seed).integers(0, 5, (size, size)).astype(float)
    found = assignment(cost)
    assert sorted(found) == list(range(size))
    least = min(sum(cost[i, j] for i, j in enumerate(order)) for order in permutations(range(size)))
    assert sum(cost[i, j] for i, j in enumerate(found)) == least


def test_parts_add_up_to_the_whole(manifest: Manifest) -> None:
    ours, theirs, pair = answer(30, 1), answer(30, 2), pair_of(manifest)
    whole = pair.compare(ours, theirs, PLACES)
    parts = [pair.compare(ours.slice(a, b), theirs.slice(a, b), PLACES) for a, b in ((0, 1), (1, 20), (20, 30))]
    np.testing.assert_allclose((parts[0] + parts[1] + parts[2]).words, whole.words)


def test_only_what_both_have_is_compared(manifest: Manifest, tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    def other(name: str, **variations: Any) -> Manifest:
        return Predictor.load(hand_model(tmp_path / "others", name, 1, **variations)).manifest

    fewer = Pair.of("hand", (1, manifest), (2, other("fewer", tasks=("grade", "price"))))
    assert [(task.name, task.gates) for task in fewer.tasks] == [("price", True), ("grade", True)]
    text = manifest.model_dump_json().replace('"kind":"binary"', '"kind":"regression"').replace('["no","yes"]', "[]")
    assert [task.name for task in Pair.of("hand", (1, manifest), (2, parse_manifest(text))).tasks] == ["price", "grade"]
    pair = Pair.of("hand", (1, manifest), (2, other("plain", kind="plain")))
    assert [task.gates for task in pair.tasks] == [False] * 3
    assert shadow_report(ShadowFigures.missed(pair))["expert_match"] is None


def test_workers_add_up_and_a_dead_one_is_followed(manifest: Manifest, tmp_path: Path) -> None:
    pair = pair_of(manifest)
    with RunDirectory.create(2, tmp_path / "memory") as directory:
        one, other = (Tallies(directory, place).open(pair) for place in (0, 1))
        parts = [pair.compare(answer(rows, rows), answer(rows, -rows + 100), PLACES) for rows in (3, 5, 7)]
        one.add(parts[0])
        other.add(parts[1])
        one.add(ShadowFigures.missed(pair, dropped_rows=4))
        followed = Tallies(directory, 0).open(pair)  # in the place of the first, which is no more
        followed.add(parts[2])
        for tally in (other, followed, Tallies(directory, 1).all()[0]):
            total = tally.total()
            assert (total.rows, total.dropped_rows) == (15, 4)
            for t in range(3):
                every = [part.task(t) for part in parts]
                assert total.task(t)[0] == pytest.approx(math.fsum(figures[0] for figures in every))
                assert total.task(t)[1] == max(figures[1] for figures in every)


def test_old_pairs_are_forgotten(manifest: Manifest, tmp_path: Path) -> None:
    with RunDirectory.create(1, tmp_path / "memory") as directory:
        tallies = Tallies(directory, 0)
        for candidate in range(2, KEPT_PAIRS + 5):
            tallies.open(Pair.of("hand", (1, manifest), (candidate, manifest)))
        assert len(tallies.all()) == KEPT_PAIRS
        assert tallies.all()[0].pair.candidate == KEPT_PAIRS + 4
