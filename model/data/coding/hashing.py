"""MurmurHash3 (x86, 32 bits; Appleby, public domain) of many texts at once."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

Words = NDArray[np.uint32]

C1, C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)

TAILS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)
"""Masks of the bytes behind the last whole word, by their number."""

CHUNK_ROWS = 65_536
"""Texts that are hashed together: each of their bytes takes five of memory."""


def murmur3_32(texts: pl.Series, seed: int = 0) -> Words:
    """Hash the UTF-8 bytes of texts.

    Equal to `sklearn.utils.murmurhash3_32(bytes, seed, positive=True)`.

    Args:
        texts: String (R,), without null.
        seed: in [0, 2**32).

    Returns:
        uint32 (R,).
    """
    hashed: Words = murmur3_32_by_seeds(texts, (seed,))[0]
    return hashed


def murmur3_32_by_seeds(texts: pl.Series, seeds: Sequence[int]) -> Words:
    """Hash texts with several seeds: uint32 (S, R); see `murmur3_32`."""
    hashed = np.empty((len(seeds), len(texts)), np.uint32)
    for begin in range(0, len(texts), CHUNK_ROWS):
        part = texts.slice(begin, CHUNK_ROWS)
        hashed[:, begin : begin + len(part)] = _hash(part, seeds)
    return hashed


def _hash(texts: pl.Series, seeds: Sequence[int]) -> Words:
    lengths = texts.str.len_bytes().to_numpy()
    joined = texts.str.join("").item().encode() + b"\0\0\0\0"  # a word from every byte on
    words = np.ndarray((len(joined) - 3,), "<u4", joined, strides=(1,)).copy()
    starts = np.cumsum(lengths.astype(np.int64)) - lengths
    whole = lengths >> np.uint32(2)
    hashed = np.repeat(np.array(seeds, np.uint32)[:, None], len(texts), axis=1)
    for place in range(int(whole.max(initial=0))):
        here = whole > place
        rows = slice(None) if here.all() else np.flatnonzero(here)
        mixed = hashed[:, rows] ^ _scramble(words[starts[rows] + 4 * place])
        hashed[:, rows] = _rotate(mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    rest = words[starts + 4 * whole.astype(np.int64)] & TAILS[lengths & np.uint32(3)]
    return _finish(hashed ^ _scramble(rest) ^ lengths)


def _scramble(words: Words) -> Words:
    return _rotate(words * C1, 15) * C2


def _rotate(words: Words, bits: int) -> Words:
    return (words << np.uint32(bits)) | (words >> np.uint32(32 - bits))


def _finish(hashed: Words) -> Words:
    """Spread every bit over all."""
    hashed = (hashed ^ (hashed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashed = (hashed ^ (hashed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashed ^ (hashed >> np.uint32(16))
