"""Triton in the nvidia-pytriton wheel: a Python function behind Triton's dynamic batcher."""

import os
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch  # type: ignore[import-not-found,unused-ignore]
from pytriton.model_config import (  # type: ignore[import-not-found,unused-ignore]
    DynamicBatcher,
    ModelConfig,
    Tensor,
)
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    """Serve until ended."""
    session = onnxruntime.InferenceSession(os.environ["MODEL"])
    names = [output.name for output in session.get_outputs()]
    width = session.get_inputs()[0].shape[1]
    shapes = [tuple(result.shape[1:]) for result in session.run(names, {"numeric": np.zeros((2, width), np.float32)})]

    @batch  # type: ignore[misc,untyped-decorator,unused-ignore]
    def infer(numeric: Any) -> dict[str, Any]:
        results = session.run(names, {"numeric": numeric})
        return {name: r if r.ndim > 1 else r[:, None] for name, r in zip(names, results, strict=True)}

    config = TritonConfig(
        http_port=int(os.environ["PORT"]), http_address="127.0.0.1", allow_grpc=False, allow_metrics=False
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="model",
            infer_func=infer,
            inputs=[Tensor(name="numeric", dtype=np.float32, shape=(width,))],
            outputs=[
                Tensor(name=name, dtype=np.float32, shape=shape or (1,))
                for name, shape in zip(names, shapes, strict=True)
            ],
            config=ModelConfig(max_batch_size=1024, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main()
