import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.config.run import Config, load_config
from model.data.table import read_dataset
from model.mmoe import Architecture, count_parameters
from model.network.model import build_model
from model.schema import Task
from model.study.tables.census_split import find_training_file, git_blob, paper_split
from model.study.tables.comparison import (
    ARCHITECTURES,
    Comparison,
    Outcome,
    TableRunner,
    Trees,
    Variant,
    configured,
    equal_budgets,
    runs_of,
    splits_of,
)
from model.study.tables.page import verdicts, write_comparisons
from tables.errors import DataError

CENSUS = Path(__file__).parents[4] / "scripts" / "configs" / "census_income.toml"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "tiny.toml"
    path.write_text(
        'name = "tiny"\n[data]\nkind = "synthetic"\nrows = 120\ndims = 6\n'
        "[model]\nexperts = 3\nexpert_hidden = [4]\ntower_hidden = [2]\n[train]\nepochs = 1\nbatch_size = 32\n"
    )
    return load_config(path)


def test_budgets_are_equal(config: Config) -> None:
    dataset = read_dataset(config)
    sizes = []
    for architecture, hidden in equal_budgets(dataset, config).items():
        shaped = configured(config, Variant(architecture, hidden, 1e-3, 0.0, 0)).model
        sizes.append(count_parameters(build_model(dataset.features, dataset.tasks, shaped, 0)))
    assert max(sizes) - min(sizes) < 0.1 * max(sizes)


def test_compares_every_architecture_and_goes_on_from_what_is_on_disk(config: Config, tmp_path: Path) -> None:
    told: list[int] = []
    runner = TableRunner(config, tmp_path / "work", 1, told.append)
    first = runner.compare(seeds=2)
    assert sum(told) == runs_of(config, 2)
    assert set(first.outcomes) == set(ARCHITECTURES)
    assert all(len(outcomes) == 2 for outcomes in first.outcomes.values())
    again = runner.compare(seeds=2)
    assert sum(told) == runs_of(config, 2)
    assert again.outcomes == first.outcomes
    write_comparisons(tmp_path / "docs" / "tiny.md", "Tiny", [first], "A remark.", "the command")
    page = (tmp_path / "docs" / "tiny.md").read_text()
    assert all(name in page for name in ("Single-Task", "Shared-Bottom", "OMoE", "MMoE", "A remark.", "the command"))
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count(" |") for line in lines}) == 1


def test_a_seed_has_a_split_of_its_own_where_rows_are_split_at_random() -> None:
    random = load_config(CENSUS)
    assert splits_of(random, 10) == 10
    splits = [configured(random, job).data.split for job in (Trees(0), Trees(3), Variant("omoe", 4, 1e-3, 0.1, 3))]  # type: ignore[union-attr]
    assert splits[0] == random.data.split  # type: ignore[union-attr]
    assert splits[1] == splits[2] != splits[0]
    by_time = load_config(CENSUS.with_name("hotel.toml"))
    assert splits_of(by_time, 10) == 1
    assert configured(by_time, Trees(3)).data == by_time.data


@pytest.fixture
def made() -> Callable[[float, float], Comparison]:
    """Make a comparison on census with given AUCs of MMoE and the others, and LightGBM's .95."""

    def make(mmoe: float, others: float) -> Comparison:
        random = np.random.default_rng(0)
        task = Task("income", "binary", ("no", "yes"))
        aucs: dict[Architecture, float] = {a: mmoe if a == "mmoe" else others for a in ARCHITECTURES}
        outcomes = {
            a: [Outcome(0.1, {"income": {"auc": auc + random.normal(0, 1e-4)}}, 10, 1.0) for _ in range(10)]
            for a, auc in aucs.items()
        }
        chosen = {a: Variant(a, 4, 1e-3, 0.0, 0) for a in ARCHITECTURES}
        trees = [Outcome(0.0, {"income": {"auc": 0.95}}, 0, 0.0)] * 10
        return Comparison("census_income", (task,), (6, 2, 2), (), 10, chosen, outcomes, trees, "")

    return make


def test_what_is_asked_of_mmoe_is_judged(made: Callable[[float, float], Comparison]) -> None:
    assert [verdict for _, verdict in verdicts(made(0.949, 0.94))] == ["yes", "yes", "yes"]
    assert [verdict for _, verdict in verdicts(made(0.93, 0.94))] == ["no", "no", "no"]


def test_a_seed_far_under_the_others_is_named_and_trees_ahead_of_all_are_explained(
    made: Callable[[float, float], Comparison], tmp_path: Path
) -> None:
    comparison = made(0.945, 0.944)
    comparison.outcomes["mmoe"][4].metrics["income"]["auc"] = 0.9  # type: ignore[index]
    write_comparisons(tmp_path / "page.md", "Made", [comparison], "", "the command")
    page = (tmp_path / "page.md").read_text()
    assert "income: 1 of 10 seeds of MMoE ended far under the others, at 0.9000" in page
    assert "LightGBM is ahead of every network" in page
    write_comparisons(tmp_path / "page.md", "Made", [made(0.949, 0.948)], "", "the command")
    assert "LightGBM is ahead" not in (tmp_path / "page.md").read_text()


def test_a_task_that_sharing_costs_is_told(made: Callable[[float, float], Comparison], tmp_path: Path) -> None:
    comparison = made(0.94, 0.941)
    for outcome in comparison.outcomes["single_task"]:
        outcome.metrics["income"]["auc"] = 0.945  # type: ignore[index]
    write_comparisons(tmp_path / "page.md", "Made", [comparison, made(0.94, 0.94)], "", "the command")
    assert (tmp_path / "page.md").read_text().count("income: the network that shares nothing is ahead of MMoE") == 1


def test_a_lower_error_counts_for_mmoe_and_what_was_not_measured_is_said(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    outcomes = {
        a: [Outcome(0.1, {"rate": {"rmse": (30.0 if a == "mmoe" else 31.0) + random.normal(0, 0.1)}}, 10, 1.0)] * 2
        for a in ARCHITECTURES
    }
    chosen = {a: Variant(a, 4, 1e-3, 0.0, 0) for a in ARCHITECTURES}
    task = Task("rate", "regression", ())
    comparison = Comparison("hotel", (task,), (6, 2, 2), (), 1, chosen, outcomes, [], "LightGBM is not installed")
    ((words, verdict),) = verdicts(comparison)
    assert "less MMoE" in words
    assert "interval 1." in words or "interval 0.9" in words
    assert verdict == "yes"
    write_comparisons(tmp_path / "page.md", "Made", [comparison], "", "the command")
    assert "Not measured: LightGBM is not installed." in (tmp_path / "page.md").read_text()


def test_the_paper_s_split_joins_its_training_file_and_halves_the_test_file(tmp_path: Path) -> None:
    config = load_config(CENSUS)
    train, test = b"1, a, x\n2, b, y\n", b"3, a, x\n4, b, y\n5, a, x\n6, b, y\n"
    (tmp_path / "census-income.data").write_bytes(train)
    (tmp_path / "census-income.test.gz").write_bytes(gzip.compress(test))
    found = find_training_file(tmp_path)
    assert found is not None
    joined = paper_split(config, found, tmp_path / "census-income.test.gz", tmp_path / "work", blob=git_blob(train))
    lines = Path(joined.data.paths[0]).read_text().splitlines()  # type: ignore[union-attr]
    assert lines[:2] == ["1, a, x, train", "2, b, y, train"]
    parts = sorted(line.rpartition(", ")[2] for line in lines[2:])
    assert parts == ["test", "test", "validation", "validation"]


def test_another_training_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "census-income.data").write_bytes(b"1, a\n")
    with pytest.raises(DataError, match="57d8bff516af70a99c0cd5b31bde3168b592cffb"):
        paper_split(load_config(CENSUS), tmp_path / "census-income.data", tmp_path / "none", tmp_path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "census-income.data.gz").write_bytes(gzip.compress(b"1, a\n" * 100)[:-9])
    with pytest.raises(DataError, match="cut short or damaged"):
        paper_split(load_config(CENSUS), tmp_path / "census-income.data.gz", tmp_path / "none", tmp_path)


def test_git_gives_the_same_id() -> None:
    assert git_blob(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
