from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.artifacts import Artifact


def test_every_peer_has_a_server_pinned_requirements_and_a_ready_path() -> None:
    assert peers.READY.keys() == peers.PATHS.keys()
    for name in peers.READY:
        assert (peers.HERE / f"{name}_server.py").exists()
        lines = (peers.HERE / f"{name}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if line and not line.startswith("#"))


def test_only_installed_peers_compete_and_only_on_numbers(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "litserve" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(peers, "HOME", tmp_path)
    names = [contender.name for contender in peers.installed(artifact)]
    assert names == ([] if artifact.categorical else ["litserve"])
