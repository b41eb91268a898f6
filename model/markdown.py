"""Markdown of the pages that the trainer writes: tables, and prose in lines of bounded length."""

import re
import textwrap
from collections.abc import Sequence

WIDTH = 99

_FENCE = re.compile(r"\s*(?:```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)]) +")
_WHOLE = re.compile(r"`[^`]*`|!?\[[^\]]*\]\([^)]*\)|\S+ = \S+")
"""Code, links and equations, which stay on one line."""
_MARKER = re.compile(r" (?=(?:\d+[.)]|[-*+>|]|#{1,6})(?: |$))")
"""Space before a word that begins a list, a heading, a quotation or a table where it is first."""
_KEPT = "\0"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay out a table of cells of text."""
    rule = ["---"] * len(head)
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [head, rule, *lines]
    )


def wrap(text: str) -> str:
    """Break lines of prose and of lists at spaces, so that they have at most WIDTH characters.

    Headings, tables, fenced code, code in a sentence, links and equations stay whole; a text that
    was wrapped before does not change.
    """
    done, fenced = [], False
    for line in text.split("\n"):
        is_fence = bool(_FENCE.match(line))
        fenced ^= is_fence
        is_prose = not (fenced or is_fence or line.lstrip().startswith(("|", "#")))
        done += _broken(line) if is_prose and len(line) > WIDTH else [line]
    return "\n".join(done)


def _broken(line: str) -> list[str]:
    item = _ITEM.match(line)
    start = len(item[0]) if item else len(line) - len(line.lstrip())
    kept = _WHOLE.sub(lambda found: found[0].replace(" ", _KEPT), line[start:])
    wrapped = textwrap.wrap(
        _MARKER.sub(_KEPT, kept),
        WIDTH,
        initial_indent=line[:start],
        subsequent_indent=" " * start,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [part.replace(_KEPT, " ") for part in wrapped]
