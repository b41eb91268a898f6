"""Labels of funnel tasks: whether a task and all that have to come before it came true."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.config.run import TaskConfig
from tables.errors import DataError


def joint_labels(
    labels: NDArray[np.float64], configs: Sequence[TaskConfig], row_numbers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Turn labels of the columns into those of the joint events.

    A row in which the task before did not come true has label 0, whether its own is 0 or missing.
    Where the one before is missing, the label stays as it is.

    Args:
        labels: (R, T), NaN where missing.
        configs: T of them.
        row_numbers: (R,) places of the rows in the table, for messages.

    Returns:
        (R, T); the argument itself where no task comes after another.

    Raises:
        DataError: a row in which a task came true, and the one before did not.
    """
    place = {config.name: t for t, config in enumerate(configs)}
    joint, done = labels, set[str]()
    while waiting := [c for c in configs if c.after is not None and c.name not in done]:
        config = next(c for c in waiting if c.after not in {other.name for other in waiting})
        done.add(config.name)
        assert config.after is not None
        joint = joint.copy() if joint is labels else joint
        own, before = joint[:, place[config.name]], joint[:, place[config.after]]
        against = np.flatnonzero((before == 0.0) & (own == 1.0))
        if against.size:
            raise DataError(
                f"task '{config.name}' comes after '{config.after}', and row {row_numbers[against[0]]} has the first "
                f"without the second ({against.size:,} such row{'s' * (against.size > 1)}); mend the labels, or take "
                "tasks.after away"
            )
        own[before == 0.0] = 0.0
    return joint


def notes_on_funnels(configs: Sequence[TaskConfig]) -> list[str]:
    """Note which tasks' labels are those of joint events."""
    return [
        f"Task '{config.name}' comes after '{config.after}': a row without '{config.after}' counts as without "
        f"'{config.name}', whether that label is 0 or missing."
        for config in configs
        if config.after is not None
    ]
