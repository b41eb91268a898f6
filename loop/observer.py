"""Observer of a trial: figures of all replicas and of the logs, as rules judge them."""

import time
from collections.abc import Mapping
from typing import Any

from loop.config import LoopConfig, PredictionDriftRule
from loop.errors import LoopError
from loop.figures import Figures, Quality
from loop.home import Home
from loop.labels import check_installed, read_quality
from loop.record import Record
from loop.rules import Finding, Stage, judge
from loop.services import Replicas, disagreements
from loop.state import Held, Tally

_POLL_S = 0.2


class Observer:
    """Observer of one model's replicas and logs.

    Args:
        config: with the stages, the rules and the places of everything.
        home: of its versions.
        record: whose state has the versions, and the tally of requests.

    Attributes:
        answering: how many replicas answered the last look.
    """

    def __init__(self, config: LoopConfig, home: Home, record: Record) -> None:
        self._config, self._home, self._record = config, home, record
        self._rules = config.in_force()
        by_drift = [rule for rule in self._rules if isinstance(rule, PredictionDriftRule)]
        self._rows_of_drift: dict[str, int] = {
            rule.window: rule.min_rows for rule in sorted(by_drift, key=lambda rule: rule.min_rows)
        }
        self._by_labels = config.labels if any(rule.kind == "quality" for rule in self._rules) else None
        if config.labels is not None:
            check_installed()
        self._replicas = Replicas(config.services, home.name)
        self._quality: dict[int, Quality] = {}
        self._quality_at: float | None = None
        self.answering = 0

    def states(self) -> dict[str, Mapping[str, Any]]:
        """Ask every replica for its state.

        Raises:
            LoopError: none answers.
        """
        states, silent = self._replicas.states()
        self.answering = len(states)
        if not states:
            raise LoopError(f"no replica answers: {'; '.join(f'{url}: {why}' for url, why in silent.items())}")
        return states

    def served(self, now: Held) -> int | None:
        """Return the version that every replica serves; None where none has a version yet.

        Args:
            now: what the serving file says.

        Raises:
            LoopError: they do not agree, or not with the serving file.
        """
        until = time.monotonic() + self._config.services.follow_s
        while True:
            states = _ready(self.states())
            found = {state.get("version") for state in states.values()}
            if len(found) == 1 and now.pinned in (None, *found):
                version: int | None = found.pop()
                return version
            if time.monotonic() >= until:
                each = ", ".join(f"{url} serves {state.get('version')}" for url, state in states.items())
                pinned = f", and serving.json says {now}" if now.pinned else ""
                notes = "; ".join(str(state["note"]) for state in states.values() if state.get("note"))
                raise LoopError(f"replicas do not serve one version: {each}{pinned}{f' ({notes})' if notes else ''}")
            time.sleep(_POLL_S)

    def follow(self, wanted: Held) -> str:
        """Wait until every replica serves as wanted; else say which does not.

        Those that serve no version yet are not waited for, where others do.

        Raises:
            LoopError: none answers.
        """
        until = time.monotonic() + self._config.services.follow_s
        while True:
            states, _ = self._replicas.states()
            self.answering = len(states)
            behind = disagreements(_ready(states), wanted) if wanted.pinned is not None else []
            if states and not behind:
                return ""
            if time.monotonic() >= until:
                return "; ".join(disagreements(_ready(self.states()), wanted))
            time.sleep(_POLL_S)

    def look(self, stage: Stage) -> list[Finding]:
        """Read the figures of all replicas and judge them by the rules of a stage."""
        states, silent = self._replicas.states()
        if len(states) != self.answering:
            gone = "".join(f"; {url} does not ({why})" for url, why in silent.items())
            self._record.say(f"{len(states)} of {len(states) + len(silent)} replicas answer{gone}.")
        self.answering = len(states)
        served, candidate = self._pair()
        of_canary = self._rows_of_drift if stage == "canary" else ()
        seen = self._replicas.told(_serving(states), (served, candidate), of_canary, stage == "shadow")
        if stage == "shadow":
            return judge(self._rules, stage, Figures(seen.shadow))
        before = seen.drift.get(served, {})
        tally = self._record.state.tally.added(seen.requests).drifted(before, self._rows_of_drift)
        self._record.save(tally=tally)
        self._read_labels()
        figures = Figures(
            None,
            tally.of(served),
            tally.of(candidate),
            tally.of(candidate).since(tally.at_step),
            {**before, **tally.drift},
            seen.drift.get(candidate, {}),
            self._quality.get(served),
            self._quality.get(candidate),
            tally.labelled,
        )
        return judge(self._rules, stage, figures)

    def begun(self, first: bool) -> Tally:
        """Return the tally at the beginning of a step of the canary.

        Args:
            first: whether the canary begins with it.
        """
        served, candidate = self._pair()
        self._quality_at = None
        if first:
            self._quality = {}
        else:  # a run that goes on has read no labels yet
            self._read_labels()
        states, _ = self._replicas.states()
        seen = self._replicas.told(_serving(states), (served, candidate), (), shadow=False)
        tally = (Tally() if first else self._record.state.tally).added(seen.requests)
        labelled = {task: found.labelled for task, found in self._quality.get(candidate, {}).items()}
        return tally.model_copy(update={"at_step": tally.of(candidate), "labelled": {**tally.labelled, **labelled}})

    def _read_labels(self) -> None:
        """Read the logs, not more often than the configuration says."""
        logs, now = self._by_labels, time.monotonic()
        if logs is not None and (self._quality_at is None or now - self._quality_at >= logs.every_s):
            since = self._record.state.canary_began
            self._quality = read_quality(self._home, self._pair(), logs, since, self._record.say)
            self._quality_at = time.monotonic()

    def _pair(self) -> tuple[int, int]:
        """Return the served version and the candidate of a trial."""
        state = self._record.state
        assert state.served is not None
        assert state.candidate is not None
        return state.served, state.candidate


def _serving(states: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the replicas that serve a version of the model."""
    return {url: state for url, state in states.items() if state.get("version")}


def _ready(states: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Return the replicas that serve a version; all, where none does."""
    return _serving(states) or states
