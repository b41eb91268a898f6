import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Artifact


def test_report_shows_every_picture_and_every_metric(artifact: "Artifact") -> None:
    text = (artifact.path / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert sorted(shown) == sorted(path.name for path in artifact.path.glob("*.png"))
    for word in ("rmse", "auc", "log_loss", "`price`", "`sold`", "`grade`", "sha256:", "commit", "rows/s"):
        assert word in text
    for constant in ("always the mean, ", "always the base rate, ", "always the classes' shares, most "):
        assert constant in text
    for note in artifact.dataset.notes:
        assert note in text


def test_tables_have_as_many_cells_in_each_line(artifact: "Artifact") -> None:
    text = (artifact.path / "report.md").read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1


def test_rows_of_the_splits_are_those_of_the_dataset(artifact: "Artifact") -> None:
    text = (artifact.path / "report.md").read_text(encoding="utf-8")
    for split in ("train", "validation", "test"):
        assert f"| {split} | {len(getattr(artifact.dataset, split)):,} |" in text
