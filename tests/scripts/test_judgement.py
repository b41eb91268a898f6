"""Judgement of a model that the command trains: in its output, its report and its manifest."""

import re
from pathlib import Path

import numpy as np
import pytest

from scripts.train import main

TOML = """\
name = "ads"
[data]
kind = "table"
path = "{path}"
drop = ["user", "land"]
group_metric = "user"
split = {{key = "row"}}
[features]
numeric = ["size", "row"]
[[tasks]]
name = "click"
column = "click"
kind = "binary"
negatives_kept = 0.5
[[tasks]]
name = "sale"
column = "sale"
kind = "binary"
after = "click"
[model]
experts = 2
numeric_encoding = "standard"
expert_hidden = [16]
[train]
epochs = 4
learning_rate = 0.001
weight_decay = 0.0
average_steps = 0
device = "cpu"
monitor = "click.gauc"
[report]
by = ["land"]
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random, rows = tmp_path_factory.mktemp("ads"), np.random.default_rng(3), 1500
    size, user = random.normal(size=rows), random.integers(40, size=rows)
    land = np.array(["fr", "de", "", "i|t"])[user % 4]
    click = random.random(rows) < 1 / (1 + np.exp(-2 * size))
    sale = click & (random.random(rows) < 0.5)
    cells = zip(range(rows), size, user, land, click, sale, strict=True)
    lines = [f"{row},{s:.4f},u{u},{of},{int(c)},{int(b)}" for row, s, u, of, c, b in cells]
    (folder / "ads.csv").write_text("\n".join(["row,size,user,land,click,sale", *lines]) + "\n")
    (folder / "ads.toml").write_text(TOML.format(path=folder / "ads.csv"))
    return folder / "ads.toml"


@pytest.mark.parametrize("streamed", [False, True])
def test_report_has_warnings_segments_and_importance_of_a_table_of_any_size(
    config: Path, streamed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    models = config.parent / f"models-{streamed}"
    passes = ["--set", f"data.stream_above_rows={0 if streamed else 10_000}"]
    bars = ["--unless-worse", "click.gauc=0.5", "--unless-worse", "sale.given.click.log_loss=5"]
    for _ in range(2):
        assert main([str(config), "--models", str(models), *passes, *bars]) == 0
    out, err = capsys.readouterr()
    assert ("Pass 2 of 2" in err) == streamed
    assert "Warning: Training had not converged when it ended after 4 epochs: " in err
    assert re.search(r"^task +auc +pr_auc +log_loss .* gauc", out, flags=re.MULTILINE)
    report = (models / "ads" / "2" / "report.md").read_text(encoding="utf-8")
    assert "\n## Warnings\n\n- Training had not converged" in report
    for output in ("click", "sale", "sale.given.click"):
        table = report.split(f"### `{output}` by `land`\n\n")[1].split("\n\n")[0].splitlines()
        assert table[0] == "| `land` | rows | observed | predicted | auc | interval |"
        assert {line.split(" | ")[0] for line in table[2:]} == {"| `de`", "| `fr`", "| `i\\|t`", "| no value"}
        assert output != "click" or all(" to " in line for line in table[2:])  # there are ten of each class
    assert "| 1 | `size` " in report.split("## Importance of features\n")[1]
    assert "| `click` | gauc |" in report.split("## Beside version 1\n")[1]
    assert "| `sale.given.click` | log_loss |" in report


def test_both_ways_of_reading_judge_alike(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The constant answers have no chance in them: their metrics are the same."""
    found = []
    for rows in (0, 10_000):
        models = config.parent / f"alike-{rows}"
        assert main([str(config), "--models", str(models), "--set", f"data.stream_above_rows={rows}"]) == 0
        report = (models / "ads" / "1" / "report.md").read_text(encoding="utf-8")
        found.append(re.findall(r"^\| always the base rate, .*$", report, flags=re.MULTILINE))
        observed = report.split("## Segments")[1].split("## Importance")[0]
        found[-1] += re.findall(r"^(\| [^|]*(?:\\\|)?[^|]* \| \d+ \| [\d.]+) ", observed, flags=re.MULTILINE)
    assert found[0] == found[1]
    assert len(found[0]) == 3 + 3 * 4
