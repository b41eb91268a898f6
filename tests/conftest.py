"""Fixtures of all tests: real services, small models exported by the real path, effort.

Models train in a few seconds; effort is how long tests of faults go on.
"""

import csv
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

from tests.support.effort import SHORT, SOAK, Effort
from tests.support.passed import PassedTests, add_options, passed_before
from tests.support.server import running
from tests.support.unwatched import unwatched

if TYPE_CHECKING:  # the service's tests also run where the trainer's packages are not installed
    from model.config.run import Config
    from model.network.model import Model
    from model.schema import Dataset
    from model.training.progress import History

settings.register_profile("without a deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("without a deadline")

ROWS = 600
MEASURED = "measured"
"""Name of the properties of a test that are lines of the report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--lane`: `make test` runs most tests on three processes, then the others on one."""
    parser.addoption("--lane", choices=("together", "alone"), help="only tests that may, or may not, run beside others")
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Write the names of tests that pass, in the process that all are reported to.

    A shell starts what runs in the background with SIGINT ignored, and programs hand that down:
    those that tests interrupt would not hear of it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    file = config.getoption("--passed-to")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(PassedTests(file))


@pytest.fixture(params=[pytest.param(SHORT, id="short"), pytest.param(SOAK, id="soak", marks=pytest.mark.soak)])
def effort(request: pytest.FixtureRequest) -> Effort:
    """Run a test twice: briefly, and, only when the mark soak is asked for, long."""
    given: Effort = request.param
    return given


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that adds a line to the report: `measured("400 requests/s")`."""
    return lambda line: request.node.user_properties.append((MEASURED, f"{request.node.name}: {line}"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the other lane.

    Also those that have passed elsewhere, and those marked soak, which take minutes, unless `-m`
    speaks of them.
    """
    passed = passed_before(config)
    without_soak, lane = "soak" not in config.option.markexpr, config.getoption("lane")
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        of_other_lane = lane is not None and (lane == "alone") is not (item.get_closest_marker("alone") is not None)
        soak = without_soak and item.get_closest_marker("soak") is not None
        (left_out if of_other_lane or soak or item.nodeid in passed else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured, in whichever process they ran."""
    ended = [r for reports in terminalreporter.stats.values() for r in reports if getattr(r, "when", "") == "teardown"]
    if lines := [line for report in ended for name, line in report.user_properties if name == MEASURED]:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session", autouse=True)
def exporter_unwatched() -> Iterator[None]:
    """Let coverage look away while torch exports, and Matplotlib draws a file."""
    with pytest.MonkeyPatch.context() as patch:
        for package, function in (("torch", "torch.onnx.export"), ("matplotlib", "matplotlib.figure.Figure.savefig")):
            if sys.gettrace() is not None and find_spec(package) is not None:
                patch.setattr(function, unwatched(pkgutil.resolve_name(function)))
        yield


@pytest.fixture(scope="session")
def start_service() -> Callable[..., Any]:
    """Return a context manager that runs a service.

    As in `with start_service(models, max_rows="5") as service`.
    """
    return running


CONFIG = """
name = "{name}"

[data]
kind = "table"
path = '{table}'
missing = ["?"]

[features]
numeric = ["age", "weight"]
categorical = ["colour", "city"]
min_count = 3

[[tasks]]
name = "price"
column = "price"
kind = "regression"

[[tasks]]
name = "sold"
column = "sold"
kind = "binary"
positive = "yes"

[[tasks]]
name = "grade"
column = "grade"
kind = "multiclass"

[model]
architecture = "{architecture}"
experts = 4
expert_hidden = [8]
tower_hidden = [4]
embedding_dim = 3

[train]
epochs = 4
batch_size = 64
learning_rate = 0.01
device = "cpu"
"""


@dataclass(frozen=True)
class Artifact:
    """Published version, and its model and data."""

    path: Path
    model: "Model"
    dataset: "Dataset"
    config: "Config"
    history: "History"

    @property
    def models_dir(self) -> Path:
        return self.path.parent.parent


def write_table(path: Path) -> None:
    """Write rows of mixed kinds.

    Missing numbers and categories, rare cities, all three labels a matter of features.
    """
    random = np.random.default_rng(7)
    cities = ["Oslo", "Paris", "São Paulo", "?", "Rare 1", "Rare 2"]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["age", "weight", "colour", "city", "price", "sold", "grade"])
        for row in range(ROWS):
            age, weight = random.uniform(20, 60), random.normal(70, 10)
            colour = str(random.choice(["red", "green", "blue"]))
            city = str(random.choice(cities, p=[0.4, 0.3, 0.2, 0.08, 0.01, 0.01]))
            hidden = (age - 40) / 10 + (colour == "red") - (city == "Paris") + random.normal(0, 0.3)
            price = f"{100 + 10 * hidden:.3f}"
            grade = ["low", "middle", "high"][int(np.digitize(hidden, [-0.7, 0.7]))]
            seen_age = "?" if row % 9 == 0 else f"{age:.2f}"
            table.writerow([seen_age, f"{weight:.2f}", colour, city, price, "yes" if hidden > 0 else "no", grade])


@pytest.fixture(scope="session")
def train_and_export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artifact]:
    """Return a function that makes an artifact of an architecture, once a session.

    Each in a directory of models of its own.
    """
    made: dict[str, Artifact] = {}
    home = tmp_path_factory.mktemp("artifacts")
    write_table(home / "table.csv")

    def make(architecture: str) -> Artifact:
        if architecture not in made:
            made[architecture] = _make(home, architecture)
        return made[architecture]

    return make


def _make(home: Path, architecture: str) -> Artifact:
    from model.artifact.export import export
    from model.config.run import load_config
    from model.data.table import read_dataset
    from model.network.model import build_model
    from model.training.train import fit

    written = home / f"{architecture}.toml"
    written.write_text(CONFIG.format(name=f"tiny_{architecture}", table=home / "table.csv", architecture=architecture))
    config = load_config(written)
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    history = fit(model, dataset, config.train)
    path = export(model, dataset, config, history, home / architecture)
    return Artifact(path, model, dataset, config, history)


@pytest.fixture(scope="session")
def artifact(train_and_export: Callable[[str], Artifact]) -> Artifact:
    """Return an MMoE of 4 experts.

    Two numbers, two categories; a regression, a binary and a multiclass task.
    """
    return train_and_export("mmoe")


@pytest.fixture(scope="session")
def gateless_artifact(train_and_export: Callable[[str], Artifact]) -> Artifact:
    """Return the same without gates: Shared-Bottom."""
    return train_and_export("shared_bottom")
