"""Replicas of the service, read by their public calls; what is told is summed over them."""

import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from loop.config import Services
from loop.errors import LoopError
from loop.figures import Drift, Requests, Shadowed, TaskDifference
from loop.state import Held
from service.system.redirects import NoRedirect

MATCHES = ("none", "partly", "too_few_rows", "good")
"""Matches of experts, the worst first: of several replicas the worst counts."""
_EXPERTS_COMPARED = 50


class Unreachable(Exception):
    """Call that a replica did not answer, or could not."""


class NotThere(Exception):
    """Call whose model, version or figures a replica does not have."""


class Told(NamedTuple):
    """Figures of one look.

    Attributes:
        requests: by replica and version, since it started.
        drift: by version and window; None without a baseline.
        shadow: over all replicas; None where nothing is compared.
    """

    requests: Mapping[str, Mapping[int, Requests]]
    drift: Mapping[int, Mapping[str, Drift | None]]
    shadow: Shadowed | None


class Replicas:
    """Replicas of one model.

    Args:
        services: their addresses, and how they are called.
        model: by name.
    """

    def __init__(self, services: Services, model: str) -> None:
        self._services, self._model = services, model
        self._key = os.environ.get(services.key_variable, "")
        # Proxies of the environment are not for machines beside this one.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)

    def states(self) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
        """Ask every replica for the model's state.

        Returns:
            States by address, without a "version" where the model is not there yet; and why others
            do not answer.
        """
        found: dict[str, Mapping[str, Any]] = {}
        silent: dict[str, str] = {}
        for url in self._addresses(silent):
            try:
                found[url] = self._get(url, f"/v1/models/{self._model}")
            except NotThere:
                found[url] = {}
            except Unreachable as error:
                silent[url] = str(error)
        return found, silent

    def told(self, urls: Iterable[str], pair: tuple[int, int], windows: Iterable[str], shadow: bool) -> Told:
        """Read the figures of some replicas; one that stops answering meanwhile is left out.

        Args:
            urls: of replicas that answer.
            pair: served version and candidate.
            windows: for which drift is read.
            shadow: whether a comparison is under way.
        """
        requests: dict[str, Mapping[int, Requests]] = {}
        drifts: dict[tuple[int, str], list[Drift]] = {}
        comparisons = []
        of = [(version, window) for version in pair for window in windows]
        for url in urls:
            try:
                counts = self._requests(url)
                seen = {each: self._drift(url, *each) for each in of}
                compared = self._shadow(url) if shadow else None
            except Unreachable:
                continue
            requests[url] = counts
            for each, drift in seen.items():
                drifts.setdefault(each, []).extend([drift] if drift is not None else [])
            if compared is not None and (compared["version"], compared["shadow"]) == pair:
                comparisons.append(compared)
        drift_of: dict[int, dict[str, Drift | None]] = {}
        for version, window in of:
            drift_of.setdefault(version, {})[window] = pooled(drifts.get((version, window), []))
        return Told(requests, drift_of, together(comparisons) if comparisons else None)

    def _requests(self, url: str) -> dict[int, Requests]:
        try:
            answer = self._get(url, f"/v2/models/{self._model}/stats")
        except NotThere as error:
            raise LoopError(f"{url} tells no statistics: {error}") from None
        return {int(entry["version"]): requests_of(entry) for entry in answer["model_stats"]}

    def _drift(self, url: str, version: int, window: str) -> Drift | None:
        try:
            return drift_of(self._get(url, f"/v1/models/{self._model}/versions/{version}/drift?window={window}"))
        except NotThere:
            return None

    def _shadow(self, url: str) -> Mapping[str, Any]:
        try:
            return self._get(url, f"/v1/models/{self._model}/shadow", admin=True)
        except NotThere as error:
            hint = "set services.operation_port where admin calls have a port of their own"
            raise LoopError(f"{url} tells nothing of shadows: {error}; {hint}") from None

    def _get(self, url: str, path: str, admin: bool = False) -> Mapping[str, Any]:
        """Call a replica.

        Raises:
            Unreachable: it does not answer, or with a status of 429 or from 500 on.
            NotThere: status 404.
            LoopError: any other status, such as that of a missing key.
        """
        parts = urlsplit(url)
        port = self._services.operation_port if admin and self._services.operation_port else parts.port
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        asked = f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            request = urllib.request.Request(asked, headers=headers)
            with self._opener.open(request, timeout=self._services.timeout_s) as answer:
                found: Mapping[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                reason = _reason(error)
            if error.code == 404:
                raise NotThere(reason) from None
            if error.code == 429 or error.code >= 500:
                raise Unreachable(f"status {error.code}: {reason}") from None
            hint = f"; set {self._services.key_variable} to a key of the role admin" if error.code in (401, 403) else ""
            raise LoopError(f"{asked} answered {error.code}: {reason}{hint}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(str(getattr(error, "reason", error)) or type(error).__name__) from None

    def _addresses(self, silent: dict[str, str]) -> list[str]:
        """List the replicas: of a name the addresses that it has now."""
        found = []
        for url in self._services.urls:
            parts = urlsplit(url)
            assert parts.hostname is not None  # the configuration was checked
            if parts.scheme == "https":  # certificates are for names
                found.append(url.rstrip("/"))
                continue
            try:
                entries = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
            except OSError as error:
                silent[url] = str(error)
                continue
            hosts = sorted({str(address[0]) for family, *_, address in entries if family == socket.AF_INET})
            hosts = hosts or sorted({f"[{address[0]}]" for *_, address in entries})
            found += [f"http://{host}:{parts.port or 80}" for host in hosts]
        return list(dict.fromkeys(found))


def disagreements(states: Mapping[str, Mapping[str, Any]], wanted: Held) -> list[str]:
    """Say of each replica that does not serve as wanted what it does instead."""
    found = []
    for url, state in states.items():
        if not state:
            found.append(f"{url} has no such model")
            continue
        says = [
            f"{what} {_version(state.get(what))} instead of {_version(asked)}"
            for what, asked in (("canary", wanted.canary), ("shadow", wanted.shadow))
            if _version(state.get(what)) != _version(asked)
        ]
        if wanted.canary and isinstance(told := state.get("canary"), dict) and told.get("share") != wanted.canary.share:
            says.append(f"canary share {told.get('share')} instead of {wanted.canary.share}")
        if wanted.pinned is not None and state.get("version") != wanted.pinned:
            says.append(f"version {state.get('version')} instead of {wanted.pinned}")
        if says:
            note = f" ({state['note']})" if state.get("note") else ""
            found.append(f"{url} has {', '.join(says)}{note}")
    return found


def requests_of(entry: Mapping[str, Any]) -> Requests:
    """Read a version's entry of `GET /v2/models/{name}/stats`."""
    done, failed = (entry["inference_stats"][kind] for kind in ("success", "fail"))
    return Requests(done["count"], done["ns"] / 1e9, failed["count"], entry["inference_count"])


def drift_of(answer: Mapping[str, Any]) -> Drift:
    """Read `GET .../drift`."""
    chance = answer["thresholds"]["chance_taken_off"]
    return Drift(
        answer["effective_rows"],
        {
            output: found["population_stability_index"] - chance * found["population_stability_index_by_chance"]
            for output, found in answer["predictions"].items()
        },
    )


def pooled(drifts: Iterable[Drift]) -> Drift | None:
    """Join the drift of replicas; None where no replica tells any.

    Indices are means weighted by rows, which the index of all rows together is not above.
    """
    found = list(drifts)
    rows = sum(drift.rows for drift in found)
    if not found:
        return None
    outputs = dict.fromkeys(output for drift in found for output in drift.excess)
    weighted = {
        output: sum(drift.rows * drift.excess.get(output, 0.0) for drift in found) / rows if rows else 0.0
        for output in outputs
    }
    return Drift(rows, weighted)


def together(answers: Iterable[Mapping[str, Any]]) -> Shadowed:
    """Join `GET .../shadow` of replicas: sums of rows, means weighted by them, the worst match."""
    found = list(answers)
    rows = float(sum(answer["rows"] for answer in found))
    matches = [answer["expert_match"] for answer in found if answer["rows"] >= _EXPERTS_COMPARED]
    told = [match for match in matches if match is not None]
    match = min(told, key=MATCHES.index) if told else None if matches else "too_few_rows"
    tasks = dict.fromkeys(task for answer in found for task in answer["tasks"])

    def mean(task: str, *path: str) -> float | None:
        total = weight = 0.0
        for answer in found:
            value: Any = answer["tasks"].get(task)
            for key in path:
                value = None if value is None else value[key]
            if value is not None:
                total, weight = total + answer["rows"] * value, weight + answer["rows"]
        return total / weight if weight else None

    differences = {
        task: TaskDifference(mean(task, "disagreement"), mean(task, "gates", "jensen_shannon")) for task in tasks
    }
    return Shadowed(rows, float(sum(answer["failed_rows"] for answer in found)), match, differences)


def _version(told: object) -> object:
    """Return the version of a canary or shadow, told as a number or with its share."""
    if isinstance(told, dict):
        return told.get("version")
    return getattr(told, "version", told)


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        answer = json.load(error)
        return str(answer.get("detail") or answer.get("error") or error.reason)
    except (OSError, ValueError, AttributeError):
        return str(error.reason)
