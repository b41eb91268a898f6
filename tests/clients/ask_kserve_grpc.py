"""Ask a service through KServe's client over gRPC; as ask_triton_grpc.py, beside which it cannot
run.

Run by the Python of .venv-clients. Reads {"place", "numeric" (B, 3) with null, "categorical"
(B, 2), "large", "strings"}.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest  # type: ignore[import-not-found,unused-ignore]
from kserve.protocol.infer_type import RequestedOutput  # type: ignore[import-not-found,unused-ignore]


def tensor(name: str, datatype: str, rows: Any, **mode: bool) -> Any:
    """Make an input in the client's default mode, which is raw, or in another."""
    values: Any = np.array(rows, {"FP32": np.float32, "BYTES": np.object_}[datatype])
    made = InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, **mode)
    return made


def both(question: dict[str, Any], **mode: bool) -> list[Any]:
    return [
        tensor("numeric", "FP32", question["numeric"], **mode),
        tensor("categorical", "BYTES", question["categorical"], **mode),
    ]


def outputs(response: Any) -> dict[str, Any]:
    return {output.name: output.as_numpy().tolist() for output in response.outputs}


async def refusal(call: Awaitable[object]) -> dict[str, Any]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return {"status": error.code().name, "sentence": error.details()}
    raise AssertionError("the client raised nothing")


async def ask(client: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Make every call once."""

    async def infer(given: list[Any], model: str = "hand", **more: Any) -> Any:
        return await client.infer(InferRequest(model, given, **more))

    first = await infer(both(question), request_id="call 7")
    large = [tensor("numeric", "FP32", np.full((question["large"], 100), 0.5))]
    strings = [
        tensor("numeric", "FP32", np.full((question["strings"], 3), 0.5)),
        tensor("categorical", "BYTES", [["red", "x" * 1600]] * question["strings"]),
    ]
    return {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "models ready": [await client.is_model_ready(name) for name in ("hand", "wide", "nope")],
        "head": {"id": first.id, "model_name": first.model_name},
        "default": outputs(first),
        "contents": outputs(await infer(both(question, binary_data=False))),
        "gate_weights alone": outputs(await infer(both(question), request_outputs=[RequestedOutput("gate_weights")])),
        "large": list((await infer(large, "wide")).outputs[0].as_numpy().shape),
        "large strings": list((await infer(strings)).outputs[0].as_numpy().shape),
        "no such model": await refusal(infer(both(question), "nope")),
        "a wrong shape": await refusal(infer([tensor("numeric", "FP32", [[1, 2]]), both(question)[1]])),
    }


async def main() -> None:
    logging.disable()
    question = json.load(sys.stdin)
    async with InferenceGRPCClient(question["place"]) as client:
        json.dump(await ask(client, question), sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
