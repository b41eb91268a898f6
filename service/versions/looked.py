"""Difference between a look at the directory of models and the desired state."""

from service.versions.desired_state import DesiredState
from service.versions.disk import Disk
from service.versions.serving_files import ServingFiles


def differing(desired: DesiredState, disk: Disk, files: ServingFiles) -> dict[str, object]:
    """Return the fields of the desired state to change.

    Args:
        desired: before the change.
        disk: found by the look.
        files: say what is pinned, canaried and shadowed; those that have changed are read.
    """
    found: dict[str, object] = {"disk": disk, "serving": files.follow(disk, desired.serving)}
    return {field: value for field, value in found.items() if getattr(desired, field) != value}
