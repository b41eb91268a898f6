"""Log of how models and their versions change."""

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.logs.log import log_event
from service.versions.states import ModelState

_NONE: Mapping[tuple[str, int], str] = MappingProxyType({})

log = logging.getLogger("service.models")


class ModelLog:
    """Log of how models change from one commit to the next."""

    def __init__(self) -> None:
        self._loaded: set[tuple[str, int]] = set()
        self._reasons: dict[tuple[str, int], str] = {}
        self._served: dict[str, int] = {}
        self._delayed: dict[tuple[str, int], str] = {}

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


def _log(level: int, event: str, sentence: str, name: str, version: int, more: object = None) -> None:
    """Log an event of a model version; `more` is the reason, or the version served before."""
    values = (name, version) if more is None else (name, version, more)
    reason, before = (more, None) if isinstance(more, str) else (None, more)
    log_event(log, level, event, sentence, *values, model=name, version=version, reason=reason, before=before)
