"""The service by the settings of a pod, asked as the cluster asks; the images of pods."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys import line_of, new_key
from tests.support.metrics import awaited
from tests.support.overlays import KUBERNETES, load, one_pod, overlay, settings_of
from tests.support.server import completed, running


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Give a function that puts a Secret's file where it belongs as the kubelet does.

    It is a link to a link to a directory, which is replaced as a whole.
    """
    versions = iter(range(100))

    def put(content: str) -> Path:
        fresh = tmp_path / f"..{next(versions)}"
        fresh.mkdir()
        (fresh / "keys").write_text(content)
        (tmp_path / "..new").symlink_to(fresh.name)
        (tmp_path / "..new").rename(tmp_path / "..data")
        if not (tmp_path / "keys").is_symlink():
            (tmp_path / "keys").symlink_to("..data/keys")
        return tmp_path / "keys"

    return put  # type: ignore[return-value]


def test_a_pod_serves_by_the_settings_and_starts_closed(artifact: Any, mounted: Callable[[str], Path]) -> None:
    """Run the service as the container does, on other ports, and ask it as the cluster does."""
    settings = {name.removeprefix("MMOE_").lower(): value for name, value in settings_of(overlay("kind")).items()}
    kept = {name: settings[name] for name in ("require_keys", "log_format", "workers")}
    admin, caller = new_key(), new_key()
    keys = mounted(line_of("admin", "operator", admin))
    refused = completed(models=str(artifact.models_dir), port="0", **kept)
    assert refused.returncode == 2
    assert "MMOE_KEYS_FILE" in refused.stderr
    with running(artifact.models_dir, keys_file=str(keys), operation_port="0", **kept) as service:
        (event,) = [json.loads(line) for line in service.log() if '"event":"operation"' in line]
        operation = event["url"]
        (container,) = one_pod(overlay("kind"))["spec"]["containers"]
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container[kind]["httpGet"]
            assert probe["port"] == "operation"
            assert ("ready" in probe["path"]) == (kind == "readinessProbe")
            assert httpx.get(operation + probe["path"], trust_env=False).status_code == 200
        assert "mmoe_workers" in httpx.get(f"{operation}/metrics", trust_env=False).text
        assert httpx.get(f"{service.url}/metrics", trust_env=False).status_code == 404
        change = "/v2/repository/index"
        assert httpx.post(service.url + change, json={}, trust_env=False).status_code == 404
        assert httpx.post(operation + change, json={}, trust_env=False).status_code == 401
        held = {"Authorization": f"Bearer {admin}"}
        assert httpx.post(operation + change, json={}, headers=held, trust_env=False).status_code == 200
        mounted(f"{line_of('admin', 'operator', admin)}\n{line_of('predict', 'caller', caller)}\n")

        def listed() -> int:
            header = {"Authorization": f"Bearer {caller}"}
            return httpx.get(f"{service.url}/v1/models", headers=header, trust_env=False).status_code

        assert awaited(listed, 200) == 200, "a Secret that changes needs no restart"


def test_images_are_pushed_and_their_digests_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, kustomization = tmp_path / "told", tmp_path / "kustomization.yaml"
    kustomization.write_text((KUBERNETES / "overlays/cloud/kustomization.yaml").read_text())
    docker = tmp_path / "docker"
    docker.write_text(f"""#!/bin/sh
echo "$*" >> {told}
case "$1" in image)
  name=${{5%:*}}; echo "elsewhere.example/x@sha256:{"1" * 64}"; echo "$name@sha256:$(printf %064d ${{#name}})";;
esac
""")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("KUSTOMIZATION", str(kustomization))
    command = ["sh", str(KUBERNETES / "images.sh"), "r.example/team", "v7"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    before, after = load(KUBERNETES / "overlays/cloud/kustomization.yaml"), load(kustomization)
    names = [f"r.example/team/mmoe-{target}" for target in ("service", "trainer", "evaluation")]
    assert [image["newName"] for image in after["images"]] == names
    assert [image["digest"] for image in after["images"]] == [f"sha256:{len(name):064d}" for name in names]
    assert {**before, "images": []} == {**after, "images": []}
    called = told.read_text().splitlines()
    assert [line for line in called if line.startswith("push")] == [f"push {name}:v7" for name in names]
    assert all("--build-arg EXTRA=stores" in line for line in called if line.startswith("build"))
