"""Overrides of nested tables, as a command line gives them: "key=value" with the value in TOML."""

import tomllib
from typing import Any


def override(values: dict[str, Any], text: str) -> None:
    """Set one key of nested tables in place from "dotted.key=value".

    The value is read as TOML, and as text if it is none. Within an array of tables the key gives
    an item's index or its `name`.

    Raises:
        ValueError: one sentence, if the text has no "=" or the key leads through something that is
            no table.
    """
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ValueError(f"'{text}' is not an override; write a key and a value, for example train.epochs=3")
    place: Any = values
    for depth, part in enumerate(parts[:-1], start=1):
        place = _step(place, part, ".".join(parts[:depth]))
    if not isinstance(place, dict):
        raise ValueError(f"'{key.strip()}' cannot be set: '{'.'.join(parts[:-1])}' is not a table")
    place[parts[-1]] = _parse(value.strip())


def _step(place: Any, part: str, path: str) -> Any:
    if isinstance(place, list):
        for index, item in enumerate(place):
            if part == str(index) or (isinstance(item, dict) and item.get("name") == part):
                return item
        names = ", ".join(str(item.get("name")) for item in place if isinstance(item, dict))
        raise ValueError(f"there is no '{path}' to set; the list holds {names}")
    if not isinstance(place, dict):
        raise ValueError(f"'{path}' cannot be set: it lies within a value, not a table")
    return place.setdefault(part, {})


def _parse(value: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    return parsed["value"] if len(parsed) == 1 else value
