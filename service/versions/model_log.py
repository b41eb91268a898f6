"""Log of how models and their versions change."""

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.logs.log import log_event
from service.versions.states import Canary, ModelState, Remark

_NONE: Mapping[tuple[str, int], str] = MappingProxyType({})

log = logging.getLogger("service.models")


class ModelLog:
    """Log of how models change from one commit to the next."""

    def __init__(self) -> None:
        self._loaded: set[tuple[str, int]] = set()
        self._reasons: dict[tuple[str, int], str] = {}
        self._served: dict[str, int] = {}
        self._delayed: dict[tuple[str, int], str] = {}
        self._remarks: set[tuple[str, Remark]] = set()
        self._canaries: dict[str, Canary] = {}

    def tell(self, models: Sequence[ModelState], delayed: Mapping[tuple[str, int], str] = _NONE) -> None:
        """Log what is new since the last call.

        Args:
            models: as they are now.
            delayed: why versions could not be loaded that will be tried again, by name and number.
        """
        versions = {(model.name, v.version): v for model in models for v in model.versions}
        loaded = {key for key, version in versions.items() if version.state == "loaded"}
        reasons = {key: v.reason for key, v in versions.items() if v.reason and v.state != "available"}
        for name, version in sorted(loaded - self._loaded):
            _log(logging.INFO, "model_loaded", "Loaded %s %d", name, version)
        for (name, version), reason in reasons.items():
            if self._reasons.get((name, version)) != reason:
                sentence = "%s %d is not served: %s"
                if (name, version) in loaded:
                    sentence = "A new file of %s %d is not served, the one before is: %s"
                _log(logging.ERROR, "model_refused", sentence, name, version, reason)
        for (name, version), reason in delayed.items():
            if self._delayed.get((name, version)) != reason:
                sentence = "%s %d could not be loaded, and is tried again: %s"
                _log(logging.WARNING, "model_delayed", sentence, name, version, reason)
        told = {**self._delayed, **delayed}
        self._delayed = {key: reason for key, reason in told.items() if key in versions and key not in loaded}
        served = {model.name: model.served for model in models if model.served is not None}
        for name, version in served.items():
            before = self._served.get(name)
            if before not in (None, version):
                _log(logging.INFO, "model_swapped", "%s is served in version %d, before in %d", name, version, before)
        for name, version in sorted(self._loaded - loaded):
            _log(logging.INFO, "model_unloaded", "Unloaded %s %d", name, version)
        self._loaded, self._reasons, self._served = loaded, reasons, served
        self._tell_choices(models)

    def _tell_choices(self, models: Sequence[ModelState]) -> None:
        """Log which canaries get requests, and what there is to remark on."""
        now = {model.name: model.canary for model in models if model.canary is not None}
        for name, canary in now.items():
            if self._canaries.get(name) != canary:
                sentence = "%s: version %d answers %g of the requests that name no version"
                fields = {"model": name, "version": canary.version, "share": canary.share}
                log_event(log, logging.INFO, "canary", sentence, name, canary.version, canary.share, **fields)
        for name, canary in self._canaries.items():
            if name not in now:
                sentence = "%s: version %d is the canary no more"
                log_event(log, logging.INFO, "canary_ended", sentence, name, canary.version, model=name,
                          version=canary.version)  # fmt: skip
        remarks = {(model.name, remark) for model in models for remark in model.remarks}
        for name, remark in sorted(remarks - self._remarks):
            if remark.event is not None:
                log_event(log, remark.level, remark.event, "%s: %s", name, remark.text, model=name)
        self._canaries, self._remarks = now, remarks


def _log(level: int, event: str, sentence: str, name: str, version: int, more: object = None) -> None:
    """Log an event of a model version; `more` is the reason, or the version served before."""
    values = (name, version) if more is None else (name, version, more)
    reason, before = (more, None) if isinstance(more, str) else (None, more)
    log_event(log, level, event, sentence, *values, model=name, version=version, reason=reason, before=before)
