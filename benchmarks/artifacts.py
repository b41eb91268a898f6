"""Models that every server here serves: trained when missing, and a plain copy of each.

The plain copy is for servers that run all outputs.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

CONFIGS = Path("scripts/configs")


class ArtifactMissing(RuntimeError):
    """Model that is neither there nor can be trained here."""


@dataclass(frozen=True)
class Artifact:
    """One trained model.

    Attributes:
        home: a directory that holds this model alone, as models/<name>/<version>/model.onnx.
        plain: the same model without gate_contributions: onnxruntime computes every output of a
            graph, asked for or not, so servers that take the file as it is would pay for an output
            that nobody reads.
    """

    name: str
    home: Path
    plain: Path
    manifest: dict[str, Any]

    @property
    def numeric(self) -> list[dict[str, Any]]:
        """List the numeric features of the manifest in order."""
        return [feature for feature in self.manifest["features"] if feature["kind"] == "numeric"]

    @property
    def categorical(self) -> list[dict[str, Any]]:
        """List the categorical features of the manifest in order."""
        return [feature for feature in self.manifest["features"] if feature["kind"] == "categorical"]


def find_or_train(name: str, models: Path, scratch: Path) -> Artifact:
    """Take the highest version of a model, or train it from the configuration of the same name.

    Raises:
        ArtifactMissing: training failed, for example because its table is not here.
    """
    if not _versions(models / name):
        _train(name, models)
    version = max(_versions(models / name), key=lambda path: int(path.name))
    home = scratch / "models" / name
    served = home / name / version.name
    served.mkdir(parents=True)
    (served / "model.onnx").write_bytes((version / "model.onnx").read_bytes())
    model = onnx.load(version / "model.onnx")
    manifest = next(entry.value for entry in model.metadata_props if entry.key == "mmoe.manifest")
    plain = scratch / f"{name}.onnx"
    onnx.save(without_output(model, "gate_contributions"), plain)
    return Artifact(name, home, plain, json.loads(manifest))


def without_output(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """Drop an output and the nodes that only it needed.

    Onnxruntime would run them all the same.
    """
    graph = model.graph
    kept = [value for value in graph.output if value.name != output]
    needed, nodes = {value.name for value in kept}, []
    for node in reversed(graph.node):  # nodes are in topological order
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    for field, values in ((graph.output, kept), (graph.node, nodes[::-1])):
        del field[:]
        field.extend(values)
    return model


def _versions(directory: Path) -> list[Path]:
    return [path.parent for path in directory.glob("*/model.onnx") if path.parent.name.isdigit()]


def _train(name: str, models: Path) -> None:
    config = CONFIGS / f"{name}.toml"
    print(f"no model under {models / name}: training it from {config}", flush=True)
    command = [sys.executable, "-m", "scripts.train", str(config), "--models", str(models)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if run.returncode or not _versions(models / name):
        last = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:] or ["it printed nothing"]
        raise ArtifactMissing(f"{' '.join(command[1:])} failed: {last[0]}")
