"""Errors of scoring that a user can mend."""

from tables.errors import UserError


class ScoringError(UserError):
    """Model, table or output folder that a run of scoring cannot use."""
