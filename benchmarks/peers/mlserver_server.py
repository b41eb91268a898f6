"""MLServer: a custom runtime with the least overhead.

Inference is in the server's process, and adaptive batching off.
"""

import asyncio
import os
from typing import Any

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings  # type: ignore[import-not-found,unused-ignore]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found,unused-ignore]
from mlserver.types import (  # type: ignore[import-not-found,unused-ignore]
    InferenceRequest,
    InferenceResponse,
)


class OnnxModel(MLModel):  # type: ignore[misc,unused-ignore]
    """MLServer runtime with the codec of its documentation."""

    async def load(self) -> bool:
        """Load the model."""
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the model."""
        results: list[Any] = self.session.run(self.names, {"numeric": NumpyCodec.decode_input(payload.inputs[0])})
        outputs = [NumpyCodec.encode_output(name, result) for name, result in zip(self.names, results, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


async def main() -> None:
    """Serve until ended."""
    port = int(os.environ["PORT"])
    settings = Settings(
        http_port=port, grpc_port=port + 1, metrics_port=port + 2, host="127.0.0.1", parallel_workers=0, debug=False
    )
    server = MLServer(settings)
    await server.start([ModelSettings(name="model", implementation=OnnxModel, parallel_workers=0)])


if __name__ == "__main__":
    asyncio.run(main())
