"""New versions every 200 ms under full load, and versions that are corrupt in every way there
is.
"""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.effort import Effort
from tests.support.hand_model import write_model
from tests.support.hand_questions import predictions
from tests.support.hand_weights import make_weights
from tests.support.load import LONGEST_S, Load, Question, play
from tests.support.processes import children, descriptors, resident_mb
from tests.support.server import running

pytestmark = pytest.mark.alone

PERIOD_S = 0.2
KINDS = 4
"""So many models, whose answers differ, are published in turn."""


class Publisher:
    """Publish versions of the model `hand` as a trainer does: written beside, then renamed."""

    def __init__(self, models: Path, aside: Path) -> None:
        self._shelf = models / "hand"
        self._files = [write_model(aside, "hand", kind + 1, seed=kind) for kind in range(KINDS)]
        self.version = 1

    def publish(self) -> None:
        """Publish the next version, and remove the one that is three behind."""
        self.version += 1
        unfinished = self._shelf / ".unfinished"
        unfinished.mkdir()
        shutil.copy(self._files[(self.version - 1) % KINDS], unfinished / "model.onnx")
        unfinished.rename(self._shelf / str(self.version))
        shutil.rmtree(self._shelf / str(self.version - 3), ignore_errors=True)

    async def keep_publishing(self, seconds: float) -> None:
        """Publish a version every PERIOD_S."""
        due, end = time.monotonic(), time.monotonic() + seconds
        while due < end:
            await asyncio.to_thread(self.publish)
            due += PERIOD_S
            await asyncio.sleep(due - time.monotonic())

    async def publish_until(self, done: Callable[[], bool]) -> None:
        """Publish a version every PERIOD_S until it is done, or for LONGEST_S."""
        end = time.monotonic() + LONGEST_S
        while not done() and time.monotonic() < end:
            await self.keep_publishing(PERIOD_S)


def asked(most_versions: int, rows: int) -> list[Question]:
    """Make questions whose checks know what each of so many versions must answer."""
    kinds = [make_weights(seed=kind) for kind in range(KINDS)]
    return predictions("hand", {v: kinds[(v - 1) % KINDS] for v in range(1, most_versions)}, rows, count=8)


def versions(asked: list[Question]) -> set[int]:
    """Tell which versions have answered."""
    return {json.loads(body)["version"] for question in asked for body in question.good}


@pytest.mark.parametrize("workers", [1, 2])
def test_no_answer_fails_or_mixes_versions_while_they_change(
    models: Path, tmp_path: Path, effort: Effort, workers: int, measured: Callable[[str], None]
) -> None:
    publisher = Publisher(models, tmp_path / "aside")
    most = int((effort.reload_s + LONGEST_S) / PERIOD_S) + 2
    settings = {"workers": str(workers), "poll_interval_s": "0.05"}
    with running(models, **settings) as service:
        pid = service.process.pid
        team = children(pid) if workers > 1 else [pid]

        async def scenario() -> None:
            questions = asked(most, 1) + asked(most, 20)
            async with Load(service.url, questions, connections=16) as load:
                await publisher.keep_publishing(effort.reload_s / 2)
                before = [(resident_mb(worker), descriptors(worker)) for worker in team]
                await publisher.keep_publishing(effort.reload_s / 2)
                after = [(resident_mb(worker), descriptors(worker)) for worker in team]
                await publisher.publish_until(lambda: len(versions(questions)) > 3)  # a check needs the core's time
            assert set(load.statuses) == {200}
            assert (load.broken, load.unreached, load.wrong) == (0, 0, [])
            seen = versions(questions)
            took = load.took()
            measured(
                f"{publisher.version - 1} published, {len(seen)} served, {load.answered} answers, 99.9% within "
                f"{took[int(0.999 * len(took))] * 1e3:.1f} ms, longest {took[-1] * 1e3:.1f} ms, "
                f"MB and descriptors of each worker {before} -> {after}"
            )
            assert len(seen) > 3
            for (memory, files), (memory_after, files_after) in zip(before, after, strict=True):
                assert memory_after < memory + 12
                assert files_after < files + 12  # those of a check that goes on, or of the versions of the moment

        play(scenario())
        assert service.end() == 0


def _edit_manifest(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    model = onnx.load(path)
    manifest = json.loads(next(p.value for p in model.metadata_props if p.key == "mmoe.manifest"))
    edit(manifest)
    del model.metadata_props[:]
    helper.set_model_props(model, {"mmoe.manifest": json.dumps(manifest)})
    onnx.save(model, path)


def _external(path: Path) -> None:
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="../../../weights.bin")
    path.write_bytes(model.SerializeToString())


def _flip(path: Path) -> None:
    """Change a weight: everything fits, but the golden rows."""
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 2)
    tensor.raw_data = bytes(len(tensor.raw_data))
    path.write_bytes(model.SerializeToString())


def _rename_operator(path: Path) -> None:
    model = onnx.load(path)
    model.graph.node[-1].op_type = "NoSuchOperator"
    path.write_bytes(model.SerializeToString())


def _leave(path: Path) -> None:
    outside = path.parents[3] / "outside.onnx"
    path.rename(outside)
    path.symlink_to(outside)


def _link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_other_tasks(path: Path) -> None:
    write_model(path.parents[3] / "other", "hand", 1, tasks=("price",)).replace(path)


CORRUPTIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "0 bytes"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "truncated"),
    "no onnx": (lambda path: path.write_bytes(b"<html>404</html>" * 99), "is not an ONNX|truncated|not"),
    "no manifest": (lambda path: _edit_manifest(path, lambda manifest: manifest.clear()), "manifest"),
    "wrong manifest": (lambda path: _edit_manifest(path, lambda manifest: manifest["tasks"].pop()), "."),
    "golden rows": (_flip, "Golden row"),
    "operator": (_rename_operator, "refused by onnxruntime"),
    "external data": (_external, "another file"),
    "link to outside": (_leave, "outside of the directory"),
    "link in a circle": (_link_to_itself, "."),
    "directory": (_replace_by_directory, "cannot be read|bytes"),
    "absent": (lambda path: path.unlink(), "No such file"),
    "no permission": (lambda path: path.parent.chmod(0), "Permission denied"),
    "other tasks": (_replace_by_other_tasks, "Its tasks"),
}  # fmt: skip


def test_corrupt_versions_are_refused_and_named_and_the_one_before_goes_on(
    models: Path, tmp_path: Path, questions: Callable[..., list[Question]]
) -> None:
    faults = {name: fault for name, fault in CORRUPTIONS.items() if name != "no permission" or os.geteuid() != 0}
    assert len(faults) >= 10
    settings = {"workers": "2", "poll_interval_s": "0.05", "pinned_tasks": "hand=price+sold+grade"}
    with running(models, **settings) as service:

        async def scenario() -> None:
            async with (
                httpx.AsyncClient(base_url=service.url, trust_env=False) as client,
                Load(service.url, questions(), connections=8) as load,
            ):
                for version, (corrupt, _) in enumerate(faults.values(), start=2):
                    aside = write_model(tmp_path / "aside", "hand", version, seed=version)
                    unfinished = models / "hand" / f".{version}"
                    aside.parent.rename(unfinished)
                    corrupt_at = unfinished / "model.onnx"
                    corrupt(corrupt_at)
                    unfinished.rename(models / "hand" / str(version))
                refused: dict[int, str] = {}
                while len(refused) < len(faults):
                    state = (await client.get("/v1/models/hand")).json()
                    refused = {v["version"]: v["reason"] for v in state["versions"] if v["state"] == "refused"}
                assert (state["ready"], state["version"]) == (True, 1)
                for version, (name, (_, expected)) in enumerate(faults.items(), start=2):
                    assert any(part in refused[version] for part in expected.split("|")), (name, refused[version])
                index = (await client.post("/v2/repository/index")).json()
                assert {int(entry["version"]): entry["reason"] for entry in index if entry["version"] != "1"} == refused
                page = (await client.get("/metrics")).text
                for version in refused:
                    assert f'mmoe_model_refused{{model="hand",version="{version}"}} 1.0' in page
                await load.answers(200)
            assert set(load.statuses) == {200}
            assert (load.broken, load.wrong) == (0, [])

        play(scenario())
        named: set[int] = set()
        while len(named) < len(faults):
            named.add(int(service.wait_for(r"hand (\d+) is not served: ")[1]))
        assert service.end() == 0
