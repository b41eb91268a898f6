"""MurmurHash3 (x86, 32 bits; Appleby, public domain) of many texts at once."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Words = NDArray[np.uint32]

C1, C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)


def murmur3_32(texts: pl.Series, seed: int = 0) -> Words:
    """Hash the UTF-8 bytes of texts.

    Equal to `sklearn.utils.murmurhash3_32(bytes, seed, positive=True)`.

    Args:
        texts: String (R,), without null.
        seed: in [0, 2**32).

    Returns:
        uint32 (R,).
    """
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    joined = (texts.str.join("").item() if len(texts) else "").encode() + b"\0\0\0\0"  # a word from every byte on
    words = np.ndarray((len(joined) - 3,), "<u4", joined, strides=(1,))
    starts = np.cumsum(lengths) - lengths
    hashed = np.full(len(texts), seed, np.uint32)
    longest = int(lengths.max(initial=0))
    for place in range(0, longest - longest % 4, 4):
        here = slice(None) if place == 0 and bool((lengths >= 4).all()) else np.flatnonzero(lengths >= place + 4)
        mixed = hashed[here] ^ _scramble(words[starts[here] + place])
        hashed[here] = _rotate(mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    tail = lengths % 4
    rest = words[starts + lengths - tail] & ((np.uint32(1) << (8 * tail).astype(np.uint32)) - np.uint32(1))
    return _finish(hashed ^ _scramble(rest) ^ lengths.astype(np.uint32))


def _scramble(words: Words) -> Words:
    return _rotate(words * C1, 15) * C2


def _rotate(words: Words, bits: int) -> Words:
    return (words << np.uint32(bits)) | (words >> np.uint32(32 - bits))


def _finish(hashed: Words) -> Words:
    """Spread every bit over all."""
    hashed = (hashed ^ (hashed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashed = (hashed ^ (hashed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashed ^ (hashed >> np.uint32(16))
