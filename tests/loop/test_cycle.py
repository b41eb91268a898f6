"""Cycles beside a replica that is played: it serves as the real serving file says.

A run is killed before and after every write; time limits, other hands, replicas that are behind.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loop import record
from loop.config import LoopConfig
from loop.cycle import Cycle
from loop.errors import LoopError
from loop.journal import Journal
from loop.state import State, write_state
from service.versions.serving_file import Serving, ServingFile, VersionShare

RULE: dict[str, Any] = {"kind": "errors", "min_rows": 10, "at_most": 0.1}


class Killed(BaseException):
    """Stands for the end of the process, which nothing catches."""


class Replica:
    """Replica as its calls show it.

    Attributes:
        failing: share of the candidate's requests that fail.
        asked: requests of each version between two looks.
        stubborn: whether it serves version 1 alone, whatever is asked for.
        apart: whether admin calls have another port.
    """

    def __init__(self, models: Path) -> None:
        self._file = ServingFile.of(models, "shop")
        self.failing, self.asked, self.stubborn, self.apart = 0.0, 100, False, False
        self._count = 0
        replica = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = replica.answer(self.path)
                body = json.dumps(found or {"detail": "not here"}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str) -> dict[str, Any] | None:
        says = self._file.read()
        canary = says.canary if says.canary and not self.stubborn else None
        shadow = says.shadow if says.shadow and not self.stubborn else None
        if path == "/v1/models/shop":
            beside = canary and {"version": canary.version, "share": canary.share}
            served = 1 if self.stubborn else says.pinned or 1
            return {"version": served, "canary": beside, "shadow": shadow and shadow.version, "note": None}
        if path == "/v2/models/shop/stats":
            self._count += self.asked
            failed = round(self._count * self.failing)
            return {"model_stats": [stats(1, self._count, 0), stats(2, self._count - failed, failed)]}
        if path == "/v1/models/shop/shadow" and shadow is not None and not self.apart:
            pair = {"version": says.pinned, "shadow": shadow.version}
            return {**pair, "rows": 1000, "failed_rows": 0, "expert_match": None, "tasks": {}}
        return None


def stats(version: int, done: int, failed: int) -> dict[str, Any]:
    times = {"success": {"count": done, "ns": done * 10**6}, "fail": {"count": failed, "ns": 0}}
    return {"version": str(version), "inference_count": done, "inference_stats": times}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for version in ("1", "2"):
        (tmp_path / "models/shop" / version).mkdir(parents=True)
        (tmp_path / "models/shop" / version / "model.onnx").touch()
    return tmp_path / "models"


@pytest.fixture
def replica(models: Path) -> Iterator[Replica]:
    made = Replica(models)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def config(models: Path, replica: Replica, **changes: Any) -> LoopConfig:
    given = {
        "models": str(models), "model": "shop", "interval_s": 0.001, "rules": [RULE],
        "services": {"urls": [replica.url], "follow_s": 0.5}, "canary": {"steps": [0.5, 1.0]},
    }  # fmt: skip
    return LoopConfig.model_validate(given | changes)


def cycle(of: LoopConfig) -> Cycle:
    directory = Path(of.models).parent / "loops"
    directory.mkdir(exist_ok=True)
    return Cycle(of, directory, "shop", lambda _: None)


def served(models: Path) -> Serving:
    return ServingFile.of(models, "shop").read()


def events(models: Path) -> list[str]:
    return [line["event"] for line in Journal(models.parent / "loops").records()]


PROMOTED = ["began", "shadow", "canary", "canary", "promoting"]


@pytest.mark.parametrize("failing", [0.0, 0.5])
def test_a_run_that_is_killed_at_any_write_is_gone_on_with(
    models: Path, replica: Replica, monkeypatch: pytest.MonkeyPatch, failing: float
) -> None:
    replica.failing, expected = failing, PROMOTED if not failing else [*PROMOTED[:3], "rolling_back"]
    writes = 0
    for kill_at in range(200):
        (models / "shop/serving.json").unlink(missing_ok=True)
        for path in (models.parent / "loops").glob("*"):
            path.unlink()
        writes = 0

        def write(directory: Path, state: State, kill_at: int = kill_at) -> None:
            nonlocal writes
            writes += 1
            if writes == kill_at // 2 + 1 and kill_at % 2:
                raise Killed
            write_state(directory, state)
            if writes == kill_at // 2 + 1:
                raise Killed

        monkeypatch.setattr(record, "write_state", write)
        try:
            end = cycle(config(models, replica)).run()
        except Killed:
            if failing or "promoting" not in events(models):
                now = served(models)
                assert now.pinned in (None, 1) or cycle(config(models, replica)).state.stage == "promoting"
            monkeypatch.setattr(record, "write_state", write_state)
            end = cycle(config(models, replica)).run()
            if end == "nothing":  # all had been done but for the last write
                end = "rolled back" if failing else "promoted"
        assert (end, events(models)) == ("rolled back" if failing else "promoted", expected), kill_at
        now = served(models)
        assert (now.pinned, now.canary, now.shadow) == (1 if failing else 2, None, None)
        assert now.previous == (None if failing else 1)
        if writes < kill_at // 2 + 1:
            break
    assert writes > 10  # every write was the last one once


def test_rows_that_do_not_come_in_time_roll_back_hold_or_are_done_without(models: Path, replica: Replica) -> None:
    replica.asked = 1

    def late(choice: str, limit: float = 1e-4) -> LoopConfig:
        rule = {**RULE, "min_rows": 100_000, "time_limit_minutes": limit, "at_time_limit": choice}
        return config(models, replica, rules=[rule], shadow={"share": 0.0})

    assert cycle(late("hold")).run() == "held"
    assert served(models).canary == VersionShare(version=2, share=0.5)
    assert cycle(late("hold")).run() == "held"
    assert cycle(late("roll_back")).run() == "rolled back"
    assert events(models) == ["began", "canary", "held", "held", "rolling_back"]
    *_, last = Journal(models.parent / "loops").records()
    assert "by the rule errors: at its time limit, " in last["says"]
    assert (served(models).pinned, served(models).canary) == (1, None)
    assert cycle(late("pass")).run() == "nothing"  # a version that was rolled back is not tried again
    (models / "shop/3").mkdir()
    (models / "shop/3/model.onnx").touch()
    assert cycle(late("pass")).run() == "promoted"
    assert (served(models).pinned, served(models).previous) == (3, 1)


def test_another_hand_wins(models: Path, replica: Replica) -> None:
    held = config(models, replica, rules=[{**RULE, "min_rows": 10**6, "time_limit_minutes": 1e-4,
                                           "at_time_limit": "hold"}], shadow={"share": 0})  # fmt: skip
    assert cycle(held).run() == "held"
    file = ServingFile.of(models, "shop")
    file.change(lambda now: {"canary": None, "pinned": 2}, "somebody")
    assert cycle(held).run() == "abandoned"
    assert served(models).by == "somebody"
    file.change(lambda now: {"canary": VersionShare(version=2, share=0.1), "pinned": 1}, "somebody")
    with pytest.raises(LoopError, match="which this loop has not begun"):
        cycle(held).run()
    assert events(models) == ["began", "canary", "held", "abandoned"]


def test_a_version_that_somebody_has_rolled_back_is_not_tried_again(models: Path, replica: Replica) -> None:
    assert cycle(config(models, replica)).run() == "promoted"
    file = ServingFile.of(models, "shop")
    file.change(lambda now: {"pinned": 1, "previous": None}, "somebody")
    assert cycle(config(models, replica)).run() == "nothing"
    assert served(models).by == "somebody"


def test_a_trial_that_somebody_ends_is_not_begun_again(models: Path, replica: Replica) -> None:
    rule = {**RULE, "min_rows": 10**6, "time_limit_minutes": 1e-4, "at_time_limit": "hold"}
    held, said = config(models, replica, rules=[rule], shadow={"share": 0}), list[str]()
    assert cycle(held).run() == "held"
    ServingFile.of(models, "shop").change(lambda now: {"canary": None}, "somebody")
    before = sorted((path, path.read_bytes()) for path in (models.parent / "loops").iterdir())
    Cycle(held, models.parent / "loops", "shop", said.append, dry=True).rehearse()
    assert said[-1].startswith("A run would end the cycle and change nothing: serving.json was changed")
    assert sorted((path, path.read_bytes()) for path in (models.parent / "loops").iterdir()) == before
    assert cycle(held).run() == "abandoned"
    assert cycle(held).run() == "nothing"
    assert (served(models).pinned, served(models).canary) == (1, None)


def test_a_candidate_that_a_replica_does_not_serve_is_rolled_back(models: Path, replica: Replica) -> None:
    replica.stubborn = True
    assert cycle(config(models, replica)).run() == "rolled back"
    *_, last = Journal(models.parent / "loops").records()
    assert f"by the rule replicas follow: {replica.url} has shadow None instead of 2" in last["says"]
    assert served(models).pinned == 1


def test_a_rehearsal_changes_nothing(models: Path, replica: Replica) -> None:
    said: list[str] = []
    loops = models.parent / "loops"
    Cycle(config(models, replica), loops, "shop", said.append, dry=True).rehearse()
    assert said[-1] == "A run would put version 2 on trial."
    assert not loops.exists()
    assert served(models).change == 0


def test_a_port_of_admin_calls_that_is_not_named_is_asked_for(models: Path, replica: Replica) -> None:
    replica.apart = True
    with pytest.raises(LoopError, match=r"tells nothing of shadows: .*; set services\.operation_port"):
        cycle(config(models, replica)).run()


def test_no_replica_ends_the_run(models: Path, replica: Replica) -> None:
    gone = config(models, replica, services={"urls": ["http://127.0.0.1:9"]})
    with pytest.raises(LoopError, match=r"no replica answers: http://127\.0\.0\.1:9: "):
        cycle(gone).run()
    assert served(models).change == 0
