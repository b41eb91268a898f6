"""Export: a trained model becomes one published version.

The version holds the artifact, its manifest, and a report for people.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from model.artifact.graph import build_graph
from model.artifact.judgement import Judgement, measure
from model.artifact.manifest import METADATA_KEY, build_manifest, manifest_text
from model.artifact.parity import check_cells, check_parity, golden_rows, golden_tolerance
from model.artifact.publish import publish
from model.artifact.report import write_report
from model.artifact.serving_module import serve
from model.artifact.weights import save_model
from model.config.run import Config, config_text
from model.errors import ExportError
from model.network.model import Model
from model.schema import Dataset
from model.training.progress import History
from tables.config import TableData
from tables.missing import markers_of


def export(
    model: Model,
    dataset: Dataset,
    config: Config,
    history: History,
    models_dir: Path,
    judgement: Judgement | None = None,
) -> Path:
    """Publish a trained model as models_dir / config.name / next version.

    Args:
        model: trained, on any device; it is left as it is.
        dataset: it was trained on.
        config: of the run.
        history: of the run, for the report.
        models_dir: directory of all models.
        judgement: of the model, for the report and the manifest; without one they have the
            metrics alone.

    Returns:
        The directory of the new version.

    Raises:
        ExportError: the file does not answer as torch does, or cannot be written.
    """
    write = version_writer(model, dataset, config, history, judgement)
    try:
        return publish(models_dir, config.name, write)
    except OSError as error:
        raise ExportError(
            f"the model cannot be written below {models_dir}: {error.strerror or error}; nothing was published"
        ) from error


def version_writer(
    model: Model, dataset: Dataset, config: Config, history: History, judgement: Judgement | None = None
) -> Callable[[Path], None]:
    """Make what fills a version's directory: model.onnx, checkpoint.pt, config.toml, report.md.

    The graph is checked against torch on raw rows before anything can be seen; if that or anything
    else fails, no version appears. Arguments are those of `export`.

    Args:
        model: trained.
        dataset: it was trained on.
        config: of the run.
        history: of the run.
        judgement: of the model.

    Raises:
        ExportError: the file does not answer as torch does.
    """
    model = copy.deepcopy(model).cpu().eval()
    judgement = judgement or measure(model, dataset)
    comparison, origin = judgement.comparison, history.origin
    facts = {} if comparison is None else {"compared_with": comparison.entry()}
    facts |= {} if origin is None else {"from": asdict(origin)}
    content, manifest = build_artifact(model, dataset, config, judgement, facts)

    def write(directory: Path) -> None:
        (directory / "model.onnx").write_bytes(content)
        (directory / "config.toml").write_text(config_text(config), encoding="utf-8")
        save_model(directory / "checkpoint.pt", model, dataset, config)
        write_report(directory, manifest, dataset, history, judgement)

    return write


def build_artifact(
    model: Model, dataset: Dataset, config: Config, judgement: Judgement, facts: Mapping[str, Any] | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Make the ONNX file, checked against torch, and its manifest; facts add to its provenance."""
    module = serve(model, dataset)
    tolerance = golden_tolerance(module, dataset)
    found = judgement.metrics, judgement.constant
    manifest = build_manifest(config, dataset, module, golden_rows(dataset), tolerance, *found)
    manifest["provenance"] |= facts or {}
    table = config.data if isinstance(config.data, TableData) else None
    graph = build_graph(module) if table is None else build_graph(module, sorted(markers_of(table).texts))
    onnx.helper.set_model_props(graph, {METADATA_KEY: manifest_text(manifest)})
    graph.producer_name = "mmoe-serve"
    content = graph.SerializeToString()
    check_parity(content, module, dataset, tolerance)
    if dataset.cells is not None:
        check_cells(content, module, dataset.cells, tolerance)
    return content, manifest
