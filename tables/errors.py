"""Errors of reading a table that a user can mend; model/errors.py says how they are shown."""

from pathlib import Path

Where = Path | str
"""Path or address of a file, as messages name it."""


class UserError(Exception):
    """Error that a user can mend; its text is one sentence, printed without a traceback."""


class DataError(UserError):
    """Table that cannot be read, or does not fit the configuration."""
