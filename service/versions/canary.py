"""Split of a model's requests between the served version and its canary.

A request's key lies at a point from 0 to 1 that depends on the key and the model's name alone. It
goes to the canary where the point is below the canary's share: on all workers and replicas, and
still so when the share grows.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from service.artifact.entries import BagFeature
from service.artifact.manifest import Manifest
from service.system.quoting import quotes
from service.versions.states import ModelState


class Split(NamedTuple):
    """Split of the requests for one model.

    Attributes:
        model: its name.
        version: of the canary.
        share: of the requests that go to it.
    """

    model: str
    version: int
    share: float

    def takes(self, key: bytes) -> bool:
        """Tell whether the canary answers requests of this key."""
        return point(self.model, key) < self.share


def point(model: str, key: bytes) -> float:
    """Return where a key lies, from 0 to under 1.

    The first 48 bits of SHA-256 over the model's name, a zero byte and the key, as a fraction.
    """
    return int.from_bytes(hashlib.sha256(b"%b\0%b" % (model.encode(), key)).digest()[:6]) / 2**48


def splits(models: Iterable[ModelState], default: str | None) -> dict[str | None, Split]:
    """Return the splits by model; None stands for the default model."""
    found: dict[str | None, Split] = {
        state.name: Split(state.name, state.canary.version, state.canary.share)
        for state in models
        if state.canary is not None
    }
    return found | ({None: found[default]} if default in found else {})


def unfit(served: tuple[int, Manifest], canary: tuple[int, Manifest]) -> str | None:
    """Return why a version cannot answer in place of the served one, if so.

    It must take the very same rows, also where features go by their place, and answer all that the
    served one does.
    """
    (number, ours), (_, theirs) = served, canary
    if _features(ours) != _features(theirs):
        return f"it takes other features than version {number}, or in another order"
    missing = [task for task, form in _answers(ours).items() if _answers(theirs).get(task) != form]
    if missing:
        return f"it does not answer {quotes(missing)} as version {number} does"
    return None


def _features(manifest: Manifest) -> list[tuple[str, ...]]:
    """List the features in order: what each is, and what its cells are joined by."""
    return [
        (feature.kind, feature.name, feature.separator if isinstance(feature, BagFeature) else "")
        for feature in manifest.features
    ]


def _answers(manifest: Manifest) -> dict[str, object]:
    """Return what tells the form of each output: kind and classes of a task."""
    found: dict[str, object] = {task.name: (task.kind, task.classes) for task in manifest.tasks}
    found |= {name: "conditional" for name in manifest.predicted if name not in found}
    return found | ({"gate_weights": ()} if manifest.has_gates else {})
