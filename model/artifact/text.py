"""Text side of the artifact's graph: values of the tensor `categorical` become codes.

    categorical -> prefix by column -> LabelEncoder --------------------------. (C)
                -> MurmurHash3, modulo buckets; LabelEncoder of markers -> Min -+-> /codes
                -> a bag: StringSplit -> LabelEncoder, or as above -----------> /bag_0 ...

Nothing but hashing needs more than standard ONNX.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from model.schema import FIRST_VALUE, MISSING, UNKNOWN, BagFeature, CategoricalFeature, FeatureSchema, HashedFeature

MICROSOFT = "com.microsoft"
"""Domain of the one operator that is not standard: the hash."""

NO_MARKER = np.iinfo(np.int64).max
"""Code that a text has beside its bucket's unless it is a marker; the lower one counts."""

Codes = dict[str, int]


def hashes(features: FeatureSchema) -> bool:
    """Check whether any feature hashes its values."""
    return bool(features.hashed) or any(feature.buckets for feature in features.bags)


def lookup_table(features: FeatureSchema, missing_values: Sequence[str] = ()) -> list[Codes]:
    """Return the code of every known text by categorical feature; all others are unknown."""
    return [known_codes(feature, missing_values) for feature in features.categorical]


def known_codes(feature: CategoricalFeature | BagFeature, missing_values: Sequence[str] = ()) -> Codes:
    """Return the code of every known value of a feature with a vocabulary."""
    codes = dict.fromkeys(("", *missing_values), MISSING)
    codes |= {value: code for code, value in enumerate(feature.vocabulary, start=FIRST_VALUE)}
    spellings = feature.spellings if isinstance(feature, CategoricalFeature) else ()
    return codes | {given: codes[value] for given, value in spellings if given not in codes}


class TextLookup:
    """Nodes and constants that turn the columns of `categorical` into codes.

    Args:
        features: of the model.
        missing_values: texts that mean "no value" besides the empty one.
        internal: start of every name that is made.
    """

    def __init__(self, features: FeatureSchema, missing_values: Sequence[str], internal: str) -> None:
        self._features, self._internal = features, internal
        self._markers = dict.fromkeys(("", *missing_values), MISSING)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._add_single()
        first = len(features.single)
        for bag, feature in enumerate(features.bags):
            self._add_bag(f"bag_{bag}", feature, first + bag)

    def insert_into(self, graph: onnx.GraphProto) -> None:
        """Insert the nodes before the first one of a graph that reads /codes, /bag_0, ..."""
        rest = list(graph.node)
        del graph.node[:]
        graph.node.extend([*self._nodes, *rest])
        graph.initializer.extend(self._constants)

    def _add_single(self) -> None:
        """Encode the columns of one value a cell: int64 /codes (B, C + H)."""
        categories, ids = len(self._features.categorical), len(self._features.hashed)
        parts = []
        if categories:
            texts = self._columns("category_texts", np.arange(categories))
            parts.append(self._look_up_categories(texts, "category_codes" if ids else "codes"))
        if ids:
            texts = self._columns("id_texts", np.arange(categories, categories + ids))
            parts.append(self._hash(texts, "id_codes" if categories else "codes", self._features.hashed))
        if len(parts) > 1:
            self._add("Concat", parts, "codes", axis=1)

    def _look_up_categories(self, texts: str, codes: str) -> str:
        """Look up all categories together.

        The prefixes keep equal values of different columns apart; no prefix begins another one. A
        value that is in no table gets the lookup's default, which is the code of an unknown value.
        """
        tables = lookup_table(self._features, list(self._markers))
        prefixes = [f"{index}:" for index in range(len(tables))]
        joined = {p + value: code for p, table in zip(prefixes, tables, strict=True) for value, code in table.items()}
        prefixed = self._add("StringConcat", [self._texts("category_prefixes", prefixes), texts], "prefixed")
        return self._label(prefixed, codes, joined, UNKNOWN)

    def _add_bag(self, name: str, feature: BagFeature, column: int) -> None:
        """Encode a bag: int64 (B, L), L at least 1.

        Each cell gets a separator behind it. So there is a last value "" in every cell, also in a
        batch of empty ones, and like those between two separators it has the code of MISSING.
        """
        cell = self._columns(f"{name}_texts", np.array(column))  # (B,)
        ended = self._add("StringConcat", [cell, self._texts(f"{name}_end", [feature.separator])], f"{name}_ended")
        values = self._add("StringSplit", [ended], f"{name}_values", f"{name}_lengths", delimiter=feature.separator)
        if feature.buckets:
            self._hash(values, name, (feature,))
        else:
            self._label(values, name, known_codes(feature, list(self._markers)), UNKNOWN)

    def _hash(self, texts: str, codes: str, features: Sequence[HashedFeature | BagFeature]) -> str:
        """Encode texts as markers of a missing value, or as buckets of one feature a column."""
        (seed,) = {feature.seed for feature in features}
        hashed = self._add("MurmurHash3", [texts], f"{codes}_hash", domain=MICROSOFT, positive=1, seed=seed)
        buckets = self._constant(f"{codes}_buckets", np.array([f.buckets for f in features], np.uint32))
        bucket = self._add("Mod", [hashed, buckets], f"{codes}_bucket")
        number = self._add("Cast", [bucket], f"{codes}_number", to=onnx.TensorProto.INT64)
        first = self._constant(f"{codes}_first", np.array(FIRST_VALUE, np.int64))
        code = self._add("Add", [number, first], f"{codes}_of_bucket")
        marker = self._label(texts, f"{codes}_of_marker", self._markers, NO_MARKER)
        return self._add("Min", [code, marker], codes)

    def _label(self, texts: str, codes: str, known: Codes, default: int) -> str:
        return self._add(
            "LabelEncoder",
            [texts],
            codes,
            domain="ai.onnx.ml",
            keys_strings=list(known),
            values_int64s=list(known.values()),
            default_int64=default,
        )

    def _columns(self, name: str, columns: NDArray[np.int64]) -> str:
        """Take columns of `categorical` by number; the tensor itself if these are all."""
        if columns.ndim and len(columns) == len(self._features.texts):
            return "categorical"
        return self._add("Gather", ["categorical", self._constant(f"{name}_columns", columns)], name, axis=1)

    def _texts(self, name: str, values: Sequence[str]) -> str:
        return self._constant(name, np.array(values, dtype=object))

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._constants.append(numpy_helper.from_array(value, self._internal + name))
        return self._internal + name

    def _add(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: object) -> str:
        """Add a node of the same name as its first output, which is returned in full."""
        named = [self._internal + output for output in outputs]
        self._nodes.append(helper.make_node(kind, inputs, named, named[0], **attributes))  # type: ignore[arg-type]
        return named[0]
