"""TOML beyond the standard library: writing it, and setting one key from "key=value" on a command line."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any


def dump(values: Mapping[str, Any], prefix: str = "") -> str:
    """Write nested tables as TOML: plain keys first, then sub-tables, then arrays of tables; None is not allowed."""
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    arrays = {key: value for key, value in values.items() if _is_array_of_tables(value)}
    plain = [f"{_key(k)} = {value_text(v)}\n" for k, v in values.items() if k not in tables and k not in arrays]
    text = "".join(plain)
    for key, value in tables.items():
        text += f"\n[{prefix}{_key(key)}]\n" + dump(value, f"{prefix}{_key(key)}.")
    for key, items in arrays.items():
        for item in items:
            text += f"\n[[{prefix}{_key(key)}]]\n" + dump(item, f"{prefix}{_key(key)}.")
    return text


def override(values: dict[str, Any], text: str) -> None:
    """Set one key of nested tables in place from "dotted.key=value".

    The value is read as TOML, and as text if it is none. Within an array of tables the key gives an item's index or its
    `name`.

    Raises:
        ValueError: one sentence, if the text has no "=" or the key leads through something that is no table.
    """
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ValueError(f"'{text}' is no override; write a key and a value, for example train.epochs=3")
    place: Any = values
    for depth, part in enumerate(parts[:-1], start=1):
        place = _step(place, part, ".".join(parts[:depth]))
    if not isinstance(place, dict):
        raise ValueError(f"'{key.strip()}' cannot be set: '{'.'.join(parts[:-1])}' is no table")
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


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _string(key)


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, except that TOML knows no surrogate pairs and wants DEL escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value_text(value: Any) -> str:
    """Write one value, not a table, as TOML."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")
