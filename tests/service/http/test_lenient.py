"""Rows as they stand in a table, sent with `lenient`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.http.app import create_app
from tests.support.calls import ask


def edit(manifest: dict[str, Any]) -> None:
    manifest["tasks"][0]["label"] = {"column": "price"}
    colour = next(feature for feature in manifest["features"] if feature["name"] == "colour")
    colour["vocabulary"] = ["3", "True", "x"]


def test_a_lenient_request_is_answered_as_the_strict_one_that_it_stands_for(
    tmp_path: Path, hand_model: Callable[..., Path], open_engine: Callable[..., Any]
) -> None:
    hand_model(tmp_path, "hand", 1, edit=edit)
    app = create_app(open_engine(tmp_path))
    loose = [{"age": "NA", "colour": 3, "price": 5.5, "height": 2}, {"row_id": 1, "age": 9.5, "colour": True}]
    tight = [{"age": None, "colour": "3", "height": 2}, {"age": 9.5, "colour": "True"}]
    columns = {"age": ["NA", 9.5], "colour": [3, True], "height": [2, None], "price": [5.5, None], "row_id": [None, 1]}
    predict, gates = "/v1/models/hand:predict", "/v1/models/hand:gates"
    strict, refused, rows, inputs, seen, looked, none, wrong = ask(
        app,
        ("POST", predict, {"instances": tight}),
        ("POST", predict, {"instances": loose, "lenient": False}),
        ("POST", predict, {"instances": loose, "lenient": True}),
        ("POST", predict, {"inputs": columns, "lenient": True}),
        ("POST", gates, {"instances": tight}),
        ("POST", gates, {"instances": loose, "lenient": True}),
        ("POST", predict, {"instances": tight, "lenient": True}),
        ("POST", predict, {"instances": tight, "lenient": "yes"}),
    )
    assert (refused.status_code, wrong.status_code) == (422, 400)
    told = rows.json().pop("notes")
    assert {note["feature"]: note["rows"] for note in told} == {"age": 1, "colour": 2, "price": 1, "row_id": 1}
    assert rows.json() == {**strict.json(), "notes": told}
    price = [row["tasks"]["price"] for row in strict.json()["predictions"]]
    np.testing.assert_allclose(inputs.json()["outputs"]["tasks"]["price"], price, rtol=1e-6)
    assert {note["feature"] for note in inputs.json()["notes"]} == {"age", "colour", "price", "row_id"}
    assert looked.json() == {**seen.json(), "notes": told}
    assert none.json() == {**strict.json(), "notes": []}
