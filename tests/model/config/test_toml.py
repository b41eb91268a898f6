from typing import Any

import pytest

from model.config.toml import override


def test_an_override_makes_the_tables_on_its_way() -> None:
    values: dict[str, Any] = {}
    override(values, "a.b.c = [1, 2]")
    assert values == {"a": {"b": {"c": [1, 2]}}}


@pytest.mark.parametrize(("text", "value"), [("a=x=y", "x=y"), ("a=", ""), ("a='1'", "1"), ("a=1\nb=2", "1\nb=2")])
def test_what_is_no_toml_value_is_text(text: str, value: object) -> None:
    values: dict[str, Any] = {}
    override(values, text)
    assert values == {"a": value}
