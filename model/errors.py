"""The errors of the offline half that a user can mend.

    UserError
    ├── ConfigError   the configuration is wrong: a key, a value, a name that does not exist
    ├── DataError     the table is wrong, or does not fit the configuration
    ├── TrainError    a run cannot start, resume or go on
    └── ExportError   a trained model cannot be published

Each carries one sentence that says what came, what was expected and what to do. A program prints that sentence and ends
with exit code 2; nothing has been written by then.
"""


class UserError(Exception):
    """Carry one sentence for the user; the programs in scripts/ print it without a traceback."""


class ConfigError(UserError):
    """Report a configuration that cannot be used."""


class DataError(UserError):
    """Report a table that cannot be read, or that does not hold what the configuration says."""


class ExportError(UserError):
    """Report a model that cannot be published: its file does not answer as it should, or cannot be written."""


class TrainError(UserError):
    """Report a run that cannot start, resume or go on."""
