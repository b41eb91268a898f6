"""Settings from environment variables named MMOE_*: a field each, with range and sentence."""

import difflib
import hashlib
import re
import textwrap
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from service.errors import SettingsError
from stores.address import FORMS, is_stored, names_a_scheme, parse
from stores.errors import StoreError

_HOST = re.compile(r"(\*\.)?[a-z0-9._-]+|[0-9a-f:.]+")
PREFIX = "MMOE_"
MOST_SEGMENT_FEATURES = 4
"""Features of a model by which its traffic is told apart."""
OFFLINE_VARIABLES = frozenset({"MMOE_DATA"})
"""Variables of the offline half, which are not settings of the service."""


def _split_pairs(value: object, form: str) -> object:
    """Turn "census=3,demo=1" into {"census": "3", "demo": "1"}.

    Leave anything but text as it is.

    Raises:
        ValueError: a part is not of this form.
    """
    if not isinstance(value, str):
        return value
    pairs: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in value.split(","))):
        name, _, values = (part.strip() for part in pair.partition("="))
        if not (name and values.strip("+ ")):
            raise ValueError(f"{form}; {pair!r} is not")
        pairs[name] = values
    return pairs


def _split_pins(value: object) -> object:
    return _split_pairs(value, "name=version pairs with commas between them, such as census=3,demo=1")


def _split_tasks(value: object) -> object:
    """Turn "census=income+never_married" into {"census": {"income", "never_married"}}.

    Leave anything but text as it is.
    """
    pairs = _split_pairs(value, "name=task+task with commas between, such as census=income+never_married")
    if not isinstance(value, str) or not isinstance(pairs, dict):
        return value
    return {name: frozenset(filter(None, map(str.strip, tasks.split("+")))) for name, tasks in pairs.items()}


def _split_segments(value: object) -> object:
    """Turn "census=education+sex" into {"census": ("education", "sex")}.

    Leave anything but text as it is.
    """
    pairs = _split_pairs(value, "name=feature+feature with commas between, such as census=education+sex")
    if not isinstance(value, str) or not isinstance(pairs, dict):
        return value
    found = {name: tuple(filter(None, map(str.strip, features.split("+")))) for name, features in pairs.items()}
    for name, features in found.items():
        if len(features) > MOST_SEGMENT_FEATURES:
            raise ValueError(f"at most {MOST_SEGMENT_FEATURES} features of a model; {name!r} has {len(features)}")
    return found


def _directory_or_store(value: object) -> object:
    """Turn a text into a path, unless it is the address of an object store.

    Leave anything but text as it is.

    Raises:
        ValueError: it is the address of something else, or names no bucket.
    """
    if not isinstance(value, str):
        return value
    if not names_a_scheme(value):
        return Path(value)
    if not is_stored(value):
        raise ValueError(f"a directory, or {FORMS}")
    try:
        parse(value)
    except StoreError as error:
        raise ValueError(f"an address: {error}") from None
    return value.rstrip("/")


def _split_hosts(value: object) -> object:
    """Turn "models.example.com,*.internal" into a set of names in lower case.

    Leave anything but text as it is.
    """
    if not isinstance(value, str):
        return value
    hosts = {part.strip().strip("[]").lower().removesuffix(".") for part in value.split(",")} - {""}
    for host in hosts:
        if host != "*" and not _HOST.fullmatch(host):
            raise ValueError(
                f"names or addresses without a port and with commas between, such as models.example.com,*.internal, or "
                f"* for any; {host!r} is not"
            )
    return frozenset(hosts)


def _as_address(value: object) -> object:
    """Check an address of HTTP, and leave anything but text as it is.

    Raises:
        ValueError: it is another kind of address, or has more than a host, a port and a path.
    """
    if not isinstance(value, str):
        return value
    try:
        parts = urllib.parse.urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or not value.isprintable() or " " in value:
        raise ValueError("an address such as http://prometheus:9090, without a password, a query or a fragment")
    return value


Text = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
Bytes = Annotated[int, Field(ge=1024)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Pause = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
"""In seconds; may be 0."""
Timeout = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
"""In seconds."""
Pins = Annotated[dict[str, Positive], BeforeValidator(_split_pins)]


class Settings(BaseModel):
    """Settings of the service, validated; built by `read_settings`, or directly in tests."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)

    models: Annotated[Path | str, BeforeValidator(_directory_or_store)] = Path("models")
    """Directory of the models, <name>/<version>/model.onnx, or the folder of an object store that
    holds them: s3://bucket/folder, gs://bucket/folder or az://account/container/folder. The second
    needs the extra stores."""
    models_cache: Path = Path("models-cache")
    """Directory for copies of the models of an object store, which a restart serves if the store
    cannot be read then; one for each instance."""
    models_cache_bytes: int = Field(default=10 << 30, ge=1 << 20)
    """Most bytes of these copies; the versions that were not served for longest make room, never
    one that is served."""
    host: Text = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's."""
    port: Port = 8000
    """Port to listen on; 0 takes a free one and prints it."""
    workers: int = Field(default=1, ge=0, le=512)
    """Worker processes; 0 for one per core this process may use."""
    default_model: Text | None = None
    """Model of the short calls such as /v1/predict; unset: the only one there is."""
    pinned_versions: Pins = Field(default_factory=dict)
    """Versions to serve instead of the highest, as name=version with commas between:
    census=3,demo=1. They win over serving.json and calls."""
    loaded_versions: int = Field(default=1, ge=1, le=100)
    """Number of a model's highest valid versions to keep loaded, for calls by version."""
    pinned_tasks: Annotated[dict[str, frozenset[str]], BeforeValidator(_split_tasks)] = Field(default_factory=dict)
    """Tasks that a model's versions must have, these and no others, as name=task+task with commas
    between models: census=income+never_married. Another version is refused."""
    serving_directory: Path | None = None
    """Directory of the files that say what is served, <name>/serving.json, which calls and
    scripts.promote write; unset: beside the models. For models that cannot be written."""
    shadow_versions: Pins = Field(default_factory=dict)
    """Versions to run beside the served ones and to compare with them, as name=version with commas
    between: census=4. They are not served themselves."""
    shadow_share: Share = 0.1
    """Share of the runs to compare with a shadow version."""
    poll_interval_s: float = Field(default=5.0, ge=0, le=86_400, allow_inf_nan=False)
    """Time between two looks for new, changed and removed versions, in seconds; 0 looks only when
    told to, by SIGHUP or a load call."""
    check_timeout_s: Timeout = 30.0
    """Processor time that checking a model file may take before the file is refused, in
    seconds."""
    model_memory_bytes: int = Field(default=2 << 30, ge=64 << 20)
    """Most memory that loading and warming a model version may take, as its check measures it; one
    that takes more is refused."""
    max_rows: Positive = 10_000
    """Most rows of one request."""
    max_body_bytes: Bytes = 16 << 20
    """Most bytes of a request body, as it is sent."""
    max_inflated_bytes: Bytes = 16 << 20
    """Most bytes of a compressed body when inflated."""
    max_buffered_bytes: Bytes = 128 << 20
    """Most bytes of request bodies that a worker holds at a time, from the heads of the requests
    to their answers; a request beyond is refused (429)."""
    max_queue_rows: Positive = 20_000
    """Most rows that may wait; a request beyond is refused (429)."""
    max_batch_rows: Positive = 256
    """Most rows to join into one run; a larger request runs alone."""
    max_wait_us: int = Field(default=0, ge=0, le=1_000_000)
    """Longest wait for more rows to join a run, in microseconds; 0 never waits."""
    inline_rows: int = Field(default=1024, ge=0)
    """Runs of at most this many rows stay on the event loop; larger ones go to a thread."""
    run_threads: int = Field(default=1, ge=1, le=64)
    """Threads of a worker for large runs."""
    request_timeout_s: Timeout = 10.0
    """Time a request may take before it is given up (504), in seconds."""
    client_timeout_s: Timeout = 10.0
    """Time a client may take to send a request's head, to send its body, and to take more of an
    answer, in seconds; then it is cut off (408)."""
    keep_alive_s: int = Field(default=75, ge=1, le=3600)
    """Time that an idle connection stays open, in seconds; longer than the proxy's in front."""
    drain_delay_s: Pause = 0.0
    """Time to serve on, not ready, after SIGTERM, in seconds."""
    drain_timeout_s: Pause = 20.0
    """Time that requests in flight may take to end after that, in seconds."""
    worker_timeout_s: Pause = 10.0
    """Time that one of several workers may stand still before it is killed and replaced, in
    seconds; 0 waits for ever."""
    worker_load_timeout_s: float = Field(default=120.0, gt=0, le=86_400, allow_inf_nan=False)
    """The same while it starts or loads a model, which may hold it up, in seconds."""
    operation_port: Port | None = None
    """Second port, for probes, metrics and admin calls; the last two are then answered there
    alone. Unset: all on one port; 0 takes a free one and prints it."""
    operation_host: Text | None = None
    """Address of the second port; unset: the same as MMOE_HOST."""
    grpc_port: Port | None = None
    """Port of the Open Inference Protocol's gRPC service, on the address of MMOE_HOST; needs the
    extra grpc. Unset: there is none; 0 takes a free one and prints it."""
    grpc_tls_cert: Path | None = None
    """File of the certificate, and of those between it and its authority, for TLS on that port, in
    PEM; unset: no TLS there. Changes count from the next connection on."""
    grpc_tls_key: Path | None = None
    """File of its key, in PEM."""
    grpc_tls_client_ca: Path | None = None
    """File of the authority, in PEM, of whose certificates gRPC clients need one; unset: they need
    none."""
    keys_file: Path | None = None
    """File of API keys, in lines that `python -m service.keys new` prints; unset: calls need no
    key."""
    require_keys: bool = False
    """Whether not to start without a file of keys. A file named require-keys in the directory of
    models says the same to every service on these models."""
    allowed_hosts: Annotated[frozenset[str] | None, BeforeValidator(_split_hosts)] = None
    """Names by which callers may address the service (the header Host), with commas between:
    models.example.com,*.internal; * for any. Loopback names always pass, and any address where
    MMOE_HOST is more than loopback. Unset: no other name where MMOE_HOST is a loopback address,
    which keeps out pages that let their name point here; else any."""
    local_admin: bool = False
    """Whether, without a file of keys, callers on this machine may load, unload and roll back
    models. Not behind a proxy on the same machine: everybody comes from there then."""
    telemetry: bool = True
    """Whether to keep statistics of live traffic and metrics; without them both calls answer
    404."""
    segments: Annotated[dict[str, tuple[Text, ...]], BeforeValidator(_split_segments)] = Field(default_factory=dict)
    """Features by whose values a model's live gates and predictions are told apart, as
    name=feature+feature with commas between models: census=education+sex. At most four of a model:
    numbers, categories or moments."""
    prometheus_url: Annotated[str | None, BeforeValidator(_as_address)] = None
    """Address of a Prometheus that scrapes every instance, such as http://prometheus:9090; the
    dashboard's figures over all instances are asked of it. Unset: it has those of the instance
    that answers."""
    run_dir: Path | None = None
    """Directory under which the workers share memory, in one made at each start; unset: the first
    with room of $RUNTIME_DIRECTORY, /dev/shm unless a logout clears it, and the directory for
    temporary files."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level to log."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """Form of the log on stderr, a line per event; auto is text on a terminal and JSON
    elsewhere."""
    log_requests: Literal["off", "errors", "all"] = "errors"
    """Answers to log: those with a status from 400 on, all, or none. It never logs what was
    sent."""
    traces: Literal["auto", "on", "off"] = "auto"
    """Whether to send spans by OpenTelemetry, which is an extra; auto where its own variables,
    such as OTEL_EXPORTER_OTLP_ENDPOINT, name a collector."""
    prediction_log: Path | None = None
    """Directory of the prediction log, a JSON line for each row answered; unset: there is none."""
    prediction_log_share: Share = 1.0
    """Share of the requests whose rows are recorded, chosen by the request's id."""
    prediction_log_features: bool = False
    """Whether the prediction log may hold the values of the features."""
    prediction_log_file_bytes: int = Field(default=64 << 20, ge=1 << 16)
    """Most bytes of a file of the prediction log."""
    prediction_log_files: int = Field(default=8, ge=2, le=100_000)
    """Files that each worker keeps of it; older ones are deleted."""
    label_log: Path | None = None
    """Directory of the label log, which keeps the labels that callers report later; unset: they
    cannot."""
    label_log_file_bytes: int = Field(default=64 << 20, ge=1 << 16)
    """Most bytes of a file of the label log."""
    label_log_files: int = Field(default=8, ge=2, le=100_000)
    """Files that each worker keeps of it; older ones are deleted."""
    quality: Path | None = None
    """Directory that scripts.evaluate writes to, of what it found by labels; unset: the service
    does not tell of it."""
    log_days: float = Field(default=0, ge=0, le=36_500, allow_inf_nan=False)
    """Days after which files of the prediction log and of the label log are deleted; 0: when there
    are too many alone."""

    @property
    def models_directory(self) -> Path:
        """Return the directory that models are loaded from: for a store, that of the copies."""
        if isinstance(self.models, Path):
            return self.models
        words = re.sub(r"[^A-Za-z0-9.]+", "-", self.models)
        return self.models_cache / f"{words[:80]}-{hashlib.sha256(self.models.encode()).hexdigest()[:8]}"

    @property
    def models_store(self) -> str | None:
        """Return the address of the store that holds the models, if one does."""
        return self.models if isinstance(self.models, str) else None

    @field_validator("grpc_tls_key")
    @classmethod
    def _belongs_to_a_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) is not (info.data.get("grpc_tls_cert") is None):
            raise ValueError("a file where MMOE_GRPC_TLS_CERT names one, and only there")
        return key

    @field_validator("grpc_tls_client_ca")
    @classmethod
    def _checks_clients_of_tls(cls, authority: Path | None, info: ValidationInfo) -> Path | None:
        if authority is not None and info.data.get("grpc_tls_cert") is None:
            raise ValueError("none without MMOE_GRPC_TLS_CERT: only TLS asks for certificates")
        return authority

    @field_validator("max_queue_rows")
    @classmethod
    def _holds_a_request(cls, rows: int, info: ValidationInfo) -> int:
        if rows < (most := info.data.get("max_rows", rows)):
            raise ValueError(f"at least max_rows, {most}: a larger request could never wait")
        return rows

    @field_validator("max_buffered_bytes")
    @classmethod
    def _holds_a_body(cls, size: int, info: ValidationInfo) -> int:
        largest = max(info.data.get(field, 0) for field in ("max_body_bytes", "max_inflated_bytes"))
        if size < largest:
            raise ValueError(
                f"at least max_body_bytes and max_inflated_bytes, {largest}: a larger body could never come"
            )
        return size


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from the environment; an empty variable counts as unset.

    Raises:
        SettingsError: a value that does not parse or is out of its range; the sentence names the
            variable.
    """
    given = {field: environ[variable(field)] for field in Settings.model_fields if environ.get(variable(field))}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        raise SettingsError(variable(field), given.get(field, "unset"), _expectation(field, first)) from None


def variable(field: str) -> str:
    """Return the environment variable of a field: "max_rows" is MMOE_MAX_ROWS."""
    return PREFIX + field.upper()


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Name, in a sentence each, MMOE_* variables that are not settings, and what was meant.

    They are not errors: an orchestrator may set variables of its own with the same beginning.
    """
    known = [variable(field) for field in Settings.model_fields]
    strangers = sorted(v for v in environ if v.startswith(PREFIX) and v not in known and v not in OFFLINE_VARIABLES)
    return [f"{stranger} is not a setting and is ignored{_suggestion(stranger, known)}" for stranger in strangers]


def help_text() -> str:
    """Describe every setting with its default, for `python -m service --help`."""
    blocks = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = f"default {default}" if default not in (None, {}) else "unset by default"
        sentence = f"{_description(name)} ({shown})"
        blocks.append(f"  {variable(name)}\n{textwrap.indent(textwrap.fill(sentence, 94), ' ' * 6)}")
    return "\n".join(blocks)


def _suggestion(stranger: str, known: list[str]) -> str:
    close = difflib.get_close_matches(stranger, known, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else "."


def _expectation(field: str, error: ErrorDetails) -> str:
    """Describe what the field takes, from pydantic's finding."""
    limits = error.get("ctx", {})
    phrases = {
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_parsing": "a number",
        "finite_number": "a finite number",
        "greater_than": "more than {gt:g}",
        "greater_than_equal": "at least {ge:g}",
        "less_than_equal": "at most {le:g}",
        "bool_parsing": "true or false",
        "literal_error": "{expected}",
        "value_error": "{error}",
    }
    phrase = phrases.get(error["type"], "").format(**limits) or error["msg"]
    # Kubernetes sets MMOE_PORT=tcp://... in every pod beside a Service called "mmoe".
    hint = (
        " (enableServiceLinks: false keeps Kubernetes from setting it)"
        if str(error["input"]).startswith("tcp:")
        else ""
    )
    return f"{phrase}{hint}. {_description(field)}"


def _description(field: str) -> str:
    return " ".join((Settings.model_fields[field].description or "").split())
