"""Errors of the offline half that a user can mend.

    UserError         (tables/errors.py)
    ├── ConfigError   the configuration is wrong: a key, a value, a name that does not exist
    ├── DataError     (tables/errors.py) the table is wrong, or does not fit the configuration
    ├── TrainError    a run cannot start, resume or go on
    └── ExportError   a trained model cannot be published

Each carries one sentence that says what came, what was expected and what to do. A program prints
that sentence and ends with exit code 2; nothing has been written by then.
"""

from tables.errors import UserError


class ConfigError(UserError):
    """Configuration that cannot be used."""


class ExportError(UserError):
    """Model that cannot be published.

    Its file does not answer as it should, or cannot be written.
    """


class TrainError(UserError):
    """Run that cannot start, resume or go on."""
