"""MurmurHash3 (x86, 32 bits) by its definition, an oracle for hashed features."""


def murmur3(data: bytes, seed: int = 0) -> int:
    """Return the hash of bytes, in [0, 2**32)."""
    h = seed
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        h ^= _mixed(int.from_bytes(data[start : start + 4], "little"))
        h = (_rotated(h, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    if tail := data[whole:]:
        h ^= _mixed(int.from_bytes(tail, "little"))
    h ^= len(data)
    h = ((h ^ h >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    h = ((h ^ h >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return h ^ h >> 16


def bucket(text: str, buckets: int, seed: int = 0) -> int:
    """Return the bucket of a text, in [0, buckets)."""
    return murmur3(text.encode(), seed) % buckets


def _mixed(k: int) -> int:
    return (_rotated((k * 0xCC9E2D51) & 0xFFFFFFFF, 15) * 0x1B873593) & 0xFFFFFFFF


def _rotated(x: int, bits: int) -> int:
    return (x << bits | x >> (32 - bits)) & 0xFFFFFFFF
