"""Run directory: shared memory of an instance's workers, mapped files of one slot per worker.

A slot has one writer, the worker that holds it, and any number of readers; nothing is locked. A
slot is held by a lock that the kernel frees when its holder dies, however it dies, so that a
restarted worker takes up the slot of the dead one and finds everything that was stored there.
`shared_sums.py` says how sums are published whole.

The launcher owns the run directory: it makes a fresh one at every start, sweeps those that dead
instances left behind and removes its own at the end.
"""

import contextlib
import getpass
import hashlib
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from service.errors import SettingsError
from service.settings import variable
from service.system.files import try_lock

PREFIX = "mmoe-"
OWNER_LOCK = "owner.lock"
ROOM_BYTES = 256 << 20
"""Free bytes of a directory in memory that is taken, else it is the next candidate.

Pages of a full one cannot be written, which ends the process that tries (Docker's /dev/shm has
64 MiB unless told otherwise).
"""

MEMORY = "/dev/shm"
LOGIND, LINGERING = Path("/run/systemd/seats"), Path("/var/lib/systemd/linger")
FIRST_PERSON = 1000
"""Users below are the system's."""

PAGE = mmap.PAGESIZE
_IDENTITY_BYTES = 32


class RunDirectory:
    """Run directory of an instance, held by each of its processes.

    The directory counts as in use while any process holds it.

    Attributes:
        path: the directory, which only this user may read.
        slots: how many workers may hold a slot at the same time, at least 1.
    """

    def __init__(self, path: Path, slots: int) -> None:
        """Open an existing directory, as a worker does.

        Raises SettingsError where there is none.
        """
        if slots < 1:
            raise ValueError(f"a run directory needs at least one slot, not {slots}")
        self.path, self.slots = path, slots
        self._owner = False
        try:
            self._lock = try_lock(path / OWNER_LOCK, shared=True)
        except OSError as error:
            raise SettingsError("MMOE_RUN_DIR", str(path), f"a run directory ({error.strerror})") from error
        if self._lock is None:
            raise SettingsError("MMOE_RUN_DIR", str(path), "a run directory that is not being removed")

    @classmethod
    def create(cls, slots: int, parent: Path | None = None) -> Self:
        """Make a fresh directory, as the launcher does, and sweep those of dead instances.

        Args:
            slots: how many workers there will be at a time.
            parent: where to make it; None takes the first with room of $RUNTIME_DIRECTORY,
                /dev/shm unless a logout clears it, and the directory for temporary files.

        Raises:
            SettingsError: `parent` cannot be written.
        """
        place = parent or _roomy_place()
        try:
            place.mkdir(parents=True, exist_ok=True)
            sweep(place)
            made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            (made / OWNER_LOCK).touch()
        except OSError as error:
            expected = f"a directory that can be written ({error.strerror})"
            raise SettingsError("MMOE_RUN_DIR", str(place), expected) from error
        directory = cls(made, slots)
        directory._owner = True
        return directory

    @property
    def gone(self) -> bool:
        """Tell whether the directory was removed, or replaced by another, while it is held."""
        if self._lock is None:
            return False
        try:
            return not os.path.samestat(os.stat(self.path / OWNER_LOCK), os.fstat(self._lock))
        except OSError:
            return True

    @property
    def gone_sentence(self) -> str:
        """Describe in a sentence what the loss of the directory means, and what to do."""
        return (
            f"The run directory {self.path} is gone, and with it what the workers share: what is loaded is "
            "served on, but no version is loaded any more, calls that change models fail, and a worker that ends "
            f"is not replaced. Start the service again, with {variable('run_dir')} in a place that nothing clears"
        )

    def lock_slot(self) -> "SlotLock":
        """Take the lowest free slot.

        Raises:
            RuntimeError: every slot is held by a living process.
        """
        for index in range(self.slots):
            lock = try_lock(self.path / f"worker-{index}.lock")
            if lock is not None:
                return SlotLock(index, lock)
        raise RuntimeError(f"all {self.slots} slots of {self.path} are held by living workers")

    def map(self, name: str, identity: str, slot_bytes: int) -> list[memoryview]:
        """Map a file of one slot per worker, making it where it is absent; new memory is all zero.

        Args:
            name: path of the file in the run directory.
            identity: text that fixes the layout of a slot; a file made with another is refused.
            slot_bytes: size of a slot.

        Returns:
            One writable view per slot, aligned to a page. The mapping lives as long as any of
            them.

        Raises:
            SettingsError: there is no room, or the file was made with another layout.
        """
        path = self.path / name
        stride = -(-slot_bytes // PAGE) * PAGE
        digest = hashlib.blake2b(f"{identity}|{stride}".encode(), digest_size=_IDENTITY_BYTES).digest()
        try:
            memory = _map(path, digest, PAGE + stride * self.slots)
        except OSError as error:
            expected = f"a directory with room for {stride * self.slots >> 10} KiB more ({error.strerror})"
            raise SettingsError("MMOE_RUN_DIR", str(self.path), expected) from error
        if memory[:_IDENTITY_BYTES] != digest:
            expected = f"a directory of this release alone; {name} has another layout"
            raise SettingsError("MMOE_RUN_DIR", str(self.path), expected)
        view = memoryview(memory)
        starts = range(PAGE, len(view), stride)
        return [view[start : start + slot_bytes] for start in starts]

    def close(self) -> None:
        """Let go of the directory, and remove it if this process made it."""
        if self._owner:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SlotLock:
    """Lock of the slot `index` in every file, held until released or until this process ends."""

    def __init__(self, index: int, lock: int) -> None:
        self.index = index
        self._lock: int | None = lock

    def release(self) -> None:
        """Give the slot back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep(place: Path) -> None:
    """Remove the run directories in `place` that no living process holds."""
    for path in place.glob(f"{PREFIX}*/{OWNER_LOCK}"):
        with contextlib.suppress(OSError):  # another user's, or another instance sweeps at the same time
            lock = try_lock(path)
            if lock is not None:
                shutil.rmtree(path.parent, ignore_errors=True)
                os.close(lock)


def _roomy_place() -> Path:
    """Return the first place with room that lasts as long as the service.

    Where there is none, it is the directory for temporary files.
    """
    # A unit of systemd with RuntimeDirectory= has a place of its own; it may name several.
    for place in (os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0], MEMORY):
        if place and not (place == MEMORY and _cleared_at_logout()):
            with contextlib.suppress(OSError):
                room = os.statvfs(place)
                if os.access(place, os.W_OK | os.X_OK) and room.f_bavail * room.f_frsize >= ROOM_BYTES:
                    return Path(place)
    return Path(tempfile.gettempdir())


def _cleared_at_logout() -> bool:
    """Tell whether logind may remove this user's shared memory at the last logout (RemoveIPC).

    It does not for system users, and not for those who linger. $XDG_RUNTIME_DIR always goes, so
    nobody takes it.
    """
    person = os.getuid() >= FIRST_PERSON and LOGIND.is_dir()
    return person and not (LINGERING / getpass.getuser()).exists()


def _map(path: Path, digest: bytes, size: int) -> mmap.mmap:
    """Map a file of `size` bytes.

    An absent one is made aside and linked in whole, so that nobody meets half of it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            _reserve(descriptor, size)
            os.pwrite(descriptor, digest, 0)
            with contextlib.suppress(FileExistsError):  # another worker was faster: both would have made the same
                os.link(made, path)
        finally:
            os.close(descriptor)
            os.unlink(made)
    descriptor = os.open(path, os.O_RDWR)
    try:
        return mmap.mmap(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> None:
    """Give a file its memory now, where the system can.

    A mapped page without memory ends the process later.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)
