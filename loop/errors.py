"""Errors of a loop that a user can mend."""

from tables.errors import UserError


class LoopError(UserError):
    """Configuration, services or state that a loop cannot go on with."""
