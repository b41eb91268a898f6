"""The trainer with models in an object store: published, gone on from, compared with."""

import json
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from scripts.train import main
from tests.support.object_store import ObjectStore, object_store

DEMO = str(Path(__file__).parents[2] / "scripts/configs/synthetic.toml")
SMALL = ["data.rows=600", "train.device=cpu"]


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as one:
        yield one


def run(store: ObjectStore, *options: str, epochs: int = 1) -> int:
    return main([DEMO, "--models", store.url, *options, "--set", *SMALL, f"train.epochs={epochs}"])


def test_versions_follow_each_other_in_a_store(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(store) == 0
    said = capsys.readouterr().out
    assert f"Published {store.url}/synthetic/1 (report: {store.url}/synthetic/1/report.md)" in said
    assert f"MMOE_MODELS={store.url} " in said
    assert {"synthetic/1/" + name for name in ("claim.json", "config.toml", "checkpoint.pt", "model.onnx")} <= set(
        store.paths()
    )
    assert not list(tmp_path.iterdir())

    bar = ("--unless-worse", "task_1.rmse=0.5")
    assert run(store, "--from", "latest", *bar, "--work", str(tmp_path / "work"), epochs=0) == 0
    assert not list(tmp_path.iterdir())
    content = store.client.get_object(Bucket=store.bucket, Key="models/synthetic/2/model.onnx")["Body"].read()
    properties = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    provenance = json.loads(properties["mmoe.manifest"])["provenance"]
    assert provenance["from"]["version"] == provenance["compared_with"]["version"] == 1

    assert run(store, "--from", "7") == 2
    assert f"{store.url}/synthetic: --from names version 7, which is not there; published are 1, 2" in (
        capsys.readouterr().err
    )
    assert "synthetic/3/claim.json" not in store.paths()


def test_a_store_that_cannot_be_written_ends_a_run_before_it_trains(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([DEMO, "--models", "s3://none/models"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: s3://none/models/synthetic/.probe: the store has no such bucket or file")


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ("http://host/models", "'http://host/models' is neither a directory nor s3://bucket/folder"),
        ("az://account", "az://account: the address names no bucket; write az://account/container/folder"),
    ],
)
def test_an_address_that_cannot_be_is_refused(models: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([DEMO, "--models", models])
    assert sentence in capsys.readouterr().err
