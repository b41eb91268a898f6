"""The page's examples run as they stand, against the models that docs/api.md speaks of."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.documented import write_documented

PAGE = (Path(__file__).parents[2] / "mmoe_client/README.md").read_text()


def test_the_examples_run(
    tmp_path: Path, start_service: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_documented(tmp_path)
    scope: dict[str, Any] = {}
    with start_service(tmp_path, default_model="demo") as service:
        scope["url"] = service.url
        for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(example, scope)
    said = capsys.readouterr().out
    assert scope["answers"].columns == ["price", "sold"] + [
        f"{t}.expert_{e}" for t in ("price", "sold") for e in range(3)
    ]
    assert "row_id" in said
    assert "2 (2,) (2, 3)" in said
    assert "'contribution':" in said
