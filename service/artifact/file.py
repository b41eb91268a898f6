"""Model file: its manifest and its graph, checked against each other before anything is run."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.entries import MISSING_TIME
from service.artifact.manifest import (
    CATEGORICAL,
    DATETIME,
    EXPERT_MASK,
    NUMERIC,
    ROW_EXPERT_MASK,
    Manifest,
    names_of,
    parse_manifest,
)
from service.artifact.protobuf import Interface, Tensor, holds_external_data, interface, metadata
from service.errors import ArtifactError
from service.system.files import OutsideError, open_beneath, parts_of_descriptor, read_descriptor
from service.system.quoting import listed, quote

MANIFEST_KEY = "mmoe.manifest"
MAX_MODEL_BYTES = (2 << 30) - 1
"""Protobuf's own limit of one message."""
_NOT_OF_THE_FILE = {
    errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT
}  # fmt: skip
"""Numbers of errors that pass though the file stays the same."""


def check_graph(manifest: Manifest, graph: Interface) -> None:
    """Check that a graph has the inputs, masks and outputs that its manifest promises.

    Masks are initializers, and in files of the first schema version also optional inputs.

    Raises:
        ArtifactError: a tensor is missing, unexpected, of another type or of another shape.
    """
    all_masks = (EXPERT_MASK, ROW_EXPERT_MASK) if manifest.has_gates else ()
    masks = all_masks if graph.optional else ()
    for what, tensors, names, shape in (
        ("input", graph.inputs, manifest.inputs, manifest.input_shape),
        ("optional input", graph.optional, masks, manifest.input_shape),
        ("output", graph.outputs, manifest.outputs, manifest.output_shape),
    ):
        by_name = {tensor.name: tensor for tensor in tensors}
        if set(by_name) != set(names):
            raise ArtifactError(f"The graph's {what}s are {names_of(by_name)}; its manifest promises {names_of(names)}")
        for name in names:
            _check_tensor(what, by_name[name], shape(name, 0))
    if not masks:
        _check_constant_masks(all_masks, manifest, graph.constants)


def _check_constant_masks(names: Sequence[str], manifest: Manifest, constants: Sequence[Tensor]) -> None:
    by_name = {tensor.name: tensor for tensor in constants}
    for name in names:
        expected = Tensor(name, "float", manifest.input_shape(name, 1))
        if name not in by_name:
            raise ArtifactError(f"The graph has no mask {quote(name)}; its manifest promises gates")
        if (came := by_name[name]) != expected:
            raise ArtifactError(
                f"The mask {quote(name)} is of type {came.type} and shape {list(came.shape)}; "
                f"its manifest promises {expected.type} and {list(expected.shape)}"
            )


def check_tasks(manifest: Manifest, allowed: frozenset[str] | None) -> None:
    """Check that a model has just the tasks that its name is pinned to; None allows any.

    Raises:
        ArtifactError: a task is missing or unexpected.
    """
    if allowed is not None and allowed != set(manifest.task_names):
        raise ArtifactError(
            f"Its tasks are {listed(sorted(manifest.task_names))}; pinned are {listed(sorted(allowed))}",
            "Export a model of these tasks, or change MMOE_PINNED_TASKS",
        )


def golden_inputs(manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Return the golden rows as the graph's inputs; a missing number is NaN."""
    golden = manifest.golden
    inputs: dict[str, NDArray[Any]] = {}
    if golden.numeric:
        inputs[NUMERIC] = np.array(golden.numeric, np.float32)
    if golden.categorical:
        inputs[CATEGORICAL] = np.array(golden.categorical, np.object_)
    if golden.datetime:
        rows = [[MISSING_TIME if moment is None else moment for moment in row] for row in golden.datetime]
        inputs[DATETIME] = np.array(rows, np.int64)
    return inputs


def read_model(path: Path, max_bytes: int = MAX_MODEL_BYTES) -> tuple[bytes, Manifest]:
    """Read a model file and its manifest, checked against each other, without running anything.

    Args:
        path: <directory of models>/<name>/<version>/<file>; what lies outside of that directory,
            links followed, is not read, even if a link changes meanwhile.
        max_bytes: of the file.

    Raises:
        ArtifactError: unreadable, empty, too large, truncated, with external data, without a valid
            manifest, or with a graph that does not fit it.
        OSError: the system cannot read it now.
    """
    model = read_bytes(path, max_bytes)
    text = metadata(model).get(MANIFEST_KEY)
    if text is None:
        raise ArtifactError(f"The file has no metadata {quote(MANIFEST_KEY)}", "Export it with this project's exporter")
    if holds_external_data(model):
        raise ArtifactError("The file keeps weights in another file", "Export it with the weights inline")
    manifest = parse_manifest(text)
    check_graph(manifest, interface(model))
    return model, manifest


def outside() -> ArtifactError:
    """Return the error of a file that is not in the directory of models."""
    return ArtifactError(
        "The file lies outside of the directory of models, behind a link", "Copy it into the directory"
    )


def read_bytes(path: Path, max_bytes: int = MAX_MODEL_BYTES) -> bytes:
    """Read a model file as it is.

    Raises:
        ArtifactError: it cannot be read, is empty, or too large; arguments and limits are those of
            `read_model`.
        OSError: the system cannot read it now.
    """
    with _as_faults(max_bytes):
        model = read_descriptor(_open(path), max_bytes)
    if not model:
        raise _empty(max_bytes)
    return model


def read_parts(path: Path, max_bytes: int = MAX_MODEL_BYTES) -> Iterator[bytes]:
    """Read a model file like `read_bytes`, a part at a time."""
    with _as_faults(max_bytes):
        parts = parts_of_descriptor(_open(path), max_bytes)
    is_empty = True
    while True:
        with _as_faults(max_bytes):
            part = next(parts, b"")
        if not part:
            break
        is_empty = False
        yield part
    if is_empty:
        raise _empty(max_bytes)


def _open(path: Path) -> int:
    path = path.absolute()
    root = path.parents[min(2, len(path.parents) - 1)]
    return open_beneath(root, path.relative_to(root))


@contextmanager
def _as_faults(max_bytes: int) -> Iterator[None]:
    """Raise what lies in a file, and not in the system, as ArtifactError."""
    try:
        yield
    except OutsideError:
        raise outside() from None
    except OSError as error:
        if error.errno in _NOT_OF_THE_FILE:
            raise
        raise ArtifactError(f"The file cannot be read: {error.strerror}", "Check that it exists and its mode") from None
    except ValueError as error:
        raise ArtifactError(f"The file is too large: {error}; expected 1 to {max_bytes}") from None


def _empty(max_bytes: int) -> ArtifactError:
    return ArtifactError(f"The file has 0 bytes; expected 1 to {max_bytes}")


def _check_tensor(what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Compare a tensor with its promised shape; the axis of rows, if any, is free."""
    expected_type = {CATEGORICAL: "string", DATETIME: "int64"}.get(tensor.name, "float")
    if tensor.type != expected_type:
        raise ArtifactError(f"The {what} {quote(tensor.name)} is of type {tensor.type}; expected {expected_type}")
    came, first = list(tensor.shape), 0 if tensor.name == EXPERT_MASK else 1
    fits = len(came) == len(shape) and all(
        not isinstance(size, int) or size == promised
        for size, promised in zip(came[first:], shape[first:], strict=True)
    )
    if not fits or any(isinstance(size, int) for size in came[:first]):
        promised = ["rows", *shape[1:]] if first else list(shape)
        raise ArtifactError(f"The {what} {quote(tensor.name)} has shape {came}; its manifest promises {promised}")
