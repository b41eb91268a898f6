import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metrics.intervals import losses
from model.artifact.cells import GROUPS, MOST_CELLS, cells_of, inner_edges
from model.artifact.distributions import MOST_CLASSES, baseline, spread
from model.artifact.serving_module import ServingModule, serve
from model.config.run import ModelConfig
from model.network.inputs import inputs_of
from model.network.model import build_model
from model.schema import FIRST_VALUE, MISSING, MISSING_TIME, UNKNOWN, Dataset, FeatureSchema, NumericFeature, Rows, Task
from tests.support.every_kind import SCHEMA, TASKS, make_dataset, make_rows

EXPERTS = 3


def module_of(dataset: Dataset, **options: object) -> ServingModule:
    config = ModelConfig.model_validate({"experts": EXPERTS, "embedding_dim": 4, **options})
    return serve(build_model(dataset.features, dataset.tasks, config, seed=0), dataset)


@pytest.fixture(scope="module")
def served() -> ServingModule:
    return module_of(make_dataset())


def entry_of(module: ServingModule, rows: Rows) -> dict[str, Any]:
    entry: dict[str, Any] = baseline(module, rows)["baseline"]
    return json.loads(json.dumps(entry, allow_nan=False))  # type: ignore[no-any-return]


def test_shares_are_those_that_counting_by_hand_finds(served: ServingModule) -> None:
    rows = make_rows(500, 1)
    entry = entry_of(served, rows)
    features = dict(zip(SCHEMA.names, entry["features"], strict=True))
    assert entry["rows"] == 500
    ages = rows.numeric[:, 0]
    feature = SCHEMA.numeric[0]
    inside = ages[(ages >= feature.minimum) & (ages <= feature.maximum)]
    counts = np.histogram(inside, [-np.inf, *features["age"]["edges"], np.inf])[0]
    assert features["age"]["shares"] == pytest.approx(counts / 500)
    assert len(counts) == MOST_CELLS
    assert features["age"]["missing"] == pytest.approx(np.isnan(ages).mean())
    assert features["age"]["above"] == pytest.approx((ages > feature.maximum).mean())
    colours = rows.codes[:, 0]
    for value, share in zip(features["colour"]["values"], features["colour"]["shares"], strict=True):
        assert share == pytest.approx((colours == FIRST_VALUE + SCHEMA.categorical[0].vocabulary.index(value)).mean())
    assert features["colour"]["unknown"] == pytest.approx((colours == UNKNOWN).mean())
    assert features["colour"]["missing"] == pytest.approx((colours == MISSING).mean())
    users = rows.codes[:, len(SCHEMA.categorical)]
    of_group = [((users != MISSING) & ((users - FIRST_VALUE) % GROUPS == g)).mean() for g in range(GROUPS)]
    assert features["user"]["shares"] == pytest.approx(of_group)
    tags, sizes = rows.bags[0], np.diff(rows.bags[0].offsets)
    cells = np.split(tags.values, tags.offsets[1:-1])
    new = np.mean([(cell == FIRST_VALUE).mean() if len(cell) else 0.0 for cell in cells])
    assert features["tags"]["shares"][features["tags"]["values"].index("new")] == pytest.approx(new)
    assert features["tags"]["missing"] == pytest.approx((sizes == 0).mean())
    assert rows.datetimes is not None
    assert features["at"]["missing"] == pytest.approx((rows.datetimes[:, 0] == MISSING_TIME).mean())


def test_every_share_adds_up_and_predictions_are_spread_over_their_bins(served: ServingModule) -> None:
    entry = entry_of(served, make_rows(2000, 2))
    for cells in entry["features"]:
        tail = sum(cells.get(name, 0.0) for name in ("below", "above", "other", "unknown", "missing"))
        assert sum(cells["shares"]) + tail == pytest.approx(1.0, abs=1e-5)
    price = entry["predictions"]["price"]
    assert max(price["shares"]) < 2.0 / len(price["shares"])
    assert entry["predictions"]["grade"]["classes"] != []
    assert sum(entry["predictions"]["grade"]["shares"]) == pytest.approx(1.0, abs=1e-5)


def test_mean_contributions_are_the_mean_of_the_rows_own(served: ServingModule) -> None:
    rows = make_rows(300, 3)
    with torch.inference_mode():
        own = served.contributions(served.model.encoder(inputs_of(rows))).numpy()  # (B, T, E, F)
    entry = entry_of(served, rows)
    means = np.array([entry["contributions"][task.name] for task in TASKS])
    np.testing.assert_allclose(means, own.mean(axis=0, dtype=np.float64), rtol=1e-3, atol=1e-6)
    red = rows.codes[:, 0] == FIRST_VALUE
    colour = own[red][..., SCHEMA.names.index("colour")].mean(axis=0, dtype=np.float64)
    place = entry["features"][SCHEMA.names.index("colour")]["values"].index("red")
    listed = [
        (t, e, cell["contribution"])
        for t, task in enumerate(TASKS)
        for e, cells in enumerate(entry["raising"][task.name])
        for cell in cells
        if (cell["feature"], cell["cell"]) == ("colour", place)
    ]
    for t, e, contribution in listed:
        assert contribution == pytest.approx(colour[t, e] - colour[t].mean(), rel=1e-2, abs=1e-5)
    for by_expert in entry["raising"].values():
        assert [len(cells) for cells in by_expert] == [3] * EXPERTS


def test_rows_that_count_twice_are_rows_that_stand_there_twice(served: ServingModule) -> None:
    rows = make_rows(60, 4)
    twice = entry_of(served, replace(rows, weights=np.full(60, 2.0, np.float32)))
    assert twice["contributions"] == entry_of(served, rows)["contributions"]
    dropped = np.ones(60, np.float32)
    dropped[30:] = 0.0
    half = entry_of(served, replace(rows, weights=dropped))
    first = entry_of(served, spread_first(rows, 30))
    for name in ("features", "predictions"):
        assert half[name] == first[name]


def spread_first(rows: Rows, count: int) -> Rows:
    return spread(
        replace(
            rows,
            numeric=rows.numeric[:count],
            codes=rows.codes[:count],
            labels=rows.labels[:count],
            bags=tuple(
                replace(bag, offsets=bag.offsets[: count + 1], values=bag.values[: bag.offsets[count]])
                for bag in rows.bags
            ),
            datetimes=None if rows.datetimes is None else rows.datetimes[:count],
        ),
        count,
    )


def test_rows_beyond_the_most_are_taken_evenly() -> None:
    rows = make_rows(101, 5)
    some = spread(rows, 11)
    assert len(some) == 11
    np.testing.assert_array_equal(some.numeric, rows.numeric[::10])
    first, last = some.bags[0].offsets[1:3]
    begin, end = rows.bags[0].offsets[10:12]
    assert some.bags[0].values[first:last].tolist() == rows.bags[0].values[begin:end].tolist()


def test_edges_keep_away_from_values_that_occur() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 5.0], [70, 20, 9, 1])
    assert inner_edges(values, np.ones(100)) == [0.5, 1.5, 3.5]
    assert inner_edges(np.zeros(5), np.ones(5)) == []
    assert len(inner_edges(np.arange(1000.0), np.ones(1000))) == MOST_CELLS - 1


def test_models_without_gates_have_no_contributions_and_no_rows_no_baseline() -> None:
    dataset = make_dataset()
    module = module_of(dataset, architecture="single_task")
    assert {"contributions", "raising", "without"}.isdisjoint(entry_of(module, dataset.validation))
    none = replace(dataset.validation, weights=np.zeros(len(dataset.validation), np.float32))
    assert baseline(module, none) == {}


def test_what_another_task_alone_sees_raises_nothing() -> None:
    dataset = make_dataset()
    module = module_of(dataset, architecture="cgc", own_experts=1)
    entry = entry_of(module, dataset.validation)
    for task, seen in zip(TASKS, module.seen_experts(), strict=True):
        assert [bool(cells) for cells in entry["raising"][task.name]] == seen.tolist()
        assert [lost is not None for lost in entry["without"][task.name]] == seen.tolist()


def test_what_is_lost_without_an_expert_is_the_rise_of_the_loss_of_its_mask(served: ServingModule) -> None:
    rows = make_rows(200, 6)
    mask = np.ones(EXPERTS, np.float32)
    mask[1] = 0.0
    whole, masked = served.answer(inputs_of(rows)), served.answer(inputs_of(rows), expert_mask=mask)
    without = entry_of(served, rows)["without"]
    for t, task in enumerate(TASKS):
        truth, lost = rows.labels[:, t], without[task.name][1]
        labelled = ~np.isnan(truth)
        each = [
            losses(task.kind, a[task.name][labelled].astype(float), truth[labelled]).mean() for a in (masked, whole)
        ]
        after, before = np.sqrt(each) if task.kind == "regression" else each
        assert lost["loss"] == pytest.approx(after - before, rel=1e-3, abs=1e-6)
        apart = np.abs(masked[task.name] - whole[task.name]).reshape(len(rows), -1).sum(axis=1)
        assert lost["moved"] == pytest.approx(apart.mean() / (2 if task.kind == "multiclass" else 1), rel=1e-3)


def test_a_thousand_features_take_less_than_a_megabyte() -> None:
    rng = np.random.default_rng(0)
    schema = FeatureSchema(tuple(NumericFeature(f"feature {n}", 0.0, 1.0, -3.0, 3.0) for n in range(1000)))
    numeric = rng.normal(size=(400, 1000)).astype(np.float32)
    rows = Rows(numeric, np.zeros((400, 0), np.int64), np.zeros((400, 2)), np.empty((400, 0), object))
    tasks = (Task("a", "binary", ("no", "yes")), Task("b", "multiclass", tuple(map(str, range(50)))))
    module = module_of(Dataset(schema, tasks, rows, rows, rows, "made", "sha256:0"), experts=8)
    entry = entry_of(module, rows)
    assert len(json.dumps(entry)) < 1_000_000
    assert len(entry["predictions"]["b"]["classes"]) == MOST_CLASSES


def test_cells_are_in_the_order_of_the_features(served: ServingModule) -> None:
    assert len(cells_of(SCHEMA, make_rows(50, 6))) == len(SCHEMA.names)
