"""Parity check: raw rows through torch and through onnxruntime, answers compared."""

import copy
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.graph import with_mask_inputs
from model.artifact.serving_module import Answers, ServingModule
from model.errors import ExportError
from model.schema import MISSING, UNKNOWN, Cells, Dataset, FeatureSchema, Rows

TOLERANCE = 1e-5
"""Distance at which an answer may lie from torch's, as a share of max(1, |answer|)."""

LARGEST_TOLERANCE = 1e-3
"""Above this, arithmetic in float32 loses too much of the network for the file to be trusted."""

BATCHES = (1, 2, 33)


@dataclass(frozen=True)
class RawRows:
    """B raw rows in both forms: as a client sends them, and as the table's reader codes them.

    Attributes:
        numeric: float32 (B, N), NaN = missing.
        text: object (B, C) of str, "" = missing.
        codes: int64 (B, C), of schema.py.
    """

    numeric: NDArray[np.float32]
    text: NDArray[np.object_]
    codes: NDArray[np.integer]

    @staticmethod
    def take(rows: Rows, chosen: NDArray[np.int64]) -> "RawRows":
        """Copy some rows of a split."""
        return RawRows(rows.numeric[chosen].copy(), rows.text[chosen].copy(), rows.codes[chosen].copy())

    def make_missing(self, where: NDArray[np.bool_]) -> None:
        """Make values missing; where (B, N + C)."""
        n = self.numeric.shape[1]
        self.numeric[where[:, :n]] = np.nan
        self.text[where[:, n:]] = ""
        self.codes[where[:, n:]] = MISSING

    def make_unknown(self, where: NDArray[np.bool_], features: FeatureSchema) -> None:
        """Replace categories by a value that no vocabulary holds; where (B, C)."""
        known = {value for feature in features.categorical for value in feature.vocabulary}
        stranger = "never seen"
        while stranger in known:
            stranger += " before"
        self.text[where] = stranger
        self.codes[where] = UNKNOWN

    def __len__(self) -> int:
        return len(self.numeric)


def golden_rows(dataset: Dataset, plain: int = 3) -> RawRows:
    """Take a few rows of the test split, with edge cases among them.

    Some are as they are, one is half empty, one empty, one of unknown categories.
    """
    features = dataset.features
    n, c = len(features.numeric), len(features.categorical)
    rows = RawRows.take(dataset.test, np.linspace(0, len(dataset.test) - 1, plain + 2 + (c > 0)).astype(np.int64))
    missing = np.zeros((len(rows), n + c), dtype=bool)
    missing[plain, ::2] = True
    missing[plain + 1] = True
    rows.make_missing(missing)
    unknown = np.zeros((len(rows), c), dtype=bool)
    unknown[plain + 2 :] = True
    rows.make_unknown(unknown, features)
    return rows


def hard_rows(dataset: Dataset, count: int, generator: np.random.Generator) -> RawRows:
    """Draw rows of the test split with gaps.

    A tenth of their values are missing, and a tenth of their categories unknown.
    """
    rows = RawRows.take(dataset.test, generator.integers(len(dataset.test), size=count))
    columns = len(dataset.features.names)
    rows.make_unknown(generator.random(rows.text.shape) < 0.1, dataset.features)
    rows.make_missing(generator.random((count, columns)) < 0.1)
    return rows


def golden_tolerance(module: ServingModule, dataset: Dataset) -> float:
    """Compute the tolerance: how far a right answer may lie from torch's.

    In shares of max(1, |answer|), at least TOLERANCE.

    Two runtimes add up float32 numbers in different orders. The distance between torch's own
    answers in float32 and in float64 shows how much that can matter for this network.

    Raises:
        ExportError: the network needs more than float32.
    """
    exact = copy.deepcopy(module).double()
    noise = 0.0
    for rows in _batches(dataset):
        expected = exact.answer(rows.numeric.astype(np.float64), rows.codes)
        noise = max(noise, *(_distance(value, expected[key]) for key, value in _torch(module, rows, {}).items()))
    if 4.0 * noise > LARGEST_TOLERANCE:
        raise ExportError(
            f"the network's answers in float32 and in float64 lie {noise:.1e} apart, at most "
            f"{LARGEST_TOLERANCE / 4:.1e} is expected: its weights have grown too large; nothing was published; train "
            "with a smaller train.learning_rate or with train.weight_decay"
        )
    return max(TOLERANCE, 4.0 * noise)


def check_parity(model: bytes, module: ServingModule, dataset: Dataset, tolerance: float) -> None:
    """Compare onnxruntime's answers from raw values with torch's.

    For several batch sizes, with and without masks.

    Raises:
        ExportError: an output differs by more than the tolerance.
    """
    run = _runtime(model)
    for rows in _batches(dataset):
        for masks in _masks(module.experts, len(rows)):
            got = run(rows, masks)
            for name, expected in _torch(module, rows, masks).items():
                distance = _distance(got[name], expected)
                if distance > tolerance:
                    raise ExportError(
                        f"the exported graph answers {name} of {len(rows)} rows {distance:.1e} off torch's answer, "
                        f"at most {tolerance:.1e} is expected; nothing was published"
                    )


def check_cells(model: bytes, module: ServingModule, cells: Cells, tolerance: float) -> None:
    """Compare onnxruntime's answers to requests made of the table's cells with torch's.

    Torch answers what the reader made of the same cells.

    Raises:
        ExportError: a row is answered in another way; the message names it.
    """
    got = _runtime(model)(RawRows(cells.numeric, cells.text, cells.read_codes), {})
    for name, expected in module.answer(cells.read_numeric, cells.read_codes).items():
        if _distance(got[name], expected) <= tolerance:
            continue
        distances = [_distance(one, other) for one, other in zip(got[name], expected, strict=True)]
        worst = int(np.argmax(distances))
        raise ExportError(
            f"row {cells.row_numbers[worst]} of the table, sent as a request, is answered {name} "
            f"{distances[worst]:.1e} off the answer to what training read in it, at most {tolerance:.1e} is expected; "
            "nothing was published"
        )


def _batches(dataset: Dataset) -> Iterator[RawRows]:
    yield golden_rows(dataset)
    generator = np.random.default_rng(0)
    for count in BATCHES:
        yield hard_rows(dataset, count, generator)


def _masks(experts: int, rows: int) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Leave nothing out, then one expert, then a different one in each row."""
    yield {}
    if experts > 1:
        one_out = np.ones(experts, dtype=np.float32)
        one_out[0] = 0.0
        yield {"expert_mask": one_out}
        turn = 1.0 - np.eye(experts, dtype=np.float32)[np.arange(rows) % experts]
        yield {"row_expert_mask": turn[:, None, :]}


def _torch(module: ServingModule, rows: RawRows, masks: dict[str, NDArray[np.float32]]) -> Answers:
    return module.answer(rows.numeric, rows.codes, **masks)


def _distance(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Compute the largest difference in shares of max(1, |expected|).

    Infinite for NaN or another shape.
    """
    if got.shape != expected.shape:
        return math.inf
    with np.errstate(invalid="ignore"):  # infinity less infinity
        largest = float(np.max(np.abs(got - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0))
    return math.inf if math.isnan(largest) else largest


def _runtime(model: bytes) -> Any:
    """Load the file twice, as it is and with its masks as inputs.

    Returns a function of raw rows and masks.
    """
    plain, masked = _session(model), _session(with_mask_inputs(model))
    names = [output.name for output in plain.get_outputs()]
    inputs = {value.name for value in plain.get_inputs()}
    ones = {value.name: value.shape for value in masked.get_inputs() if value.name not in inputs}

    def run(rows: RawRows, masks: dict[str, NDArray[np.float32]]) -> Answers:
        feeds = {"numeric": rows.numeric, "categorical": rows.text}
        feeds = {name: value for name, value in feeds.items() if name in inputs}
        if masks:
            free = {name: [size if isinstance(size, int) else 1 for size in shape] for name, shape in ones.items()}
            feeds |= {name: np.ones(shape, np.float32) for name, shape in free.items()} | masks
        answers = (masked if masks else plain).run(names, feeds)
        return dict(zip(names, answers, strict=True))

    return run


def _session(model: bytes) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # must be set before the import
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
