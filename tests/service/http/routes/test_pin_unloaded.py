"""`:pin` of a model that a call has unloaded: refused as the document says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx


def test_a_model_that_is_unloaded_is_not_ready_and_the_document_names_that(
    own_hand: Path, start_service: Callable[..., Any]
) -> None:
    with start_service(own_hand, local_admin="true") as service:
        assert httpx.post(f"{service.url}/v2/repository/models/hand/unload").status_code == 200
        answer = httpx.post(f"{service.url}/v1/models/hand:pin", json={"version": None})
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
        assert "503" in paths["/v1/models/{name}:pin"]["post"]["responses"]
