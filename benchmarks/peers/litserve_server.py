"""LitServe: a LitAPI with batching, as its documentation advises for throughput."""

import os
from typing import Any

import litserve  # type: ignore[import-not-found,unused-ignore]
import numpy as np
import onnxruntime


class Api(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    """LitAPI: decode lists, join requests by rows, run, split."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"])
        self.names = [output.name for output in self.session.get_outputs()]

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Turn the body into an array."""
        return np.array(request["instances"], dtype=np.float32)

    def batch(self, inputs: list[Any]) -> tuple[Any, list[int]]:
        """Join requests."""
        return np.concatenate(inputs), [len(rows) for rows in inputs]

    def predict(self, batch: tuple[Any, list[int]]) -> tuple[Any, list[int]]:
        """Run once for all."""
        return self.session.run(self.names, {"numeric": batch[0]}), batch[1]

    def unbatch(self, output: tuple[Any, list[int]]) -> list[Any]:
        """Split into requests."""
        results, sizes = output
        ends = np.cumsum(sizes)[:-1]
        return list(zip(*(np.split(result, ends) for result in results), strict=True))

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Write lists."""
        return {"predictions": {name: rows.tolist() for name, rows in zip(self.names, output, strict=True)}}


if __name__ == "__main__":
    api = Api(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
