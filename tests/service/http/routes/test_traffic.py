"""The calls over live traffic, through the whole application: predictions in, statistics out."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from service import gates
from service.engine import Engine
from service.http.app import create_app
from service.monitoring.telemetry import Telemetry
from service.run_directory import RunDirectory
from service.settings import Settings

TASKS = ("price", "sold")


class Instance(NamedTuple):
    """Two workers of one instance over the same models."""

    models: Path
    engines: list[Engine]
    telemetries: list[Telemetry]
    apps: list[Any]

    def call(self, worker: int, method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.apps[worker], raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **options)

        return asyncio.run(call())

    def predict(self, worker: int, rows: list[dict[str, Any]], name: str = "hand") -> Any:
        answer = self.call(worker, "POST", f"/v1/models/{name}:predict", json={"instances": rows})
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]

    def traffic(self, worker: int, path: str = "/v1/models/hand/gates") -> Any:
        """Ask a worker once the others have published, as they do every second."""
        for telemetry in self.telemetries[:worker] + self.telemetries[worker + 1 :]:
            telemetry.publish()
        answer = self.call(worker, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def instance(tmp_path: Path, hand_model: Callable[..., Path]) -> Iterator[Instance]:
    models = tmp_path / "models"
    hand_model(models, "hand", 1, tasks=TASKS)
    hand_model(models, "plain", 1, kind="plain", tasks=TASKS)
    settings = Settings(models=models, default_model="hand", log_requests="off")
    with RunDirectory.create(2, tmp_path / "run") as directory:
        telemetries = [Telemetry(directory) for _ in range(2)]
        engines = [Engine(settings, telemetry, telemetry.recorder_of) for telemetry in telemetries]
        for engine in engines:
            engine.catalogue.scan()
        apps = [create_app(*pair) for pair in zip(engines, telemetries, strict=True)]
        yield Instance(models, engines, telemetries, apps)
        for engine, telemetry in zip(engines, telemetries, strict=True):
            telemetry.close()
            engine.close()


def some_rows(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(count)
    colours, cities = ["red", "green", "blue"], ["Paris", "Oslo"]
    return [
        {"age": float(rng.normal(10, 3)), "colour": colours[row % 3], "city": cities[row % 2]} for row in range(count)
    ]


def weights_of(predictions: Any) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array([[row["gate_weights"][task] for task in TASKS] for row in predictions])


def test_traffic_is_what_numpy_says_of_the_answers_whichever_worker_tells(instance: Instance) -> None:
    predictions = instance.predict(0, some_rows(30)) + instance.predict(1, some_rows(21))
    weights = weights_of(predictions)
    for path in ("/v1/models/hand/gates", "/v1/gates", "/v1/models/hand/versions/1/gates?window=1h"):
        for worker in (0, 1):
            answer = instance.traffic(worker, path)
            assert (answer["model"], answer["version"], answer["rows"]) == ("hand", 1, 51)
            assert answer["window"] == ("1h" if "window" in path else "5m")
            for t, task in enumerate(TASKS):
                assert_allclose(answer["tasks"][task]["utilisation"], gates.utilisation(weights)[t], atol=1e-6)
                assert sum(map(sum, answer["tasks"][task]["histogram"])) == 4 * 51
            assert_allclose(answer["similarity"], gates.similarity(weights), atol=1e-6)
            assert sum(answer["series"]["rows"]) == 51


def test_only_predictions_that_were_answered_are_traffic(instance: Instance) -> None:
    rows = {"instances": some_rows(5)}
    assert instance.call(0, "POST", "/v1/models/hand:gates", json=rows).status_code == 200
    options = {"contributions": True, "ablation": True}
    assert instance.call(0, "POST", "/v1/models/hand:gates", json={**rows, **options}).status_code == 200
    wrong = {"instances": [*some_rows(2), {"age": "old"}]}
    assert instance.call(0, "POST", "/v1/models/hand:predict", json=wrong).status_code == 422
    assert instance.traffic(0)["rows"] == 0
    instance.predict(0, some_rows(1))
    assert instance.traffic(0)["rows"] == 1


def test_a_swap_starts_anew_and_the_old_version_stays_readable(
    instance: Instance, hand_model: Callable[..., Path]
) -> None:
    instance.predict(0, some_rows(4))
    hand_model(instance.models, "hand", 2, tasks=TASKS, seed=7)
    for engine in instance.engines:
        engine.catalogue.scan()
    instance.predict(1, some_rows(3))
    for worker in (0, 1):
        answer = instance.traffic(worker)
        assert (answer["version"], answer["rows"]) == (2, 3)
        old = instance.traffic(worker, "/v1/models/hand/versions/1/gates")
        assert (old["version"], old["rows"]) == (1, 4)


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/v1/models/hand/gates?window=2h", 400, "1m, 5m, 1h"),
        ("/v1/models/hand/gates?window=", 400, "1m, 5m, 1h"),
        ("/v1/models/plain/gates", 409, "without gates"),
        ("/v1/models/absent/gates", 404, "no model 'absent'"),
        ("/v1/models/hand/versions/9/gates", 404, "Version 9 of model 'hand'"),
        ("/v1/models/hand/versions/x/gates", 400, "version"),
    ],
)
def test_what_cannot_be_told_is_a_problem_in_one_sentence(
    instance: Instance, path: str, status: int, sentence: str
) -> None:
    answer = instance.call(0, "GET", path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert sentence in answer.json()["detail"]


def test_the_window_is_documented_with_its_choices(instance: Instance) -> None:
    paths = instance.call(0, "GET", "/openapi.json").json()["paths"]
    window = paths["/v1/models/{name}/gates"]["get"]["parameters"][-1]
    assert window["schema"]["enum"] == ["1m", "5m", "1h"]


def test_drift_of_a_file_without_a_baseline_says_what_to_do(client: httpx.Client) -> None:
    answer = client.get("/v1/models/hand/drift")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "The file of hand 2 has no baseline of its rows. Export it again."
