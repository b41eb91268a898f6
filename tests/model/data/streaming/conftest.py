"""Tables small enough to be read in a moment, cut into many blocks."""

import pytest

from tables import blocks

BLOCK_ROWS = 256


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Cut tables into blocks of so many rows."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", BLOCK_ROWS)
    monkeypatch.setattr(blocks.blocks_of, "__defaults__", (BLOCK_ROWS,))
    return BLOCK_ROWS
