from pathlib import Path

import pytest
from pydantic import BaseModel

from scripts.document_config import LOOP_SECTIONS, SECTIONS, loop_page, page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_pages_are_what_the_schemas_say() -> None:
    module = "python -m scripts.document_config"
    assert (DOCS / "config.md").read_text(encoding="utf-8") == page(), f"run: {module} > docs/config.md"
    written = (DOCS / "loop-config.md").read_text(encoding="utf-8")
    assert written == loop_page(), f"run: {module} loop > docs/loop-config.md"


@pytest.mark.parametrize(("title", "section"), [*SECTIONS, *LOOP_SECTIONS])
def test_every_key_has_its_sentence(title: str, section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, f"{title}: {name}"
