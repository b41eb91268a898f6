"""Tables of numbers are sent and answered as raw tensors, with the answer that JSON has."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

from mmoe_client import Client, InvalidFeatures
from tests.support.client_answers import assert_right
from tests.support.hand_model import write_model
from tests.support.hand_weights import HandWeights, make_weights, raw_rows

COUNT = 150


class Recorded(httpx.HTTPTransport):
    """Network that keeps the paths of requests."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.posted.append(request.url.path)
        return super().handle_request(request)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, start_service: Callable[..., Any]) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    write_model(models, "wide", 3, kind="wide")
    write_model(models, "hand", 1)
    with start_service(models, default_model="wide", max_rows="70") as service:
        yield service.url


@pytest.fixture(scope="module")
def weights() -> HandWeights:
    return make_weights("wide")


@pytest.fixture(scope="module")
def numbers(weights: HandWeights) -> np.ndarray:
    numeric, _ = raw_rows(weights, COUNT, seed=5)
    assert numeric is not None
    return numeric


@pytest.mark.parametrize("form", ["array", "pandas", "polars", "arrays"])
def test_numbers_of_every_form_are_raw_tensors(url: str, weights: HandWeights, numbers: np.ndarray, form: str) -> None:
    forms: dict[str, Callable[[], Any]] = {
        "array": lambda: numbers.astype(np.float64),
        "pandas": lambda: pd.DataFrame(numbers, columns=weights.names),
        "polars": lambda: pl.DataFrame(numbers, schema=weights.names).fill_nan(None),
        "arrays": lambda: dict(zip(weights.names, numbers.T, strict=True)),
    }
    network = Recorded()
    with Client(url, transport=network) as client:
        answer = client.predict(forms[form](), request_id="night")
        assert_right(answer, weights.answer(numbers, None), COUNT)
    assert (answer.model, answer.version) == ("wide", 3)
    assert all(name.startswith("night-") for name in answer.request_ids)  # cut at the service's limit
    assert set(network.posted) == {"/v2/models/wide/infer"}


def test_a_version_is_asked_for(url: str, weights: HandWeights, numbers: np.ndarray) -> None:
    network = Recorded()
    with Client(url, transport=network) as client:
        assert_right(client.predict(numbers, version=3), weights.answer(numbers, None), COUNT)
    assert set(network.posted) == {"/v2/models/wide/versions/3/infer"}


def test_a_number_that_is_refused_is_named_by_row_and_feature(
    url: str, weights: HandWeights, numbers: np.ndarray
) -> None:
    huge = numbers.astype(np.float64)
    huge[101, 7] = 1e39  # infinite as a float32
    with Client(url) as client, pytest.raises(InvalidFeatures) as caught:
        client.predict(huge)
    assert (caught.value.problems[0].row, caught.value.problems[0].feature) == (101, weights.names[7])


def test_rows_with_keys_few_rows_and_other_kinds_are_json(url: str, weights: HandWeights, numbers: np.ndarray) -> None:
    network = Recorded()
    with Client(url, transport=network) as client:
        client.predict(numbers, keys=range(COUNT))
        client.predict(numbers[:5])
        client.predict({"age": np.arange(100.0)}, model="hand")
    assert {path.rsplit(":")[-1] for path in network.posted} == {"predict"}
