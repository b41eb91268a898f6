"""Other servers of the same model, each in its own environment, set up as its docs advise.

`python -m benchmarks.peers` installs them under .venv-peers/ with pinned versions; those found
there are compared.
"""

from pathlib import Path

from benchmarks.artifacts import Artifact
from benchmarks.bodies import Format
from benchmarks.contenders import Contender
from benchmarks.servers import Launch

HOME = Path(".venv-peers")
HERE = Path(__file__).parent
V2 = "/v2/models/model"

READY = {
    "litserve": "/health",
    "kserve": f"{V2}/ready",
    "pytriton": f"{V2}/ready",
    "mlserver": f"{V2}/ready",
    "bentoml": "/readyz",
}
PATHS: dict[str, dict[Format, str]] = {
    "litserve": {"lists": "/predict"},
    "kserve": {"lists": "/v1/models/model:predict", "v2": f"{V2}/infer", "binary": f"{V2}/infer"},
    "pytriton": {"v2": f"{V2}/infer", "binary": f"{V2}/infer"},
    "mlserver": {"v2": f"{V2}/infer"},
    "bentoml": {"lists": "/predict"},
}


def installed(artifact: Artifact) -> list[Contender]:
    """List the peers whose environments exist; they take models of numbers only."""
    if artifact.categorical:
        return []
    return [_contender(name, artifact) for name in READY if (HOME / name / "bin" / "python").exists()]


def _contender(name: str, artifact: Artifact) -> Contender:
    environment = {"MODEL": str(artifact.plain.absolute()), "PORT": "{port}"}
    command = (str((HOME / name / "bin" / "python").absolute()), str(HERE / f"{name}_server.py"))
    return Contender(name, Launch(command, READY[name], environment, timeout_s=120), PATHS[name], restless=True)
