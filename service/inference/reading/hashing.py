"""MurmurHash3 (x86, 32 bits; Appleby, public domain) of one text, as the graph hashes ids."""

_MASK = 0xFFFFFFFF


def murmur3_32(data: bytes, seed: int) -> int:
    """Return the hash of bytes, in [0, 2**32)."""
    hashed, whole = seed, len(data) & ~3
    for start in range(0, whole, 4):
        hashed ^= _scrambled(int.from_bytes(data[start : start + 4], "little"))
        hashed = ((hashed << 13 | hashed >> 19) * 5 + 0xE6546B64) & _MASK
    if whole < len(data):
        hashed ^= _scrambled(int.from_bytes(data[whole:], "little"))
    hashed ^= len(data)
    hashed = ((hashed ^ hashed >> 16) * 0x85EBCA6B) & _MASK
    hashed = ((hashed ^ hashed >> 13) * 0xC2B2AE35) & _MASK
    return hashed ^ hashed >> 16


def _scrambled(word: int) -> int:
    word = (word * 0xCC9E2D51) & _MASK
    return ((word << 15 | word >> 17) * 0x1B873593) & _MASK
