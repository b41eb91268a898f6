"""The JSON bodies of `:predict` and `:gates` -> batches.

Lists of numbers take the fast path of numbers.py. What that does not take goes through orjson and
features.py, which know what is wrong and say it.
"""

import re
from collections.abc import Set
from typing import Any

import orjson

from service.errors import MalformedRequest
from service.http.codecs.keys import keyed
from service.http.codecs.numbers import NumberParser
from service.inference.features import Batch, FeatureReader
from service.inference.lenient import Notes
from service.system.quoting import quote

EXPECTED = 'JSON such as {"instances": [{"feature": 1.5}]} for rows, or {"inputs": {"feature": [1.5]}} for columns'
_KNOWN = frozenset({"instances", "inputs", "lenient", "signature_name"})
"""TensorFlow Serving's clients may send the last one; there is one signature here."""

Parsed = tuple[Batch, bool, Notes | None]
"""Rows, whether they came as columns, and notes. A plain tuple, for there is one per request."""

PREDICT_OPTIONS = frozenset({"keys"})


class RowParser:
    """Reader of the bodies of one model's requests.

    Args:
        reader: of the model.
        numbers: shared by the models of the process.
    """

    def __init__(self, reader: FeatureReader, numbers: NumberParser) -> None:
        self._reader = reader
        self._numbers = numbers
        self._width = reader.numeric if not reader.categorical and not reader.datetime else 0

    def parse(self, body: bytes) -> Parsed:
        """Return the rows of a body, whether they came as columns, and the notes on them.

        There are notes where the body is to be read leniently.

        Raises:
            MalformedRequest: not JSON, or not of one of the two forms.
            InvalidFeatures: rows or features are wrong.
            RequestTooLarge: too many rows.
        """
        return self.parse_numbers(body) or self.parse_objects(body)

    def parse_numbers(self, body: bytes) -> Parsed | None:
        """Do what `parse` does with arrays of numbers alone, on the event loop's thread.

        None for other bodies.
        """
        if self._width:
            numeric = self._numbers.instances(body, self._width)
            if numeric is not None:
                self._reader.check_rows(len(numeric))
                return Batch(numeric, None, len(numeric), complete=True), False, None
        return None

    def parse_objects(self, body: bytes) -> Parsed:
        """Do what `parse` does with any body, on any thread."""
        document = load_object(body, EXPECTED)
        batch, notes = self.read(document, PREDICT_OPTIONS)
        if (keys := document.get("keys")) is not None:
            batch = keyed(batch, keys)
        return batch, document.get("inputs") is not None, notes

    def read(self, document: dict[str, Any], options: Set[str] = frozenset()) -> tuple[Batch, Notes | None]:
        """Return the rows of a parsed body, which may hold `options` beside them, and notes.

        Raises:
            MalformedRequest: not of one of the two forms.
            InvalidFeatures: rows or features are wrong.
            RequestTooLarge: too many rows.
        """
        if strangers := document.keys() - options - _KNOWN:
            raise MalformedRequest(f"the body has an unknown key {quote(min(strangers))}", EXPECTED)
        instances, inputs = document.get("instances"), document.get("inputs")  # null is absent
        if (instances is None) == (inputs is None):
            both = "both" if inputs is not None else "neither"
            raise MalformedRequest(
                f'the body has {both} "instances" {"and" if both == "both" else "nor"} "inputs"', EXPECTED
            )
        if document.get("lenient") is not None and _is_lenient(document["lenient"]):
            return self._read_leniently(instances, inputs)
        if inputs is not None:
            return self._reader.from_inputs(inputs), None
        return self._reader.from_instances(instances), None

    def _read_leniently(self, instances: object, inputs: object) -> tuple[Batch, Notes]:
        notes, lenience = Notes(), self._reader.lenience
        if inputs is not None:
            return self._reader.from_inputs(lenience.columns(inputs, notes)), notes
        if type(instances) is list:
            self._reader.check_rows(len(instances))
        return self._reader.from_instances(lenience.rows(instances, notes)), notes


def _is_lenient(value: object) -> bool:
    if type(value) is not bool:
        raise MalformedRequest(f'"lenient" is {quote(value)}', "true or false")
    return value


def as_integer(value: object) -> object:
    """Return 3 for 3.0, which JSON Schema calls an integer too; anything else as it is."""
    return int(value) if type(value) is float and value.is_integer() else value


_NO_JSON = re.compile(r"\b(NaN|nan|Infinity|None|undefined)\b")
_NEAR = 20
"""Characters around an error that may tell of its cause."""


def load_object(body: bytes, expected: str) -> dict[str, Any]:
    """Parse a body that must be a JSON object.

    Raises:
        MalformedRequest: it is none; NaN, Infinity and numbers beyond a double, such as 1e999, are
            no JSON.
    """
    if not body:
        raise MalformedRequest("the body is empty", expected)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        at = error.doc[max(error.pos - _NEAR, 0) : error.pos + _NEAR]
        sentence = f"{expected}; a missing value is null" if _NO_JSON.search(at) else expected
        raise MalformedRequest(f"the body is not JSON: {error}", sentence) from None
    if type(document) is not dict:
        raise MalformedRequest(f"the body is {_kind(document)}", expected)
    return document


def _kind(document: object) -> str:
    return {list: "an array", str: "a string", type(None): "null", bool: "a boolean"}.get(type(document), "a number")
