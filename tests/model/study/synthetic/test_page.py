import re
from dataclasses import replace
from pathlib import Path

import pytest

from model.study.paper import END_LOSSES, LABEL_PEARSON
from model.study.synthetic.cells import COMPARED, COSINES, LEARNING_RATES, Recipe
from model.study.synthetic.page import write_study
from model.study.synthetic.plan import (
    GATE_COSINES,
    QUICK,
    Results,
    Size,
    main_cells,
    planned_run_steps,
    run_study,
    tuning_cells,
)
from model.study.synthetic.runner import CellRunner

TINY = Recipe(steps=2, batch=4, points=2, test_rows=10)
SMALL = Size(runs=10, tuning_runs=2, choice_runs=2, choice_cosines=(0.5,), trials=2, trial_rows=200)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def results(work: Path) -> Results:
    return run_study(CellRunner(work), TINY, SMALL)


@pytest.fixture(scope="module")
def page(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("docs"), results, "the command", "cpu")


def test_every_picture_that_the_page_shows_is_there_and_no_other(page: Path) -> None:
    shown = set(re.findall(r"\]\((images/study/[^)]+)\)", page.read_text()))
    assert shown == {f"images/study/{file.name}" for file in (page.parent / "images" / "study").iterdir()}
    assert len(shown) == 5
    assert all((page.parent / name).read_bytes().startswith(b"\x89PNG") for name in shown)


def test_the_page_holds_every_finding_with_its_verdict(page: Path, results: Results) -> None:
    text = page.read_text()
    for finding in results.findings():
        assert f"| {finding.claim} | {finding.measure} | {finding.interval} | {finding.verdict} |" in text
    assert str(results.gate_correlation()) in text
    assert "the command" in text


def test_every_row_of_a_table_is_as_wide_as_its_head(page: Path) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", page.read_text(), flags=re.MULTILINE):
        assert len({line.count(" |") for line in block.splitlines()}) == 1


def test_no_number_is_missing(page: Path) -> None:
    assert not re.search(r"\b(nan|None|inf)\b", page.read_text())


def test_each_model_gets_the_rate_with_the_lowest_loss(results: Results) -> None:
    for architecture in COMPARED:
        losses = {rate: results.tuning[architecture, rate] for rate in LEARNING_RATES}
        assert losses[results.rates[architecture]] == min(losses.values())


def test_runs_that_choose_are_not_those_that_are_judged(results: Results) -> None:
    tuning = tuning_cells(TINY, SMALL).values()
    judged = [
        cell for key, cell in main_cells(TINY, SMALL, results.rates).items() if key[0] in ("fig3", "fig4", "gates")
    ]
    assert min(cell.first_run for cell in tuning) >= max(cell.first_run + cell.runs for cell in judged)


def test_a_finished_study_has_nothing_left_to_run(results: Results, work: Path) -> None:
    told: list[int] = []
    runner = CellRunner(work, advance=told.append)
    again = run_study(runner, TINY, SMALL)
    assert told == []
    assert again.findings() == results.findings()
    assert again.core_s == pytest.approx(results.core_s)


def test_the_plan_counts_what_will_be_run(tmp_path: Path) -> None:
    told: list[int] = []
    runner = CellRunner(tmp_path, advance=told.append)
    planned = planned_run_steps(runner, TINY, SMALL)
    run_study(runner, TINY, SMALL)
    assert sum(told) == planned


def test_the_paper_s_figures_cover_what_is_compared() -> None:
    assert set(END_LOSSES) == {(architecture, cosine) for architecture in COMPARED for cosine in COSINES}
    assert max(LABEL_PEARSON) == max(GATE_COSINES) == 1.0


def test_a_study_of_many_runs_says_beside_its_own_verdicts_what_a_quick_one_says(tmp_path: Path) -> None:
    many = replace(SMALL, runs=2 * QUICK.runs)
    whole = run_study(CellRunner(tmp_path / "many", block=QUICK.runs), TINY, many)
    quick = run_study(CellRunner(tmp_path / "quick", block=QUICK.runs), TINY, replace(SMALL, runs=QUICK.runs))
    text = write_study(tmp_path, whole, "the command", "cpu").read_text()
    for finding, few in zip(whole.findings(), quick.findings(), strict=True):
        assert f"| {finding.measure} | {finding.interval} | {finding.verdict} | {few.verdict} |" in text


def test_the_page_of_a_trial_says_how_many_steps_it_took(page: Path) -> None:
    text = " ".join(page.read_text().split())
    assert f"this page is a trial of {TINY.steps} steps" in text
    assert not re.search(r"\{\w+\(", text)
