"""Requests of the Open Inference Protocol v2; v2_answers.py reads what comes back."""

import json
import struct
from typing import Any

import httpx
import numpy as np

LENGTH = "inference-header-content-length"
NUMERIC = [[9.5, 12.0, -3.25], [1.0, 2.0, 3.0]]
CATEGORICAL = [["red", "Oslo"], ["", "Å never seen"]]
INFER = "/v2/models/hand/infer"
WIDE = "/v2/models/wide/infer"


def tensor(name: str, data: Any, datatype: str = "FP32", shape: Any = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or list(np.shape(data)), "data": data}


def inputs() -> list[dict[str, Any]]:
    return [tensor("numeric", NUMERIC), tensor("categorical", CATEGORICAL, "BYTES")]


def post(client: httpx.Client, body: object, path: str = INFER, **headers: str) -> httpx.Response:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post(path, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


def post_raw(client: httpx.Client, header: object, raw: bytes, path: str = INFER, **more: str) -> httpx.Response:
    text = json.dumps(header).encode()
    return post(client, text + raw, path, **{LENGTH: str(len(text))} | more)


def strings(values: Any) -> bytes:
    encoded = [str(value).encode() for value in np.ravel(values)]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def binary(name: str, raw: bytes, shape: list[int], datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
