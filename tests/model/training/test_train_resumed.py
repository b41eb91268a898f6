"""A run that was interrupted, or killed, ends as if nothing had happened."""

import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.errors import TrainError
from model.network.model import predict
from model.schema import Dataset
from model.training.metrics import evaluate
from tests.support.training import SMALL, facts, same, settings, trained


@pytest.mark.parametrize(
    ("stop", "weighting"),
    [(1, "uncertainty"), (4, "fixed"), (5, "uncertainty"), (7, "uncertainty"), (11, "fixed"), (20, "uncertainty")],
)
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    dataset: Dataset, tmp_path: Path, stop: int, weighting: str
) -> None:
    """Resume before and after the boundaries of epochs of 5 steps, with all kinds of dropout."""
    config = settings(task_weighting=weighting, checkpoint_every_s=0.0)
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(dataset, config, checkpoint=path, stop=stop)
    with suppress(KeyboardInterrupt):  # the last step may have been taken already
        trained(dataset, config, checkpoint=path, stop=1)
    resumed, one = trained(dataset, config, checkpoint=path)
    whole, two = trained(dataset, config)
    assert same(resumed, whole)
    assert facts(one) == facts(two)
    assert one.best_epoch == two.best_epoch


def test_a_run_between_checkpoints_goes_back_to_the_last(dataset: Dataset, tmp_path: Path) -> None:
    config = settings(checkpoint_every_s=1e9)  # at the ends of epochs alone
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(dataset, config, checkpoint=path, stop=13)
    resumed, history = trained(dataset, config, checkpoint=path)
    assert same(resumed, trained(dataset, config)[0])
    assert [record.epoch for record in history.epochs] == [1, 2, 3, 4]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import make_rows, make_schema, make_tasks
from model.config.run import ModelConfig, TrainConfig
from model.schema import Dataset
from model.network.model import build_model
from model.training.train import fit

class Loud:
    def step(self, epoch, rows, loss_sum):
        print(epoch, rows, flush=True)
        if epoch == 2:
            sys.stdin.read()  # wait here for the end
    def epoch(self, record, best):
        pass

schema, tasks = make_schema(), make_tasks()
train, validation, test = (make_rows(schema, count, seed) for seed, count in enumerate((300, 100, 100)))
dataset = Dataset(schema, tasks, train, validation, test, source="made", digest="sha256:0")
config = TrainConfig.model_validate_json(sys.argv[3])
model = build_model(schema, tasks, ModelConfig.model_validate_json(sys.argv[4]), config.seed)
fit(model, dataset, config, Path(sys.argv[1]), Loud())
"""


def test_a_killed_process_is_resumed_to_the_same_weights(dataset: Dataset, tmp_path: Path) -> None:
    path, config = tmp_path / "run.pt", settings(checkpoint_every_s=0.0)
    command = [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parents[1])]
    with subprocess.Popen(
        [*command, config.model_dump_json(), SMALL.model_dump_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith(b"2 ") for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert same(trained(dataset, config, checkpoint=path)[0], trained(dataset, config)[0])


def test_a_finished_run_is_not_trained_again(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    first, one = trained(dataset, settings(), checkpoint=path)
    second, two = trained(dataset, settings(), checkpoint=path, stop=1)  # a single step would raise
    assert same(first, second)
    assert one == two


@pytest.mark.parametrize("what", ["train.learning_rate", "the data", "the model"])
def test_a_checkpoint_of_another_run_is_refused(dataset: Dataset, tmp_path: Path, what: str) -> None:
    path = tmp_path / "run.pt"
    trained(dataset, settings(epochs=1), checkpoint=path)
    config = settings(epochs=1, learning_rate=0.02) if what == "train.learning_rate" else settings(epochs=1)
    data = replace(dataset, digest="sha256:1") if what == "the data" else dataset
    model = SMALL.model_copy(update={"gate_temperature": 2.0}) if what == "the model" else SMALL
    with pytest.raises(TrainError, match=f"{what} was"):
        trained(data, config, model, checkpoint=path)


def test_divergence_leaves_no_checkpoint_that_would_refuse_the_remedy(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(TrainError, match="diverged"):
        trained(dataset, settings(learning_rate=1e30, checkpoint_every_s=0.0), checkpoint=path)
    assert not path.exists()
    trained(dataset, settings(), checkpoint=path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_trains_and_resumes(dataset: Dataset, tmp_path: Path) -> None:
    config, path = settings(device="auto", checkpoint_every_s=0.0), tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(dataset, config, checkpoint=path, stop=7)
    model, history = trained(dataset, config, checkpoint=path)
    assert history.device == "cuda"
    assert evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)["sold"]["auc"] > 0.8
