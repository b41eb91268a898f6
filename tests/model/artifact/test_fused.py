"""The fused graph answers what the network answers, in fewer steps."""

import numpy as np
import pytest
import torch

from model.artifact.fused import FusedMixture, fuse
from model.artifact.serving_module import ServingModule
from model.config.run import ModelConfig
from model.mmoe import Architecture, Mixture
from model.network.inputs import Inputs
from model.network.model import build_model
from model.schema import FeatureSchema, NumericFeature, Task

FEATURES = FeatureSchema(tuple(NumericFeature(f"x_{i}", 3.0 * i, 2.0, -9.0, 9.0, missing_share=0.1) for i in range(5)))
KINDS = (
    Task("price", "regression", mean=250.0, std=40.0),
    Task("bought", "binary", ("no", "yes")),
    Task("colour", "multiclass", ("red", "green", "blue")),
    Task("age", "regression", mean=-3.0, std=0.5),
)


def module_of(tasks: tuple[Task, ...] = KINDS, **options: object) -> ServingModule:
    config = ModelConfig.model_validate({"experts": 3, "expert_hidden": [6, 4], "tower_hidden": [5]} | options)
    model = build_model(FEATURES, tasks, config, seed=1)
    return ServingModule(model, FEATURES, torch.linspace(-1.0, 1.0, model.encoder.width))


@pytest.mark.parametrize("options", [{}, {"architecture": "omoe"}, {"tower_hidden": []}, {"tower_hidden": [5, 4]}])
@pytest.mark.parametrize("tasks", [KINDS, KINDS[:1], KINDS[2:3]])
def test_answers_are_those_of_the_network(options: dict[str, object], tasks: tuple[Task, ...]) -> None:
    plain = module_of(tasks, **options)
    fused = fuse(plain)
    assert isinstance(fused.model.network, FusedMixture)
    random = np.random.default_rng(0)
    numeric = random.normal(size=(7, 5)).astype(np.float32) * 10
    numeric[random.random(numeric.shape) < 0.2] = np.nan
    inputs = Inputs(torch.from_numpy(numeric), torch.zeros(7, 0, dtype=torch.int64))
    left_out = 1 - np.eye(3, dtype=np.float32)
    for masks in ({}, {"expert_mask": left_out[0]}, {"row_expert_mask": left_out[np.arange(7) % 3][:, None]}):
        expected, got = plain.answer(inputs, **masks), fused.answer(inputs, **masks)
        assert list(got) == list(expected)
        for name in expected:
            assert got[name].shape == expected[name].shape
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_network_stays_as_it_was() -> None:
    plain = module_of()
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    fuse(plain)
    assert isinstance(plain.model.network, Mixture)
    assert plain.tasks == KINDS
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())


@pytest.mark.parametrize("architecture", ["shared_bottom", "single_task"])
def test_a_network_that_mixes_nothing_is_served_as_it_is(architecture: Architecture) -> None:
    plain = module_of(architecture=architecture)
    assert fuse(plain) is plain


def test_many_wide_towers_stay_apart() -> None:
    plain = module_of(KINDS, tower_hidden=[512])
    assert fuse(plain) is plain


def test_a_large_mean_is_added_last_so_that_answers_are_no_coarser_than_float32() -> None:
    """Seconds since 1970: a mean in the last bias would swallow what the network adds to it."""
    plain = module_of((Task("ends_at", "regression", mean=1_700_000_040.0, std=300.0),))
    numeric = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32) * 10
    inputs = Inputs(torch.from_numpy(numeric), torch.zeros(50, 0, dtype=torch.int64))
    expected, got = plain.answer(inputs)["ends_at"], fuse(plain).answer(inputs)["ends_at"]
    assert len(np.unique(expected)) > 2
    assert (got != expected).sum() <= 2  # where an answer lies in the middle between two steps
