"""Rules of docstrings, held for the whole tree.

Their first word, noun phrases for types, and argument lines that say more than a type.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TREES = ("service", "model", "tables", "loop", "metrics", "stores", "mmoe_client", "scripts", "benchmarks", "tests")
FILES = sorted(path for tree in TREES for path in (ROOT / tree).rglob("*.py"))
FIRST_WORDS = {"what", "how", "who", "where"}
IMPERATIVES = {"bound", "check", "choose", "compute", "decide", "describe", "find", "generate", "give", "hold", "keep"}
IMPERATIVES |= {"make", "parse", "read", "refuse", "render", "represent", "say", "take", "tell", "wrap", "write"}
"""Words that begin the docstring of a function, and are not nouns as well."""
SAY_NOTHING = {"a", "an", "the", "of", "or", "and", "to", "is", "it", "this", "given", "none", "optional", "object"}
Defined = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """List every docstring with its line.

    Of modules, classes, functions, and of the names above one.
    """
    for node in ast.walk(tree):
        if isinstance(node, Defined):
            for statement in node.body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    text = statement.value.value
                    if isinstance(text, str):
                        yield statement.lineno, text


def words(text: str) -> set[str]:
    """Return the words of a sentence, a name or a type, in lower case and in the singular."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    return {word.lower().rstrip("s") for word in re.findall(r"[A-Za-z]+", apart)}


def annotations(node: Defined) -> dict[str, str]:
    """Return the types, as written, of a function's arguments, or of a class's arguments and
    attributes.
    """
    if isinstance(node, ast.Module):
        return {}
    if isinstance(node, ast.ClassDef):
        own = {s.target.id: ast.unparse(s.annotation) for s in node.body
               if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}  # fmt: skip
        inits = [s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]
        return own | (annotations(inits[0]) if inits else {})
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in every}


def repeated_types(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """List the argument lines that hold no word but those of the argument's name and type, as
    (argument, text).
    """
    for node in ast.walk(tree):
        if not isinstance(node, Defined):
            continue
        types = annotations(node)
        for section in re.findall(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", ast.get_docstring(node) or "", re.M):
            for name, text in re.findall(r"^ {4}\**(\w+)(?: \([^)]*\))?: *(.*(?:\n {5,}.*)*)", section, re.M):
                if words(text) - words("\n".join(SAY_NOTHING)) <= words(name) | words(types.get(name, "")):
                    yield name, text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("engine: the engine.", True),
        ("engine: an Engine, or None.", True),
        ("engine: ", True),
        ("engine: of the process.", False),
        ("rows: numeric (B, N).", False),
        ("rows: the rows", True),
    ],
)
def test_the_rule_finds_lines_that_only_repeat_a_type(text: str, found: bool) -> None:
    source = f'def f(engine: Engine | None, rows: int) -> None:\n    """Do.\n\n    Args:\n        {text}\n    """\n'
    assert bool(list(repeated_types(ast.parse(source)))) is found


def test_no_docstring_begins_with_a_question() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip().splitlines()[0]}"
        for path in FILES
        for line, text in docstrings(ast.parse(path.read_text()))
        if re.split(r"\W", text.strip(), maxsplit=1)[0].lower() in FIRST_WORDS
    ]
    assert not wrong, "a docstring begins with the usual term of art:\n" + "\n".join(wrong)


def test_a_type_is_described_by_a_noun_phrase() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}: {text.splitlines()[0]}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and (text := ast.get_docstring(node))
        if text.split()[0].lower() in IMPERATIVES
    ]
    assert not wrong, "the docstring of a class names the thing, and does not command it:\n" + "\n".join(wrong)


def test_every_argument_line_says_more_than_its_type() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}: {text}"
        for path in FILES
        for name, text in repeated_types(ast.parse(path.read_text()))
    ]
    assert not wrong, "a line about an argument says more than its type, or is left out:\n" + "\n".join(wrong)
