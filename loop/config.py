"""Configuration of a loop: the keys of its TOML file, each with default and description.

The descriptions below are the source of docs/loop-config.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, Strict, model_validator

from loop.errors import LoopError
from model.config.checked import read_checked
from stores.address import FORMS, is_stored, names_a_scheme
from tables.config import Names, Section

DIRECTORIES = {"models": "MMOE_MODELS", "serving_directory": "MMOE_SERVING_DIRECTORY"}
"""Variables of the service that say where what both use lies."""

Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Texts = Annotated[tuple[Text, ...], Strict(False)]


class Training(Section):
    """Training of a candidate, by `python -m scripts.train` in a process of its own."""

    config: Text = Field(description="TOML file of the training (docs/config.md); the model has its `name`.")
    set: Texts = Field(default=(), description='Keys to replace in it, as by `--set`: `["train.epochs=3"]`.')
    rows: Literal["table", "logs"] = Field(
        default="table",
        description="`table`: those of the configuration, as they are by then; `logs`: rows that were predicted and "
        "have got labels since (`[labels]`; services need `MMOE_PREDICTION_LOG_FEATURES=true`). The first version is "
        "trained on the table.",
    )
    least_rows: int = Field(default=1000, ge=1, description="Labelled rows of the logs below which nothing is trained.")
    start: Literal["served", "latest", "scratch"] = Field(
        default="served",
        description="`served`: go on from the version that is served (`--from`), so never from one that was rolled "
        "back; `latest`: from the highest published one; `scratch`: from random weights. The first version begins "
        "from random ones.",
    )
    refit: bool = Field(default=False, description="Take the statistics of the new table's rows (`--refit`).")
    unless_worse: Texts = Field(
        default=(),
        description="Margins by which it may be worse on test rows and is published all the same, as "
        'by `--unless-worse`: `["income.auc=0.005"]`.',
    )


class Services(Section):
    """Replicas that serve the model."""

    urls: Annotated[tuple[Text, ...], Strict(False), Field(min_length=1)] = Field(
        description="Address of each replica, not of a balancer before them: `http://10.0.0.7:8000`. A name of "
        "several addresses (`http://service:8000`, a headless service of Kubernetes) stands for a replica at each, "
        "looked up again at every look. Of replicas that do not answer the figures are missing; one has to answer."
    )
    operation_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of admin calls, where the services have one of their own (`MMOE_OPERATION_PORT`).",
    )
    key_variable: Text = Field(
        default="MMOE_LOOP_KEY",
        description="Environment variable that holds a key of the role `admin`, where the services have keys.",
    )
    timeout_s: float = Field(default=10.0, gt=0, description="Seconds that a call may take.")
    follow_s: float = Field(
        default=120.0,
        gt=0,
        description="Seconds within which every replica that answers has to serve as `serving.json` says.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise ValueError(f"urls has {url!r}; expected an address such as http://10.0.0.7:8000")
        return self


class Labels(Section):
    """Logs of predictions and labels, by which versions are judged (docs/quality.md)."""

    predictions: Annotated[tuple[Text, ...], Strict(False), Field(min_length=1)] = Field(
        description="Directories of the prediction logs of all replicas."
    )
    labels: Annotated[tuple[Text, ...], Strict(False), Field(min_length=1)] = Field(
        description="Directories of the label logs of all replicas."
    )
    every_s: float = Field(default=60.0, gt=0, description="Seconds between two readings of the logs, at least.")


class ShadowStage(Section):
    """First stage: the candidate answers for nobody."""

    share: float = Field(
        default=0.1, ge=0, le=1, description="Share of the traffic that it answers too; 0 runs no shadow."
    )
    minutes: float = Field(default=0.0, ge=0, description="Minutes that the stage takes at least.")


class CanaryStage(Section):
    """Second stage: the candidate answers a growing share of requests."""

    steps: Annotated[tuple[Share, ...], Strict(False), Field(min_length=1)] = Field(
        default=(0.05, 0.25, 1.0), description="Shares, each larger than the one before."
    )
    minutes: float = Field(default=0.0, ge=0, description="Minutes that each step takes at least.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(after <= before for before, after in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"steps are {list(self.steps)}; expected each to be larger than the one before")
        if self.steps[0] == 1:
            raise ValueError(
                "the first of steps is 1, which leaves no request to the served version to be compared by; "
                "expected a smaller share before it, as in [0.05, 0.25, 1.0]"
            )
        return self


class Rule(Section):
    """Rule that the candidate must keep: figures, with a least number of rows and a time limit."""

    name: str = Field(default="", description="Name in the journal; the kind unless given.")
    min_rows: int = Field(
        default=200,
        ge=1,
        description="Rows of the candidate in this stage or step, for `errors` and `latency` requests, below which "
        "nothing is concluded.",
    )
    time_limit_minutes: float = Field(
        default=60.0, gt=0, description="Minutes of a stage or step within which these rows have to come."
    )
    at_time_limit: Literal["roll_back", "hold", "pass"] = Field(
        default="roll_back",
        description="Where they have not come: `roll_back`; `hold`: end the run, leave everything as it is, and let "
        "the next run wait on; `pass`: do without this rule in this stage.",
    )


class QualityRule(Rule):
    """Labels: the candidate's metric beside that of the served version, over the same period."""

    kind: Literal["quality"] = Field(description="`quality`")
    tasks: Names = Field(default=(), description="Tasks, also conditionals of funnels, that it is about; all if empty.")
    metric: Literal["auc", "pr_auc", "log_loss", "ece", "accuracy", "rmse", "mae", "r2"] | None = Field(
        default=None,
        description="One of [the evaluation](quality.md#evaluation); unless given `auc` of a binary task (`log_loss` "
        "where there is none), `log_loss` of a multiclass one, `rmse` of a regression.",
    )
    margin: float = Field(
        default=0.02,
        ge=0,
        description="How much worse it may be: absolute for `auc`, `pr_auc`, `accuracy` and `r2`, a share of the "
        "served version's figure for the others. Broken if it is worse by more than this, and the 95 % interval of "
        "the difference excludes none.",
    )
    time_limit_minutes: float = Field(
        default=1440.0, gt=0, description="Minutes of a step within which so many labels have to come."
    )


class PredictionDriftRule(Rule):
    """Distribution of the candidate's predictions beside that of its validation rows."""

    kind: Literal["prediction_drift"] = Field(description="`prediction_drift`")
    at_most: float = Field(
        default=0.25,
        gt=0,
        description="Population stability index of each prediction against the candidate's own baseline, twice what "
        "chance gives taken off, by which it may exceed that of the served version in the same window.",
    )
    window: Literal["1m", "5m", "1h"] = Field(default="5m", description="Window of [the drift](drift.md).")


class GateDriftRule(Rule):
    """Gates of both versions over the same rows, in the shadow, by matched experts."""

    kind: Literal["gate_drift"] = Field(description="`gate_drift`")
    at_most: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Mean Jensen-Shannon divergence of each task's gate weights, by matched experts. Where experts do "
        "not match well (`expert_match`), the rule does not apply, and the journal says so.",
    )


class DisagreementRule(Rule):
    """Predictions of both versions over the same rows, in the shadow."""

    kind: Literal["disagreement"] = Field(description="`disagreement`")
    at_most: float = Field(
        default=0.2, gt=0, le=1, description="Share of the rows that the versions put into different classes."
    )


class ErrorRule(Rule):
    """Requests without an answer; in the shadow, rows."""

    kind: Literal["errors"] = Field(description="`errors`")
    at_most: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="By how much the share of the candidate's requests that fail may exceed the served version's; "
        "broken if it is surely larger. In the shadow: the share of rows that it could not answer.",
    )


class LatencyRule(Rule):
    """Mean time of an answer beside that of the served version, over the same period."""

    kind: Literal["latency"] = Field(description="`latency`")
    at_most_times: float = Field(default=1.5, ge=1, description="Multiple of the served version's mean time.")
    slack_ms: float = Field(default=5.0, ge=0, description="Milliseconds by which it may be longer in any case.")


AnyRule = Annotated[
    QualityRule | PredictionDriftRule | GateDriftRule | DisagreementRule | ErrorRule | LatencyRule,
    Field(discriminator="kind"),
]


CANARY_RULES = (QualityRule, PredictionDriftRule, ErrorRule, LatencyRule)
"""Rules that judge a canary."""


class LoopConfig(Section):
    """Configuration of a loop."""

    models: Text = Field(
        default="models",
        description="Directory of models that training publishes to and the services serve, or a folder of an object "
        "store ([stores.md](stores.md)); unless given, what `MMOE_MODELS` says, if that is set.",
    )
    serving_directory: Text | None = Field(
        default=None,
        description="Directory of serving files, where the services have one of its own; unless given, what "
        "`MMOE_SERVING_DIRECTORY` says, if that is set.",
    )
    model: Text | None = Field(default=None, description="Name of the model, where there is no `[training]`.")
    directory: Text = Field(
        default="loops",
        description="Where `<model>/` holds the journal, the state from which a run goes on, and the trainer's output.",
    )
    interval_s: float = Field(default=30.0, gt=0, description="Seconds between two looks at the figures.")
    training: Training | None = Field(
        default=None,
        description="See `training.*`. Without it nothing is trained: the candidate is the highest version above the "
        "served one that was not rolled back.",
    )
    services: Services = Field(description="See `services.*`.")
    labels: Labels | None = Field(default=None, description="See `labels.*`. Rules of the kind `quality` need it.")
    shadow: ShadowStage = Field(default=ShadowStage(), description="See `shadow.*`.")
    canary: CanaryStage = Field(default=CanaryStage(), description="See `canary.*`.")
    rules: Annotated[tuple[AnyRule, ...], Strict(False)] = Field(
        default=(),
        description="One `[[rules]]` table per rule; see `rules.*`. Where there is none: one of each kind but "
        "`disagreement`, with their defaults, and `quality` where there are `[labels]`.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.training is None) == (self.model is None):
            raise ValueError(
                "'model' and [training] both name the model; take 'model' out"
                if self.model
                else "neither [training] nor 'model' is given; expected one of them"
            )
        if names_a_scheme(self.models) and not is_stored(self.models):
            raise ValueError(f"models is {self.models!r}; expected a directory, or {FORMS}")
        if self.labels is None and any(rule.kind == "quality" for rule in self.rules):
            raise ValueError("a rule of the kind 'quality' needs [labels]: the directories of both logs")
        if self.labels is None and self.training is not None and self.training.rows == "logs":
            raise ValueError("training.rows is 'logs', which needs [labels]: the directories of both logs")
        if self.rules and not self.canary.minutes and not any(isinstance(rule, CANARY_RULES) for rule in self.rules):
            raise ValueError(
                "no rule is about the canary, whose steps would all be over at once; add one of the kind 'errors', "
                "'latency', 'prediction_drift' or 'quality', or set canary.minutes"
            )
        names = [rule.name or rule.kind for rule in self.rules]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two rules are named '{twice}'; give each a 'name' of its own")
        return self

    def in_force(self) -> tuple[AnyRule, ...]:
        """Return the rules with their names."""
        given: tuple[AnyRule, ...] = self.rules or (
            GateDriftRule(kind="gate_drift"),
            ErrorRule(kind="errors"),
            LatencyRule(kind="latency"),
            PredictionDriftRule(kind="prediction_drift"),
            *([QualityRule(kind="quality")] if self.labels is not None else []),
        )
        return tuple(rule.model_copy(update={"name": rule.name or rule.kind}) for rule in given)


def read_config(path: Path, overrides: Sequence[str], environ: Mapping[str, str]) -> LoopConfig:
    """Read and check a TOML file.

    Args:
        path: of the file.
        overrides: "key=value" with a dotted key, the value as in TOML.
        environ: of the process, whose directories count where the file names none.

    Raises:
        LoopError: one sentence that names the file and the key.
    """
    given = {key: environ[name] for key, name in DIRECTORIES.items() if environ.get(name)}
    return read_checked(path, overrides, LoopConfig, LoopError, lambda values: given | values)
