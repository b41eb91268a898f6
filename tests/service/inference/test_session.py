"""Sessions: what opening one asks of onnxruntime, and of this process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from service.errors import ArtifactError
from service.inference.session import open_session

HandModel = Callable[..., Path]


def test_what_onnxruntime_cannot_run_is_refused(hand_model: HandModel, tmp_path: Path) -> None:
    proto = onnx.load(hand_model(tmp_path))
    proto.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ArtifactError, match=r"refused by onnxruntime \S+: .*Nonsense"):
        open_session(proto.SerializeToString(), threads=1)


def test_a_graph_that_was_saved_optimised_opens_again(hand_model: HandModel, tmp_path: Path) -> None:
    model = hand_model(tmp_path).read_bytes()
    first = open_session(model, threads=1, save=tmp_path / "saved.ort")
    again = open_session((tmp_path / "saved.ort").read_bytes(), threads=1, optimised=True)
    assert [output.name for output in again.get_outputs()] == [output.name for output in first.get_outputs()]


def test_telemetry_is_off_before_onnxruntime_is_imported(hand_model: HandModel, tmp_path: Path) -> None:
    path = hand_model(tmp_path)
    program = f"""
import os, pathlib, sys
from service.inference.predictor import Predictor
assert "onnxruntime" not in sys.modules
class Watch:
    def find_spec(self, name, *rest):
        assert name != "onnxruntime" or os.environ["ORT_DISABLE_TELEMETRY"] == "1"
sys.meta_path.insert(0, Watch())
Predictor.load(pathlib.Path({str(path)!r}))
assert "onnxruntime" in sys.modules
assert not {{"torch", "onnx", "model", "scripts"}} & set(sys.modules)
"""
    environ = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
