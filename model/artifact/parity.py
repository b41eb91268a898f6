"""Parity check: raw rows through torch and through onnxruntime, answers compared."""

import copy
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.graph import with_mask_inputs
from model.artifact.raw_rows import RawRows
from model.artifact.serving_module import Answers, ServingModule
from model.errors import ExportError
from model.network.inputs import inputs_of
from model.schema import Cells, Dataset, Rows

TOLERANCE = 1e-5
"""Distance at which an answer may lie from torch's, as a share of max(1, |answer|)."""

LARGEST_TOLERANCE = 1e-3
"""Above this, arithmetic in float32 loses too much of the network for the file to be trusted."""

BATCHES = (1, 2, 33)


def golden_rows(dataset: Dataset, plain: int = 3) -> RawRows:
    """Take a few rows of the test split, with edge cases among them.

    Some are as they are, one is half empty, one empty, one of unknown texts.
    """
    features, source = dataset.features, rows_with_text(dataset)
    texts = len(features.texts)
    rows = RawRows.take(source, np.linspace(0, len(source) - 1, plain + 2 + (texts > 0)).astype(np.int64))
    missing = np.zeros((len(rows), len(features.names)), dtype=bool)
    missing[plain, ::2] = True
    missing[plain + 1] = True
    rows.make_missing(missing, features)
    unknown = np.zeros((len(rows), texts), dtype=bool)
    unknown[plain + 2 :] = True
    rows.make_unknown(unknown, features)
    return rows


def hard_rows(dataset: Dataset, count: int, generator: np.random.Generator) -> RawRows:
    """Draw rows of the test split with gaps.

    A tenth of their values are missing, and a tenth of their texts unknown.
    """
    features, source = dataset.features, rows_with_text(dataset)
    rows = RawRows.take(source, generator.integers(len(source), size=count))
    rows.make_unknown(generator.random(rows.text.shape) < 0.1, features)
    rows.make_missing(generator.random((count, len(features.names))) < 0.1, features)
    return rows


def empty_rows(dataset: Dataset, count: int) -> RawRows:
    """Take rows of which every value is missing, so that no bag has a value."""
    rows = RawRows.take(rows_with_text(dataset), np.zeros(count, np.int64))
    rows.make_missing(np.ones((count, len(dataset.features.names)), dtype=bool), dataset.features)
    return rows


def rows_with_text(dataset: Dataset) -> Rows:
    """Return the test split, or a sample of it where it comes without its text."""
    return dataset.test if dataset.sample is None else dataset.sample


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
        expected = exact.answer(rows.inputs())
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
    got = _runtime(model)(RawRows(cells.numeric, cells.text, cells.read_codes, (), cells.datetimes), {})
    labels = np.empty((len(cells.row_numbers), 0))
    read = Rows(cells.read_numeric, cells.read_codes, labels, cells.text, cells.read_bags, cells.datetimes)
    for name, expected in module.answer(inputs_of(read)).items():
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
        if dataset.features.bags:
            yield empty_rows(dataset, count)


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
    return module.answer(rows.inputs(), **masks)


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
    plain, masked = session_of(model), session_of(with_mask_inputs(model))
    names = [output.name for output in plain.get_outputs()]
    inputs = {value.name for value in plain.get_inputs()}
    ones = {value.name: value.shape for value in masked.get_inputs() if value.name not in inputs}

    def run(rows: RawRows, masks: dict[str, NDArray[np.float32]]) -> Answers:
        feeds: dict[str, Any] = {"numeric": rows.numeric, "categorical": rows.text, "datetime": rows.datetimes}
        feeds = {name: value for name, value in feeds.items() if name in inputs}
        if masks:
            free = {name: [size if isinstance(size, int) else 1 for size in shape] for name, shape in ones.items()}
            feeds |= {name: np.ones(shape, np.float32) for name, shape in free.items()} | masks
        answers = (masked if masks else plain).run(names, feeds)
        return dict(zip(names, answers, strict=True))

    return run


def session_of(model: bytes) -> Any:
    """Load a file into onnxruntime, on one thread."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # must be set before the import
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
