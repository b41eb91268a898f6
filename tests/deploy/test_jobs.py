"""The jobs of the overlays: their commands and configurations are ones that the programs take."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.overlays import OVERLAYS, ROOT, Manifest, containers, one, overlay, pod_of, settings_of

pytest.importorskip("torch", reason="the trainer is not installed")

from loop.config import read_config
from model.config.run import load_config
from scripts import evaluate, train_options
from scripts import loop as looping


def job(name: str, kind: str) -> Manifest:
    """Return the container of an overlay's job."""
    template = pod_of(one(overlay(name), "CronJob", f"mmoe-{kind}"))
    assert template is not None
    (container,) = containers(template)
    return container


def configuration(name: str, file: str, directory: Path) -> Path:
    """Write a file of the ConfigMap of an overlay's jobs."""
    path = directory / file
    path.write_text(one(overlay(name), "ConfigMap", "mmoe-jobs")["data"][file])
    return path


def expanded(words: list[str], settings: dict[str, str]) -> list[str]:
    """Expand variables as Kubernetes does."""
    for name, value in settings.items():
        words = [word.replace(f"$({name})", value) for word in words]
    assert "$(" not in " ".join(words)
    return words


def is_mounted(container: Manifest, path: str, to_write: bool = False) -> bool:
    return any(
        Path(path).is_relative_to(mount["mountPath"]) and not (to_write and mount.get("readOnly"))
        for mount in container["volumeMounts"]
    )


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_trainer_takes_its_command_and_its_configuration(name: str, tmp_path: Path) -> None:
    container, settings = job(name, "training"), settings_of(overlay(name))
    options = train_options.parse(expanded(container["args"], settings))
    assert is_mounted(container, str(options.config))
    assert str(options.models) == settings["MMOE_MODELS"]
    assert "://" in settings["MMOE_MODELS"] or is_mounted(container, settings["MMOE_MODELS"], to_write=True)
    serving = settings.get("MMOE_SERVING_DIRECTORY")  # says what --unless-worse compares with
    assert serving is None or is_mounted(container, serving)
    load_config(configuration(name, "training.toml", tmp_path))


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_evaluation_judges_every_model_by_the_logs_of_the_pods(name: str) -> None:
    container, settings = job(name, "evaluation"), settings_of(overlay(name))
    options = evaluate.parse(expanded(container["args"], settings))
    assert options.models == [f"{settings['MMOE_MODELS']}/*"]
    logs = [settings[f"MMOE_{kind}"] for kind in ("PREDICTION_LOG", "LABEL_LOG", "QUALITY")]
    assert list(map(str, [*options.predictions, *options.labels, options.out])) == logs
    assert [is_mounted(container, path, to_write=True) for path in logs] == [True] * 3


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_loop_asks_every_pod_on_its_ports_and_reads_their_logs(name: str, tmp_path: Path) -> None:
    container, settings = job(name, "loop"), settings_of(overlay(name))
    options = looping.parse(container["args"])
    assert is_mounted(container, str(options.config))
    config = read_config(configuration(name, "loop.toml", tmp_path), (), settings)
    assert config.labels is not None
    assert config.training is not None
    (url,) = map(urlsplit, config.services.urls)
    service = one(overlay(name), "Service", str(url.hostname))["spec"]
    ports = {port["name"]: port["port"] for port in service["ports"]}
    assert service["clusterIP"] == "None", "the name stands for every pod"
    assert (url.port, config.services.operation_port) == (ports["http"], ports["operation"])
    assert (list(config.labels.predictions), list(config.labels.labels)) == (
        [settings["MMOE_PREDICTION_LOG"]],
        [settings["MMOE_LABEL_LOG"]],
    )
    assert [is_mounted(container, path) for path in (*config.labels.predictions, *config.labels.labels)] == [True, True]
    assert is_mounted(container, config.training.config)
    assert is_mounted(container, config.directory, to_write=True)
    assert "://" in config.models or is_mounted(container, config.models, to_write=True)
    assert config.serving_directory is None or is_mounted(container, config.serving_directory, to_write=True)
    assert config.services.key_variable in {variable["name"] for variable in container["env"]}


def test_the_loop_of_compose_reads_what_is_mounted() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["loop"]
    config = read_config(ROOT / "deploy/loop/loop.toml", (), service["environment"])
    assert config.labels is not None
    assert config.training is not None
    mounts = [volume.split(":")[1] for volume in service["volumes"]]
    read = [config.models, config.directory, *config.labels.predictions, *config.labels.labels]
    assert [path for path in read if path not in mounts] == []
    load_config(ROOT / config.training.config)
    assert [urlsplit(url).hostname for url in config.services.urls] == ["service"]
