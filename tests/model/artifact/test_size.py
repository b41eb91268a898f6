from dataclasses import replace

import pytest

from model.artifact.graph import build_graph
from model.artifact.manifest import feature_entries
from model.artifact.serving_module import serve
from model.artifact.size import LARGEST_FILE, REST, expected_bytes, refuse_too_large
from model.config.run import ModelConfig
from model.errors import ExportError
from model.network.model import build_model
from model.schema import BagFeature, CategoricalFeature, FeatureSchema, HashedFeature
from tests.support.every_kind import SCHEMA, TASKS, make_dataset


def hashed(buckets: int) -> FeatureSchema:
    return FeatureSchema(hashed=(HashedFeature("user", buckets),))


def test_expected_size_is_a_little_above_that_of_the_file() -> None:
    dataset = make_dataset()
    words = tuple(f"wört {n}" for n in range(5_000))
    colour, *rest = SCHEMA.categorical
    large = (replace(colour, name="word", vocabulary=words), replace(rest[0]))
    features = replace(SCHEMA, categorical=(*large, replace(rest[1], table="")))
    config = ModelConfig(experts=3, embedding_dim=16)
    module = serve(build_model(features, TASKS, config, seed=0), replace(dataset, features=features))
    vocabulary = sum(len(repr(entry).encode()) for entry in feature_entries(features))
    size = len(build_graph(module).SerializeToString()) + vocabulary
    assert size <= expected_bytes(features, config, TASKS) <= 1.2 * size + REST


@pytest.mark.parametrize(
    ("features", "keys"),
    [
        (hashed(100_000_000), "features.hashed.user or model.embedding_dim"),
        (FeatureSchema(bags=(BagFeature("tags", "|", buckets=100_000_000),)), "features.bag.tags.buckets"),
    ],
)
def test_file_beyond_what_protobuf_holds_is_refused_in_one_sentence(features: FeatureSchema, keys: str) -> None:
    with pytest.raises(ExportError) as caught:
        refuse_too_large(features, ModelConfig(), TASKS)
    (sentence,) = caught.value.args
    assert "the file would have about 3.2 GB, and an ONNX file holds at most 2.1 GB" in sentence
    assert keys in sentence
    assert sentence.endswith("nothing was trained")


def test_a_table_for_each_single_task_counts() -> None:
    refuse_too_large(hashed(30_000_000), ModelConfig(), TASKS)
    with pytest.raises(ExportError, match=r"2\.9 GB"):
        refuse_too_large(hashed(30_000_000), ModelConfig(architecture="single_task"), TASKS)


def test_a_shared_table_counts_once() -> None:
    user, item = HashedFeature("user", 40_000_000), HashedFeature("item", 40_000_000)
    with pytest.raises(ExportError):
        refuse_too_large(FeatureSchema(hashed=(user, item)), ModelConfig(), TASKS)
    refuse_too_large(FeatureSchema(hashed=(user, replace(item, table="user"))), ModelConfig(), TASKS)


def test_vocabulary_is_told_to_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.artifact.size.LARGEST_FILE", REST + 10_000)
    features = FeatureSchema(categorical=(CategoricalFeature("word", tuple(map(str, range(9_000)))),))
    with pytest.raises(ExportError, match=r"set features\.max_values or model\.embedding_dim lower"):
        refuse_too_large(features, ModelConfig(), TASKS)
    assert LARGEST_FILE == 2**31 - 1
