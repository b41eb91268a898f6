import numpy as np
import pytest
import torch

from model.mmoe import build, count_parameters
from model.study.synthetic.cells import (
    COMPARED,
    DIMS,
    EXPERTS,
    TOWER_HIDDEN,
    Curves,
    Recipe,
    compared_cell,
    join,
    label_pearson,
    train_runs,
)

TINY = Recipe(steps=6, batch=8, points=3, test_rows=30)


def test_a_run_is_the_same_whatever_its_block() -> None:
    cell = compared_cell("mmoe", 0.5, 1e-2, 4, TINY)
    together = train_runs(cell, range(4))
    apart = join([train_runs(cell, range(3)), train_runs(cell, range(3, 4))])
    np.testing.assert_array_equal(together.steps, apart.steps)
    np.testing.assert_allclose(together.losses, apart.losses, rtol=1e-4)
    np.testing.assert_allclose(together.similarity, apart.similarity, rtol=1e-4)


def test_losses_are_taken_at_even_steps_and_at_the_end() -> None:
    told: list[int] = []
    curves = train_runs(compared_cell("omoe", 0.5, 1e-2, 2, TINY), range(2), advance=told.append)
    assert curves.steps.tolist() == [2, 4, 6]
    assert curves.losses.shape == (2, 3)
    assert told == [2] * 6
    assert curves.seconds > 0


def test_only_gates_that_differ_are_dissimilar() -> None:
    similarity = {a: train_runs(compared_cell(a, 0.5, 1e-2, 2, TINY), range(2)).similarity for a in COMPARED}
    assert np.isnan(similarity["shared_bottom"]).all()
    np.testing.assert_allclose(similarity["omoe"], 1.0)
    assert ((similarity["mmoe"] > 0) & (similarity["mmoe"] < 1)).all()


def test_shared_bottom_has_the_paper_s_width_and_as_many_weights() -> None:
    shared, mmoe = (compared_cell(a, 0.5, 1e-2, 1, TINY) for a in ("shared_bottom", "mmoe"))
    assert shared.hidden == 113
    sizes = []
    for cell in (shared, mmoe):
        network = build(cell.architecture, DIMS, [1, 1], EXPERTS, [cell.hidden], [TOWER_HIDDEN])
        gates = sum(p.numel() for name, p in network.named_parameters() if "gate" in name)
        sizes.append(count_parameters(network, biases=False) - gates)
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_the_cosine_of_a_cell_is_that_of_its_tasks() -> None:
    weights = TINY.tasks(0.7).weights(torch.Generator().manual_seed(0))
    assert float(torch.cosine_similarity(weights[0], weights[1], dim=0)) == pytest.approx(0.7, abs=1e-5)


def test_the_lowest_loss_of_a_run_may_come_before_its_end() -> None:
    curves = Curves(np.array([1, 2]), np.array([[0.1, 0.3], [0.4, 0.2]]), np.full(2, np.nan), 0.0)
    assert curves.lowest.tolist() == [0.1, 0.2]
    assert curves.final.tolist() == [0.3, 0.2]


def test_labels_correlate_as_those_of_rows_drawn_in_full() -> None:
    short = label_pearson(Recipe(), 0.9, trials=10, rows=5000)
    tasks, full = Recipe().tasks(0.9), []
    for trial in range(10):
        generator = torch.Generator().manual_seed(trial)
        _, y = tasks.rows(tasks.weights(generator), 5000, generator)
        full.append(float(torch.corrcoef(y.T)[0, 1]))
    assert short.mean() == pytest.approx(np.mean(full), abs=0.03)
    assert label_pearson(Recipe(), 1.0, trials=1, rows=1000)[0] > 0.99
