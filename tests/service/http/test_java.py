"""Java's HTTP client, which wishes for HTTP/2 with its first POST, is answered in HTTP/1.1.

Where there is a JRE.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

ASK = Path(__file__).parents[2] / "clients/Ask.java"


@pytest.mark.parametrize("path", ["/v1/models/hand:predict", "/v1/models/hand:gates"])
def test_a_post_of_javas_client_is_answered(service: Any, client: httpx.Client, path: str) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no java here")
    bodies = [json.dumps({"instances": [{"age": age}]}) for age in (1, 2)]
    bodies.append('{"instances": [{"age": "' + "x" * 30_000 + '"}]}')
    asked = subprocess.run(
        [java, "-Xmx64m", str(ASK), service.url + path, *bodies],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "Module jdk.compiler not found" in asked.stderr:
        pytest.skip("this java compiles nothing")
    assert asked.returncode == 0, asked.stderr
    lines = asked.stdout.splitlines()
    assert [line.split(" ", 2)[:2] for line in lines] == [["200", "HTTP_1_1"]] * 2 + [["422", "HTTP_1_1"]]
    for line, body in zip(lines[:2], bodies, strict=False):
        expected = client.post(path, content=body, headers={"Content-Type": "application/json"}).json()
        assert json.loads(line.split(" ", 2)[2]) == expected
