"""Errors of an evaluation that a user can mend."""

from tables.errors import UserError


class EvaluationError(UserError):
    """Logs, models or an output folder that an evaluation cannot use."""
