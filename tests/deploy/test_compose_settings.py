"""Settings that guard, in a stack that runs.

Replicas that are added or replaced keep them, and say what is wrong.
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.keys import line_of, new_key
from tests.support.compose import PROJECT, REPLICAS, ROW, Stack, docker, load, need_docker, predict, roll, run, until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.docker


@pytest.fixture
def key(stack: Stack) -> Iterator[str]:
    """Give a key that the replicas are to ask for from their next start on.

    Afterwards, they ask for none again.
    """
    unchanged = stack.replicas()
    made, file, settings = new_key(), stack.home / "deploy/secrets/service/keys", stack.home / "deploy/service.env"
    before = settings.read_text()
    file.write_text(line_of("predict", "test", made))
    file.chmod(0o644)
    named = re.sub(r"(?m)^#(MMOE_(KEYS_FILE|REQUIRE_KEYS|PREDICTION_LOG|DEFAULT_MODEL)=)", r"\1", before)
    settings.write_text(named + "MMOE_LOG_REQUESTS=off\nOTEL_SERVICE_NAME=scorer\n")
    try:
        yield made
    finally:
        settings.write_text(before)
        file.unlink()
        assert stack.replicas() == unchanged or roll(stack).returncode == 0


def unlocked(stack: Stack) -> list[str]:
    """List the replicas that answer a call without a key with anything but 401."""
    code = (
        "import urllib.request as u, urllib.error as e\n"
        "try: print(u.urlopen('http://127.0.0.1:8000/v1/models').status)\n"
        "except e.HTTPError as error: print(error.code)"
    )
    return [one for one in stack.replicas() if docker("exec", one, "python", "-c", code).strip() != "401"]


def test_settings_that_guard_are_kept_by_replaced_and_by_added_replicas(stack: Stack, key: str) -> None:
    old = stack.replicas()
    with load(stack, {"Authorization": f"Bearer {key}"}) as seen:
        rolled = roll(stack)
    assert rolled.returncode == 0, rolled.stderr
    assert set(seen) == {"200"}
    assert len(stack.replicas()) == REPLICAS
    assert not set(stack.replicas()) & set(old)
    stack.up("--no-recreate", "--scale", f"service={REPLICAS + 1}")
    assert len(stack.replicas()) == REPLICAS + 1
    assert unlocked(stack) == []
    assert predict(stack, 8) == {401: 8}
    (written,) = {docker("exec", one, "sh", "-c", "ls /predictions | wc -l").strip() for one in stack.replicas()}
    assert int(written) >= REPLICAS
    environment = docker("exec", stack.replicas()[0], "env").split()
    assert {"MMOE_DEFAULT_MODEL=synthetic", "OTEL_SERVICE_NAME=scorer"} <= set(environment)
    stack.up("--no-recreate", "--scale", f"service={REPLICAS}")


def test_keys_that_cannot_be_read_are_a_sentence_and_touch_no_replica(stack: Stack, key: str) -> None:
    running = stack.replicas()
    (stack.home / "deploy/secrets/service/keys").chmod(0o600)
    refused = roll(stack)
    assert refused.returncode != 0
    assert "user 10001 may not read it; `chmod go+r` lets all read" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert stack.replicas() == running
    assert set(predict(stack, 4)) == {200}
    started = run("docker", "compose", "-p", PROJECT, "up", "-d", "settings", env=stack.env, cwd=stack.home)
    assert started.returncode == 0, started.stderr
    (checked,) = stack.compose("ps", "--all", "--quiet", "settings").split()
    assert docker("wait", checked).strip() == "2"
    (state,) = json.loads(docker("inspect", checked))
    assert state["RestartCount"] == 0
    (stack.home / "deploy/secrets/service/keys").chmod(0o644)


def test_models_that_require_keys_are_not_served_without(stack: Stack) -> None:
    on_models = ("run", "--rm", "-T", "--no-deps", "--entrypoint")
    stack.compose(*on_models, "touch", "trainer", "/models/require-keys")
    try:
        command = ("docker", "compose", "-p", PROJECT, "run", "--rm", "-T", "--no-deps", "service")
        refused = run(*command, env=stack.env, cwd=stack.home)
        assert refused.returncode == 2
        assert "/models/require-keys is there" in refused.stderr.splitlines()[-1]
    finally:
        stack.compose(*on_models, "rm", "trainer", "/models/require-keys")


def test_what_is_not_read_from_the_environment_is_refused(stack: Stack) -> None:
    command = ("docker", "compose", "-p", PROJECT, "run", "--rm", "-T", "--no-deps", "settings")
    refused = run(*command, env=stack.env | {"KEYS": "./keys", "PINNED_VERSIONS": "synthetic=1"}, cwd=stack.home)
    assert refused.returncode == 2
    assert "Not read from the environment: KEYS PINNED_VERSIONS" in refused.stderr


def test_models_are_published_into_the_volume(stack: Stack, tmp_path: Path) -> None:
    archive = run(
        "docker", "compose", "-p", PROJECT, "run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "service", "-c",
        "tar -C /models -c synthetic | base64", env=stack.env, cwd=stack.home,
    )  # fmt: skip
    subprocess.run(["tar", "-C", str(tmp_path), "-x"], input=base64.b64decode(archive.stdout), check=True)
    (tmp_path / "synthetic" / "1").rename(tmp_path / "synthetic" / "3")
    published = run(
        "sh", "deploy/publish.sh", str(tmp_path), timeout_s=120, env=stack.env | {"PROJECT": PROJECT}, cwd=stack.home
    )
    assert published.returncode == 0, published.stderr
    assert "synthetic 3 is published" in published.stdout

    def served() -> bool:
        return bool(httpx.post(f"{stack.url}/v1/predict", json=ROW, trust_env=False).json()["version"] == 3)

    assert until(served)
    stack.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "rm", "trainer", "-r", "/models/synthetic/3")


def test_the_rendered_service_has_what_its_file_says_whatever_the_environment(tmp_path: Path) -> None:
    need_docker()
    (tmp_path / "deploy").mkdir()
    given = "MMOE_KEYS_FILE=/run/secrets/service/keys\nMMOE_REQUIRE_KEYS=true\nMMOE_PINNED_VERSIONS=synthetic=1\n"
    (tmp_path / "deploy/service.env").write_text(given)
    (tmp_path / ".env").write_text("NGINX_DIGEST=sha256:abc\nSERVICE_REPLICAS=5\n")
    command = ("compose", "-f", str(ROOT / "docker-compose.yml"), "--project-directory", str(tmp_path))
    rendered = json.loads(docker(*command, "config", "--format", "json", cwd=tmp_path))["services"]
    for name in ("service", "settings"):
        assert {line.partition("=")[0] for line in given.split()} <= rendered[name]["environment"].keys()
        (secrets,) = [v for v in rendered[name]["volumes"] if v["target"] == "/run/secrets/service"]
        assert secrets["source"] == str(tmp_path / "deploy/secrets/service")
        assert secrets["read_only"]
    assert rendered["service"]["deploy"]["replicas"] == 5
    assert rendered["balancer"]["image"] == "nginx:1.29-alpine@sha256:abc"


def test_a_page_under_a_rebound_name_gets_nothing_through_the_balancer(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/v1/models", headers={"Host": "rebound.example"}, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (421, "host_not_allowed")
    assert httpx.get(f"{stack.url}/v1/models", trust_env=False).status_code == 200
