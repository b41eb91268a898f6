"""Ask a service through NVIDIA's tritonclient.

Rows as JSON on standard input -> what the client made of the answers.

Run by the Python of .venv-clients. Reads {"url", "numeric" (B, 3) with null, "categorical" (B, 2),
"wide" (B, 100)}.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as triton  # type: ignore[import-not-found,unused-ignore]
import tritonclient.http.aio as triton_aio  # type: ignore[import-not-found,unused-ignore]
from tritonclient.utils import InferenceServerException  # type: ignore[import-not-found,unused-ignore]

AS_JSON = {"binary_data": False}


def tensor(name: str, datatype: str, rows: Any, **mode: bool) -> Any:
    """Make an input in the client's default mode, which is binary, or in another."""
    values: Any = np.array(rows, {"FP32": np.float32, "BYTES": np.object_}[datatype])
    return triton.InferInput(name, list(values.shape), datatype).set_data_from_numpy(values, **mode)


def both(question: dict[str, Any], **mode: bool) -> list[Any]:
    return [
        tensor("numeric", "FP32", question["numeric"], **mode),
        tensor("categorical", "BYTES", question["categorical"], **mode),
    ]


def complete(question: dict[str, Any]) -> dict[str, Any]:
    """Fill the missing numbers in, for the mode that has no way to write them."""
    return {**question, "numeric": [[0.0 if v is None else v for v in row] for row in question["numeric"]]}


def outputs(result: Any) -> dict[str, Any]:
    return {output["name"]: result.as_numpy(output["name"]).tolist() for output in result.get_response()["outputs"]}


def came_raw(result: Any) -> list[bool]:
    """Tell which outputs came as raw bytes."""
    return ["data" not in output for output in result.get_response()["outputs"]]


def refusal(call: Callable[[], object]) -> dict[str, Any]:
    try:
        call()
    except InferenceServerException as error:
        return {"status": error.status(), "sentence": error.message()}
    raise AssertionError("the client raised nothing")


def ask(client: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Make every call once."""
    rows, wide = both(question), [tensor("numeric", "FP32", question["wide"])]
    gates = [triton.InferRequestedOutput("gate_weights")]
    as_json = [triton.InferRequestedOutput(name, **AS_JSON) for name in ("sold", "gate_weights")]
    squeezed = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}
    first = client.infer("hand", rows, request_id="call 7", model_version="2")
    mixed = client.infer("hand", rows, outputs=[*as_json, triton.InferRequestedOutput("price")])
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models ready": [client.is_model_ready(name) for name in ("hand", "wide", "nope")],
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata("hand"),
        "index": client.get_model_repository_index(),
        "config": client.get_model_config("hand"),
        "statistics": client.get_inference_statistics("hand"),
        "load": client.load_model("hand"),
        "load with a configuration": refusal(lambda: client.load_model("hand", config='{"max_batch_size": 1}')),
        "head": {key: first.get_response()[key] for key in ("id", "model_name", "model_version")},
        "default": outputs(first),
        "default came raw": came_raw(first),
        "default, wide": outputs(client.infer("wide", wide)),
        "gate_weights alone": outputs(client.infer("hand", rows, outputs=gates)),
        "gzip": outputs(client.infer("hand", rows, **squeezed)),
        "deflate": outputs(client.infer("hand", rows, request_compression_algorithm="deflate")),
        "json in": outputs(client.infer("hand", both(complete(question), **AS_JSON))),
        "json in, wide": outputs(client.infer("wide", [tensor("numeric", "FP32", question["wide"], **AS_JSON)])),
        "json out": outputs(mixed),
        "json out came raw": came_raw(mixed),
        "json both ways": outputs(client.infer("hand", both(complete(question), **AS_JSON), outputs=as_json)),
        "json with NaN": refusal(lambda: client.infer("hand", both(question, **AS_JSON))),
        "a call of Triton's own": refusal(client.get_log_settings),
        "no such model": refusal(lambda: client.infer("nope", rows)),
        "a wrong shape": refusal(lambda: client.infer("hand", [tensor("numeric", "FP32", [[1, 2]]), rows[1]])),
        "a wrong value": refusal(lambda: client.infer("wide", [tensor("numeric", "FP32", [[np.inf] * 100])])),
        "too many rows": refusal(lambda: client.infer("wide", [tensor("numeric", "FP32", [[0.5] * 100] * 51)])),
    }


async def ask_aio(question: dict[str, Any]) -> dict[str, Any]:
    """Infer with the asynchronous client, which sends a content type of its own."""
    async with triton_aio.InferenceServerClient(question["url"].removeprefix("http://")) as client:
        return {
            "aio": outputs(await client.infer("hand", both(question))),
            "aio, json in": outputs(await client.infer("hand", both(complete(question), **AS_JSON))),
        }


def main() -> None:
    question = json.load(sys.stdin)
    with triton.InferenceServerClient(question["url"].removeprefix("http://")) as client:
        answers = ask(client, question)
    json.dump(answers | asyncio.run(ask_aio(question)), sys.stdout)


if __name__ == "__main__":
    main()
