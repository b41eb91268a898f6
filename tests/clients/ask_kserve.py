"""Ask a service through KServe's own client.

Rows as JSON on standard input -> what the client made of the answers.

Run by the Python of .venv-clients. Reads {"url", "numeric" (B, 3) with null, "categorical" (B, 2),
"wide" (B, 100), "instances" (B rows by name)}.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from kserve import (  # type: ignore[import-not-found,unused-ignore]
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)
from kserve.protocol.infer_type import RequestedOutput  # type: ignore[import-not-found,unused-ignore]


def tensor(name: str, datatype: str, rows: Any, **mode: bool) -> Any:
    """Make an input in the client's default mode, which is binary, or in another."""
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
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "sentence": str(error)}
    raise AssertionError("the client raised nothing")


async def ask_v2(question: dict[str, Any]) -> dict[str, Any]:
    """Make every call of the Open Inference Protocol once."""
    url = question["url"]
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        headers: dict[str, str] = {}

        async def infer(given: list[Any], model: str = "hand", **more: Any) -> Any:
            headers.clear()
            return await client.infer(
                url, InferRequest(model, given, **more), model_name=model, response_headers=headers
            )

        first = await infer(both(question), request_id="call 7")
        gates = [RequestedOutput("gate_weights")]
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "models ready": [await client.is_model_ready(url, name) for name in ("hand", "wide", "nope")],
            "head": {"id": first.id, "model_name": first.model_name},
            "default": outputs(first),
            "default, wide": outputs(await infer([tensor("numeric", "FP32", question["wide"])], "wide")),
            "json in": outputs(await infer(both(question, binary_data=False))),
            "binary both ways": outputs(await infer(both(question), parameters={"binary_data_output": True})),
            "came as": headers["content-type"],
            "gate_weights alone": outputs(await infer(both(question), request_outputs=gates)),
            "no such model": await refusal(infer(both(question), "nope")),
            "a wrong shape": await refusal(infer([tensor("numeric", "FP32", [[1, 2]]), both(question)[1]])),
        }


async def ask_v1(question: dict[str, Any]) -> dict[str, Any]:
    """Make the calls of KServe's first protocol, which is this client's default."""
    url = question["url"]
    async with InferenceRESTClient() as client:
        return {
            "v1 live": await client.is_server_live(url),
            "v1 models ready": [await client.is_model_ready(url, name) for name in ("hand", "wide")],
            "v1": await client.infer(url, {"instances": question["instances"]}, model_name="hand"),
            "v1, no such model": await refusal(client.infer(url, {"instances": [{}]}, model_name="nope")),
            "v1, a wrong value": await refusal(client.infer(url, {"instances": [{"age": "x"}]}, model_name="hand")),
            "v1, a wrong value, JSON alone": await refusal(
                client.infer(
                    url, {"instances": [{"age": "x"}]}, headers={"accept": "application/json"}, model_name="hand"
                )
            ),
        }


async def main() -> None:
    question = json.load(sys.stdin)
    json.dump(await ask_v2(question) | await ask_v1(question), sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
