"""The function for Spark in docs/scoring.md, run as it stands where Spark and a JRE are there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from numpy.testing import assert_allclose

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")
pytest.importorskip("pyspark", reason="pyspark is not installed")
if shutil.which("java") is None:
    pytest.skip("there is no java here", allow_module_level=True)

from scripts.score import main
from tests.support.made_models import make

ROWS = 90
PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"
SESSION = """
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").getOrCreate())
"""


def test_the_function_for_spark_predicts_as_the_command_does(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    frame = pl.DataFrame(
        {
            "x": [None if row % 7 == 0 else row % 13 - 3.5 for row in range(ROWS)],
            "colour": [("red", "green", "blue", None)[row % 4] for row in range(ROWS)],
            "y": [row % 5 for row in range(ROWS)],
        }
    )
    frame.write_parquet(tmp_path / "rows" / "part.parquet")
    home = tmp_path / "models" / "shop" / "10"
    home.mkdir(parents=True)
    make(home, frame, features={"numeric": ["x"], "categorical": ["colour"], "rest": "drop"}, model={"experts": 2})
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = SESSION + next(block for block in blocks if "pandas_udf" in block)
    (tmp_path / "job.py").write_text(script)
    told = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    subprocess.run([sys.executable, "job.py"], cwd=tmp_path, env=told, check=True, capture_output=True)
    assert main([str(tmp_path / "models" / "shop"), str(tmp_path / "rows"), str(tmp_path / "scored")]) == 0
    by_spark = pl.read_parquet(tmp_path / "predictions" / "*.parquet")["predicted"]
    by_command = pl.read_parquet(tmp_path / "scored" / "*.parquet")["y"]
    assert len(by_spark) == ROWS
    assert_allclose(by_spark.to_numpy(), by_command.to_numpy(), rtol=1e-5, atol=1e-6)
