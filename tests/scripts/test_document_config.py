from pathlib import Path

import pytest
from pydantic import BaseModel

from scripts.document_config import SECTIONS, page


def test_the_page_is_what_the_schema_says() -> None:
    written = Path(__file__).parents[2] / "docs" / "config.md"
    assert written.read_text(encoding="utf-8") == page(), "run: python -m scripts.document_config > docs/config.md"


@pytest.mark.parametrize(("title", "section"), SECTIONS)
def test_every_key_has_its_sentence(title: str, section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, f"{title}: {name}"
