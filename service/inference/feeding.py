"""Feeding of sessions that do not hold the large parts of their model."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from service.artifact.manifest import CATEGORICAL
from service.inference.lean_model import LeanModel
from service.inference.session import open_session
from service.inference.vocabulary import StringCodes

if TYPE_CHECKING:
    from service.inference.answer import Floats


class Runnable(Protocol):
    """Session of onnxruntime, as far as it is used."""

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]], /) -> "list[Floats]":
        """Compute the named outputs; all by default."""


class Feeder:
    """Inputs of every run of a lean model beside its rows; for several threads at once."""

    def __init__(self, lean: LeanModel, threads: int) -> None:
        self._tables, self._unread = dict(lean.tables), lean.unread
        self._of_columns = [
            (one.codes, one.columns, StringCodes(one.vocabulary, one.prefixes, one.default))
            for one in lean.lookups
            if one.prefixes is not None
        ]
        self._of_texts = [
            (one.codes, StringCodes(one.vocabulary, ("",), one.default)) for one in lean.lookups if one.prefixes is None
        ]
        self._texts = None if lean.texts is None else open_session(lean.texts, threads)
        self._read_by_texts = [] if self._texts is None else [value.name for value in self._texts.get_inputs()]

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the inputs of a session for these of the file."""
        fed = {**inputs, **self._tables}
        for codes, columns, strings in self._of_columns:
            texts = inputs[CATEGORICAL]
            fed[codes] = strings.of(texts if columns is None else texts[:, columns])
        if self._texts is not None:
            computed = self._texts.run(None, {name: inputs[name] for name in self._read_by_texts})
            for (codes, strings), found in zip(self._of_texts, computed, strict=True):
                fed[codes] = strings.of(found)
        for name in self._unread:
            del fed[name]
        return fed


class FedSession:
    """Session of a lean model that takes the inputs of the file."""

    def __init__(self, session: Runnable, feeder: Feeder) -> None:
        self._session, self._feed = session, feeder.feed

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]], /) -> "list[Floats]":
        """Compute the named outputs; all by default."""
        return self._session.run(names, self._feed(inputs))
