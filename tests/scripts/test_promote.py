"""The command that says which version is served: what it writes, shows and refuses."""

from pathlib import Path

import pytest

from scripts.promote import main
from service.versions.serving_file import ServingFile, VersionShare
from tests.support.object_store import object_store


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for version in (1, 2, 3):
        (tmp_path / "models" / "ads" / str(version)).mkdir(parents=True)
        (tmp_path / "models" / "ads" / str(version) / "model.onnx").touch()
    (tmp_path / "models" / "ads" / "4").mkdir()
    return tmp_path / "models" / "ads"


def test_a_version_is_canaried_promoted_and_rolled_back(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ServingFile.of(model.parent, "ads")
    for arguments, shown in (
        ([], "now:    version 3 is served, the highest\n"),
        (["2"], "now:    version 2 is served, pinned; since 20"),
        (["3", "--canary", "0.05"], "; version 3 answers 0.05 of the requests; since 20"),
        (["--canary", "0"], "before: version 2 is served, pinned; version 3 answers 0.05 of the requests"),
        (["3", "--canary", "1"], "; version 3 answers 1 of the requests; since 20"),
        (["--rollback"], "now:    version 2 is served, pinned; since 20"),
        (["3", "--reason", "sold.auc 0.87"], " UTC by scripts.promote: sold.auc 0.87\nWritten to "),
        (["--rollback"], "now:    version 2 is served, pinned; since 20"),
        (["--rollback"], "now:    version 1 is served, pinned; since 20"),
        (["highest"], "now:    version 3 is served, the highest; since 20"),
    ):
        assert main([str(model), *arguments]) == 0
        assert shown in capsys.readouterr().out
    assert file.read().change == 9


def test_without_a_pin_a_canary_pins_the_highest_of_the_others(model: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    assert main([str(model), "2", "--canary", "1", "--serving-directory", str(aside)]) == 0
    said = ServingFile.of(model.parent, "ads", aside).read()
    assert (said.pinned, said.canary) == (3, VersionShare(version=2, share=1.0))
    assert not (model / "serving.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["4"], "The version is 4. Name one that is there: 3, 2, 1."),
        (["two"], "The version is two. Name one"),
        (["--canary", "0.5"], "The version is missing. Name one"),
        (["3", "--canary", "0.5"], "Version 3 is the one that is served. Pin the other one first."),
        (["1", "--serving-directory", "/proc"], "/proc/ads/serving.json cannot be written: "),
    ],
)
def test_what_cannot_be_is_refused(
    model: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model), *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")
    assert not (model / "serving.json").exists()


def test_wrong_words_and_places_are_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["2", "--rollback"], ["2", "--canary", "1.5"], ["2", "--canary", "nan"]):
        with pytest.raises(SystemExit):
            main([str(model), *arguments])
    assert main([str(model.parent / "adds"), "1"]) == 2
    assert "adds has no version. Name a model as models/NAME" in capsys.readouterr().err
    (model / "serving.json").write_text("{}")
    assert main([str(model), "1"]) == 2
    assert "Mend the file, or remove it." in capsys.readouterr().err
    assert main([str(model), "1"]) == 2


def test_a_model_in_a_store_is_promoted_there(capsys: pytest.CaptureFixture[str]) -> None:
    with object_store() as store:
        for version in (1, 2, 10):
            store.put(f"ads/{version}/model.onnx", b"model")
        store.put("ads/11/claim.json", b"{}")
        assert main([f"{store.url}/ads", "2", "--reason", "calmer"]) == 0
        said = capsys.readouterr().out
        assert "now:    version 2 is served, pinned; since 20" in said
        assert f"Written to {store.url}/ads/serving.json; running services follow" in said
        assert main([f"{store.url}/ads", "--rollback"]) == 0
        assert "before: version 2 is served, pinned" in (said := capsys.readouterr().out)
        assert "now:    version 1 is served, pinned" in said
        assert main([f"{store.url}/ads", "11"]) == 2
        assert "Name one that is there: 10, 2, 1." in capsys.readouterr().err
        assert main(["s3://none/models/ads"]) == 2
        assert capsys.readouterr().err.startswith("error: s3://none/models/ads")
