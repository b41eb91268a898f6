"""Figures of several replicas made one, and state that outlives them."""

from pathlib import Path

import pytest

from loop.errors import LoopError
from loop.figures import Drift, Requests
from loop.journal import Journal, sentences
from loop.services import disagreements, pooled, together
from loop.state import Held, State, Tally, alone, read_state, write_state
from service.versions.serving_file import VersionShare


def shadow(rows: int, divergence: float | None, match: str | None, disagreement: float = 0.1) -> dict[str, object]:
    gates = None if divergence is None else {"jensen_shannon": divergence, "top_expert_agreement": 1.0}
    return {
        "rows": rows,
        "failed_rows": 2,
        "expert_match": match,
        "tasks": {"income": {"disagreement": disagreement, "gates": gates}},
    }


def test_shadows_of_replicas_are_weighted_by_their_rows_and_the_worst_match_counts() -> None:
    seen = together([shadow(300, 0.1, "good", 0.0), shadow(100, 0.5, "partly", 0.4)])
    assert (seen.rows, seen.failed, seen.match) == (400, 4, "partly")
    assert seen.tasks["income"].jensen_shannon == pytest.approx(0.2)
    assert seen.tasks["income"].disagreement == pytest.approx(0.1)
    assert together([shadow(300, 0.1, "good"), shadow(10, 0.9, "too_few_rows")]).match == "good"
    assert together([shadow(10, 0.1, "too_few_rows")]).match == "too_few_rows"
    without = together([shadow(300, None, None)])
    assert without.match is None
    assert without.tasks["income"].jensen_shannon is None


def test_drift_of_replicas_is_weighted_by_their_rows() -> None:
    assert pooled([]) is None
    assert pooled([Drift(0, {"income": 0.0})]) == Drift(0, {"income": 0.0})
    joined = pooled([Drift(300, {"income": 0.1}), Drift(100, {"income": 0.5})])
    assert joined is not None
    assert joined.rows == 400
    assert joined.excess["income"] == pytest.approx(0.2)


def test_the_served_version_s_drift_is_kept_from_when_it_had_enough_rows() -> None:
    many, few = Drift(200, {"income": 0.3}), Drift(199, {"income": 0.0})
    tally = Tally().drifted({"5m": few}, {"5m": 200})
    assert tally.drift == {}
    tally = tally.drifted({"5m": many}, {"5m": 200}).drifted({"5m": few}, {"5m": 200}).drifted({}, {"5m": 200})
    assert tally.drift == {"5m": many}
    assert tally.drifted({"5m": None}, {"5m": 200}).drift == {"5m": many}


def test_requests_are_added_up_over_replicas_that_come_restart_and_go() -> None:
    def asked(count: float) -> Requests:
        return Requests(count, count / 10, 0, count)

    tally = Tally().added({"a": {1: asked(100)}, "b": {1: asked(50)}})
    assert tally.of(1) == Requests()  # what came before is of no concern
    tally = tally.added({"a": {1: asked(130), 2: asked(5)}, "b": {1: asked(60)}})
    assert (tally.of(1).done, tally.of(2).done) == (40, 5)
    tally = tally.added({"b": {1: asked(7), 2: asked(3)}})  # a has gone, b began anew
    assert (tally.of(1).done, tally.of(2).done) == (47, 8)
    tally = tally.added({"b": {1: asked(8), 2: asked(3)}, "c": {1: asked(1000), 2: asked(30)}})
    assert (tally.of(1).done, tally.of(2).done) == (48, 8)  # c counts from now on
    tally = tally.added({"a": {1: asked(131), 2: asked(5)}, "c": {1: asked(1001), 2: asked(31)}})
    assert (tally.of(1).done, tally.of(2).done) == (50, 9)


def test_what_a_replica_does_instead_is_said() -> None:
    wanted = Held(pinned=1, canary=VersionShare(version=2, share=0.25))
    agrees = {"version": 1, "canary": {"version": 2, "share": 0.25}, "shadow": None}
    assert disagreements({"a": agrees}, wanted) == []
    late = {"version": 1, "canary": {"version": 2, "share": 0.05}, "shadow": 3, "note": "why"}
    (said,) = disagreements({"a": agrees, "b": late}, wanted)
    assert said == "b has shadow 3 instead of None, canary share 0.05 instead of 0.25 (why)"
    assert disagreements({"c": {}}, wanted) == ["c has no such model"]
    assert disagreements({"a": agrees}, Held(pinned=2)) == ["a has canary 2 instead of None, version 1 instead of 2"]


def test_the_state_is_read_as_it_was_written_and_a_broken_one_is_said(tmp_path: Path) -> None:
    tally = Tally(
        last={"a": {1: Requests(1, 2, 3, 4)}},
        sums={2: Requests(5)},
        labelled={"income": 6},
        drift={"5m": Drift(7, {"income": 0.1})},
    )
    held = Held(pinned=1, canary=VersionShare(version=2, share=0.05))
    state = State(cycle=3, stage="canary", entered=True, tally=tally, held=held, refused=[4])
    assert read_state(tmp_path) == State()
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(LoopError, match="remove it to begin anew"):
        read_state(tmp_path)


def test_two_loops_of_a_model_do_not_run_at_once(tmp_path: Path) -> None:
    with (
        alone(tmp_path),
        pytest.raises(LoopError, match="another loop of this model runs \\(process "),
        alone(tmp_path),
    ):
        pass
    with alone(tmp_path):
        pass


def test_the_journal_writes_no_number_twice_and_goes_on_behind_a_line_that_was_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    finding = {"rule": "errors", "about": "", "state": "broken", "says": "3 % failed"}
    journal.write(1, {"says": "Version 2 is on trial", "findings": []})
    journal.write(1, {"says": "again", "findings": []})
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"line": 2, "sa')
    journal.write(2, {"says": "Version 2 is rolled back", "findings": [finding]})
    first, second = journal.records()
    assert sentences(first)[0].endswith("  Version 2 is on trial.")
    assert [line.strip() for line in sentences(second)][1:] == ["BROKEN: errors: 3 % failed"]
    assert journal.last() == 2
