"""Ask a service through a client that openapi-python-client makes from its own document.

Run by the Python of .venv-clients: the service's address and a directory that holds the package
`mmoe_serve_client` -> what the client made of the answers.
"""

import json
import sys

import httpx

sys.path.insert(0, sys.argv[2])

from mmoe_serve_client import Client  # type: ignore[import-not-found,unused-ignore]
from mmoe_serve_client.api.gates import gates_hand  # type: ignore[import-not-found,unused-ignore]
from mmoe_serve_client.api.open_inference_protocol_v_2 import (  # type: ignore[import-not-found,unused-ignore]
    infer_hand,
)
from mmoe_serve_client.api.predictions import predict_hand  # type: ignore[import-not-found,unused-ignore]
from mmoe_serve_client.models import (  # type: ignore[import-not-found,unused-ignore]
    HandInspectionType0,
    HandRequestType0,
    InferRequest,
)

ROWS = {"instances": [{"age": 9.5, "colour": "red"}]}
TENSORS = {
    "inputs": [
        {"name": "numeric", "datatype": "FP32", "shape": [1, 3], "data": [9.5, None, None]},
        {"name": "categorical", "datatype": "BYTES", "shape": [1, 2], "data": ["red", ""]},
    ]
}

with Client(base_url=sys.argv[1], timeout=httpx.Timeout(30)) as client:
    predicted = predict_hand.sync(client=client, body=HandRequestType0.from_dict(ROWS))
    looked = gates_hand.sync(client=client, body=HandInspectionType0.from_dict({**ROWS, "contributions": True}))
    inferred = infer_hand.sync(client=client, body=InferRequest.from_dict(TENSORS))
    refused = infer_hand.sync_detailed(client=client, body=InferRequest.from_dict({"inputs": TENSORS["inputs"][:1]}))
json.dump(
    {
        "predict": predicted.to_dict(),
        "gates": looked.to_dict(),
        "infer": inferred.to_dict(),
        "refused": [refused.status_code, refused.parsed.error],
    },
    sys.stdout,
)
