"""The one-way layering, seen from a running interpreter.

What import-linter says of the source holds in memory too.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMPORT_ALL = """
import importlib, pkgutil, sys
half = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(half.__path__, half.__name__ + "."):
    if sys.argv[2] and module.name.startswith(sys.argv[2]):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        of_an_extra = {"service.grpc": ("grpc",), "batch.on_ray": ("pyarrow", "ray")}
        if not any(module.name.startswith(room) and error.name in names for room, names in of_an_extra.items()):
            raise
print(*{name.partition(".")[0] for name in sys.modules})
"""


def packages_loaded_by(half: str, without: str = "") -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, half, without],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_service_loads_nothing_of_the_trainer() -> None:
    loaded = packages_loaded_by("service")
    assert "service" in loaded
    assert not loaded & {
        "batch",
        "model",
        "scripts",
        "benchmarks",
        "torch",
        "onnx",
        "onnxscript",
        "polars",
        "sklearn",
        "matplotlib",
    }


def test_scoring_loads_nothing_of_the_trainer() -> None:
    pytest.importorskip("polars", reason="the trainer's packages are not installed")
    loaded = packages_loaded_by("batch", without="batch.quality")
    assert "batch" in loaded
    assert not loaded & {"model", "scripts", "benchmarks", "torch", "onnx", "sklearn", "fastapi", "uvicorn"}


def test_judging_loads_nothing_of_the_trainer() -> None:
    pytest.importorskip("duckdb", reason="the extra evaluate is not installed")
    loaded = packages_loaded_by("batch.quality")
    assert not loaded & {"model", "scripts", "benchmarks", "torch", "onnx", "fastapi", "uvicorn"}


def test_the_loop_loads_nothing_of_torch_and_of_the_servers() -> None:
    pytest.importorskip("tomli_w", reason="the trainer's packages are not installed")
    loaded = packages_loaded_by("loop")
    assert "loop" in loaded
    assert not loaded & {"scripts", "benchmarks", "torch", "onnx", "matplotlib", "polars", "fastapi", "uvicorn"}


def test_trainer_loads_nothing_of_the_service() -> None:
    pytest.importorskip("torch", reason="the trainer is not installed")
    loaded = packages_loaded_by("model")
    assert "model" in loaded
    assert not loaded & {"service", "batch", "scripts", "benchmarks", "fastapi", "starlette", "uvicorn"}
