"""Identity of a worker among the others of an instance."""

from typing import NamedTuple

from service.run_directory import RunDirectory


class WorkerIdentity(NamedTuple):
    """Identity of a worker among the others.

    Attributes:
        place: from 0; a restarted worker has the place of the dead one.
        workers: how many there are.
        directory: shared by them.
        lifeline: a pipe whose other end the launcher holds; None without a launcher.
    """

    place: int
    workers: int
    directory: RunDirectory
    lifeline: int | None
