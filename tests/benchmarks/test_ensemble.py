import pytest

from benchmarks.ensemble import Rate, main, measure, render
from model.study.synthetic.cells import Recipe


def test_every_contender_takes_its_turns() -> None:
    found = measure("mmoe", Recipe(steps=2, batch=4, points=1, test_rows=8), block=2, cores=1, repeats=2)
    assert [len(rates) for rates in found.values()] == [2, 2, 2]
    assert all(min(rate.wall, rate.cpu) > 0.0 for rates in found.values() for rate in rates)


def test_the_ratio_is_to_the_faster_plain_trainer() -> None:
    found = {"alone": [1.0, 1.0, 9.0], "processes": [2.0, 2.0, 0.5], "stacked": [10.0, 12.0, 10.0]}
    table = render({name: [Rate(wall, 3 * wall) for wall in walls] for name, walls in found.items()})
    assert table.splitlines()[1].split() == ["alone", "1.00", "1.00", "9.00", "3.00"]
    assert table.count("faster plain trainer, by") == table.count("time: 5.0") == 2


def test_help_says_what_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "plain trainer" in capsys.readouterr().out
