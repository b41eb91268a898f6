"""Multi-task model: raw features in, predictions in natural units out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config.run import ModelConfig
from model.mmoe import Output, build
from model.network.encoder import Encoder
from model.network.fast import fast
from model.network.inputs import BATCH_ROWS, Inputs, batches_of
from model.schema import FeatureSchema, Rows, Task, funnel


@dataclass(frozen=True)
class Predictions:
    """Predictions for B rows in natural units.

    Attributes:
        tasks: by task name: value of a regression task (B,) in the label units, probability of a
            binary one (B,), class probabilities of a multiclass one (B, K); behind them the
            conditional probabilities of funnel tasks, by output name.
        gate_weights: (B, T, E), rows sum to 1; None for a network without gates, and where nobody
            asked for them.
    """

    tasks: dict[str, NDArray[np.float32]]
    gate_weights: NDArray[np.float32] | None


class Model(nn.Module):
    """Encoder and network: raw features in, one raw output per task and gate weights out.

    Attributes:
        tasks: in the order of the outputs and of axis T.
    """

    def __init__(self, encoder: Encoder, network: nn.Module, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network
        self.tasks = tuple(tasks)

    def forward(self, inputs: Inputs, expert_mask: Tensor | None = None) -> Output:
        """Compute raw outputs for B rows; the mask is as in model/mmoe.py."""
        output: Output = self.network(self.encoder(inputs), expert_mask)
        return output

    def training_layout(self) -> "Model":
        """Return a twin on the same parameters in the layout that trains fastest."""
        return Model(self.encoder, fast(self.network), self.tasks)


def build_model(features: FeatureSchema, tasks: Sequence[Task], config: ModelConfig, seed: int | None = None) -> Model:
    """Build the model with fresh weights.

    Drawn from `seed` or, without one, from torch's generator.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        # Tasks that share an embedding would not be single tasks.
        tables = len(tasks) if config.architecture == "single_task" else 1
        encoder = Encoder(features, config.embedding_dim, config.numeric_encoding, tables)
        network = build(
            config.architecture,
            encoder.width,
            [task.outputs for task in tasks],
            experts=config.experts,
            expert_hidden=config.expert_hidden,
            tower_hidden=config.tower_hidden,
            gate_temperature=config.gate_temperature,
            gate_dropout=config.gate_dropout,
            dropout=config.dropout,
            own_experts=config.own_experts,
        )
        return Model(encoder, network, tasks)


def output_names(tasks: Sequence[Task]) -> list[str]:
    """List the answers to a row: the tasks, then the conditionals of funnel tasks."""
    return [task.name for task in tasks] + [task.conditional for task in tasks if task.after]


def in_units(raw: Sequence[Tensor], tasks: Sequence[Task]) -> list[Tensor]:
    """Convert the towers' raw outputs to natural units: values in a label's, or probabilities.

    A funnel task's is the joint probability, the product along its chain.

    Returns:
        Tensors in the order of `output_names`.
    """
    alone = [_alone(output, task) for output, task in zip(raw, tasks, strict=True)]
    joint = [reduce(torch.mul, [alone[place] for place in funnel(tasks, task)]) for task in tasks]
    return [*joint, *(own for own, task in zip(alone, tasks, strict=True) if task.after)]


def _alone(raw: Tensor, task: Task) -> Tensor:
    """Convert one tower's output, given what has to come before.

    A binary task's logit z is calibrated, slope z + intercept, and then moved by ln
    `negatives_kept`: dropping negatives has multiplied the odds by its inverse.
    """
    if task.kind == "regression":
        return raw * task.std + task.mean
    if task.kind == "multiclass":
        return raw.softmax(dim=-1)
    if (task.slope, task.intercept, task.negatives_kept) == (1.0, 0.0, 1.0):
        return raw.sigmoid()
    return (task.slope * raw + (task.intercept + math.log(task.negatives_kept))).sigmoid()


@torch.inference_mode()
def raw_outputs(model: Model, batches: Iterable[Inputs], gates: bool = False) -> Output:
    """Answer batches without dropout, on the device that holds the model.

    Gate weights are kept if asked for.
    """
    training, device = model.training, next(model.parameters()).device
    model.eval()
    parts: list[Output] = []
    for inputs in batches:
        part: Output = model(inputs.to(device))
        parts.append(part if gates else Output(part.outputs, None))
    model.train(training)
    outputs = tuple(torch.cat([part.outputs[t] for part in parts]) for t in range(len(model.tasks)))
    weights = [part.gate_weights for part in parts if part.gate_weights is not None]
    return Output(outputs, torch.cat(weights) if weights else None)


def predictions_of(output: Output, tasks: Sequence[Task]) -> Predictions:
    """Turn raw outputs into arrays in natural units, by task name."""
    values = in_units(output.outputs, tasks)
    answers = {name: value.cpu().numpy() for name, value in zip(output_names(tasks), values, strict=True)}
    return Predictions(answers, None if output.gate_weights is None else output.gate_weights.cpu().numpy())


def predict(model: Model, rows: Rows, batch_size: int = BATCH_ROWS, *, gates: bool = False) -> Predictions:
    """Answer for all rows: values in the label's units, probabilities, and gate weights if asked.

    Gate weights take T x E numbers a row.
    """
    answers: dict[str, NDArray[np.float32]] = {}
    weights: list[NDArray[np.float32]] = []
    for number, inputs in enumerate(batches_of(rows, batch_size)):
        part = predictions_of(raw_outputs(model, [inputs], gates), model.tasks)
        for name, values in part.tasks.items():
            if name not in answers:
                answers[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
            answers[name][number * batch_size :][: len(values)] = values
        weights += [] if part.gate_weights is None else [part.gate_weights]
    return Predictions(answers, np.concatenate(weights) if weights else None)
