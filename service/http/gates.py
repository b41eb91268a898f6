"""`:gates`: what the gates do with the rows sent, why, and what happens without each expert."""

import asyncio
from typing import Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from service import gates
from service.answer import Answer, Outputs
from service.artifact import Manifest
from service.engine import Engine
from service.errors import MalformedRequest, RequestTooLarge
from service.features import Batch
from service.http.admission import Admission, Incoming
from service.http.body import Headers, check_json, timeout_s
from service.http.endpoint import Endpoint, Endpoints
from service.http.models import Name, Version
from service.http.render import dumps
from service.http.rows import EXPECTED, load_object
from service.quoting import quote

OPTIONS = frozenset({"contributions", "ablation", "top_k"})
MOST_NUMBERS = 1_000_000
"""Most contributions or ablations of one answer; they grow with rows x tasks x experts x features."""


class Asked(NamedTuple):
    """Hold what an inspection is to say beyond the weights.

    Attributes:
        top_k: how many features to list per gate logit, those of the largest share first; None for all.
    """

    contributions: bool
    ablation: bool
    top_k: int | None


def gates_router(engine: Engine, endpoints: Endpoints, admission: Admission) -> APIRouter:
    """Make the inspection calls; `schemas.py` documents them with the loaded model's features."""
    router = APIRouter(include_in_schema=False)

    @router.post("/v1/gates")
    async def of_default(request: Request) -> Response:
        """Inspect rows with the default model."""
        return await _inspect(engine, admission, endpoints.get(), request)

    @router.post("/v1/models/{name}:gates")
    async def of_model(request: Request, name: Name) -> Response:
        """Inspect rows with a model."""
        return await _inspect(engine, admission, endpoints.get(name), request)

    @router.post("/v1/models/{name}/versions/{version}:gates")
    async def of_version(request: Request, name: Name, version: Version) -> Response:
        """Inspect rows with one version of a model."""
        return await _inspect(engine, admission, endpoints.get(name, version), request)

    return router


async def _inspect(engine: Engine, admission: Admission, endpoint: Endpoint, request: Request) -> Response:
    with admission.incoming(request.receive) as body:
        return await _inspected(engine, endpoint, dict(request.scope["headers"]), body)


async def _inspected(engine: Engine, endpoint: Endpoint, headers: Headers, incoming: Incoming) -> Response:
    arrived, model = engine.clock(), endpoint.model
    model.need_gates()
    engine.batcher.refuse_if_full()
    check_json(headers)
    allowed_s = timeout_s(headers, engine.settings.request_timeout_s)
    document = load_object(await incoming.read_weighed(headers, endpoint.limits), EXPECTED)
    asked = _asked(document)
    batch = endpoint.parser.read(document, OPTIONS)
    _refuse_too_much(asked, model.manifest, batch)
    without = model.ablate(batch, arrived, allowed_s) if asked.ablation else _nothing()
    part, moved = await asyncio.gather(model.inspect(batch, arrived, allowed_s, asked.contributions), without)
    report = describe(model.manifest, part.answer(), moved, asked)
    response = Response(dumps({"model": model.name, "version": model.version, **report}), media_type="application/json")
    response.raw_headers.append(endpoint.version_header)
    return response


def describe(manifest: Manifest, answer: Answer, without: Outputs | None, asked: Asked) -> dict[str, Any]:
    """Describe the gates over some rows.

    Args:
        manifest: of the model.
        answer: with gate weights (B, T, E); with contributions where they are asked for, tasks where ablation is.
        without: each task's predictions without each expert, (E, B) or (E, B, K).
        asked: what to say.
    """
    weights = answer.gate_weights
    assert weights is not None
    names = manifest.task_names
    entropy, top = gates.normalised_entropy(weights), gates.top_expert(weights)
    utilisation = gates.utilisation(weights)
    rows = []
    for row in range(len(weights)):
        tasks: dict[str, dict[str, Any]] = {}
        for t, name in enumerate(names):
            tasks[name] = {
                "gate_weights": weights[row, t],
                "normalised_entropy": float(entropy[row, t]),
                "top_expert": int(top[row, t]),
            }
            if answer.contributions is not None and asked.contributions:
                tasks[name]["contributions"] = _contributions(manifest, t, answer.contributions[row, t], asked.top_k)
            if without is not None:
                tasks[name]["ablation"] = np.ascontiguousarray(without[name][:, row] - answer.tasks[name][row])
        rows.append({"tasks": tasks})
    return {
        "task_names": list(names),
        "rows": rows,
        "tasks": {
            name: {"utilisation": utilisation[t], "normalised_entropy": float(entropy[:, t].mean())}
            for t, name in enumerate(names)
        },
        "similarity": gates.similarity(weights),
    }


def _contributions(
    manifest: Manifest, task: int, shares: NDArray[np.float32], top_k: int | None
) -> list[dict[str, Any]]:
    """Break each expert's gate logit down: `base` + all features' shares = `logit`; `rest` is of those not listed."""
    assert manifest.gates is not None
    features, entries = manifest.feature_names, []
    for base, of_expert in zip(manifest.gates.average_logits[task], shares, strict=True):
        order = np.argsort(-np.abs(of_expert), kind="stable")[:top_k]
        total = float(of_expert.sum(dtype=np.float64))
        entry: dict[str, Any] = {
            "base": base,
            "logit": base + total,
            "features": [{"feature": features[f], "contribution": of_expert[f]} for f in order],
        }
        if len(order) < len(features):
            entry["rest"] = total - float(of_expert[order].sum(dtype=np.float64))
        entries.append(entry)
    return entries


async def _nothing() -> None:
    return None


def _asked(document: dict[str, Any]) -> Asked:
    flags = {key: False if document.get(key) is None else document[key] for key in ("contributions", "ablation")}
    for key, value in flags.items():
        if type(value) is not bool:
            raise MalformedRequest(f'"{key}" is {quote(value)}', "true or false")
    top_k = document.get("top_k")
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise MalformedRequest(f'"top_k" is {quote(top_k)}', "a whole number from 1")
    return Asked(**flags, top_k=top_k)


def _refuse_too_much(asked: Asked, manifest: Manifest, batch: Batch) -> None:
    """Refuse an answer of so many numbers that it would hold up everybody else."""
    per_row = len(manifest.tasks) * manifest.experts
    if asked.contributions:
        per_row *= len(manifest.features)
    elif asked.ablation:
        per_row *= 2
    most = max(MOST_NUMBERS // per_row, 1)
    if batch.rows > most:
        raise RequestTooLarge("an inspection with these options", batch.rows, most, "rows", None)
