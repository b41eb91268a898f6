"""TOML files that a model of pydantic checks, with overrides from a command line."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from model.config.explain import explain
from model.config.toml import override
from tables.errors import UserError

Checked = TypeVar("Checked", bound=BaseModel)


def read_checked(
    path: Path,
    overrides: Sequence[str],
    root: type[Checked],
    failure: type[UserError],
    completed: Callable[[dict[str, Any]], Any] = lambda values: values,
) -> Checked:
    """Read and check a TOML file.

    Args:
        path: of the file.
        overrides: "key=value" with a dotted key.
        root: model of the whole file.
        failure: error to raise.
        completed: takes the file's values with the overrides, and returns those to check.

    Raises:
        UserError: the `failure`, one sentence that names the file and the key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        for text in overrides:
            override(values, text)
        return root.model_validate(completed(values))
    except ValidationError as error:
        raise failure(f"{path}: {explain(error, root)}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise failure(f"{path}: the configuration cannot be read: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise failure(f"{path}: the file is not TOML: {error}") from None
    except ValueError as error:
        raise failure(f"{path}: {error}") from None
