"""Lazy updates of a large embedding table: a step costs what its batch touches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from model.network.table import EmbeddingTable

LAZY_ROWS = 100_000
"""Rows of a table above which its updates are lazy where that is left open."""

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of Adam, as torch has them."""


class LazyAdam:
    """Adam on those rows of an embedding table that a batch touches; the others stay as they are.

    Adam with decoupled weight decay moves every row at every step, those that the batch does not
    hold by what is left of their earlier gradients, and reads and writes the whole table and both
    moments for it. Here moments fade and weights decay only in steps whose batch has the row;
    the correction of the moments' bias counts all steps, as in torch.optim.SparseAdam.

    A lookup in training gives a leaf of the graph, whose gradient has a row for each code that was
    looked up; `step` adds up those of the same code. So no gradient is as large as the table.

    Attributes:
        table: whose weight gets no gradient of its own while `watch` lasts.
        weight_decay: of the rows touched.
        steps: taken.
        collected: codes (n,), none of them twice, and their gradients (n, width), before a step.
    """

    def __init__(self, table: EmbeddingTable, weight_decay: float = 0.0) -> None:
        self.table, self.weight_decay, self.steps = table, weight_decay, 0
        self.first, self.second = torch.zeros_like(table.weight), torch.zeros_like(table.weight)
        self.collected: tuple[Tensor, Tensor] | None = None
        self._looked_up: list[tuple[Tensor, Tensor]] = []
        self._place = torch.empty(len(table.weight), dtype=torch.int32, device=table.weight.device)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Take the table's lookups that training makes meanwhile."""
        self.table.weight.requires_grad_(False)
        hook = self.table.register_forward_hook(self._take)
        try:
            yield
        finally:
            hook.remove()
            self.table.weight.requires_grad_(True)
            self._looked_up.clear()

    def collect(self) -> int:
        """Add up the gradients of all lookups since the last step.

        Codes whose lookups did not enter the loss have a gradient of 0.

        Returns:
            How many codes there are, each counted once.
        """
        codes = torch.cat([codes for codes, _ in self._looked_up])
        of_lookups = [leaf.new_zeros(leaf.shape) if leaf.grad is None else leaf.grad for _, leaf in self._looked_up]
        self._looked_up.clear()
        self.collected = self.add_up(codes, torch.cat(of_lookups))
        return len(self.collected[0])

    def exchange(self, gather: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        """Replace what was collected by the sums over all that `gather` makes of it."""
        assert self.collected is not None
        self.collected = self.add_up(*gather(*self.collected))

    def update(self, rate: float) -> None:
        """Take a step on what was collected, or else on the lookups since the last step."""
        if self.collected is None:
            self.collect()
        assert self.collected is not None
        self.step(*self.collected, rate)
        self.collected = None

    def add_up(self, codes: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Add gradients (m, width) of the same code (m,), without sorting the codes."""
        numbers = torch.arange(len(codes), dtype=torch.int32, device=codes.device)
        self._place.scatter_(0, codes, numbers)  # of lookups of the same code one stays: the place of their sum
        place = self._place.index_select(0, codes)
        kept = (place == numbers).nonzero().squeeze(-1)
        # index_add_ takes four times as long by int32
        sums = torch.zeros_like(gradients).index_add_(0, place.long(), gradients)
        return codes.index_select(0, kept), sums.index_select(0, kept)

    @torch.no_grad()
    def step(self, codes: Tensor, gradients: Tensor, rate: float) -> None:
        """Update the rows of `codes` (n,), none of them twice, by their gradients (n, width)."""
        self.steps += 1
        weight = self.table.weight
        first = self.first.index_select(0, codes).lerp_(gradients, 1.0 - BETAS[0])
        second = self.second.index_select(0, codes).mul_(BETAS[1]).addcmul_(gradients, gradients, value=1.0 - BETAS[1])
        self.first.index_copy_(0, codes, first)
        self.second.index_copy_(0, codes, second)
        corrections = [1.0 - beta**self.steps for beta in BETAS]
        size = second.sqrt_().div_(corrections[1] ** 0.5).add_(EPSILON)
        rows = weight.index_select(0, codes).mul_(1.0 - rate * self.weight_decay)
        weight.index_copy_(0, codes, rows.addcdiv_(first, size, value=-rate / corrections[0]))

    def state_dict(self) -> dict[str, Any]:
        """Collect what a resumed run needs."""
        return {"steps": self.steps, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self.steps = state["steps"]
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])

    def _take(self, table: nn.Module, arguments: tuple[Tensor], rows: Tensor) -> Tensor | None:
        if not (table.training and torch.is_grad_enabled()):
            return None
        leaf = rows.requires_grad_()
        self._looked_up.append((arguments[0], leaf))
        return leaf


def lazy_updates(table: EmbeddingTable | None, updates: str, weight_decay: float) -> LazyAdam | None:
    """Make the lazy updates of a table if it is to have them.

    Args:
        table: None for a model without embeddings.
        updates: "lazy", "dense", or "auto": lazy above LAZY_ROWS rows.
        weight_decay: of the rows touched.
    """
    if table is None or updates == "dense" or (updates == "auto" and table.num_embeddings <= LAZY_ROWS):
        return None
    return LazyAdam(table, weight_decay)
