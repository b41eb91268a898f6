"""BentoML: a service whose API takes a numpy array, as its docs show; production mode."""

import os
import sys
from typing import Any

import bentoml  # type: ignore[import-not-found,unused-ignore]
import numpy as np
import onnxruntime


@bentoml.service(workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})  # type: ignore[misc,untyped-decorator,unused-ignore]
class Predictor:
    """BentoML service of the model."""

    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        self.names = [output.name for output in self.session.get_outputs()]

    @bentoml.api(route="/predict")  # type: ignore[misc,untyped-decorator,unused-ignore]
    def predict(self, instances: np.ndarray) -> dict[str, Any]:
        """Answer rows."""
        results = self.session.run(self.names, {"numeric": instances.astype(np.float32)})
        return {name: result.tolist() for name, result in zip(self.names, results, strict=True)}


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    program = os.path.join(os.path.dirname(sys.executable), "bentoml")
    options = ["--host", "127.0.0.1", "--port", os.environ["PORT"], "--working-dir", here]
    os.execv(program, [program, "serve", "bentoml_server:Predictor", *options])
