"""Answers -> JSON bytes. Numbers print as the shortest text that reads back as the same float32.

A run's arrays are written once for all requests that share it: one array of text per output, cut
at the brackets between rows and put into a template that was made when the model was loaded. That
is a third faster than one JSON document per request, and what does not depend on the rows is never
written again.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import Response
from numpy.typing import NDArray

from service.artifact.manifest import Manifest
from service.inference.answer import Answer, RunSlice

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def dumps(value: object) -> bytes:
    """Write JSON; arrays of numpy too, which must hold neither NaN nor infinity.

    For those orjson would write null.
    """
    return orjson.dumps(value, option=_NUMPY)


def with_members(document: bytes, members: dict[str, Any]) -> bytes:
    """Add members to the end of a JSON object that is written and has others."""
    return document[:-1] + b"," + dumps(members)[1:]


class JsonAnswer(Response):
    """Answer of JSON, written as it is: nothing is checked or copied."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the body."""
        return dumps(content)


class Renderer:
    """Renderer of the answers of one model version.

    Args:
        name: under which it is served.
        version: of the model.
        manifest: of the model.
    """

    def __init__(self, name: str, version: int, manifest: Manifest) -> None:
        head = dumps({"model": name, "version": version})[:-1]
        self._rows_head, self._columns_head = head + b',"predictions":[', head + b',"outputs":'
        self._predicted, self._task_names = manifest.predicted, manifest.task_names
        self._row = _row_template(manifest)

    def rows(self, part: RunSlice) -> bytes:
        """Write the body that answers rows."""
        run = part.run
        if run.rendered is None:
            # For a single row the template would cost more than it saves.
            alone = len(part) == 1 and run.rows == 1
            run.rendered = [self._render_one(run.answer)] if alone else list(self._render(run.answer))
        return b"".join((self._rows_head, b",".join(run.rendered[part.start : part.stop]), b"]}"))

    def columns(self, part: RunSlice) -> bytes:
        """Write the body that answers columns."""
        answer = part.answer()
        gate_weights = None
        if answer.gate_weights is not None:
            gate_weights = {
                name: np.ascontiguousarray(answer.gate_weights[:, t]) for t, name in enumerate(self._task_names)
            }
        return self._columns_head + dumps({"tasks": answer.tasks, "gate_weights": gate_weights}) + b"}"

    def _render_one(self, answer: Answer) -> bytes:
        """Write the only row of a run."""
        weights = answer.gate_weights
        tasks = dict(zip(self._predicted, [values[0] for values in answer.tasks.values()], strict=True))
        gates = None if weights is None else dict(zip(self._task_names, weights[0], strict=True))
        return orjson.dumps({"tasks": tasks, "gate_weights": gates}, option=_NUMPY)

    def _render(self, answer: Answer) -> Iterator[bytes]:
        """Write every row of a run: {"tasks": {...}, "gate_weights": {...}}."""
        columns: list[Iterable[bytes]] = [_texts(answer.tasks[name]) for name in self._predicted]
        if answer.gate_weights is not None:
            rows, tasks, experts = answer.gate_weights.shape
            weights = _texts(answer.gate_weights.reshape(rows * tasks, experts))
            columns += [weights[t::tasks] for t in range(tasks)]
        return map(self._row.__mod__, zip(*columns, strict=True))


def _texts(values: NDArray[np.float32]) -> Sequence[bytes]:
    """Write each number of (B,), or the numbers of each row of (B, K) without their brackets."""
    text = dumps(values)
    return text[1:-1].split(b",") if values.ndim == 1 else text[2:-2].split(b"],[")


def _row_template(manifest: Manifest) -> bytes:
    """Return the text of one row with a place for each task's value and each gate's weights."""
    widths = [manifest.output_shape(name, 1)[1:] for name in manifest.predicted]
    tasks = [(_key(name), b"[%b]" if width else b"%b") for name, width in zip(manifest.predicted, widths, strict=True)]
    gates = b"null"
    if manifest.has_gates:
        gates = b"{%s}" % b",".join(_key(name) + b":[%b]" for name in manifest.task_names)
    return b'{"tasks":{%s},"gate_weights":%s}' % (b",".join(name + b":" + place for name, place in tasks), gates)


def _key(name: str) -> bytes:
    return dumps(name).replace(b"%", b"%%")
