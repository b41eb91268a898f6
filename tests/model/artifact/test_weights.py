from pathlib import Path

import pytest
import torch

from model.artifact.weights import FORMAT, load_model


def test_file_of_another_format_says_what_to_do(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=f"format 99, expected {FORMAT}: train and export it again"):
        load_model(tmp_path / "checkpoint.pt")
