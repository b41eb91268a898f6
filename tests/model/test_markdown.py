import re
from pathlib import Path

import pytest

from model.markdown import WIDTH, table, wrap

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
WORDS = "one word and another word, " * 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_is_wrapped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    changed = [
        number
        for number, (line, wrapped) in enumerate(zip(text.split("\n"), wrap(text).split("\n"), strict=False), start=1)
        if line != wrapped
    ]
    assert not changed[:1], f"{page.name}: from this line on, break prose before column {WIDTH + 1}"


@pytest.mark.parametrize("prose", [WORDS, f"- {WORDS}", f"  12. {WORDS}", f"text\n{WORDS}"])
def test_lines_of_prose_are_bounded_and_keep_their_words(prose: str) -> None:
    wrapped = wrap(prose)
    assert max(map(len, wrapped.split("\n"))) <= WIDTH
    assert wrapped.split() == prose.split()
    assert wrap(wrapped) == wrapped


@pytest.mark.parametrize(
    "line", [f"| {WORDS} |", f"# {WORDS}", f"```\n{WORDS}\n```", f"`{WORDS}`", f"[{WORDS}](page.md)"]
)
def test_tables_headings_code_and_links_stay_whole(line: str) -> None:
    assert wrap(line) == line


@pytest.mark.parametrize("word", ["1.", "12)", "-", "*", "+", ">", "#", "##", "|"])
def test_no_line_becomes_a_list_a_heading_a_quotation_or_a_table(word: str) -> None:
    for length in range(1, 120):
        lines = wrap(f"{'a' * length} {word} b " + WORDS).split("\n")
        assert not [line for line in lines if re.match(re.escape(word) + r"(?: |$)", line)]


def test_an_item_goes_on_below_its_text() -> None:
    first, *rest = wrap(f"  - {WORDS}").split("\n")
    assert first.startswith("  - one")
    assert rest
    assert all(re.match(r" {4}\S", line) for line in rest)


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a"], [["x | y"]]) == "| a |\n| --- |\n| x \\| y |"
