"""KServe's Python server: a custom model, V1 and V2, as its documentation shows."""

import logging
import os
from typing import Any

import numpy as np
import onnxruntime
from kserve import (  # type: ignore[import-not-found,unused-ignore]
    InferOutput,
    InferRequest,
    InferResponse,
    Model,
    ModelServer,
)
from kserve.utils.utils import generate_uuid  # type: ignore[import-not-found,unused-ignore]


class OnnxModel(Model):  # type: ignore[misc,unused-ignore]
    """KServe model with V1 bodies and V2 requests."""

    def __init__(self) -> None:
        super().__init__("model")
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        self.names = [output.name for output in self.session.get_outputs()]
        self.ready = True

    def load(self) -> bool:
        """Report the model as ready."""
        return True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Run the model."""
        if isinstance(payload, InferRequest):
            results = self.session.run(self.names, {"numeric": payload.inputs[0].as_numpy()})
            outputs = [
                InferOutput(name=name, shape=list(result.shape), datatype="FP32")
                for name, result in zip(self.names, results, strict=True)
            ]
            binary = payload.use_binary_outputs if hasattr(payload, "use_binary_outputs") else False
            for output, result in zip(outputs, results, strict=True):
                output.set_data_from_numpy(result, binary_data=binary)
            return InferResponse(payload.id or generate_uuid(), "model", outputs)
        rows = np.array(payload["instances"], dtype=np.float32)
        results = self.session.run(self.names, {"numeric": rows})
        return {"predictions": {name: result.tolist() for name, result in zip(self.names, results, strict=True)}}


if __name__ == "__main__":
    logging.disable(logging.INFO)  # no line per request, as for every server here
    server = ModelServer(http_port=int(os.environ["PORT"]), enable_grpc=False, workers=1, enable_latency_logging=False)
    server.start([OnnxModel()])
