import io
from dataclasses import replace

import torch

from model.training.progress import EpochRecord, ProgressBar, describe

RECORD = EpochRecord(
    epoch=3,
    train_loss=0.5,
    validation_loss=0.25,
    task_losses={"price": 0.1, "sold": 0.15},
    metrics={"price": {"rmse": 12.5, "mae": 10.0, "r2": 0.75}, "sold": {"auc": 0.9, "accuracy": 0.8}, "none": {}},
    learning_rate=1e-3,
    rows_per_s=123_456.7,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_epoch_is_one_line_with_speed_losses_and_metrics() -> None:
    line = describe(RECORD, 20, best=True)
    assert line == (
        "epoch  3/20  123,457 rows/s  loss 0.5000  validation 0.2500  "
        "price r2 0.7500 rmse 12.5000  sold auc 0.9000 accuracy 0.8000  *"
    )
    assert not describe(RECORD, 20, best=False).endswith("*")


def test_without_a_terminal_there_are_lines_only() -> None:
    out = io.StringIO()
    bar = ProgressBar(20, 100, out)
    bar.step(3, 50, torch.tensor(25.0))
    bar.epoch(RECORD, best=False)
    assert out.getvalue() == describe(RECORD, 20, best=False) + "\n"


def test_of_many_epochs_every_so_many_has_a_line_and_the_last() -> None:
    out = io.StringIO()
    bar = ProgressBar(130, 100, out)
    for epoch in range(1, 131):
        bar.epoch(replace(RECORD, epoch=epoch), best=False)
    lines = out.getvalue().splitlines()
    assert len(lines) <= 40
    assert lines[-1].startswith("epoch 130/130")


def test_on_a_terminal_a_bar_shows_rows_and_loss() -> None:
    out = Terminal()
    bar = ProgressBar(20, 100, out)
    bar.step(3, 50, torch.tensor(25.0))
    bar.epoch(RECORD, best=False)
    text = out.getvalue()
    assert "epoch 3/20" in text
    assert "rows/s" in text
    assert text.endswith(describe(RECORD, 20, best=False) + "\n")
