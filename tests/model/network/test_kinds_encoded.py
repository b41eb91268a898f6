"""Hashed ids, bags, moments and shared tables in the encoder, against closed forms."""

import datetime
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.network.encoder import Encoder
from model.network.inputs import Inputs, inputs_of
from model.schema import (
    MISSING,
    MISSING_TIME,
    BagFeature,
    CategoricalFeature,
    DatetimeFeature,
    DatetimePart,
    FeatureSchema,
    Rows,
)
from tests.support.every_kind import SCHEMA, bags_of, make_rows


def moments(feature: DatetimeFeature, *times: int) -> torch.Tensor:
    """Encode moments of one feature alone."""
    seconds = torch.tensor(times).unsqueeze(1)
    nothing = torch.empty(len(times), 0)
    x: torch.Tensor = Encoder(FeatureSchema(datetimes=(feature,)))(Inputs(nothing, nothing.long(), (), seconds))
    return x


def seconds_of(*parts: int) -> int:
    return int(datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp())  # type: ignore[arg-type, misc]


@settings(deadline=None)
@given(moment=st.datetimes(timezones=st.just(datetime.UTC)))
def test_parts_of_any_moment_are_those_of_the_calendar(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0)
    feature = DatetimeFeature("t", ("hour", "weekday", "day_of_year"), 0, 0)
    x = moments(feature, int(moment.timestamp()))[0].double()
    hour, weekday, day_of_year = torch.atan2(x[:3], x[3:]).remainder(2.0 * math.pi) / (2.0 * math.pi)
    sod = moment.hour * 3600 + moment.minute * 60 + moment.second
    assert turned(float(hour) * 24.0 - sod / 3600, 24.0) < 1e-4
    assert turned(float(weekday) * 7.0 - moment.weekday(), 7.0) < 1e-5
    assert turned(float(day_of_year) * 365.2425 - (moment.timetuple().tm_yday - 1), 365.2425) <= 2.001


def turned(difference: float, period: float) -> float:
    """Return the distance of two places on a circle."""
    return abs((difference + period / 2) % period - period / 2)


def test_days_keep_what_float32_would_lose() -> None:
    feature = DatetimeFeature("t", ("days",), 0, 0, mean_days=19_000.25, std_days=0.5)
    at = 19_000 * 86_400 + 21_600  # the mean
    x = moments(feature, at, at + 60, at - 86_400, MISSING_TIME, at + 10**9)
    assert x.flatten().tolist() == pytest.approx([0.0, 60 / 43_200, -2.0, 0.0, 1e4], rel=1e-3)  # the last is clamped


def test_missing_moment_has_zeros_and_an_indicator_where_training_had_one() -> None:
    parts: tuple[DatetimePart, ...] = ("hour", "days")
    known, unknown = moments(DatetimeFeature("t", parts, 0, 0, missing_share=0.5), 0, MISSING_TIME)
    assert known.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert unknown.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert moments(DatetimeFeature("t", parts, 0, 0), MISSING_TIME).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("year", [1, 1969, 2000, 9999])
def test_days_and_weekday_of_the_first_and_last_year(year: int) -> None:
    at = seconds_of(year, 3, 1, 6, 0, 0)
    x = moments(DatetimeFeature("t", ("weekday", "days"), 0, 0, std_days=1e6), at)[0].double()
    weekday = datetime.date(year, 3, 1).weekday()
    assert x[:2].tolist() == pytest.approx([math.sin(2 * math.pi * weekday / 7), math.cos(2 * math.pi * weekday / 7)])
    assert float(x[2]) == pytest.approx(at / 86_400 / 1e6, rel=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_bag_pools_its_values_and_an_empty_one_is_missing(pooling: str) -> None:
    feature = BagFeature("tags", "|", pooling, ("a", "b"))  # type: ignore[arg-type]
    encoder = Encoder(FeatureSchema(bags=(feature,)), 3)
    assert encoder.embedding is not None
    weight = encoder.embedding.weight
    codes = torch.tensor([[2, 3, 0], [MISSING, 3, MISSING], [MISSING] * 3, [2, 2, MISSING]])
    x = encoder(Inputs(torch.empty(4, 0), torch.empty(4, 0).long(), (codes,)))
    share = 3.0 if pooling == "mean" else 1.0
    torch.testing.assert_close(x[0], (weight[2] + weight[3] + weight[0]) / share)
    torch.testing.assert_close(x[1:3], weight[[3, 1]])
    torch.testing.assert_close(x[3], weight[2] * (1.0 if pooling == "mean" else 2.0))
    x.sum().backward()
    assert weight.grad is not None
    assert weight.grad[1].tolist() == [1.0] * 3  # of the empty bag, and of no padding


def test_features_of_a_shared_table_have_the_same_rows() -> None:
    encoder = Encoder(SCHEMA, 4)
    assert encoder.embedding is not None
    assert encoder.offsets.tolist() == [0, 5, 0, 9, 61]  # last_colour looks into the table of colour
    assert encoder.bag_offsets.tolist() == [103, 61]  # seen into that of item
    assert encoder.embedding.num_embeddings == 108
    rows = make_rows(20, 0)
    x = encoder(inputs_of(rows))
    owners = encoder.column_feature
    same = torch.from_numpy(rows.codes[:, 0] == rows.codes[:, 2])
    assert torch.equal(x[same][:, owners == 2], x[same][:, owners == 4])


def test_table_of_two_sizes_is_refused() -> None:
    features = FeatureSchema((), (CategoricalFeature("a", ("x",)), CategoricalFeature("b", ("x", "y"), table="a")))
    with pytest.raises(ValueError, match="'b' has 4 codes, its table 'a' has 3"):
        Encoder(features)


@pytest.mark.parametrize("tables", [1, 3])
@pytest.mark.parametrize("encoding", ["standard", "piecewise_linear", "mixed"])
def test_every_column_is_moved_by_its_own_feature_alone(tables: int, encoding: str) -> None:
    encoder = Encoder(SCHEMA, 4, encoding, tables)  # type: ignore[arg-type]
    inputs = inputs_of(make_rows(40, 1))
    x = encoder(inputs)
    assert x.shape == ((40, encoder.width) if tables == 1 else (40, tables, encoder.width))
    owners = encoder.column_feature
    assert sorted(set(owners.tolist())) == list(range(len(SCHEMA.names)))
    for feature in range(len(SCHEMA.names)):
        moved = (encoder(with_one_changed(inputs, feature)) != x).flatten(0, -2).any(0)
        assert moved.any()
        assert (owners[moved] == feature).all()


def with_one_changed(inputs: Inputs, feature: int) -> Inputs:
    """Change a raw feature in every row."""
    numeric, codes, bags, datetimes = inputs
    assert datetimes is not None
    numeric, codes, datetimes = numeric.clone(), codes.clone(), datetimes.clone()
    n, s, g = numeric.shape[1], codes.shape[1], len(bags)
    if feature < n:
        numeric[:, feature] = numeric[:, feature].nan_to_num() * 0.5
    elif feature < n + s:
        codes[:, feature - n] = torch.where(codes[:, feature - n] == 2, 3, 2)
    elif feature < n + s + g:
        place = feature - n - s
        bags = (*bags[:place], torch.full_like(bags[place][:, :1], 2), *bags[place + 1 :])
    else:
        column = datetimes[:, feature - n - s - g]
        column.copy_(torch.where(column == MISSING_TIME, 0, column + 100_000))
    return Inputs(numeric, codes, bags, datetimes)


def test_codes_of_32_bits_are_those_of_64() -> None:
    encoder, inputs = Encoder(SCHEMA, 4), inputs_of(make_rows(20, 2))
    assert inputs.codes.dtype == torch.int32
    wide = inputs._replace(codes=inputs.codes.long(), bags=tuple(bag.long() for bag in inputs.bags))
    assert torch.equal(encoder(inputs), encoder(wide))


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 30), seed=st.integers(0, 99), chunk=st.integers(1, 40))
def test_a_weight_counts_a_row_so_often(count: int, seed: int, chunk: int) -> None:
    encoder, rows = Encoder(SCHEMA), make_rows(count, seed)
    weights = np.random.default_rng(seed).integers(0, 4, count)
    repeated = np.repeat(np.arange(count), weights)
    counts = encoder.count_codes(replace(rows, weights=weights.astype(np.float32)), chunk)
    assert counts.tolist() == encoder.count_codes(taken(rows, repeated)).tolist()
    rows_used = weights.sum() * (len(SCHEMA.single) + len(SCHEMA.bags))
    assert counts.sum() >= rows_used


def taken(rows: Rows, index: np.ndarray) -> Rows:
    cells = [bags_of([bag.values[bag.offsets[i] : bag.offsets[i + 1]].tolist() for i in index]) for bag in rows.bags]
    return replace(rows, codes=rows.codes[index], labels=rows.labels[index], bags=tuple(cells))


def test_unseen_rows_of_a_table_become_the_average_of_all_its_features() -> None:
    encoder = Encoder(SCHEMA, 4)
    assert encoder.embedding is not None
    counts = encoder.count_codes(make_rows(200, 3))
    before = encoder.embedding.weight.detach().clone()
    encoder.average_unseen(counts)
    after = encoder.embedding.weight.detach()
    assert torch.equal(after[counts > 0], before[counts > 0])
    for begin, end in ((0, 5), (5, 9), (9, 61), (61, 103), (103, 108)):
        share = counts[begin:end] / counts[begin:end].sum()
        unseen = after[begin:end][counts[begin:end] == 0]
        torch.testing.assert_close(unseen, (share @ before[begin:end]).expand_as(unseen))
    assert (counts == 0).any()
