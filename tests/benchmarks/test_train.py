from pathlib import Path

import pytest

from benchmarks.train import CENSUS, CENSUS_SIZES, all_for_training, made_table, main, measure, render
from model.config.run import load_config
from model.data.table import read_dataset


def test_every_trainer_takes_its_turns_on_the_same_rows(tmp_path: Path) -> None:
    config = made_table(tmp_path / "made.csv", load_config(CENSUS, ["train.epochs=1", "train.device=cpu"]), rows=3000)
    dataset = all_for_training(read_dataset(config))
    assert len(dataset.train) == 3000
    assert len(dataset.features.numeric) == 7
    assert len(dataset.features.categorical) == len(CENSUS_SIZES)
    assert {task.name for task in dataset.tasks} == {"label_0", "label_1"}
    found = measure(dataset, config, repeats=2)
    assert [len(rates) for rates in found.values()] == [2, 2, 2]
    assert all(rate > 0.0 for rates in found.values() for rate in rates)


def test_the_ratio_is_to_the_faster_loader() -> None:
    table = render({"ours": [60.0, 10.0, 600.0], "slow": [10.0, 10.0, 10.0], "fast": [20.0, 20.0, 20.0]})
    assert table.splitlines()[1].split() == ["ours", "60", "10", "600"]
    assert table.endswith("faster DataLoader: 3.0")


def test_help_says_what_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "DataLoader" in capsys.readouterr().out
