from dataclasses import replace

import numpy as np
import pytest

from model.evaluation import segments
from model.evaluation.segments import segment_tables
from model.network.model import Predictions
from model.schema import Dataset, Segments
from model.training.metrics import evaluate
from tests.model.conftest import make_rows, make_schema, make_tasks


def judged_dataset(codes: np.ndarray, values: tuple[str, ...]) -> tuple[Dataset, Predictions]:
    random = np.random.default_rng(0)
    rows = replace(make_rows(make_schema(), len(codes), 4), segments=codes[:, None].astype(np.int16))
    rows = replace(rows, weights=random.integers(1, 4, len(codes)).astype(np.float32))
    dataset = Dataset(make_schema(), make_tasks(), rows, rows, rows, "", "", segments=(Segments("land", values),))
    answers = {"price": rows.labels[:, 0] + random.normal(size=len(codes)), "sold": random.random(len(codes))}
    answers["grade"] = random.dirichlet(np.ones(3), len(codes))
    return dataset, Predictions({name: answer.astype(np.float32) for name, answer in answers.items()}, None)


def test_each_value_has_the_metric_of_its_rows_alone() -> None:
    codes = np.repeat([0, 1, 2], [20, 100, 60])
    dataset, test = judged_dataset(codes, ("fr", "de", ""))
    tables = {table.output: table for table in segment_tables(dataset, test)}
    labels, weights = dataset.test.labels, dataset.test.weights
    assert weights is not None
    for output, metric in (("price", "rmse"), ("sold", "auc"), ("grade", "accuracy")):
        found = tables[output].segments
        assert [segment.value for segment in found] == ["de", "", "fr"]  # most rows first
        for segment, code in zip(found, (1, 2, 0), strict=True):
            here = codes == code
            rows = replace(dataset.test, labels=labels[here], weights=weights[here])
            alone = evaluate(Predictions({k: v[here] for k, v in test.tasks.items()}, None), rows, dataset.tasks)
            assert segment.estimate is not None
            assert segment.estimate.metric == metric
            assert segment.estimate.value == pytest.approx(alone[output][metric])
    assert sum(segment.rows for segment in tables["sold"].segments) == (~np.isnan(labels[:, 1])).sum()
    price = tables["price"].segments[0]
    assert price.observed == pytest.approx(np.average(labels[codes == 1, 0], weights=weights[codes == 1]))


def test_rare_values_and_those_that_are_not_listed_share_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SHOWN", 2)
    codes = np.repeat([0, 1, 2, -1], [20, 100, 60, 15])
    dataset, test = judged_dataset(codes, ("fr", "de", "it"))
    found = segment_tables(dataset, test)[0].segments
    assert [(segment.value, segment.rows) for segment in found] == [("de", 100), ("it", 60), (None, 35)]


def test_without_columns_there_are_no_tables() -> None:
    dataset, test = judged_dataset(np.zeros(30, int), ("fr",))
    plain = replace(dataset, segments=(), test=replace(dataset.test, segments=None))
    assert segment_tables(plain, test) == []
