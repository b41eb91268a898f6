"""Ranks: processes that train one model together, each on its part of every batch."""

import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from model.errors import TrainError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

TIMEOUT = timedelta(minutes=10)
"""Longest wait for another rank within a step."""

POLL_S = 0.02
"""Seconds between two looks for what the first rank has to say."""

SAID = "error"
"""Key under which the rank that tells the user of an error leaves its number."""


T = TypeVar("T")
Agreed = TypeVar("Agreed", int, str, dict[str, str])


class PeerError(TrainError):
    """Another rank has ended or does not answer."""


class Ranks:
    """One of `world` processes; a process by itself is the first of one.

    All of them take the same steps on the same weights. The first one reads, validates, keeps
    checkpoints and publishes.

    Attributes:
        rank: from 0.
        world: how many there are.
        local: number among the ranks of this machine, from 0; that of its GPU, too.
    """

    def __init__(self, rank: int = 0, world: int = 1, local: int = 0, store: "Store | None" = None) -> None:
        self.rank, self.world, self.local = rank, world, local
        self._store = store
        self._said = 0

    @property
    def first(self) -> bool:
        """Check whether this is the rank that validates and publishes."""
        return self.rank == 0

    def part(self, rows: int) -> slice:
        """Return this rank's rows of a batch of `rows`; sizes differ by one row at most."""
        small, more = divmod(rows, self.world)
        begin = self.rank * small + min(self.rank, more)
        return slice(begin, begin + small + (self.rank < more))

    def add(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Add float32 tensors over all ranks, in one message."""
        line = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._heard():
            dist.all_reduce(line)
        parts = torch.split(line, [tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def sizes(self, rows: int, device: torch.device) -> Tensor:
        """Make a vector float32 (world,); added over all ranks it is each one's number of rows."""
        return torch.zeros(self.world, device=device).index_fill_(0, torch.tensor(self.rank, device=device), rows)

    def gather(self, codes: Tensor, rows: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Join the codes (n,) and rows float32 (n, width) of all ranks, those of rank 0 first.

        Args:
            codes: int64, below 2**31; n may differ from rank to rank.
            rows: of each code.
            sizes: n of each rank, as `add` makes it of `sizes`.
        """
        counts = [int(size) for size in sizes.tolist()]
        own = rows.new_zeros(max(1, *counts), rows.shape[1] + 1)
        own[: len(rows), 1:] = rows
        own[: len(rows), 0] = codes.int().view(torch.float32)  # the same bits: nothing computes with them
        parts = [torch.empty_like(own) for _ in counts]
        with self._heard():
            dist.all_gather(parts, own)
        joined = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
        return joined[:, 0].contiguous().view(torch.int32).long(), joined[:, 1:].contiguous()

    def take_over(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of the first rank."""
        if self.world > 1:
            with self._heard():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def copy_of(self, state: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Hand the first rank's state to all; what others pass is not read."""
        if self.world == 1:
            return None if state is None else dict(state)
        content = io.BytesIO()
        if self.first and state is not None:
            torch.save(dict(state), content)
        size = self.agree(len(content.getvalue()))
        if not size:
            return None
        raw = torch.frombuffer(bytearray(content.getvalue() or size), dtype=torch.uint8)
        self.take_over([raw])
        found: dict[str, Any] = torch.load(io.BytesIO(raw.numpy().tobytes()), map_location="cpu", weights_only=True)
        return found

    def agree(self, value: Agreed) -> Agreed:
        """Return what the first rank passes; others wait for it, as long as it lives."""
        if self._store is None:
            return value
        self._said += 1
        if self.first:
            self.tell(f"round {self._said}", json.dumps(value))
            return value
        found: Agreed = json.loads(self.hear(f"round {self._said}"))
        return found

    def in_turn(self, read: Callable[[], T]) -> T:
        """Let the first rank read, then one rank of each other machine, then the others.

        So each finds on its machine's disk what was written there, or on a disk of all machines
        what the first rank wrote. Returns once all have read, however long that takes.
        """
        if self._store is None:
            return read()
        machine = self.rank - self.local
        if self.local or not self.first:
            self.hear(f"read by {machine}" if self.local else "read by 0")
        found = read()
        self.tell(f"read by {self.rank}", "")
        for rank in range(self.world):
            self.hear(f"read by {rank}")
        return found

    def tell(self, key: str, value: str) -> None:
        """Put something where the other ranks hear it."""
        assert self._store is not None
        with self._heard():
            self._store.set(key, value)

    def hear(self, key: str) -> str:
        """Wait until a rank has told something, as long as none tells of an error."""
        assert self._store is not None
        with self._heard():
            while not self._store.check([key]):
                if self._store.check([SAID]):
                    raise RuntimeError("it has told of an error")
                time.sleep(POLL_S)
            return self._store.get(key).decode()

    def speaks(self) -> bool:
        """Claim to be the one rank that tells the user of an error; the first to ask is."""
        if self._store is None:
            return True
        try:
            return bool(self._store.compare_set(SAID, "", str(self.rank)).decode() == str(self.rank))
        except RuntimeError:  # the store went with its process
            return True

    @contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise PeerError(
                f"another of the {self.world} processes that train together has ended or does not answer, so this one "
                f"(rank {self.rank}) ends too; the same command goes on from the last checkpoint, if there is one "
                f"({str(error).splitlines()[0]})"
            ) from error


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Join the other processes that `torchrun` has started; its variables say which one this is.

    Gloo's threads end with the block. One that lived on and let go of a tensor while Python ends
    would abort the process.

    Raises:
        PeerError: the others do not come.
    """
    # An optimizer imports it, and its default arguments keep a group of that moment for good.
    import torch.distributed.nn.functional
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    local = int(environment.get("LOCAL_RANK", "0"))
    try:
        store, rank, world = next(iter(rendezvous("env://", rank, world, timeout=TIMEOUT)))
        attempt = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"mmoe {attempt}", store)
        cuda = torch.cuda.is_available() and dist.is_nccl_available()
        if cuda:
            torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT, store=store, rank=rank, world_size=world)
    except RuntimeError as error:
        raise PeerError(
            f"rank {rank} of {world} cannot reach the others at {environment.get('MASTER_ADDR')}:"
            f"{environment.get('MASTER_PORT')} ({str(error).splitlines()[0]}); docs/deploy.md has an example"
        ) from error
    try:
        yield Ranks(rank, world, local, store)
    finally:
        dist.destroy_process_group()
