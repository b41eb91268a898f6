"""Errors of reading a table that a user can mend; model/errors.py says how they are shown."""


class UserError(Exception):
    """Error that a user can mend; its text is one sentence, printed without a traceback."""


class DataError(UserError):
    """Table that cannot be read, or does not fit the configuration."""
