import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.network.encoder import Encoder
from model.network.inputs import Inputs, inputs_of
from model.schema import CategoricalFeature, FeatureSchema, NumericFeature, Rows

NAN = math.nan


def numbers(values: list[list[float]]) -> Inputs:
    return Inputs(torch.tensor(values), torch.empty(len(values), 0, dtype=torch.int64))


def coded(codes: list[list[int]], **others: object) -> Rows:
    count, table = len(codes), np.array(codes, np.int64)
    empty = np.empty((count, 0))
    return Rows(empty.astype(np.float32), table, empty, empty.astype(object), **others)  # type: ignore[arg-type]


def categories(codes: list[list[int]]) -> Inputs:
    return Inputs(torch.empty(len(codes), 0), torch.tensor(codes))


def test_standard_encoding_is_standardised_with_an_indicator_where_values_were_missing(schema: FeatureSchema) -> None:
    encoder = Encoder(FeatureSchema(numeric=schema.numeric))
    x = encoder(numbers([[50.0, 5.0], [NAN, 7.0], [40.0, NAN]]))
    assert x.tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    assert encoder.column_feature.tolist() == [0, 1, 0]


def test_piecewise_linear_encoding_fills_bins_in_order() -> None:
    feature = NumericFeature("n", 2.0, 1.0, 0.0, 4.0, bin_edges=(0.0, 1.0, 2.0, 4.0))
    encoder = Encoder(FeatureSchema(numeric=(feature,)), numeric_encoding="piecewise_linear")
    values = [[0.0], [0.5], [1.0], [3.0], [4.0], [6.0], [-1.0], [NAN]]
    assert encoder(numbers(values)).tolist() == [
        [0.0, 0.0, 0.0],
        [0.5, 0.0, 0.0],
        [1.0, 0.0, 0.0],
        [1.0, 1.0, 0.5],
        [1.0, 1.0, 1.0],
        [1.0, 1.0, 2.0],  # goes on beyond what training has seen
        [-1.0, 0.0, 0.0],
        [1.0, 1.0, 0.0],  # the mean
    ]


def test_mixed_encoding_has_the_value_itself_and_bins_that_end(schema: FeatureSchema) -> None:
    feature = NumericFeature("n", 2.0, 4.0, 0.0, 4.0, bin_edges=(0.0, 1.0, 2.0, 4.0))
    without = NumericFeature("m", 0.0, 1.0, 0.0, 1.0)
    encoder = Encoder(FeatureSchema(numeric=(feature, without)), numeric_encoding="mixed")
    assert encoder(numbers([[0.5, 3.0], [6.0, 3.0], [-2.0, 3.0], [NAN, 3.0]])).tolist() == [
        [-0.375, 0.5, 0.0, 0.0, 3.0],
        [1.0, 1.0, 1.0, 1.0, 3.0],
        [-1.0, 0.0, 0.0, 0.0, 3.0],
        [0.0, 1.0, 1.0, 0.0, 3.0],
    ]
    assert encoder.column_feature.tolist() == [0, 0, 0, 0, 1]


def test_piecewise_linear_encoding_falls_back_where_there_are_no_bins() -> None:
    features = FeatureSchema(numeric=(NumericFeature("n", 2.0, 4.0, 0.0, 4.0, bin_edges=(0.0, 4.0)),))
    encoder = Encoder(features, numeric_encoding="piecewise_linear")
    assert encoder(numbers([[4.0]])).tolist() == [[0.5]]


@settings(deadline=None)
@given(
    value=st.floats(width=32, allow_infinity=False), encoding=st.sampled_from(["standard", "piecewise_linear", "mixed"])
)
def test_every_finite_or_missing_number_is_encoded_finite(value: float, encoding: str) -> None:
    features = (
        NumericFeature("a", 0.0, 1e-6, -1.0, 1.0, missing_share=0.5, bin_edges=(-1.0, 0.0, 1e-6, 1.0)),
        NumericFeature("b", 1e9, 1e12, 0.0, 1e15, bin_edges=(0.0, 1e3, 1e15)),
    )
    encoder = Encoder(FeatureSchema(numeric=features), numeric_encoding=encoding)  # type: ignore[arg-type]
    x = encoder(numbers([[value, value]]))
    assert x.isfinite().all()


@pytest.mark.parametrize("encoding", ["standard", "piecewise_linear", "mixed"])
@pytest.mark.parametrize("kinds", ["numeric", "categorical", "both"])
def test_width_and_owner_of_every_column(schema: FeatureSchema, encoding: str, kinds: str) -> None:
    part = {
        "numeric": FeatureSchema(numeric=schema.numeric),
        "categorical": FeatureSchema(categorical=schema.categorical),
        "both": schema,
    }[kinds]
    encoder = Encoder(part, 4, encoding)  # type: ignore[arg-type]
    numeric = torch.full((3, len(part.numeric)), 6.5)
    codes = torch.ones(3, len(part.categorical), dtype=torch.int64)
    x = encoder(Inputs(numeric, codes))
    assert x.shape == (3, encoder.width)
    owners = encoder.column_feature
    assert owners.shape == (encoder.width,)
    assert sorted(set(owners.tolist())) == list(range(len(part.names)))
    for feature in range(len(part.names)):  # moving a raw feature moves its own columns and no others
        other_numeric, other_codes = numeric.clone(), codes.clone()
        if feature < len(part.numeric):
            other_numeric[:, feature] = NAN
        else:
            other_codes[:, feature - len(part.numeric)] = 2
        moved = (encoder(Inputs(other_numeric, other_codes)) != x).any(0)
        assert moved.any()
        assert (owners[moved] == feature).all()


def test_columns_own_separate_rows_of_the_one_table(schema: FeatureSchema) -> None:
    encoder = Encoder(schema, 3)
    assert encoder.offsets.tolist() == [0, 5]
    assert encoder.embedding is not None
    assert encoder.embedding.num_embeddings == 9
    numeric, codes = torch.zeros(1, 2), torch.tensor([[4, 2]])
    x = encoder(Inputs(numeric, codes))
    torch.testing.assert_close(x[0, -6:], encoder.embedding.weight[[4, 7]].flatten())


def test_counts_are_per_row_of_the_table(schema: FeatureSchema) -> None:
    encoder = Encoder(schema)
    assert encoder.count_codes(coded([[2, 0], [2, 3], [4, 3]]), chunk=2).tolist() == [
        0,
        0,
        2,
        0,
        1,
        1,
        0,
        0,
        2,
    ]


def test_rows_that_training_never_met_become_the_average_value(schema: FeatureSchema) -> None:
    encoder = Encoder(schema, 3)
    assert encoder.embedding is not None
    before = encoder.embedding.weight.detach().clone()
    encoder.average_unseen(torch.tensor([0, 0, 3, 1, 0, 0, 2, 5, 5]))
    after = encoder.embedding.weight.detach()
    average = (3 * before[2] + before[3]) / 4
    for unseen in (0, 1, 4):
        torch.testing.assert_close(after[unseen], average)
    torch.testing.assert_close(after[5], (2 * before[6] + 5 * before[7] + 5 * before[8]) / 12)
    assert torch.equal(after[[2, 3, 6, 7, 8]], before[[2, 3, 6, 7, 8]])
    encoder.average_unseen(torch.tensor([0, 0, 3, 1, 0, 0, 2, 5, 5]))
    torch.testing.assert_close(encoder.embedding.weight.detach(), after)  # a second time changes nothing


def test_a_schema_without_categories_has_nothing_to_settle(schema: FeatureSchema) -> None:
    encoder = Encoder(FeatureSchema(numeric=schema.numeric))
    encoder.average_unseen(encoder.count_codes(coded([[]])))


def test_several_tables_share_numbers_and_not_embeddings(schema: FeatureSchema, rows: Callable[..., Rows]) -> None:
    encoder, some = Encoder(schema, 4, tables=2), rows(5)
    x = encoder(inputs_of(some))
    assert x.shape == (5, 2, encoder.width)
    numbers = encoder.width - 8
    assert torch.equal(x[:, 0, :numbers], x[:, 1, :numbers])
    assert encoder.embedding is not None
    x[:, 0].sum().backward()
    assert encoder.embedding.weight.grad is not None
    assert (encoder.embedding.weight.grad[:, 4:] == 0.0).all()
    assert (encoder.embedding.weight.grad[:, :4] != 0.0).any()


def test_two_encoders_of_the_same_features_agree_on_every_column(schema: FeatureSchema) -> None:
    """Columns come from the schema alone, so a test table cannot shift them."""
    first, second = Encoder(schema), Encoder(schema)
    assert torch.equal(first.column_feature, second.column_feature)
    assert first.state_dict().keys() == second.state_dict().keys()


def test_one_category_column_without_vocabulary_is_encoded() -> None:
    encoder = Encoder(FeatureSchema(categorical=(CategoricalFeature("c", ()),)), 2)
    assert encoder(categories([[1]])).shape == (1, 2)
