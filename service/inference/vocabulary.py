"""Vocabulary index: codes of many strings, looked up in arrays that all workers may map.

    starts[hash of a string's bytes] -> places in `offsets`, `codes` -> bytes in `pool`, compared

A lookup within onnxruntime takes 200 bytes of each session for each string.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

MOST_REMEMBERED = 4096
"""Codes that a column remembers; those of values that the vocabulary knows alone."""
_HASH_BITS = 32
_MANY_ROWS = 16
"""Rows from which columns are looked up one after the other, which takes half the time."""


class VocabularyIndex(NamedTuple):
    """Arrays of an index over n different strings, in the order of their hashes.

    Attributes:
        starts: uint32 (2^k + 1,), where the strings of each bucket begin; a bucket is the highest
            k bits of the hash.
        offsets: int64 (n + 1,), where each string begins in `pool`.
        pool: uint8, the strings in UTF-8.
        codes: int64 (n,).
    """

    starts: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    pool: NDArray[np.uint8]
    codes: NDArray[np.int64]

    @classmethod
    def build(cls, keys: Sequence[bytes], codes: NDArray[np.int64]) -> Self:
        """Index n >= 1 different strings with their codes."""
        bits = max(len(keys) - 1, 1).bit_length()
        hashes = np.fromiter(map(crc32, keys), np.uint32, len(keys))
        order = np.argsort(hashes, kind="stable")
        buckets = hashes[order] >> np.uint32(_HASH_BITS - bits)
        starts = np.searchsorted(buckets, np.arange((1 << bits) + 1, dtype=np.uint32)).astype(np.uint32)
        lengths = np.fromiter(map(len, keys), np.int64, len(keys))
        pool = np.frombuffer(b"".join(map(keys.__getitem__, order.tolist())), np.uint8)
        return cls(starts, np.concatenate([[0], np.cumsum(lengths[order])]), pool, codes[order])


class StringCodes:
    """Codes of strings as LabelEncoder gives them, from an index; for several threads at once.

    Args:
        index: of the known strings.
        prefixes: put before the strings of each column; one for all, or one for each.
        default: code of every other string.
    """

    def __init__(self, index: VocabularyIndex, prefixes: Sequence[str], default: int) -> None:
        self._columns = [_Column(index, prefix.encode(), default) for prefix in prefixes]

    def of(self, texts: NDArray[np.object_]) -> NDArray[np.int64]:
        """Return the code of each string, in the same shape; columns are the last axis."""
        values: list[str] = texts.ravel().tolist()
        columns = self._columns
        if len(columns) == 1:
            return np.fromiter(map(columns[0].__getitem__, values), np.int64, len(values)).reshape(texts.shape)
        if len(texts) < _MANY_ROWS:
            found = [column[value] for column, value in zip(itertools.cycle(columns), values, strict=False)]
            return np.array(found, np.int64).reshape(texts.shape)
        codes = np.empty(texts.shape, np.int64)
        for place, column in enumerate(columns):
            of_column = values[place :: len(columns)]
            codes[:, place] = np.fromiter(map(column.__getitem__, of_column), np.int64, len(of_column))
        return codes


class _Column(dict[str, int]):
    """Codes of one column's strings: those looked up before, and the index for all others."""

    def __init__(self, index: VocabularyIndex, prefix: bytes, default: int) -> None:
        super().__init__()
        self._starts, self._offsets = index.starts.data, index.offsets.data
        self._pool, self._codes = index.pool.data, index.codes.data
        self._shift = _HASH_BITS - (len(index.starts) - 1).bit_length() + 1
        self._prefix, self._default = prefix, default

    def __missing__(self, value: str) -> int:
        key = self._prefix + value.encode("utf-8", "surrogatepass")
        bucket = crc32(key) >> self._shift
        for place in range(self._starts[bucket], self._starts[bucket + 1]):
            if self._pool[self._offsets[place] : self._offsets[place + 1]] == key:
                if len(self) >= MOST_REMEMBERED:
                    self.clear()
                code = self[value] = self._codes[place]
                return code
        return self._default
