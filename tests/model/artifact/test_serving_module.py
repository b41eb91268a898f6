from collections.abc import Callable

import numpy as np
import pytest
import torch

from model.artifact.serving_module import mean_encoding, serve
from model.config.run import ModelConfig
from model.network.encoder import NumericEncoding
from model.network.inputs import inputs_of
from model.network.model import build_model, predict
from model.schema import Dataset


def test_answers_are_in_natural_units_and_named(dataset: Dataset) -> None:
    model = build_model(dataset.features, dataset.tasks, ModelConfig(experts=3), seed=0)
    module = serve(model, dataset)
    got = module.answer(inputs_of(dataset.test))
    expected = predict(model, dataset.test)
    assert list(got) == ["price", "sold", "grade", "gate_weights", "gate_contributions"]
    for name, value in expected.tasks.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5)
    assert got["gate_contributions"].shape == (len(dataset.test), 3, 3, 4)


def test_network_without_gates_answers_its_tasks_alone(dataset: Dataset) -> None:
    for architecture in ("shared_bottom", "single_task"):
        config = ModelConfig(architecture=architecture)
        module = serve(build_model(dataset.features, dataset.tasks, config, seed=0), dataset)
        assert module.output_names == ["price", "sold", "grade"]
        assert module.experts == 0


@pytest.mark.parametrize("encoding", ["piecewise_linear", "mixed"])
def test_contributions_sum_over_the_columns_of_a_feature(dataset: Dataset, encoding: NumericEncoding) -> None:
    config = ModelConfig(experts=3, numeric_encoding=encoding, gate_temperature=0.5)
    model = build_model(dataset.features, dataset.tasks, config, seed=0)
    module = serve(model, dataset)
    rows = dataset.test
    got = module.answer(inputs_of(rows))["gate_contributions"]
    with torch.inference_mode():
        x = model.encoder(inputs_of(rows)).double().numpy()
    matrix = model.network.gate_matrix().detach().double().numpy()  # type: ignore[operator]
    average = mean_encoding(model, dataset.train).numpy()
    owner = model.encoder.column_feature.numpy()
    for feature in range(4):
        columns = owner == feature
        expected = np.einsum("bd,ted->bte", (x - average)[:, columns], matrix[:, :, columns])
        np.testing.assert_allclose(got[..., feature], expected, atol=1e-5)
    np.testing.assert_allclose(module.average_logits(), matrix @ average, atol=1e-6)


def test_mean_encoding_does_not_depend_on_how_rows_are_cut(dataset: Dataset) -> None:
    model = build_model(dataset.features, dataset.tasks, ModelConfig(), seed=0)
    torch.testing.assert_close(mean_encoding(model, dataset.train), mean_encoding(model, dataset.train, chunk=7))


def test_masks_multiply(dataset: Dataset, rows: Callable[..., object]) -> None:
    module = serve(build_model(dataset.features, dataset.tasks, ModelConfig(experts=3), seed=0), dataset)
    inputs = inputs_of(dataset.test, slice(2))
    one = np.array([0, 1, 1], dtype=np.float32)
    by_row = np.array([[[1, 0, 1]], [[1, 1, 1]]], dtype=np.float32)
    weights = module.answer(inputs, expert_mask=one, row_expert_mask=by_row)["gate_weights"]
    assert (weights[0, :, :2] == 0.0).all()
    assert (weights[1, :, 0] == 0.0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
