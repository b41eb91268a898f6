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
from service.system.quoting import quote

EXPECTED = 'JSON such as {"instances": [{"feature": 1.5}]} for rows, or {"inputs": {"feature": [1.5]}} for columns'
IGNORED_KEYS = frozenset({"signature_name"})
"""TensorFlow Serving's clients may send this one; there is one signature here."""

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

    def parse(self, body: bytes) -> tuple[Batch, bool]:
        """Return the rows of a body, and whether they came as columns.

        Raises:
            MalformedRequest: not JSON, or not of one of the two forms.
            InvalidFeatures: rows or features are wrong.
            RequestTooLarge: too many rows.
        """
        return self.parse_numbers(body) or self.parse_objects(body)

    def parse_numbers(self, body: bytes) -> tuple[Batch, bool] | None:
        """Do what `parse` does with arrays of numbers alone, on the event loop's thread.

        None for other bodies.
        """
        if self._width:
            numeric = self._numbers.instances(body, self._width)
            if numeric is not None:
                self._reader.check_rows(len(numeric))
                return Batch(numeric, None, len(numeric), complete=True), False
        return None

    def parse_objects(self, body: bytes) -> tuple[Batch, bool]:
        """Do what `parse` does with any body, on any thread."""
        document = load_object(body, EXPECTED)
        batch = self.read(document, PREDICT_OPTIONS)
        if (keys := document.get("keys")) is not None:
            batch = keyed(batch, keys)
        return batch, document.get("inputs") is not None

    def read(self, document: dict[str, Any], options: Set[str] = frozenset()) -> Batch:
        """Return the rows of a parsed body, which may hold `options` beside them.

        Raises:
            MalformedRequest: not of one of the two forms.
            InvalidFeatures: rows or features are wrong.
            RequestTooLarge: too many rows.
        """
        if strangers := document.keys() - options - IGNORED_KEYS - {"instances", "inputs"}:
            raise MalformedRequest(f"the body has an unknown key {quote(min(strangers))}", EXPECTED)
        instances, inputs = document.get("instances"), document.get("inputs")  # null is absent
        if (instances is None) == (inputs is None):
            both = "both" if inputs is not None else "neither"
            raise MalformedRequest(
                f'the body has {both} "instances" {"and" if both == "both" else "nor"} "inputs"', EXPECTED
            )
        if inputs is not None:
            return self._reader.from_inputs(inputs)
        return self._reader.from_instances(instances)


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
