"""Configurations of a loop that are wrong end with one sentence, and change nothing."""

from pathlib import Path

import pytest

from loop.config import LoopConfig, read_config
from loop.cycle import model_name
from loop.errors import LoopError
from loop.training import command
from scripts.loop import main

RIGHT = """\
model = "shop"
[services]
urls = ["http://127.0.0.1:8000"]
"""
TRAINED = """\
[training]
config = "shop.toml"
set = ["train.epochs=3"]
unless_worse = ["bought.auc=0.01"]
[services]
urls = ["http://127.0.0.1:8000"]
[labels]
predictions = ["predictions"]
labels = ["labels"]
"""


def config(tmp_path: Path, text: str, *overrides: str) -> LoopConfig:
    (tmp_path / "loop.toml").write_text(text)
    return read_config(tmp_path / "loop.toml", overrides, {"MMOE_MODELS": "/models", "MMOE_SERVING_DIRECTORY": ""})


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("intervall_s=3", "unknown key 'intervall_s'; did you mean 'interval_s'?"),
        ("interval_s=0", "interval_s is 0, expected more than 0"),
        (
            "services.urls=['10.0.0.7:8000']",
            "urls has '10.0.0.7:8000'; expected an address such as http://10.0.0.7:8000",
        ),
        ("canary.steps=[0.5, 0.2]", "steps are [0.5, 0.2]; expected each to be larger than the one before"),
        ("canary.steps=[1.0]", "the first of steps is 1, which leaves no request to the served version"),
        ("canary.steps=[0.5, 1.5]", "canary.steps.1 is 1.5, expected at most 1"),
        ("rules=[{kind='quality'}]", "a rule of the kind 'quality' needs [labels]"),
        ("rules=[{kind='speed'}]", "rules.0.kind is 'speed', expected 'quality', "),
        ("rules=[{kind='errors'},{kind='errors'}]", "two rules are named 'errors'; give each a 'name' of its own"),
        ("rules=[{kind='gate_drift'}]", "no rule is about the canary, whose steps would all be over at once"),
        ("rules=[{kind='errors', margin=1}]", "unknown key 'rules.0.margin'"),
        ("training={config='a.toml'}", "'model' and [training] both name the model; take 'model' out"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, sentence: str
) -> None:
    (tmp_path / "loop.toml").write_text(RIGHT)
    assert main([str(tmp_path / "loop.toml"), "--set", override, f"directory='{tmp_path}/loops'"]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["loop.toml"]


def test_without_rules_there_is_one_of_each_kind_and_quality_where_there_are_labels(tmp_path: Path) -> None:
    kinds = [rule.name for rule in config(tmp_path, RIGHT).in_force()]
    assert kinds == ["gate_drift", "errors", "latency", "prediction_drift"]
    assert [rule.kind for rule in config(tmp_path, TRAINED).in_force()] == [*kinds, "quality"]


def test_directories_of_the_services_count_where_the_file_names_none(tmp_path: Path) -> None:
    assert config(tmp_path, RIGHT).models == "/models"
    assert config(tmp_path, RIGHT, "models='here'").models == "here"
    assert config(tmp_path, RIGHT).serving_directory is None


def test_the_trainer_goes_on_from_what_is_served(tmp_path: Path) -> None:
    def given(served: int | None, *overrides: str, serving: str | None = None) -> str:
        training = config(tmp_path, TRAINED, *overrides).training
        assert training is not None
        return " ".join(command(training, "models", served, ["data.header=true"], serving=serving)[1:])

    begin = "-m scripts.train shop.toml --models models"
    end = "--unless-worse bought.auc=0.01 --set train.epochs=3 data.header=true"
    assert given(4) == f"{begin} --from 4 {end}"
    assert given(None) == f"{begin} {end}"
    assert given(4, serving="/serving") == f"{begin} --from 4 --serving-directory /serving {end}"
    assert given(4, "training.start='latest'", "training.refit=true") == f"{begin} --from latest --refit {end}"
    assert given(4, "training.start='scratch'") == f"{begin} {end}"
    with pytest.raises(LoopError, match=r"training\.start is 'served one', expected 'served', 'latest' or 'scratch'"):
        given(4, "training.start=served one")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("{kind='quality', tasks=['price']}", "the rule quality is about 'price'; tasks are bought, spent"),
        (
            "{kind='quality', name='sales', tasks=['bought', 'spent'], metric='auc'}",
            "the rule sales is about the auc of 'spent', regression; it has rmse, mae, r2",
        ),
        ("{kind='quality', metric='auc'}", None),
    ],
)
def test_a_rule_by_a_metric_that_its_task_lacks_is_refused(tmp_path: Path, rule: str, sentence: str | None) -> None:
    (tmp_path / "shop.toml").write_text("""\
name = "shop"
data = {kind = "table", path = "table.csv"}
[[tasks]]
name = "bought"
column = "bought"
kind = "binary"
[[tasks]]
name = "spent"
column = "spent"
kind = "regression"
""")
    given = config(tmp_path, TRAINED, f"training.config='{tmp_path}/shop.toml'", "training.set=[]", f"rules=[{rule}]")
    if sentence is None:
        assert model_name(given) == "shop"
        return
    with pytest.raises(LoopError, match=sentence):
        model_name(given)
