"""State of a training run: its constants, and the state that a resumed run needs."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from model.config.run import TrainConfig
from model.errors import TrainError
from model.network.model import Model
from model.schema import Dataset
from model.training.batches import Batches
from model.training.embeddings import LazyAdam
from model.training.losses import TaskLosses
from model.training.progress import EpochRecord, Watcher
from model.training.ranks import Ranks
from tables.interrupts import held_back


@dataclass(frozen=True)
class RunContext:
    """Constants of a run.

    Attributes:
        code_counts: how often the training rows use each row of the embedding table.
        buffer_rows: rows that are shuffled together (model/training/order.py).
    """

    dataset: Dataset
    config: TrainConfig
    train: Batches
    validation: Batches
    code_counts: Tensor
    buffer_rows: int
    watcher: Watcher
    checkpoint: Path | None
    identity: dict[str, str]
    ranks: Ranks

    @property
    def steps(self) -> int:
        """Count the steps of an epoch; the last one may have fewer rows."""
        return math.ceil(len(self.dataset.train) / self.config.batch_size)


@dataclass
class RunState:
    """Mutable state of a run, apart from torch's generators.

    Attributes:
        optimizer: of all parameters but a table that `lazy` updates.
        lazy: updates of the embedding table where a step is to cost what its batch touches.
        learner: the model in its training layout, on the same parameters.
        epoch: finished epochs.
        step: finished steps of the epoch after these.
        loss_sum: over those steps, summed over rows.
        epoch_seconds: spent on those steps.
        averages: moving averages of the trained parameters, in their order; none if there is no
            averaging.
        best_value: of the monitor after `best_epoch` epochs, when the weights were `best_state`.
        seconds: of all finished epochs, validation included.
    """

    model: Model
    losses: TaskLosses
    optimizer: torch.optim.Optimizer
    loss_sum: Tensor
    lazy: LazyAdam | None = None
    epoch: int = 0
    step: int = 0
    epoch_seconds: float = 0.0
    averages: list[Tensor] = field(default_factory=list)
    best_value: float = math.nan
    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    records: list[EpochRecord] = field(default_factory=list)
    seconds: float = 0.0
    learner: Model = field(init=False)

    PLAIN = ("epoch", "step", "loss_sum", "epoch_seconds", "best_value", "best_epoch", "best_state", "seconds")
    MODULES = ("model", "losses", "optimizer")

    def __post_init__(self) -> None:
        self.learner = self.model.training_layout()

    def state(self) -> dict[str, Any]:
        """Collect what a resumed run needs to go on as if nothing had happened."""
        return {
            **{name: getattr(self, name) for name in self.PLAIN},
            **{name: getattr(self, name).state_dict() for name in self.MODULES},
            "lazy": None if self.lazy is None else self.lazy.state_dict(),
            "averages": self.averages,
            "records": [asdict(record) for record in self.records],
            "generator": torch.get_rng_state(),
            "device_generator": torch.cuda.get_rng_state() if self.loss_sum.is_cuda else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state, torch's generators included."""
        for name in self.PLAIN:
            setattr(self, name, state[name])
        for name in self.MODULES:
            getattr(self, name).load_state_dict(state[name])
        if self.lazy is not None:
            self.lazy.load_state_dict(state["lazy"])
        self.loss_sum = self.loss_sum.to(self.losses.weight.device)
        self.averages = [average.to(self.loss_sum.device) for average in state["averages"]]
        self.records = [EpochRecord(**record) for record in state["records"]]
        torch.set_rng_state(state["generator"])
        if self.loss_sum.is_cuda and state["device_generator"] is not None:
            torch.cuda.set_rng_state(state["device_generator"])

    def begin_averages(self) -> None:
        """Start the moving averages from the weights as they are."""
        self.averages = [parameter.detach().clone() for parameter in self._trained()]

    def average(self, step: int, steps: int) -> None:
        """Move the averages towards the weights after a step, by about 1 / `steps`.

        The first steps move them further, so that the start is forgotten.
        """
        decay = min(1.0 - 1.0 / steps, (1.0 + step) / (10.0 + step))
        get_ema_multi_avg_fn(decay)(self.averages, self._trained(), None)  # type: ignore[no-untyped-call]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the model hold its averages meanwhile, if there are any."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for place, parameter in enumerate(self._trained() if self.averages else ()):
            parameter.data, self.averages[place] = self.averages[place], parameter.data

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def keep_weights(self) -> None:
        """Copy the weights to `best_state`, in place once there is one."""
        for name, tensor in self.model.state_dict().items():
            if name in self.best_state:
                self.best_state[name].copy_(tensor)
            else:
                self.best_state[name] = tensor.detach().clone()


class _Sink:
    """File to write a checkpoint into, which keeps the first error for its owner.

    torch.save answers an error of a file with one of its own, which says nothing of a full disk.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: bytes | memoryview) -> int:
        """Write, unless an earlier write has failed; claims success, so that torch goes on."""
        if self.error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self.error = error
        return len(content)

    def flush(self) -> None:
        """Leave what is buffered to the owner."""


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state beside `path`, flush it to the disk, then rename it.

    A reader finds the old or the new one. An interrupt waits: torch's writer calls the file from
    C++, where it would come out as an error of the file or abort the process.

    Raises:
        TrainError: it cannot be written; what was there before stays.
    """
    beside = path.with_name(path.name + ".tmp")
    with held_back():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(beside, state)
            os.replace(beside, path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise TrainError(
                f"{path}: the checkpoint cannot be written: {error.strerror or error}; make room or choose another "
                "place, then run again"
            ) from error


def _write(path: Path, state: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        sink = _Sink(file)
        torch.save(dict(state), cast(BinaryIO, sink))
        if sink.error is not None:
            raise sink.error
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path, identity: Mapping[str, str]) -> dict[str, Any] | None:
    """Read the state of an interrupted run, or None if there is no file.

    Args:
        path: of the checkpoint.
        identity: what decides the run; it must be what it was when the checkpoint was written.

    Raises:
        TrainError: if the file cannot be read or belongs to a run of another identity.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found: dict[str, str] = state["identity"]
    except Exception as error:  # torch.load raises whatever the damaged bytes lead to
        raise TrainError(f"{path}: this is not a checkpoint of a training run; delete it to start afresh") from error
    for key in identity:
        if found.get(key) != identity[key]:
            raise TrainError(
                f"{path}: this checkpoint is of another run: {key} was {found.get(key)} and is {identity[key]}; "
                "restore that setting to resume, or delete the file (--no-resume does) to start afresh"
            )
    return state
