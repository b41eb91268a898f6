"""Metadata of a model, as its manifest tells it (docs/artifact.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self


@dataclass(frozen=True)
class Feature:
    """Feature of a model.

    Attributes:
        kind: "numeric", "categorical", "hashed", "bag" or "datetime".
        vocabulary: known values of a category or a bag; empty for other kinds.
        facts: the manifest's entry.
    """

    name: str
    kind: str
    vocabulary: tuple[str, ...]
    facts: Mapping[str, Any]

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the vocabulary as a set."""
        return frozenset(self.vocabulary)


@dataclass(frozen=True)
class Task:
    """Task of a model.

    Attributes:
        kind: "regression", "binary" or "multiclass".
        classes: negative and positive of a binary task, K of a multiclass one, none of a
            regression.
        metrics: of the test rows of its training.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Metadata:
    """Model of a name and version.

    Attributes:
        features: in the order of a row sent as a list.
        tasks: in the order of axis T of gate weights.
        experts: E; 0 without gates.
        manifest: everything.
    """

    model: str
    features: tuple[Feature, ...]
    tasks: tuple[Task, ...]
    experts: int
    manifest: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self:
        """Read a manifest."""
        return cls(
            str(manifest["name"]),
            tuple(
                Feature(entry["name"], entry["kind"], tuple(entry.get("vocabulary") or ()), entry)
                for entry in manifest["features"]
            ),
            tuple(
                Task(entry["name"], entry["kind"], tuple(entry.get("classes") or ()), entry.get("metrics") or {})
                for entry in manifest["tasks"]
            ),
            int(manifest["experts"]),
            manifest,
        )

    @property
    def names(self) -> Sequence[str]:
        """List the features' names in order."""
        return [feature.name for feature in self.features]
