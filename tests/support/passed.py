"""Tests that have passed elsewhere, so that `make check` runs each of the service's once."""

from collections.abc import Container
from pathlib import Path

import pytest


def add_options(parser: pytest.Parser) -> None:
    """Add `--passed-to FILE` and `--but-passed FILE`."""
    parser.addoption("--passed-to", type=Path, help="file to write the names of tests that passed to")
    parser.addoption("--but-passed", type=Path, help="file of names of tests that are left out")


def passed_before(config: pytest.Config) -> Container[str]:
    """Return the names of the tests to leave out."""
    file: Path | None = config.getoption("--but-passed")
    return set(file.read_text(encoding="utf-8").splitlines()) if file is not None else set()


class PassedTests:
    """Plugin that writes the names of tests that passed, one a line.

    Args:
        file: written at the end of a session; its directory is made.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ended: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep how a test ended: it has passed where all its phases have, and none was skipped."""
        self._ended[report.nodeid] = self._ended.get(report.nodeid, True) and report.passed

    def pytest_sessionfinish(self) -> None:
        """Write the names."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        names = [name for name, passed in self._ended.items() if passed and "\n" not in name]
        self._file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
