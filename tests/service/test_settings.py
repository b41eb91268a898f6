from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings, help_text, read_settings, unknown_variables, variable
from service.workers.mirror import wants_store


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"MMOE_PORT": "", "HOME": "/"}) == Settings()


def test_values_are_read_by_type() -> None:
    settings = read_settings(
        {
            "MMOE_MODELS": "/var/models",
            "MMOE_PORT": "9000",
            "MMOE_REQUEST_TIMEOUT_S": "2.5",
            "MMOE_PINNED_VERSIONS": " census=3, demo = 1 ,",
        }
    )
    assert settings.models == Path("/var/models")
    assert settings.port == 9000
    assert settings.request_timeout_s == 2.5
    assert settings.pinned_versions == {"census": 3, "demo": 1}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MMOE_MODELS", "http://host/models", "a directory, or s3://bucket/folder, gs://bucket/folder or az://"),
        ("MMOE_MODELS", "az://account", "an address: az://account: the address names no bucket; write az://account/"),
        ("MMOE_PORT", "http", "a whole number"),
        ("MMOE_PORT", "70000", "at most 65535"),
        ("MMOE_WORKERS", "-1", "at least 0"),
        ("MMOE_WORKERS", "1.5", "a whole number"),
        ("MMOE_REQUEST_TIMEOUT_S", "nan", "a finite number"),
        ("MMOE_REQUEST_TIMEOUT_S", "0", "more than 0"),
        ("MMOE_REQUEST_TIMEOUT_S", "soon", "a number"),
        ("MMOE_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("MMOE_PINNED_VERSIONS", "census", "name=version pairs"),
        ("MMOE_PINNED_VERSIONS", "census=0", "at least 1"),
        ("MMOE_PINNED_VERSIONS", "census=new", "a whole number"),
        ("MMOE_MAX_QUEUE_ROWS", "5", "at least max_rows"),
        ("MMOE_SEGMENTS", "census", "name=feature+feature"),
        ("MMOE_SEGMENTS", "census=a+b+c+d+e", "at most 4 features of a model; 'census' has 5"),
    ],
)
def test_a_bad_value_ends_with_one_sentence_that_names_the_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({name: value})
    assert caught.value.variable == name
    assert str(caught.value).startswith(f"{name} is {value!r}; expected {expected}")


def test_kubernetes_own_variable_is_explained() -> None:
    with pytest.raises(SettingsError, match="enableServiceLinks"):
        read_settings({"MMOE_PORT": "tcp://10.0.0.7:80"})


def test_a_mistyped_variable_is_told_and_ignored() -> None:
    environ = {"MMOE_WORKRES": "2", "MMOE_DATA": "data", "MMOE_PORT": "1", "MMOE_SERVICE_HOST": "10.0.0.1", "PATH": ""}
    assert unknown_variables(environ) == [
        "MMOE_SERVICE_HOST is not a setting and is ignored.",
        "MMOE_WORKRES is not a setting and is ignored; did you mean MMOE_WORKERS?",
    ]
    assert read_settings({"MMOE_WORKRES": "2"}) == Settings()


def test_every_setting_has_a_sentence_and_stands_in_the_help() -> None:
    text = help_text()
    for name, field in Settings.model_fields.items():
        assert variable(name) in text
        assert field.description
        assert field.description.endswith(".")
    assert "default 8000" in text
    assert "unset by default" in text


def test_models_of_a_store_are_read_from_copies_apart_from_those_of_another() -> None:
    one, other = (read_settings({"MMOE_MODELS": f"s3://bucket/{name}/"}) for name in ("a", "b"))
    assert one.models_store == "s3://bucket/a"
    assert one.models_directory.parent == other.models_directory.parent == Path("models-cache")
    assert one.models_directory != other.models_directory
    assert Settings().models_store is None
    assert Settings().models_directory == Path("models")


def test_a_store_without_its_package_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"MMOE_MODELS is 's3://bucket/a'; expected obstore .*\[stores\]"):
        wants_store(read_settings({"MMOE_MODELS": "s3://bucket/a"}))
    assert not wants_store(Settings())
