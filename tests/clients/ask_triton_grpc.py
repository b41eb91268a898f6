"""Ask a service through Triton's client over gRPC; as ask_triton.py, beside which it cannot run.

Run by the Python of .venv-clients. Reads {"place", "numeric" (B, 3) with null, "categorical"
(B, 2), "large" (rows of 100 numbers), "strings" (rows of 2 strings), "program"}.
"""

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-not-found,unused-ignore]
import tritonclient.grpc.aio as triton_aio  # type: ignore[import-not-found,unused-ignore]
from tritonclient.utils import InferenceServerException  # type: ignore[import-not-found,unused-ignore]


def tensor(name: str, datatype: str, rows: Any) -> Any:
    values: Any = np.array(rows, {"FP32": np.float32, "BYTES": np.object_}[datatype])
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def both(question: dict[str, Any]) -> list[Any]:
    return [tensor("numeric", "FP32", question["numeric"]), tensor("categorical", "BYTES", question["categorical"])]


def outputs(result: Any) -> dict[str, Any]:
    return {output.name: result.as_numpy(output.name).tolist() for output in result.get_response().outputs}


def refusal(call: Callable[[], object]) -> dict[str, Any]:
    try:
        call()
    except InferenceServerException as error:
        return {"status": error.status(), "sentence": error.message()}
    raise AssertionError("the client raised nothing")


def ask_large(client: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Send 16 MB of numbers, also with too little time to send them, and of strings."""
    numbers = tensor("numeric", "FP32", np.full((question["large"], 100), 0.5))
    numeric = tensor("numeric", "FP32", np.full((question["strings"], 3), 0.5))
    categorical = tensor("categorical", "BYTES", [["red", "x" * 1600]] * question["strings"])
    return {
        "large": client.infer("wide", [numbers]).as_numpy("price").shape,
        "large strings": client.infer("hand", [numeric, categorical]).as_numpy("price").shape,
        "too late": refusal(lambda: client.infer("wide", [numbers], client_timeout=0.001)),
    }


def ask(client: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Make every call once."""
    rows = both(question)
    gates = [triton.InferRequestedOutput("gate_weights")]
    first = client.infer("hand", rows, request_id="call 7", model_version="2", client_timeout=30)
    head = first.get_response()
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models ready": [client.is_model_ready(name) for name in ("hand", "wide", "nope")],
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata("hand", as_json=True),
        "index": client.get_model_repository_index(as_json=True),
        "head": {"id": head.id, "model_name": head.model_name, "model_version": head.model_version},
        "default": outputs(first),
        "gate_weights alone": outputs(client.infer("hand", rows, outputs=gates)),
        "gzip": outputs(client.infer("hand", rows, compression_algorithm="gzip")),
        "no such model": refusal(lambda: client.infer("nope", rows)),
        "a wrong shape": refusal(lambda: client.infer("hand", [tensor("numeric", "FP32", [[1, 2]]), rows[1]])),
        "a call of Triton's own": refusal(lambda: client.get_model_config("hand")),
        **ask_large(client, question),
    }
    client.unload_model("wide")
    found["unloaded"] = client.is_model_ready("wide")
    client.load_model("wide")
    found["loaded"] = client.is_model_ready("wide")
    return found


async def ask_aio(question: dict[str, Any]) -> dict[str, Any]:
    async with triton_aio.InferenceServerClient(question["place"]) as client:
        return {"aio": outputs(await client.infer("hand", both(question)))}


def main() -> None:
    question = json.load(sys.stdin)
    with triton.InferenceServerClient(question["place"]) as client:
        answers = ask(client, question)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(question["program"], {"place": question["documented"]})
    json.dump(answers | asyncio.run(ask_aio(question)) | {"program": printed.getvalue()}, sys.stdout)


if __name__ == "__main__":
    main()
