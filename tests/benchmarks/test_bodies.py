import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.artifacts import Artifact
from benchmarks.bodies import Format, encode, random_table, read_bodies, write_bodies
from benchmarks.raw import decode


def test_lists_and_named_rows_say_the_same(artifact: Artifact) -> None:
    table = random_table(artifact, 3, np.random.default_rng(0))
    lists = json.loads(encode(artifact, table, "lists").content)["instances"]
    named = json.loads(encode(artifact, table, "named").content)["instances"]
    assert [list(row.values()) for row in named] == lists
    assert list(named[0]) == [feature["name"] for feature in artifact.manifest["features"]]


def test_binary_tensors_decode_to_the_same_rows(artifact: Artifact) -> None:
    table = random_table(artifact, 5, np.random.default_rng(0))
    feed = decode(encode(artifact, table, "binary"))
    np.testing.assert_array_equal(feed["numeric"], table.numeric)
    if artifact.categorical:
        np.testing.assert_array_equal(feed["categorical"], table.categorical)
    assert len(feed) == 1 + bool(artifact.categorical)


def test_the_open_protocol_in_json_is_flat_and_has_shapes(artifact: Artifact) -> None:
    table = random_table(artifact, 5, np.random.default_rng(0))
    for tensor in json.loads(encode(artifact, table, "v2").content)["inputs"]:
        assert tensor["shape"] == [5, 1]
        assert np.shape(tensor["data"]) == (5,)


def test_rows_stay_in_the_range_and_the_vocabulary(artifact: Artifact) -> None:
    table = random_table(artifact, 500, np.random.default_rng(0))
    assert table.numeric.min() >= 0
    assert table.numeric.max() <= 90
    assert set(table.categorical.ravel()) <= {"red", " blue"}


@pytest.mark.parametrize("form", ["lists", "binary"])
def test_a_file_holds_many_different_bodies(artifact: Artifact, tmp_path: Path, form: Format) -> None:
    write_bodies(artifact, 64, form, tmp_path / "x.bodies")
    bodies = read_bodies(tmp_path / "x.bodies")
    assert len(bodies) == 32
    assert len({body.content for body in bodies}) == 32
    assert all((body.header_bytes is not None) == (form == "binary") for body in bodies)
