"""`GET .../segments` and `.../comparison` on a real server, against a model's closed form."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service import gates
from tests.support.live_model import live
from tests.support.metrics import awaited

COLOURS = ["red", "green", "blue"]
SENT = [{"age": 9.0 + row % 5, "colour": COLOURS[row % 3] if row % 7 else None} for row in range(210)]


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path], start_service: Callable[..., Any]
) -> Iterator[httpx.Client]:
    """Serve two versions with a baseline, and one model without; the rows have been sent."""
    models = tmp_path_factory.mktemp("models")
    for version, seed in ((1, 5), (2, 0)):
        hand_model(models, "hand", version, seed=seed, edit=live(seed=seed))
    hand_model(models, "old", 1)
    hand_model(models, "plain", 1, kind="plain", edit=live("plain"))
    settings = {"segments": "hand=colour+age+absent, old=age, plain=age", "loaded_versions": "2"}
    with start_service(models, **settings) as started, httpx.Client(base_url=started.url, timeout=60) as opened:
        for name in ("hand", "plain"):
            for start in range(0, len(SENT), 30):
                rows = {"instances": SENT[start : start + 30]}
                assert opened.post(f"/v1/models/{name}:predict", json=rows).status_code == 200
        yield opened


def told(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_value_of_a_category_has_the_means_of_its_rows(client: httpx.Client) -> None:
    awaited(lambda: told(client, "/v1/models/hand/segments")["rows"], len(SENT))
    answer = told(client, "/v1/models/hand/segments?feature=colour&window=1h")
    assert (answer["model"], answer["version"], answer["feature"]) == ("hand", 2, "colour")
    assert answer["features"] == ["age", "colour"]
    rows = client.post("/v1/models/hand:predict", json={"instances": SENT}).json()["predictions"]
    manifest = told(client, "/v1/models/hand/metadata")
    values = manifest["baseline"]["features"][3]["values"]
    assert [segment["cell"] for segment in answer["segments"]] == [0, 1, 2, len(values) + 2]
    for segment in answer["segments"]:
        value = values[segment["cell"]] if segment["cell"] < len(values) else None
        own = [row for sent, row in zip(SENT, rows, strict=True) if sent["colour"] == value]
        assert segment["rows"] == len(own)
        assert segment["share"]["now"] == pytest.approx(len(own) / len(SENT), abs=1e-6)
        used = np.mean([row["gate_weights"]["sold"] for row in own], axis=0)
        np.testing.assert_allclose(segment["tasks"]["sold"]["utilisation"], used, atol=1e-5)
        was = np.array(answer["baseline"]["sold"])
        apart = gates.jensen_shannon(was, used)
        assert segment["tasks"]["sold"]["jensen_shannon"] == pytest.approx(float(apart), abs=1e-5)
        assert (segment["tasks"]["sold"]["level"] == "too_few_rows") == (len(own) < gates.LEAST_ROWS)
        assert segment["predictions"]["sold"] == pytest.approx(np.mean([row["tasks"]["sold"] for row in own]), rel=1e-4)
        grades = np.mean([row["tasks"]["grade"] for row in own], axis=0)
        assert segment["predictions"]["grade"] == pytest.approx(grades.tolist(), rel=1e-4)


def test_numbers_are_told_apart_by_bins_and_a_model_without_gates_too(client: httpx.Client) -> None:
    awaited(lambda: told(client, "/v1/models/plain/segments")["rows"], len(SENT))
    answer = told(client, "/v1/models/plain/segments?window=5m")
    manifest = told(client, "/v1/models/plain/metadata")
    age, edges = manifest["features"][0], manifest["baseline"]["features"][0]["edges"]
    values = np.array([row["age"] for row in SENT])
    cells = np.searchsorted(edges, values, side="right")
    cells = np.where(values < age["minimum"], len(edges) + 1, np.where(values > age["maximum"], len(edges) + 2, cells))
    assert {segment["cell"]: segment["rows"] for segment in answer["segments"]} == {
        cell: count for cell, count in enumerate(np.bincount(cells).tolist()) if count
    }
    assert {str(segment["tasks"]) for segment in answer["segments"]} == {"{}"}
    assert answer["baseline"] == {}


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("hand/segments?feature=city", 400, "'age', 'colour'"),
        ("hand/segments?window=2h", 400, "1m, 5m, 1h"),
        ("old/segments", 404, "MMOE_SEGMENTS"),
        ("absent/segments", 404, "no model 'absent'"),
        ("hand/versions/2/comparison?other=9", 404, "Version 9"),
        ("hand/versions/2/comparison?other=0", 400, "other"),
        ("hand/drift?cells=some", 400, "moved, all"),
    ],
)
def test_what_cannot_be_told_is_a_problem_in_one_sentence(
    client: httpx.Client, path: str, status: int, sentence: str
) -> None:
    answer = client.get(f"/v1/models/{path}")
    assert answer.status_code == status, answer.text
    assert sentence in answer.json()["detail"]


def test_two_versions_are_compared_on_the_rows_that_came(client: httpx.Client) -> None:
    path = "/v1/models/hand/versions/{}/comparison?other={}&window=1h"
    awaited(lambda: told(client, path.format(2, 1))["rows"] > 0, True)
    same, apart = told(client, path.format(2, 2)), told(client, path.format(2, 1))
    assert same["expert_match"] == "good"
    assert [match["shadow_expert"] for match in same["experts"]] == [0, 1, 2, 3]
    assert {task["mean_absolute_difference"] for task in same["tasks"].values()} == {0.0}
    assert (apart["version"], apart["other"]) == (2, 1)
    assert apart["tasks"]["price"]["mean_absolute_difference"] > 0
    found = apart["tasks"]["price"]["gates"]
    assert sum(found["utilisation"]) == pytest.approx(1, abs=1e-4)
    assert found["utilisation"] != found["shadow_utilisation"]


def test_all_cells_are_listed_when_they_are_asked_for(client: httpx.Client) -> None:
    awaited(lambda: told(client, "/v1/models/hand/drift")["rows"] >= len(SENT), True)
    moved, every = (told(client, f"/v1/models/hand/drift?cells={cells}") for cells in ("moved", "all"))
    stable = [name for name, found in moved["features"].items() if found["cells"] is None]
    for name in stable:
        assert sum(every["features"][name]["cells"]["now"]) == pytest.approx(1, abs=1e-4)
    assert all(found["cells"] is not None for found in every["features"].values())
    assert all(found["cells"] is not None for found in every["predictions"].values())
