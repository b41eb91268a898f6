"""The page docs/api.md: its requests are sent to a real service and answered in its words.

A block of `http` that begins with a method is a request; the block behind it is the answer:
`json`, or `http` with the status. Numbers are shown with four decimals.
"""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from service.http.errors import INTERNAL, STATUSES
from service.settings import Settings, variable
from tests.support.documented import DEFAULT_MODEL, write_documented

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/api.md").read_text()
METHODS = ("GET ", "POST ")


class Block(NamedTuple):
    """Block of code of the page."""

    language: str
    text: str


class Pair(NamedTuple):
    """Request of the page, and the block behind it."""

    request: str
    answer: Block


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]


def pairs() -> list[Pair]:
    """Find every request with its answer."""
    found = blocks()
    return [
        Pair(block.text, answer)
        for block, answer in zip(found, [*found[1:], Block("", "")], strict=True)
        if block.language == "http" and block.text.startswith(METHODS)
    ]


def read(message: str) -> tuple[str, dict[str, str], str]:
    """Split a message of HTTP into its first line, its headers by lower-case name, and its
    body.
    """
    head, _, body = message.partition("\n\n")
    first, *lines = head.strip().split("\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return first, {name.lower(): value for name, value in headers.items()}, body.strip()


def name(pair: Pair) -> str:
    return pair.request.partition("\n")[0]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, start_service: Callable[..., Any]) -> Iterator[str]:
    """Serve the models of the page, with the default settings."""
    root = tmp_path_factory.mktemp("documented")
    write_documented(root)
    with start_service(root, default_model=DEFAULT_MODEL) as service:
        yield service.url


def ask(url: str, request: str) -> httpx.Response:
    first, headers, body = read(request)
    method, path = first.split(" ")
    return httpx.request(method, url + path, headers=headers, content=body.encode() or None, timeout=30)


def assert_equal(came: object, shown: object, where: str = "answer") -> None:
    """Compare JSON; numbers with a fraction to four decimals."""
    if isinstance(shown, dict):
        assert isinstance(came, dict), where
        assert list(came) == list(shown), where
        for key, value in shown.items():
            assert_equal(came[key], value, f"{where}.{key}")
    elif isinstance(shown, list):
        assert isinstance(came, list), where
        assert len(came) == len(shown), where
        for index, (one, other) in enumerate(zip(came, shown, strict=True)):
            assert_equal(one, other, f"{where}[{index}]")
    elif isinstance(shown, float) and isinstance(came, float):
        assert came == pytest.approx(shown, abs=6e-5), where
    else:
        assert came == shown, where


@pytest.mark.parametrize("pair", pairs(), ids=name)
def test_a_request_of_the_page_is_answered_as_the_page_says(url: str, pair: Pair) -> None:
    status, shown_headers, body = 200, {"content-type": "application/json"}, pair.answer.text
    if pair.answer.language == "http":
        first, shown_headers, body = read(pair.answer.text)
        status = int(first.split(" ")[1])
    came = ask(url, pair.request)
    assert came.status_code == status, came.text
    assert {header: came.headers.get(header) for header in shown_headers} == shown_headers
    shown = json.loads(body)
    if "title" in shown:
        shown["title"] = HTTPStatus(status).phrase  # Python 3.13 renamed some
    if "request_id" in shown and "x-request-id" not in shown_headers:
        shown["request_id"] = came.headers["x-request-id"]
    assert_equal(came.json(), shown)


def test_the_program_of_the_page_prints_what_the_page_says(url: str) -> None:
    found = blocks()
    (at,) = [index for index, block in enumerate(found) if block.language == "python"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(found[at].text, "docs/api.md", "exec"), {"url": url})
    came, shown = printed.getvalue().splitlines(), found[at + 1].text.splitlines()
    assert len(came) == len(shown) == 2
    for one, other in zip(came, shown, strict=True):
        assert_equal(json.loads(one), json.loads(other))


def test_the_commands_of_the_page_write_and_ask_what_it_shows(url: str, tmp_path: Path) -> None:
    making, asking = [block.text for block in blocks() if block.language == "bash"]
    write, serve = making.splitlines()
    subprocess.run(
        write.replace(".venv/bin/python", sys.executable).replace("build/documented", str(tmp_path / "made")),
        shell=True, cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"demo", "grades", "shop"}
    assert {"MMOE_MODELS=build/documented", f"MMOE_DEFAULT_MODEL={DEFAULT_MODEL}"} <= set(serve.split())
    if not shutil.which("curl"):
        pytest.skip("there is no curl")
    command = asking.replace("http://127.0.0.1:8000", url).replace("-Ms: 50", "-Ms: 10000")
    answer = subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True)
    assert len(json.loads(answer.stdout)["predictions"]) == 1


def test_the_page_shows_every_kind_of_call() -> None:
    assert len(pairs()) >= 10
    assert all(pair.answer.language in ("json", "http") for pair in pairs())


def test_every_error_is_in_the_table_with_its_status() -> None:
    shown: dict[str, int] = {}
    for statuses, codes in re.findall(r"^\| ([\d, ]+) \| (`.*?`) \|", PAGE, re.MULTILINE):
        shown |= dict(zip(re.findall(r"`(\w+)`", codes), map(int, statuses.split(", ")), strict=True))
    raised = {mapping.code: mapping.status for mapping in [*STATUSES.values(), INTERNAL]}
    del raised["settings"]  # ends the program before there is any HTTP
    of_http = {"not_found": 404, "method_not_allowed": 405}
    assert shown == raised | of_http


def test_every_setting_is_one_and_has_the_default_shown() -> None:
    assert set(re.findall(r"MMOE_[A-Z_]+", PAGE)) <= {variable(field) for field in Settings.model_fields}
    shown = dict(re.findall(r"^\| `MMOE_([A-Z_]+)` \| (\S+) \|", PAGE, re.MULTILINE))
    defaults = Settings()
    assert shown == {field: str(getattr(defaults, field.lower())) for field in shown}
    assert shown


def test_every_path_of_the_service_is_on_the_page(url: str) -> None:
    named = set()
    for path in re.findall(r"`(?:GET\s|POST\s)?(/[^`?]*)", PAGE):
        named |= {path.replace("[/versions/{version}]", ""), path.replace("[", "").replace("]", "")}
    named |= {path + "/ready" for path in named if path.startswith("/v2/models/{name}")}  # as .../ready
    served = set(httpx.get(f"{url}/openapi.json", timeout=30).json()["paths"])
    general = {re.sub(r"/models/(demo|grades|shop)", "/models/{name}", path) for path in served}
    assert general - named == set()


def slug(title: str) -> str:
    """Return the anchor of a heading as sites that show Markdown make it.

    No punctuation, dashes for spaces.
    """
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_every_link_of_the_page_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        text = PAGE if not file else (Path(__file__).parents[3] / "docs" / file).read_text()
        titles = [slug(title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
        assert not anchor or anchor in titles, target
