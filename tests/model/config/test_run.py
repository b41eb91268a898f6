import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.config.run import METRICS, Config, TaskConfig, config_text, load_config
from model.errors import ConfigError
from model.training.metrics import HIGHER_IS_BETTER

CONFIGS = sorted((Path(__file__).parents[3] / "scripts" / "configs").glob("*.toml"))

TABLE = """
name = "shop"
[data]
kind = "table"
path = "shop.csv"
[[tasks]]
name = "price"
column = "price"
kind = "regression"
[[tasks]]
name = "sold"
column = "sold"
kind = "binary"
positive = "yes"
"""


def load(tmp_path: Path, text: str = TABLE, *overrides: str) -> Config:
    path = tmp_path / "shop.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def refusal(tmp_path: Path, text: str = TABLE, *overrides: str) -> str:
    """Return the one sentence by which a configuration is refused, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"{tmp_path / 'shop.toml'}: ")
    return sentence.split(": ", 1)[1]


def test_a_short_file_gets_the_defaults(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.model.architecture == "mmoe"
    assert config.model.expert_hidden == (32,)
    assert [task.name for task in config.tasks] == ["price", "sold"]


def test_a_byte_order_mark_before_the_first_key_is_skipped(tmp_path: Path) -> None:
    assert load(tmp_path, "\N{ZERO WIDTH NO-BREAK SPACE}" + TABLE.strip()) == load(tmp_path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_loads_and_is_named_like_its_file(path: Path) -> None:
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_effective_text_reads_back_to_the_same_config(tmp_path: Path, path: Path) -> None:
    config = load_config(path)
    assert load(tmp_path, config_text(config)) == config


def composed(text: str) -> str:
    """Text as `load_config` reads it: in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text)


@given(
    name=st.text(min_size=1).map(composed),
    values=st.lists(st.text().map(composed), max_size=4),
    share=st.floats(0.01, 0.4),
)
@example(name=composed("\uf900"), values=[], share=0.25)  # a letter that has another form
def test_any_text_survives_the_way_through_toml(
    tmp_path_factory: pytest.TempPathFactory, name: str, values: list[str], share: float
) -> None:
    tasks = [{"name": "t", "column": name, "kind": "binary", "positive_in": values}]
    data = {"kind": "table", "path": name, "split": {"kind": "random", "test": share}}
    config = Config.model_validate({"name": "a", "data": data, "tasks": tasks})
    assert load(tmp_path_factory.mktemp("toml"), config_text(config)) == config


def test_synthetic_data_has_two_tasks_unless_told_otherwise(tmp_path: Path) -> None:
    head = 'name = "a"\n[data]\nkind = "synthetic"\n'
    assert [task.column for task in load(tmp_path, head).tasks] == ["y_1", "y_2"]
    own = '[[tasks]]\nname = "up"\ncolumn = "y_1"\nkind = "binary"\npositive_if = "> 0"\n'
    assert [task.name for task in load(tmp_path, head + own).tasks] == ["up"]


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.epochs=3", "train", "epochs", 3),
        ("train.learning_rate = 1", "train", "learning_rate", 1.0),
        ("train.monitor=sold.auc", "train", "monitor", "sold.auc"),
        ("model.expert_hidden=[32, 16]", "model", "expert_hidden", (32, 16)),
        ('model.architecture="omoe"', "model", "architecture", "omoe"),
        ("data.path=/some where/a=b.csv", "data", "path", "/some where/a=b.csv"),
        ("data.header=true", "data", "header", True),
        ('features.numeric=["a b"]', "features", "numeric", ("a b",)),
    ],
)
def test_an_override_is_read_as_toml_and_else_as_text(
    tmp_path: Path, override: str, section: str, key: str, value: object
) -> None:
    assert getattr(getattr(load(tmp_path, TABLE, override), section), key) == value


@pytest.mark.parametrize("address", ["tasks.sold", "tasks.1"])
def test_an_override_reaches_a_task_by_name_and_by_index(tmp_path: Path, address: str) -> None:
    assert load(tmp_path, TABLE, f"{address}.weight=2.5").tasks[1].weight == 2.5


def test_the_last_of_two_overrides_counts(tmp_path: Path) -> None:
    assert load(tmp_path, TABLE, "train.epochs=3", "train.epochs=4").train.epochs == 4


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ("epochs=3", "unknown key 'epochs'; did you mean 'train.epochs'?"),
        ("data.split.tset=0.3", "unknown key 'data.split.tset'; did you mean 'data.split.test'?"),
        ("tasks.sold.columm='a'", "unknown key 'tasks.1.columm'; did you mean 'tasks.1.column'?"),
        ("modle.experts=3", "unknown key 'modle'; did you mean 'model'?"),
        ("data.rows=3", "unknown key 'data.rows', which another 'data.kind' takes; known keys here are kind, path,"),
        ("data.kind=tabel", "data.kind is 'tabel', expected 'synthetic', 'table'"),
        ("train.schedule=cosin", "train.schedule is 'cosin', expected 'constant' or 'cosine'"),
        ("train.epochs=many", "train.epochs is 'many', expected an integer"),
        ("train.epochs=true", "train.epochs is True, expected an integer"),
        ("train.epochs=-1", "train.epochs is -1, expected at least 0"),
        ("train.learning_rate=nan", "train.learning_rate is nan, expected a finite number"),
        ("model.expert_hidden=16", "model.expert_hidden is 16, expected a list"),
        ("model.expert_hidden=[16, 0]", "model.expert_hidden.1 is 0, expected at least 1"),
        ("data.header='no'", "data.header is 'no', expected true or false"),
        ("data.header=false", "data: a table without a header needs 'columns': the list of its column names"),
        ("data.keep=['adr']", "data.keep: 'adr' is not a condition"),
        ("train=3", "train is 3, expected a table"),
        ("train.monitor=sold.rmse", "train.monitor is 'sold.rmse', expected loss or one of price.rmse, price.mae"),
        ("tasks.sold.name=price", "two tasks are named 'price'"),
        ("tasks.sold.name=gate_weights", "tasks.1: 'gate_weights' is the name of a tensor"),
        ("tasks.sold.name='a b'", "tasks.1.name is 'a b', expected text of the form"),
        ("name=../up", "name is '../up', expected text of the form"),
        ("tasks.price.positive=1", "tasks.0: 'positive' belongs to a binary task, and this one is regression"),
        ("tasks.sold.positive_if='> 0'", "tasks.1: give one of 'positive', 'positive_in' and 'positive_if'"),
        ("data.split.validation=0.9", "data.split: 'validation' and 'test' together leave no rows for training"),
        ("data.split.kind=time", "data.split: a split of kind 'time' needs 'by': a column"),
        ("data.split.by=day", "data.split: a random split takes no 'by'"),
        ("train.epochs.x=3", "train.epochs is {'x': 3}, expected an integer"),
        ("name.x=3", "'name.x' cannot be set: 'name' is not a table"),
        ("tasks.sole.weight=3", "there is no 'tasks.sole' to set; the list holds price, sold"),
        ("epochs", "'epochs' is not an override; write a key and a value, for example train.epochs=3"),
    ],
)
def test_a_wrong_key_or_value_is_refused_in_one_sentence(tmp_path: Path, override: str, sentence: str) -> None:
    assert refusal(tmp_path, TABLE, override).startswith(sentence)


def test_a_column_in_both_kinds_is_refused(tmp_path: Path) -> None:
    text = TABLE + '[features]\nnumeric = ["a"]\ncategorical = ["a"]\n'
    assert refusal(tmp_path, text) == "features: 'a' stands in 'numeric' and in 'categorical'; keep one"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the key 'name' is missing"),
        ('name = "a"\n[data]\npath = "x"', "the key 'data.kind' is missing"),
        ('name = "a"\n[data]\nkind = "table"\n', "the key 'data.path' is missing"),
        ('name = "a"\n[data]\nkind = "table"\npath = "x"', "the key 'tasks' is missing"),
        ("name = ", "the file is not TOML: Invalid value (at end of document)"),
        ('name = "a"\nname = "b"\n', "the file is not TOML: Cannot overwrite a value (at line 2, column 11)"),
    ],
)
def test_an_incomplete_file_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert refusal(tmp_path, text) == sentence


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "latin.toml")


@pytest.mark.parametrize("positive_if", ["0", ">", "adr > 0"])
def test_a_comparison_of_a_task_is_an_operator_and_a_value(positive_if: str) -> None:
    with pytest.raises(ValueError, match="write an operator and a value"):
        TaskConfig(name="a", column="b", kind="binary", positive_if=positive_if)


def test_metrics_to_monitor_are_those_that_are_measured() -> None:
    assert {metric for metrics in METRICS.values() for metric in metrics} == set(HIGHER_IS_BETTER)
