"""Cycle of the loop: a candidate is trained, shadowed, canaried by steps, promoted or rolled back.

Each change of what is served is first written to the state, then made, then put on the journal and
the state again: whatever kills a run, the serving file says what it said before, or what the next
run goes on from.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from loop.config import LoopConfig, QualityRule, Training
from loop.errors import LoopError
from loop.home import Home
from loop.journal import told
from loop.labels import READING, write_table
from loop.observer import Observer
from loop.record import Record
from loop.rules import METRICS, Decision, Finding, Stage, decide
from loop.serving import ChangedByOther, LoopServing, changed_by_other
from loop.state import State, Tally
from loop.training import LOG, Trained, command, train
from loop.wanted import sentence, wanted
from model.config.run import load_config

FOLLOW = "replicas follow"
"""Name of the rule that every replica serves what the serving file says."""

End = Literal["promoted", "rolled back", "held", "nothing", "not published", "abandoned"]


class Cycle:
    """Cycle of one model: begun, or gone on with where an earlier run ended.

    Args:
        config: with the stages, the rules and the places of everything.
        directory: of this model's journal and state.
        model: by name.
        say: told of what goes on, a sentence at a time.
        dry: whether nothing is to be changed, journal and state included.
    """

    def __init__(
        self, config: LoopConfig, directory: Path, model: str, say: Callable[[str], None], dry: bool = False
    ) -> None:
        self._config, self._directory, self._model, self._say = config, directory, model, say
        self._rules, self._home = config.in_force(), Home(config.models, model, config.serving_directory)
        self._record = Record(directory, say, dry)
        self._observer = Observer(config, self._home, self._record)
        self._serving = LoopServing(self._home.serving_file())
        self._waiting = ""

    @property
    def state(self) -> State:
        """Return where the cycle stands."""
        return self._record.state

    def run(self) -> End:
        """Go through the stages to an end.

        Raises:
            LoopError: it cannot go on; the next run does, from where this one was.
            KeyboardInterrupt: it is to stop; likewise.
        """
        try:
            while (end := self._next()) is None:
                pass
        except ChangedByOther as error:
            self._write("abandoned", f"Cycle {self.state.cycle} ends where it is: {error}", stage="idle")
            return "abandoned"
        except KeyboardInterrupt:
            self._say(f"Stopped in the stage {self.state.stage!r}; the next run goes on from there.")
            raise
        return end

    def rehearse(self) -> None:
        """Judge what there is to judge now, and say what a run would do; change nothing.

        Raises:
            LoopError: a run could not go on.
        """
        state, training = self.state, self._config.training
        if state.stage in ("shadow", "canary") and state.entered:
            stage: Stage = "shadow" if state.stage == "shadow" else "canary"
            self._say(f"{self._sentence()}.")
            if (found := self._serving.read()) != state.held:
                self._say(f"A run would end the cycle and change nothing: {changed_by_other(state.held, found)}.")
                return
            findings = self._observer.look(stage)
            for finding in findings:
                self._say(f"    {told(finding.as_json())}")
            decision = self._decide(stage, findings)
            self._say(f"A run would {decision.what} now{f', by {decision.by.title}' if decision.by else ''}.")
        elif state.stage != "idle":
            self._say(f"A run would go on in the stage {state.stage!r} with version {state.candidate}.")
        elif self._begin() is None:
            self._say(f"{self._sentence()}.")
            if training is not None:
                self._say(f"A run would train: {' '.join(self._command(training))}")
            else:
                self._say(f"A run would put version {self._untried()[-1]} on trial.")

    def _next(self) -> End | None:
        """Do the next thing; return the end of the cycle where it has come to one."""
        stage = self.state.stage
        if stage == "idle":
            return self._begin()
        if not self.state.entered:
            self._enter()
            return None
        if stage == "training":
            return self._find_candidate()
        if stage in ("shadow", "canary"):
            return self._try("shadow" if stage == "shadow" else "canary")
        return self._end()

    def _begin(self) -> End | None:
        """Find what is served, and begin a cycle if there is something to do."""
        now = self._serving.read()
        if now.canary or now.shadow:
            raise LoopError(
                f"serving.json says {now}, which this loop has not begun; end that first, by "
                f"POST /v1/models/{self._model}:canary and :shadow with {{'version': null}}"
            )
        served, last, refused = self._observer.served(now), self.state.candidate, self.state.refused
        published = self._home.versions()
        if last and served and last > served and last not in refused:  # somebody has rolled it back by hand
            refused = [*refused, last]
        self._record.save(served=served, refused=refused)
        if self._config.training is None and not self._untried():
            self._say(f"Nothing to do: no version above {served} waits for a trial.")
            return "nothing"
        highest, cycle = published[-1] if published else 0, self.state.cycle + 1
        self._to("training", cycle=cycle, candidate=None, highest=highest, held=now, findings=[], reason="")
        return None

    def _untried(self) -> list[int]:
        """List the versions above the served one that were not rolled back."""
        served, refused = self.state.served or 0, self.state.refused
        return [version for version in self._home.versions() if version > served and version not in refused]

    def _find_candidate(self) -> End | None:
        """Train and publish; a version that a killed run has published is taken up."""
        state, training = self.state, self._config.training
        fresh = self._untried() if training is None else [v for v in self._home.versions() if v > state.highest]
        if training is not None and not fresh:
            trained = self._train(training)
            fresh = [version for version in self._home.versions() if version > state.highest]
            if trained.state != "published" or not fresh:
                return self._not_published(trained.state, trained.said)
        if not fresh:  # it was removed meanwhile
            self._record.save(stage="idle")
            return "nothing"
        self._record.save(candidate=fresh[-1])
        self._to("promoting" if state.served is None else "shadow" if self._config.shadow.share else "canary", step=0)
        return None

    def _train(self, training: Training) -> Trained:
        """Train, on the table of the configuration or on one that is written from the logs."""
        state, logs, settings = self.state, self._config.labels, list[str]()
        table = self._directory / f"table-{state.cycle}.csv"  # a killed run's checkpoint is of it
        if training.rows == "logs" and logs is not None and state.served is not None:
            rows = 0 if table.exists() else write_table(self._home, state.served, logs, table)
            if not table.exists() or 0 < rows < training.least_rows:
                table.unlink(missing_ok=True)
                return Trained("worse", f"the logs have {rows:,} labelled rows, and {training.least_rows:,} are needed")
            settings = [f"data.path='{table.resolve()}'", *READING]
        given = self._command(training, settings)
        self._say(f"Training: {' '.join(given)}")
        trained = train(given, self._directory)
        table.unlink(missing_ok=True)
        return trained

    def _command(self, training: Training, settings: Sequence[str] = ()) -> list[str]:
        models, serving = self._config.models, self._config.serving_directory
        return command(training, models, self.state.served, settings, self._directory, serving)

    def _not_published(self, state: str, said: str) -> End:
        what = "Nothing was published" if state == "worse" else "The training failed"
        self._write("not_published", f"{what}; version {self.state.served} is served on: {said}", stage="idle")
        if state != "worse":
            raise LoopError(f"the training failed: {said}; {self._directory / LOG} has all that it said")
        return "not published"

    def _try(self, stage: Stage) -> End | None:
        """Look at the figures until the rules decide."""
        while True:
            found = self._serving.read()
            if found != self.state.held:
                raise ChangedByOther(changed_by_other(self.state.held, found))
            findings = self._observer.look(stage)
            decision = self._decide(stage, findings)
            if decision.what != "wait":
                self._record.save(findings=[finding.as_json() for finding in findings])
                return self._decided(stage, decision)
            waiting = "; ".join(f"{f.title}: {f.says}" for f in findings if f.state == "too few rows")
            if waiting and waiting != self._waiting:
                self._waiting = waiting
                self._say(f"Waiting: {waiting}.")
            time.sleep(self._config.interval_s)

    def _decide(self, stage: Stage, findings: Sequence[Finding]) -> Decision:
        least = (self._config.shadow if stage == "shadow" else self._config.canary).minutes
        state, now = self.state, time.time()
        held = (now - state.held_at) / 60 if state.held_at > state.began else None
        return decide(findings, self._rules, (now - state.began) / 60, least, held)

    def _decided(self, stage: Stage, decision: Decision) -> End | None:
        """Act on a decision about a stage or step."""
        by, step = decision.by, self.state.step + 1
        if decision.what == "hold" and by is not None:
            self._write("held", f"Held as it is, {self.state.held}: {by.title}: {by.says}", held_at=time.time())
            return "held"
        if decision.what == "roll back" and by is not None:
            late = "" if by.state == "broken" else "at its time limit, "
            self._to("rolling_back", reason=f"by the rule {by.title}: {late}{by.says}")
        elif stage == "shadow":
            self._to("canary", step=0)
        elif step < len(self._config.canary.steps):
            self._to("canary", step=step)
        else:
            self._to("promoting")
        return None

    def _to(self, stage: str, **fields: Any) -> None:
        """Note the next stage; it is entered next."""
        self._record.save(stage=stage, entered=False, **fields)

    def _enter(self) -> None:
        """Make what is served as the stage wants it; journal it; note that it is so."""
        state, asked, says = self.state, wanted(self.state, self._config), self._sentence()
        if state.served is not None or state.stage == "promoting":
            # A promotion that is taken back leaves nothing before it to go back to.
            repinned = asked.pinned != state.held.pinned
            previous = {"promoting": state.served, "rolling_back": None} if repinned else {}
            more = {"previous": previous[state.stage]} if state.stage in previous else {}
            self._serving.set(state.held, asked, says, **more)
            self._record.save(held=asked)
        behind = self._observer.follow(asked)
        if behind and state.stage in ("shadow", "canary", "promoting"):
            finding = Finding(FOLLOW, "broken", behind)
            self._to("rolling_back", findings=[finding.as_json()], reason=f"by the rule {FOLLOW}: {behind}")
            return
        fields: dict[str, Any] = {"entered": True, "began": time.time()}
        if state.stage == "canary":
            fields |= {"tally": self._observer.begun(state.step == 0)}
            fields |= {"canary_began": fields["began"]} if state.step == 0 else {}
        late = f" (not yet everywhere: {behind})" if behind else ""
        self._write("began" if state.stage == "training" else state.stage, says + late, **fields)

    def _end(self) -> End:
        """End the cycle, whose last change has been made."""
        state, promoted = self.state, self.state.stage == "promoting"
        refused = state.refused if promoted or state.candidate is None else [*state.refused, state.candidate]
        self._record.save(stage="idle", refused=refused, tally=Tally())
        return "promoted" if promoted else "rolled back"

    def _sentence(self) -> str:
        return sentence(self.state, wanted(self.state, self._config), self._config.training is not None)

    def _write(self, event: str, says: str, **fields: Any) -> None:
        """Put a decision on the journal."""
        beside = self.state.held.canary or self.state.held.shadow
        facts = {"model": self._model, "share": beside.share if beside else None, "replicas": self._observer.answering}
        self._record.write(event, says, facts, **fields)


def model_name(config: LoopConfig) -> str:
    """Return the name of the model: its own key, or that of the training's configuration.

    Raises:
        UserError: that configuration is wrong, or has no task that a rule is about, or by its
            metric.
    """
    if config.training is None:
        assert config.model is not None  # the configuration was checked
        return config.model
    trained = load_config(Path(config.training.config), config.training.set)
    kinds = {name: task.kind for task in trained.tasks for name in (task.name, task.conditional) if name}
    for rule in config.rules:
        if rule.kind == "quality":
            _check(rule, kinds)
    return trained.name


def _check(rule: QualityRule, kinds: Mapping[str, str]) -> None:
    """Refuse a rule that no task could break, or a task of its own could not.

    Args:
        rule: of the configuration.
        kinds: of all tasks.
    """
    about = f"the rule {rule.name or rule.kind} is about"
    if wrong := set(rule.tasks) - set(kinds):
        raise LoopError(f"{about} {min(wrong)!r}; tasks are {', '.join(kinds)}")
    lacking = [task for task in rule.tasks or kinds if rule.metric not in (None, *METRICS[kinds[task]])]
    if lacking and (rule.tasks or len(lacking) == len(kinds)):
        kind = kinds[lacking[0]]
        raise LoopError(f"{about} the {rule.metric} of {lacking[0]!r}, {kind}; it has {', '.join(METRICS[kind])}")
