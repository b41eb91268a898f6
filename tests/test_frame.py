"""The frame: what the Makefile promises, and that the pins hold everything that is installed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [Requirement(line) for group in (PROJECT["dependencies"], *EXTRAS.values()) for line in group]
OLD_PYTHON = "#!/bin/sh\nexit 1\n"
PYTHON_WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n'


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in lines)
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines), "a package is pinned twice"
    return found


def closure(requirements: Iterable[Requirement]) -> set[str]:
    """Name every package that the requirements need here, directly or not, as far as it is
    installed.
    """
    found: set[str] = set()
    todo = [(r, e) for r in requirements for e in ("", *r.extras)]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        try:
            needs = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue
        found.add(name)
        todo += [(need, e) for need in needs for e in ("", *requirement.extras)]
    return found


def make(*arguments: str, path: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("MMOE_")}
    env = {**quiet, "PATH": path or os.environ["PATH"], "MAKEFLAGS": "", **variables}
    command = [shutil.which("make") or "make", "-C", str(ROOT), "--no-print-directory", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_every_package_needed_is_pinned() -> None:
    of_cuda = re.compile("nvidia-|cuda-|triton")  # torch pins these itself, where its wheel wants them
    unpinned = {name for name in closure(DIRECT) if name not in pins() and not of_cuda.match(name)}
    assert not unpinned


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_pins_lie_within_the_ranges(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_help_describes_every_target() -> None:
    text = make("help").stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony
    for target in set(phony[1].split()) - {"config"}:
        assert f"make {target} " in text


@pytest.mark.parametrize(
    ("arguments", "variables", "served"),
    [
        ([], {}, {"MMOE_PORT=8000", "MMOE_MODELS=models"}),
        ([], {"MMOE_PORT": "9001", "MMOE_HOST": "::1", "MMOE_MODELS": "own"},
         {"MMOE_PORT=9001", "MMOE_HOST=::1", "MMOE_MODELS=own"}),
        ([], {"PORT": "9002", "HOST": "192.0.2.1"}, {"MMOE_PORT=9002", "MMOE_HOST=192.0.2.1"}),
        (["PORT=9003", "HOST=192.0.2.2"], {"MMOE_PORT": "9001", "MMOE_HOST": "::1", "PORT": "9002"},
         {"MMOE_PORT=9003", "MMOE_HOST=192.0.2.2"}),
    ],
)  # fmt: skip
def test_serve_takes_the_port_that_was_asked_for(
    arguments: list[str], variables: dict[str, str], served: set[str]
) -> None:
    assert served <= set(make("--dry-run", "serve", *arguments, **variables).stdout.split())


def test_train_asks_for_a_config_before_anything_else() -> None:
    run = make("train", f"VENV={ROOT / 'nowhere'}")
    assert run.returncode != 0
    assert "Say which config" in run.stderr
    assert not (ROOT / "nowhere").exists()


@pytest.mark.parametrize(
    ("python", "sentence"),
    [(OLD_PYTHON, "No Python 3.11 or newer was found"), (PYTHON_WITHOUT_VENV, "python3 has no venv module")],
    ids=["too old", "no venv"],
)
def test_a_python_that_will_not_do_is_refused_with_a_sentence(tmp_path: Path, python: str, sentence: str) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "python"):
        (tmp_path / name).write_text(python)
        (tmp_path / name).chmod(0o755)
    run = make(f"{tmp_path}/new/bin/python", path=f"{tmp_path}:/usr/bin:/bin")
    assert run.returncode != 0
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


def test_a_versioned_python_is_found_when_the_plain_one_is_too_old(tmp_path: Path) -> None:
    for name in ("python3", "python3.13"):
        (tmp_path / name).write_text(OLD_PYTHON)
    (tmp_path / "python3.12").write_text(
        '#!/bin/sh\n[ "$1" = -m ] && mkdir "$3" && echo made > "$3/by-python3.12"; exit 0\n'
    )
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    run = make(f"{tmp_path}/new/bin/python", path=f"{tmp_path}:/usr/bin:/bin")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "new" / "by-python3.12").exists()


FAKE_PYTHON = """#!/bin/sh
echo "$@"
case "$*" in *"--lane=together"*) exit {together};; *"--lane=alone"*) exit {alone};; esac
"""


@pytest.mark.parametrize(
    ("together", "alone", "status"),
    [(0, 0, 0), (5, 0, 0), (0, 5, 0), (5, 5, 5), (1, 0, 1), (0, 1, 1), (1, 5, 1), (5, 1, 1), (4, 0, 4)],
)
def test_tests_fail_where_either_part_does_or_neither_has_any(
    tmp_path: Path, together: int, alone: int, status: int
) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python"
    python.write_text(FAKE_PYTHON.format(together=together, alone=alone))
    python.chmod(0o755)
    (tmp_path / ".dev").touch()
    run = make("test", f"VENV={tmp_path}", "ARGS=-k 'one or two'")
    assert (f"Error {status}" in run.stderr) if status else (run.returncode == 0)
    lines = run.stdout.splitlines()
    assert all(line.endswith("-k one or two") for line in lines)
    assert len(lines) == (2 if together in (0, 1, 5) else 1)


def test_values_of_options_are_not_taken_for_tests() -> None:
    """pytest takes a word of an option not yet known for a place where such a file exists."""
    plan = make("check", "--dry-run", "PASSED=pyproject.toml").stdout
    runs = [words.split() for words in re.findall(r"-m pytest ([^|\n]+)", plan)]
    assert len(runs) == 3
    for words in runs:
        options = [word for word in words if not word.startswith("--cov")]
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "--markers"],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("lane", "expected"), [("together", {"tests/test_layering.py"}), ("alone", {"tests/faults"})])
def test_each_lane_takes_its_own_tests(lane: str, expected: set[str]) -> None:
    places = ["tests/faults/test_clocks.py", "tests/test_layering.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--lane", lane, *places],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = {line.partition("::")[0] for line in run.stdout.splitlines() if "::" in line}
    assert found
    assert all(any(name.startswith(place) for place in expected) for name in found)


def test_no_wheel_with_packages_of_common_names_is_built(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", reason="setuptools is not installed here; pip fetches it where it builds")
    system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    for hook in ("build_wheel", "build_sdist"):
        code = f"import {system['build-backend']} as backend; backend.{hook}({str(tmp_path)!r})"
        env = {"PYTHONPATH": str(ROOT / system["backend-path"][0]), "PATH": ""}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert run.returncode == 1
        assert "is an application and is not built as a package" in run.stderr
        assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_advises_to_install_the_application_as_a_package() -> None:
    advice = re.compile(r"(?:pip|uv|pipx) install [^\n]*mmoe[-_]serve")
    places = ("service", "model", "scripts", "benchmarks", "deploy", "docs", "tests")
    kinds = {".py", ".md", ".sh", ".yaml", ".yml", ".html"}
    files = [path for place in places for path in (ROOT / place).rglob("*") if path.suffix in kinds]
    files += [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "Dockerfile"]
    assert [path for path in files if advice.search(path.read_text())] == []


def test_hooks_before_a_commit_run_what_check_runs() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in repo["hooks"]]
    recipe = make("--dry-run", "check").stdout
    assert entries
    for entry in entries:
        program = entry.split()[0]
        assert f".venv/bin/{entry}" in recipe
        assert (Path(sys.executable).parent / program).exists()
        assert {"mypy": "mypy", "ruff": "ruff", "lint-imports": "import-linter"}[program] in pins()
