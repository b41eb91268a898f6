from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from metrics.reliability import wilson
from model.plots import STYLE, gate_heatmap, loss_curves, save_png, task_picture
from model.schema import Task

RANDOM = np.random.default_rng(0)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_heatmap_writes_every_weight_once() -> None:
    weights = np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])
    figure = gate_heatmap(weights, ["income", "never_married"], [0.7, 0.3])
    assert texts(figure) == ["0.70", "0.20", "0.10", "0.05", "0.05", "0.90"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["income\nentropy 0.70", "never_married\nentropy 0.30"]


def test_loss_curves_have_a_panel_each_and_mark_the_epoch() -> None:
    curves = {
        "all tasks": {"training": [3.0, 2.0, 1.5], "validation": [3.1, 2.2, 2.3]},
        "a": {"validation": [1.0, 0.9, 0.95]},
    }
    figure = loss_curves(curves, best_epoch=2)
    assert [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes] == ["all tasks", "a"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "weights kept (epoch 2)"]


def test_confusion_shares_are_of_the_true_class() -> None:
    task = Task("grade", "multiclass", ("low", "high"))
    predicted = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    figure = task_picture(task, predicted, np.array([0.0, 0.0, 1.0, np.nan]))
    assert texts(figure) == ["50%", "50%", "0%", "100%"]


PICTURES: dict[str, Callable[[], Figure]] = {
    "one epoch": lambda: loss_curves({"all tasks": {"training": [1.0], "validation": [2.0]}}, 1),
    "seven panels": lambda: loss_curves({str(i): {"validation": [2.0, 1.0]} for i in range(7)}, 1),
    "one expert": lambda: gate_heatmap(np.ones((1, 1)), ["a"], [0.0]),
    "many experts": lambda: gate_heatmap(RANDOM.dirichlet(np.ones(64), 3), ["a", "b", "c"], [0.5, 0.5, 0.5]),
    "constant truth": lambda: task_picture(Task("a", "regression"), np.ones(5), np.ones(5)),
    "one row": lambda: task_picture(Task("a", "binary", ("no", "yes")), np.array([0.4]), np.array([1.0])),
    "certain": lambda: task_picture(Task("a", "binary", ("no", "yes")), np.ones(30), np.zeros(30)),
    "dense": lambda: task_picture(Task("a", "regression"), RANDOM.normal(size=900), RANDOM.normal(size=900)),
    "dense and constant": lambda: task_picture(Task("a", "regression"), np.full(900, 3.0), RANDOM.normal(size=900)),
    "sixty classes": lambda: task_picture(
        Task("a", "multiclass", tuple(str(i) for i in range(60))), RANDOM.random((90, 60)), np.zeros(90)
    ),
    "names with signs": lambda: task_picture(
        Task("a", "binary", ("$0_$", "$5^0$ \\frac 年收入")), RANDOM.random(50), (RANDOM.random(50) > 0.5).astype(float)
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture_can_be_written_whatever_it_shows(name: str, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save_png(PICTURES[name], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1)), min_size=1, max_size=10))
def test_interval_holds_the_share_and_stays_within_zero_and_one(bins: list[tuple[int, float]]) -> None:
    count = np.array([rows for rows, _ in bins])
    share = np.round(np.array([part for _, part in bins]) * count) / count
    down, up = wilson(share, count)
    assert (share - down >= -1e-9).all()
    assert (share + up <= 1.0 + 1e-9).all()
    assert (down + up > 0.0).all()


def test_long_title_fits_the_picture() -> None:
    task = Task("a_name_of_sixty_four_letters_is_the_longest_that_a_task_may_have", "binary", ("no", "yes"))
    with mpl.rc_context(STYLE):
        figure = task_picture(task, RANDOM.random(30), np.ones(30))
        figure.draw_without_rendering()
    title = figure.texts[0] if figure.texts else figure._suptitle  # type: ignore[attr-defined]
    assert title.get_window_extent().x1 <= figure.bbox.x1
