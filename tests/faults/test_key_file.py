"""The file of keys becomes a FIFO, on which a reader would wait for ever.

Keys stay, and the service ends when told.
"""

import os
from pathlib import Path

import httpx
import pytest

from service.keys import line_of, new_key
from tests.support.server import running


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_fifo_holds_up_neither_requests_nor_the_end(models: Path, tmp_path: Path, workers: str) -> None:
    key, file = new_key(), tmp_path / "keys"
    file.write_text(line_of("predict", "me", key))
    with running(models, workers=workers, keys_file=str(file)) as service:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "fifo").replace(file)
        for _ in range(int(workers)):
            service.wait_for("keeps its keys as they were: It is a FIFO")
        answer = httpx.get(f"{service.url}/v1/models/hand", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        assert service.end() == 0
