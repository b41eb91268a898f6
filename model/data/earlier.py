"""Features and tasks of a version that a run goes on from: what its table is read by."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from model.config.run import Config
from model.data.kinds import Kind, names_by_kind
from model.data.remarks import Remarks
from model.schema import (
    BagFeature,
    CategoricalFeature,
    Dataset,
    DatetimeFeature,
    FeatureSchema,
    NumericFeature,
    Origin,
    Task,
)
from tables.errors import DataError

Scaled = TypeVar("Scaled", NumericFeature, DatetimeFeature)


@dataclass(frozen=True)
class Earlier:
    """Version that a run goes on from.

    Kinds, the order of features, codes, classes and statistics are its own; vocabularies grow, new
    values behind those that it knows.
    """

    origin: Origin
    features: FeatureSchema
    tasks: tuple[Task, ...]

    @property
    def digest(self) -> str:
        """Digest what codes and labels of rows depend on."""
        known = [(feature.name, getattr(feature, "vocabulary", ())) for feature in self.features.texts]
        spelt = [feature.spellings for feature in self.features.categorical]
        classes = [(task.name, task.classes) for task in self.tasks]
        return hashlib.sha256(repr((self.features.names, known, spelt, classes)).encode()).hexdigest()

    def configured(self, config: Config) -> Config:
        """Give the tasks the classes that the version has."""
        told = [
            task.model_copy(update={"classes": task.classes or known.classes})
            for task, known in zip(config.tasks, self.tasks, strict=True)
        ]
        return config.model_copy(update={"tasks": tuple(told)})

    def kinds(self, found: Mapping[str, Kind], config: Config, said: Remarks) -> dict[str, Kind]:
        """Take the version's features among the columns of a table, in its order.

        Columns that it does not read and the configuration does not name are left out.

        Args:
            found: kinds by column, declared or inferred.
            config: of the run.
            said: takes a remark on each column that is left out.

        Raises:
            DataError: for a feature that is absent or of another kind, and for a further one.
        """
        declared = {name for names in names_by_kind(config).values() for name in names}
        mine = self._kinds()
        for name in declared - mine.keys():
            raise DataError(
                f"features.{found[name]} names '{name}', which version {self.origin.version} does not read; take it "
                "out, or train afresh without --from"
            )
        for name, kind in mine.items():
            here = found.get(name)
            if here is None:
                raise DataError(
                    f"version {self.origin.version} reads the column '{name}', which is not a feature of this table; "
                    "add it, or train afresh without --from"
                )
            by_values = name not in declared and (kind, here) == ("categorical", "numeric")
            if here != kind and not by_values:  # categories may look like numbers
                raise DataError(
                    f"column '{name}' is {here}, and version {self.origin.version} reads it as {kind}; mend the values "
                    f"or name it in features.{kind}, or train afresh without --from"
                )
        for name in found.keys() - mine.keys():
            said.add(name, f"not a feature of version {self.origin.version}: left out")
        return mine

    def _kinds(self) -> dict[str, Kind]:
        features = self.features
        kinds: dict[Kind, tuple[str, ...]] = {
            "numeric": tuple(feature.name for feature in features.numeric),
            "categorical": tuple(feature.name for feature in features.categorical),
            "hashed": tuple(feature.name for feature in features.hashed),
            "bag": tuple(feature.name for feature in features.bags),
            "datetime": tuple(feature.name for feature in features.datetimes),
        }
        return {name: kind for kind, names in kinds.items() for name in names}

    def settle(self, dataset: Dataset, config: Config) -> Dataset:
        """Give a table that was read by this version its statistics, but for a refit."""
        features, notes = dataset.features, [self._growth(dataset.features)]
        numeric, stayed = self._scaled(self.features.numeric, features.numeric)
        datetimes, more = self._scaled(self.features.datetimes, features.datetimes)
        if stayed := stayed + more:
            notes.append(
                f"The statistics of {', '.join(stayed)} stay those of version {self.origin.version}: by the new ones "
                "the network would read another number of columns."
            )
        calibrated = {task.name for task in config.tasks if task.calibrate}
        return replace(
            dataset,
            features=replace(features, numeric=numeric, datetimes=datetimes),
            tasks=tuple(self._task(*pair, calibrated) for pair in zip(self.tasks, dataset.tasks, strict=True)),
            notes=(*notes, *dataset.notes),
        )

    def _scaled(self, known: tuple[Scaled, ...], found: tuple[Scaled, ...]) -> tuple[tuple[Scaled, ...], list[str]]:
        """Choose each feature's statistics; names those that could not be refitted."""
        if not self.origin.refit:
            return known, []
        fits = [_as_wide(old, new) for old, new in zip(known, found, strict=True)]
        chosen = tuple(new if fit else old for old, new, fit in zip(known, found, fits, strict=True))
        return chosen, [old.name for old, fit in zip(known, fits, strict=True) if not fit]

    def _task(self, known: Task, found: Task, calibrated: set[str]) -> Task:
        if known.name in calibrated:
            found = replace(found, slope=known.slope, intercept=known.intercept)
        return found if self.origin.refit else replace(found, mean=known.mean, std=known.std)

    def _growth(self, features: FeatureSchema) -> str:
        """Say how many values are new, of each embedding table once."""
        new = {}
        for old, feature in zip(self.features.texts, features.texts, strict=True):
            if isinstance(feature, CategoricalFeature | BagFeature) and not feature.table:
                new[feature.name] = feature.codes - old.codes
        grown = ", ".join(f"{count:,} of {name}" for name, count in new.items() if count)
        return f"Goes on from version {self.origin.version}; new values: {grown or 'none'}."


def _as_wide(old: NumericFeature | DatetimeFeature, new: NumericFeature | DatetimeFeature) -> bool:
    """Check whether a feature has a value, and by its new statistics as many encoded columns."""
    if new.missing_share == 1.0 or (old.missing_share > 0.0) != (new.missing_share > 0.0):
        return False
    return len(getattr(old, "bin_edges", ())) == len(getattr(new, "bin_edges", ()))
