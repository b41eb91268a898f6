from collections.abc import Iterator

import pytest

from metrics import blocks


@pytest.fixture(scope="module")
def few_rows_a_block() -> Iterator[None]:
    """Let every metric go through many blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_ROWS", 7)
        yield
