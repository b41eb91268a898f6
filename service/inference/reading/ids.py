"""Ids of a hashed feature or a bag: strings, or the digits of JSON integers."""

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
"""Integers of JSON beyond these are read as floats by many, this service too."""


def digits(value: object) -> str:
    """Return a string as it is, and an integer's digits.

    Raises:
        TypeError: another type.
        ValueError: an integer of more than 64 bits.
    """
    if type(value) is str:
        return value
    if type(value) is not int:
        raise TypeError
    if not _SMALLEST <= value <= _LARGEST:
        raise ValueError
    return str(value)


def is_id(value: object) -> bool:
    """Tell whether `digits` takes a value."""
    return type(value) is str or (type(value) is int and _SMALLEST <= value <= _LARGEST)


def id_hint(value: object) -> str:
    """Return what to do about a value that is not an id, where something is likely meant by it."""
    if type(value) is bool:
        return '; send it as a string, as the table spells it, for example "true"'
    if type(value) in (int, float):
        return "; send it as a string, digit by digit as the table spells it"
    return ""
