"""Serving module: raw numbers, codes and moments in, natural units and gate weights out."""

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.mmoe import Mixture
from model.network.inputs import Inputs, inputs_of
from model.network.model import Model, in_units, output_names
from model.schema import Dataset, FeatureSchema, Rows

Answers = dict[str, NDArray[np.floating]]


class ServingModule(nn.Module):
    """Trained model with all outputs of the artifact's graph.

    Outputs, in this order: one tensor per task, (B,) or (B, K), in natural units; then, if the
    model has gates, gate_weights (B, T, E) and gate_contributions (B, T, E, F).

    The gates are linear, so a gate logit falls exactly into one share per raw feature: the sum of
    (x_d - average_d) * W_d over the encoded columns d of that feature. The shares of a row and the
    logits at the average input add up to the row's logits.
    """

    missing_values: Tensor
    gate_matrix: Tensor
    average_input: Tensor
    feature_of_column: Tensor

    def __init__(self, model: Model, features: FeatureSchema, average_input: Tensor | None = None) -> None:
        """Take the model as it is, on its device.

        Args:
            model: trained; from now on in evaluation mode.
            features: raw features in order.
            average_input: (D,), needed with gates: the mean of the encoded training rows
                (`mean_encoding`).
        """
        super().__init__()
        self.model = model
        self.tasks = model.tasks
        self.features = features
        self.register_buffer("missing_values", _marker_table(features))
        owners = model.encoder.column_feature
        self.one_to_one = owners.tolist() == list(range(len(features.names)))
        self.gated = isinstance(model.network, Mixture)
        self.experts = 0
        if isinstance(model.network, Mixture) and average_input is not None:
            gate_matrix = model.network.gate_matrix().detach()  # (T, E, D)
            self.experts = gate_matrix.shape[1]
            self.register_buffer("gate_matrix", gate_matrix.flatten(0, 1).clone())  # (T * E, D)
            self.register_buffer("average_input", average_input.to(gate_matrix))  # (D,)
            one_hot = nn.functional.one_hot(owners, len(features.names))
            self.register_buffer("feature_of_column", one_hot.to(gate_matrix))  # (D, F)
        self.eval()

    @property
    def output_names(self) -> list[str]:
        """List the names of the outputs in their order."""
        gates = ["gate_weights", "gate_contributions"] if self.gated else []
        return output_names(self.tasks) + gates

    def forward(
        self, inputs: Inputs, expert_mask: Tensor | None = None, row_expert_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Answer B rows.

        Args:
            inputs: numbers may be a feature's missing_values, which are missing as NaN is.
            expert_mask: (E,), 0 leaves an expert out.
            row_expert_mask: (1 or B, 1, E), the same per row.
        """
        x = self.model.encoder(inputs._replace(numeric=self.without_markers(inputs.numeric)))  # (B, D)
        mask = row_expert_mask if expert_mask is None else expert_mask
        if expert_mask is not None and row_expert_mask is not None:
            mask = expert_mask * row_expert_mask  # (1 or B, 1, E)
        output = self.model.network(x, mask)
        answers = tuple(in_units(output.outputs, self.tasks))
        if not self.gated:
            return answers
        return (*answers, output.gate_weights, self.contributions(x))

    def without_markers(self, numeric: Tensor) -> Tensor:
        """Replace each number (B, N) that means "no value" to its feature by NaN."""
        if not len(self.missing_values):
            return numeric
        marked = numeric == self.missing_values[0]
        for values in self.missing_values[1:]:
            marked = marked | (numeric == values)
        return torch.where(marked, torch.nan, numeric)

    def contributions(self, x: Tensor) -> Tensor:
        """Compute gate contributions of x (B, D): (B, T, E, F).

        They split each gate logit, less its value at the average input, over the raw features.
        """
        shares = (x - self.average_input).unsqueeze(1) * self.gate_matrix  # (B, T * E, D)
        if not self.one_to_one:
            shares = shares @ self.feature_of_column  # (B, T * E, F)
        return shares.view(-1, len(self.tasks), self.experts, len(self.features.names))

    def average_logits(self) -> NDArray[np.float64]:
        """Return the gate logits at the average input, (T, E), computed in float64."""
        logits = self.gate_matrix.double() @ self.average_input.double()
        return logits.view(len(self.tasks), self.experts).numpy()

    def seen_experts(self) -> NDArray[np.bool_]:
        """Return which experts each task's gate sees, (T, E); (T, 0) without gates."""
        network = self.model.network
        if not isinstance(network, Mixture):
            return np.ones((len(self.tasks), 0), np.bool_)
        return network.gate.visible().cpu().numpy()

    @torch.inference_mode()
    def answer(
        self,
        inputs: Inputs,
        expert_mask: NDArray[np.float32] | None = None,
        row_expert_mask: NDArray[np.float32] | None = None,
    ) -> Answers:
        """Answer rows in the module's own precision; returns every output by name."""
        inputs = inputs._replace(numeric=inputs.numeric.to(self.missing_values))
        masks = [None if mask is None else torch.from_numpy(mask) for mask in (expert_mask, row_expert_mask)]
        outputs = self(inputs, *masks)
        return {name: value.numpy() for name, value in zip(self.output_names, outputs, strict=True)}


def _marker_table(features: FeatureSchema) -> Tensor:
    """Lay out the numbers that mean "no value": float32 (M, N).

    Features with fewer than M are filled up with NaN, which equals no number.
    """
    columns = [
        [*f.missing_values, *(-value for value in f.missing_values if math.isinf(value))] for f in features.numeric
    ]
    rows = list(itertools.zip_longest(*columns, fillvalue=math.nan))
    return torch.tensor(rows, dtype=torch.float64).float().reshape(len(rows), len(columns))


def serve(model: Model, dataset: Dataset) -> ServingModule:
    """Wrap a model on the CPU, with the average input of its training rows if it has gates."""
    average = mean_encoding(model, dataset.train) if isinstance(model.network, Mixture) else None
    return ServingModule(model, dataset.features, average)


@torch.inference_mode()
def mean_encoding(model: Model, rows: Rows, chunk: int = 8192) -> Tensor:
    """Average the encoded input (D,) over rows, each as often as its weight says.

    In float64, so that the order of rows does not matter.
    """
    total = torch.zeros(model.encoder.width, dtype=torch.float64)
    count = 0.0
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        encoded = model.encoder(inputs_of(rows, part)).double()
        if rows.weights is None:
            total += encoded.sum(dim=0)
            count += len(encoded)
        else:
            weights = torch.from_numpy(rows.weights[part].astype(np.float64))
            total += weights @ encoded
            count += float(weights.sum())
    return total / count
