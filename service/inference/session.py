"""Sessions of onnxruntime, as the service wants them; the only place that imports it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.errors import ArtifactError

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY = 3


def runtime() -> Any:
    """Import onnxruntime, its telemetry off, and return it."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when onnxruntime is first imported
    import onnxruntime

    return onnxruntime


def open_session(
    model: bytes, threads: int, optimised: bool = False, save: Path | None = None
) -> "onnxruntime.InferenceSession":
    """Open a session whose threads never spin: parallelism is by request and by process.

    Args:
        model: of ONNX; in onnxruntime's own format where it is `optimised` already.
        threads: of one run.
        optimised: whether to leave the graph as it is.
        save: file to write the optimised graph to.
    """
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_DISABLE_ALL if optimised else level.ORT_ENABLE_ALL
    if save is not None:
        options.optimized_model_filepath = str(save)
        options.add_session_config_entry("session.save_model_format", "ORT")
    if optimised:
        options.add_session_config_entry("session.load_model_format", "ORT")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no narrower base
        first_line = str(error).strip().splitlines()[0]
        raise ArtifactError(f"The file is refused by onnxruntime {onnxruntime.__version__}: {first_line}") from None
