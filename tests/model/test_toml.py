import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.toml import dump, override

plain = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.text(), max_size=3))
tables = st.recursive(
    st.dictionaries(st.text(), plain, max_size=4),
    lambda inner: st.dictionaries(
        st.text(), st.one_of(plain, inner, st.lists(inner, min_size=1, max_size=3)), max_size=4
    ),
    max_leaves=10,
)


@given(tables)
def test_what_is_written_reads_back_to_the_same(values: dict[str, Any]) -> None:
    assert tomllib.loads(dump(values)) == values


def test_what_has_no_form_in_toml_is_refused() -> None:
    with pytest.raises(TypeError, match="NoneType has no form in TOML"):
        dump({"a": None})


def test_an_override_makes_the_tables_on_its_way() -> None:
    values: dict[str, Any] = {}
    override(values, "a.b.c = [1, 2]")
    assert values == {"a": {"b": {"c": [1, 2]}}}


@pytest.mark.parametrize(("text", "value"), [("a=x=y", "x=y"), ("a=", ""), ("a='1'", "1"), ("a=1\nb=2", "1\nb=2")])
def test_what_is_no_toml_value_is_text(text: str, value: object) -> None:
    values: dict[str, Any] = {}
    override(values, text)
    assert values == {"a": value}
