"""The call that the log shows works when it is typed."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from service.keys import line_of, new_key
from tests.support.hand_model import write_model
from tests.support.server import running


@pytest.mark.parametrize("kind", ["full", "wide"])
@pytest.mark.parametrize("locked", [False, True])
def test_the_call_in_the_log_works(tmp_path: Path, kind: str, locked: bool) -> None:
    write_model(tmp_path / "models", "hand", 1, kind=kind)
    key, file = new_key(), tmp_path / "keys"
    file.write_text(line_of("predict", "me", key))
    settings = {"keys_file": str(file)} if locked else {}
    with running(tmp_path / "models", log_format="text", **settings) as service:
        line = service.wait_for("Try: (curl .*)")[1]
        assert ("$KEY" in line) == locked
        run = subprocess.run(
            ["bash", "-c", line], env=os.environ | {"KEY": key}, capture_output=True, text=True, check=True
        )
        assert json.loads(run.stdout)["model"] == "hand"
        assert re.search("Serving hand 1 on ", "".join(service.lines))
