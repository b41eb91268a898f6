"""Explanations of pydantic's validation errors.

One sentence for a person: which key, what came, what was expected.
"""

from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Model = type[BaseModel]


def explain(error: ValidationError, root: Model) -> str:
    """Describe the first problem; further ones show when that one is mended.

    Args:
        error: raised by `root.model_validate`.
        root: the model whose keys are suggested for a misspelt one.
    """
    problems = error.errors(include_url=False)
    # A misspelt key often makes a needed one missing: the misspelling is the news.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    kind, value, context = first["type"], first.get("input"), first.get("ctx", {})
    parts, siblings = _walk(first["loc"], root)
    key = ".".join(parts)
    if kind == "extra_forbidden":
        return f"unknown key '{key}'" + _suggest(parts, siblings, root)
    if kind == "missing":
        return f"the key '{key}' is missing"
    if kind == "value_error":
        return f"{key}: {context['error']}" if key else str(context["error"])
    if kind == "union_tag_not_found":
        return f"the key '{key}.{str(context['discriminator']).strip(chr(39))}' is missing"
    if kind == "union_tag_invalid":
        return f"{key}.kind is '{context['tag']}', expected {context['expected_tags']}"
    if kind == "literal_error":
        return f"{key} is {value!r}, expected {context['expected']}"
    return f"{key} is {_shown(value)}, expected {_expected(kind, context, first['msg'])}"


def _expected(kind: str, context: dict[str, Any], message: str) -> str:
    words = {
        "int_type": "an integer",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "string_type": "text",
        "tuple_type": "a list",
        "model_type": "a table",
        "model_attributes_type": "a table",
        "greater_than_equal": "at least {ge}",
        "greater_than": "more than {gt}",
        "less_than_equal": "at most {le}",
        "less_than": "less than {lt}",
        "too_short": "a list of at least {min_length}",
        "string_too_short": "text of at least {min_length} characters",
        "string_too_long": "text of at most {max_length} characters",
        "string_pattern_mismatch": "text of the form {pattern}",
    }
    return words.get(kind, f"something else ({message})").format(**context)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _suggest(parts: list[str], siblings: list[str], root: Model) -> str:
    typo = parts[-1]
    prefix, known = parts[:-1], _all_keys(root)
    if ".".join(parts) in known:  # of another member of a union
        return f", which another '{'.'.join(prefix)}.kind' takes; known keys here are {', '.join(siblings)}"
    close = get_close_matches(typo, siblings, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{'.'.join([*prefix, close[0]])}'?"
    elsewhere = [path for path in known if path.rpartition(".")[2] == typo]
    if elsewhere:
        return f"; did you mean '{elsewhere[0]}'?"
    return f"; known keys here are {', '.join(siblings)}"


def _walk(location: tuple[int | str, ...], root: Model) -> tuple[list[str], list[str]]:
    """Translate a pydantic location into the keys of the file.

    Also lists the keys known beside the last one.

    pydantic names the chosen member of a tagged union in the location; no such key stands in the
    file.
    """
    models, parts, siblings = [root], [], []
    for part in location:
        tagged = [m for m in models if str(part) in _tags(m)]
        if len(models) > 1 and tagged:
            models = tagged
            continue
        siblings = [name for model in models for name in model.model_fields]
        parts.append(str(part))
        if isinstance(part, str):
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = [m for field in fields for m in _models_in(field.annotation)]
    return parts, siblings


def _tags(model: Model) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _models_in(annotation: Any) -> list[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _all_keys(model: Model, prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for inner in _models_in(field.annotation):
            keys += _all_keys(inner, f"{prefix}{name}.")
    return keys
