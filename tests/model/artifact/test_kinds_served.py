"""The exported file answers every kind of feature as torch does, under plain onnxruntime."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.artifact.graph import INTERNAL, build_graph
from model.artifact.parity import check_parity, golden_rows, golden_tolerance
from model.artifact.serving_module import ServingModule, mean_encoding, serve
from model.config.run import ModelConfig
from model.network.inputs import inputs_of
from model.network.model import build_model
from model.schema import MISSING_TIME, Dataset, DatetimeFeature, FeatureSchema, HashedFeature, Rows, Task
from tests.support.every_kind import IDS, MARKERS, SCHEMA, TAGS, TASKS, code_of, make_dataset, make_rows, rows_of

Array = NDArray[Any]
PARTS = {
    "all": SCHEMA,
    "hashed": FeatureSchema(hashed=SCHEMA.hashed),
    "bags": FeatureSchema(bags=(SCHEMA.bags[0], replace(SCHEMA.bags[1], table=""))),
    "datetimes": FeatureSchema(datetimes=SCHEMA.datetimes),
    "ids and numbers": FeatureSchema(SCHEMA.numeric, hashed=SCHEMA.hashed),
    "words and tags": FeatureSchema(categorical=SCHEMA.categorical, bags=SCHEMA.bags[:1]),
}


def part_of(rows: Rows, features: FeatureSchema) -> Rows:
    """Keep the columns of some features of the schema."""
    texts = [[f.name for f in SCHEMA.texts].index(f.name) for f in features.texts]
    single = [[f.name for f in SCHEMA.single].index(f.name) for f in features.single]
    bags = tuple(rows.bags[[f.name for f in SCHEMA.bags].index(f.name)] for f in features.bags)
    return replace(
        rows,
        numeric=rows.numeric[:, : len(features.numeric)],
        codes=rows.codes[:, single],
        text=rows.text[:, texts],
        bags=bags,
        datetimes=rows.datetimes if features.datetimes else None,
    )


Served = tuple[onnx.ModelProto, ServingModule, Dataset]


@pytest.fixture(scope="module")
def served() -> Callable[..., Served]:
    """Return a function that exports some kinds of features, once for each architecture."""
    done: dict[str, Served] = {}

    def make(part: str = "all", **options: object) -> Served:
        key = f"{part} {options}"
        if key not in done:
            done[key] = export_part(PARTS[part], **options)
        return done[key]

    return make


def export_part(features: FeatureSchema, **options: object) -> Served:
    made = make_dataset()
    splits = {name: part_of(getattr(made, name), features) for name in ("train", "validation", "test")}
    dataset = replace(made, features=features, **splits)  # type: ignore[arg-type]
    config = ModelConfig.model_validate({"experts": 3, "embedding_dim": 4, **options})
    module = serve(build_model(features, TASKS, config, seed=0), dataset)
    return build_graph(module, MARKERS), module, dataset


class Runtime:
    """File under plain onnxruntime."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        self.inputs = {value.name for value in self.session.get_inputs()}
        self.names = [value.name for value in self.session.get_outputs()]

    def run(self, rows: Rows) -> dict[str, Array]:
        feeds = {"numeric": rows.numeric, "categorical": rows.text, "datetime": rows.datetimes}
        feeds = {name: value for name, value in feeds.items() if name in self.inputs}
        return dict(zip(self.names, self.session.run(self.names, feeds), strict=True))


@pytest.mark.parametrize(
    ("part", "architecture"), [*((part, "mmoe") for part in PARTS), ("all", "single_task"), ("bags", "single_task")]
)
def test_every_kind_is_answered_as_torch_does(served: Callable[..., Served], part: str, architecture: str) -> None:
    model, module, dataset = served(part, **({} if architecture == "mmoe" else {"architecture": architecture}))
    check_parity(model.SerializeToString(), module, dataset, golden_tolerance(module, dataset))
    runtime = Runtime(model)
    for count in (1, 2, 100):
        rows = part_of(make_rows(count, 5), PARTS[part])
        got = runtime.run(rows)
        for name, expected in module.answer(inputs_of(rows)).items():
            np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-5)


def test_inputs_are_those_of_the_contract(served: Callable[..., Served]) -> None:
    shapes = {
        value.name: (
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
            value.type.tensor_type.elem_type,
        )
        for value in served()[0].graph.input
    }
    assert shapes == {
        "numeric": (["rows", 2], onnx.TensorProto.FLOAT),
        "categorical": (["rows", 7], onnx.TensorProto.STRING),
        "datetime": (["rows", 2], onnx.TensorProto.INT64),
    }
    (contributions,) = [o for o in served()[0].graph.output if o.name == "gate_contributions"]
    assert contributions.type.tensor_type.shape.dim[3].dim_value == len(SCHEMA.names)


@pytest.mark.parametrize("part", PARTS)
def test_a_file_names_the_domain_of_the_hash_only_where_it_hashes(served: Callable[..., Served], part: str) -> None:
    model = served(part)[0]
    domains = {opset.domain: opset.version for opset in model.opset_import}
    hashing = part not in ("datetimes", "words and tags")
    assert (domains.pop("com.microsoft", None) == 1) == hashing
    assert domains == {"": 20} | ({} if part == "datetimes" else {"ai.onnx.ml": 4})
    assert {node.domain for node in model.graph.node} - {""} == {o.domain for o in model.opset_import} - {""}


def test_embeddings_are_plain_and_gathered_by_row(served: Callable[..., Served]) -> None:
    model, module, _ = served()
    assert module.model.encoder.embedding is not None
    rows = module.model.encoder.embedding.num_embeddings
    tables = {t.name for t in model.graph.initializer if list(t.dims) == [rows, 4]}
    readers = [node for node in model.graph.node if tables & set(node.input)]
    assert len(tables) == 1
    assert {node.op_type for node in readers} == {"Gather"}
    assert len(readers) == 3  # single codes, and each bag
    assert all(a.i == 0 for node in readers for a in node.attribute if a.name == "axis")


def test_every_name_of_the_inside_is_one_that_no_task_may_have(served: Callable[..., Served]) -> None:
    graph = served()[0].graph
    values = {name for node in graph.node for name in (*node.input, *node.output, node.name)} - {""}
    values |= {value.name for value in graph.initializer}
    contract = {"numeric", "categorical", "datetime", "expert_mask", "row_expert_mask", *(o.name for o in graph.output)}
    assert [name for name in values - contract if not name.startswith(INTERNAL)] == []


VALUES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


@pytest.fixture(scope="module")
def codes(served: Callable[..., Served]) -> Any:
    """Return a function that reads codes behind the text lookup."""
    model = onnx.ModelProto()
    model.CopyFrom(served()[0])
    del model.graph.output[:]
    names = ["/codes", "/bag_0", "/bag_1"]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.INT64, None) for n in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def read(texts: list[list[str]]) -> Any:
        rest = {"numeric": np.zeros((len(texts), 2), np.float32), "datetime": np.zeros((len(texts), 2), np.int64)}
        return session.run(names, {"categorical": np.array(texts, dtype=object), **rest})

    return read


@settings(deadline=None, max_examples=60)
@given(
    ids=st.lists(st.tuples(st.one_of(st.sampled_from(IDS), VALUES), VALUES), min_size=1, max_size=5),
    tags=st.lists(st.lists(st.one_of(st.sampled_from(TAGS), VALUES), max_size=4), min_size=5, max_size=5),
    seen=st.lists(st.lists(st.sampled_from(IDS), max_size=4), min_size=5, max_size=5),
)
def test_codes_of_any_text_are_those_of_the_contract(
    codes: Any, ids: list[tuple[str, str]], tags: list[list[str]], seen: list[list[str]]
) -> None:
    rows = [["red", "oval", "?", *pair, "|".join(tags[i]), ", ".join(seen[i])] for i, pair in enumerate(ids)]
    single, *bags = codes(rows)
    expected = rows_of(rows, np.empty((len(rows), 0)), np.empty((len(rows), 2)))
    np.testing.assert_array_equal(single, expected.codes)
    for got, feature, column in zip(bags, SCHEMA.bags, (5, 6), strict=True):
        assert got.shape[1] >= 1
        for laid_out, row in zip(got.tolist(), rows, strict=True):
            values = [code_of(feature, value) for value in row[column].split(feature.separator)]
            assert laid_out[: len(values)] == values
            assert set(laid_out[len(values) :]) <= {1}


def test_hash_is_that_of_scikit_learn_for_every_kind_of_text(codes: Any) -> None:
    texts = ["a", "7", "é", "日本語", "𝄞", "x" * 500, "é" * 250, " a", "\n", "1:a"]
    single, *_ = codes([["red", "round", "red", text, text, "", ""] for text in texts])
    assert single[:, 3].tolist() == [code_of(SCHEMA.hashed[0], text) for text in texts]
    assert single[:, 4].tolist() == [code_of(SCHEMA.hashed[1], text) for text in texts]


@pytest.fixture(scope="module")
def moments(served: Callable[..., Served]) -> tuple[Runtime, ServingModule]:
    model, module, _ = served("datetimes")
    return Runtime(model), module


SECONDS = st.integers(-62_135_596_800, 253_402_300_799)


@settings(deadline=None, max_examples=60)
@given(seconds=st.lists(st.tuples(SECONDS, st.one_of(SECONDS, st.just(MISSING_TIME))), min_size=1, max_size=5))
def test_any_moment_of_the_years_1_to_9999_is_answered_as_torch_does(
    moments: tuple[Runtime, ServingModule], seconds: list[tuple[int, int]]
) -> None:
    runtime, module = moments
    rows = rows_of([[]] * len(seconds), np.empty((len(seconds), 0)), seconds, PARTS["datetimes"])
    got = runtime.run(rows)
    for name, expected in module.answer(inputs_of(rows)).items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-3)  # days are hundreds of deviations


def test_midnights_of_all_years_are_on_their_day(moments: tuple[Runtime, ServingModule]) -> None:
    runtime, module = moments
    midnights = np.arange(-719_162, 2_932_896, 97) * 86_400
    times = np.column_stack([midnights, midnights - 1])
    rows = rows_of([[]] * len(times), np.empty((len(times), 0)), times, PARTS["datetimes"])
    got, expected = runtime.run(rows)["price"], module.answer(inputs_of(rows))["price"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-3)  # a day off is more


@pytest.mark.parametrize("count", [1, 3])
def test_batch_in_which_every_bag_is_empty(served: Callable[..., Served], count: int) -> None:
    model, module, _ = served("bags")
    for cell in ("", "|", "?", "?||"):
        rows = rows_of([[cell, ""]] * count, np.empty((count, 0)), np.empty((count, 0)), PARTS["bags"])
        got = Runtime(model).run(rows)
        for name, expected in module.answer(inputs_of(rows)).items():
            np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-5)


def test_answer_of_a_row_does_not_depend_on_the_bags_beside_it(served: Callable[..., Served]) -> None:
    model, _, _ = served()
    runtime, rows = Runtime(model), make_rows(40, 6)
    together = runtime.run(rows)
    for row in range(40):
        one = replace(
            rows,
            numeric=rows.numeric[row : row + 1],
            text=rows.text[row : row + 1],
            datetimes=times(rows)[row : row + 1],
        )
        for name, value in runtime.run(one).items():
            np.testing.assert_allclose(value[0], together[name][row], rtol=1e-5, atol=1e-5)


def times(rows: Rows) -> NDArray[np.int64]:
    assert rows.datetimes is not None
    return rows.datetimes


@pytest.mark.parametrize(("part", "options"), [*((part, {}) for part in PARTS), ("all", {"embedding_dim": 1})])
def test_contributions_are_the_shares_of_each_feature_and_add_up(
    served: Callable[..., Served], part: str, options: dict[str, int]
) -> None:
    features = PARTS[part]
    model, module, dataset = served(part, **options)
    got = Runtime(model).run(dataset.test)["gate_contributions"]
    encoder = module.model.encoder
    with torch.inference_mode():
        x = encoder(inputs_of(dataset.test)).double().numpy()
    matrix = module.model.network.gate_matrix().detach().double().numpy()  # type: ignore[operator]
    average = mean_encoding(module.model, dataset.train).numpy()
    assert got.shape == (100, 3, 3, len(features.names))
    for feature in range(len(features.names)):
        columns = encoder.column_feature.numpy() == feature
        expected = np.einsum("bd,ted->bte", (x - average)[:, columns], matrix[:, :, columns])
        np.testing.assert_allclose(got[..., feature], expected, atol=1e-5)
    logits = np.einsum("bd,ted->bte", x, matrix)
    np.testing.assert_allclose(module.average_logits() + got.sum(axis=-1), logits, atol=1e-5)


def test_contributions_where_each_feature_has_one_column_in_another_order() -> None:
    """A moment's one column stands before an id's, and its feature behind."""
    at = DatetimeFeature("at", ("days",), 0, 0, 11_000.0, 6_000.0)
    features = FeatureSchema(hashed=(HashedFeature("user", 50),), datetimes=(at,))
    rows = part_of(make_rows(30, 0), FeatureSchema(hashed=SCHEMA.hashed[:1], datetimes=SCHEMA.datetimes))
    rows = replace(rows, datetimes=times(rows)[:, :1], labels=rows.labels[:, :1])
    tasks = (Task("price", "regression"),)
    dataset = Dataset(features, tasks, rows, rows, rows, "made", "sha256:0")
    module = serve(build_model(features, tasks, ModelConfig(experts=2, embedding_dim=1), seed=0), dataset)
    same = replace(rows, datetimes=np.full((30, 1), times(rows)[0, 0]))
    moved, still = (module.answer(inputs_of(r))["gate_contributions"] for r in (rows, same))
    np.testing.assert_array_equal(moved[..., 0], still[..., 0])
    assert (moved[..., 1] != still[..., 1]).any()


def test_mean_encoding_counts_a_row_as_often_as_its_weight_says() -> None:
    model = build_model(SCHEMA, TASKS, ModelConfig(), seed=0)
    rows = make_rows(6, 0)
    weights = np.array([1, 2, 0, 1, 3, 1])
    weighted = mean_encoding(model, replace(rows, weights=weights.astype(np.float32)), chunk=4)
    x = model.encoder(inputs_of(rows)).detach().double()
    torch.testing.assert_close(weighted, x.repeat_interleave(torch.from_numpy(weights), dim=0).mean(dim=0))


def test_golden_rows_are_of_the_sample_where_rows_have_no_text() -> None:
    dataset = make_dataset()
    bare = replace(dataset.test, text=dataset.test.text[:0])
    rows = golden_rows(replace(dataset, test=bare, sample=make_rows(20, 9)))
    assert len(rows) == 6
    assert rows.datetimes is not None
    assert (rows.datetimes[4] == MISSING_TIME).all()
    assert [cells[4] for cells in rows.bags] == [[], []]
