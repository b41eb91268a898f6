"""Choices of operators: serving files and settings together, of which settings win."""

import logging

from service.errors import VersionConflict
from service.settings import Settings
from service.versions.desired_state import DesiredState
from service.versions.serving_files import NOT_READ, Followed
from service.versions.states import Candidate, Remark, Wanted

PINS, SHADOWS = "MMOE_PINNED_VERSIONS", "MMOE_SHADOW_VERSIONS"


def wanted(settings: Settings, desired: DesiredState) -> Wanted:
    """Return what is wanted of the models that have a setting or a serving file."""
    names = {*desired.serving, *settings.pinned_versions, *settings.shadow_versions}
    chosen = {name: _Choice(settings, name, desired.serving.get(name, NOT_READ)) for name in sorted(names)}
    return Wanted(
        desired.unloaded,
        {name: choice.pinned for name, choice in chosen.items() if choice.pinned is not None},
        {name: choice.candidate for name, choice in chosen.items() if choice.candidate is not None},
        {name: choice.remarks for name, choice in chosen.items()},
    )


def refuse_if_set(settings: Settings, name: str, shadow: bool = False) -> None:
    """Refuse to change what a setting says.

    Raises:
        VersionConflict: a setting pins the model, or says what is compared.
    """
    versions, variable = (settings.shadow_versions, SHADOWS) if shadow else (settings.pinned_versions, PINS)
    if name in versions:
        verb = "compares" if shadow else "pins"
        came = f"{variable} {verb} version {versions[name]} of model {name!r}, and wins over calls and serving.json"
        raise VersionConflict(came, f"Take the model out of {variable}, then call again")


class _Choice:
    """Choice for one model.

    Attributes:
        pinned: version to serve.
        candidate: version to keep loaded beside it.
        remarks: on both.
    """

    def __init__(self, settings: Settings, name: str, followed: Followed) -> None:
        self._name, self._followed, self._serving = name, followed, followed.serving
        self.remarks: list[Remark] = []
        if followed.problem is not None:
            self._remark(f"{followed.problem.rstrip('.')}; what it said before holds", "serving_file_broken", True)
        self.pinned = self._pin(settings)
        if followed.unsaved is not None:
            text = f"{followed.unsaved}: what calls have changed is lost when the service restarts"
            self._remark(text, "serving_file_unsaved")
        self.candidate = self._candidate(settings)

    def _pin(self, settings: Settings) -> int | None:
        by_setting, by_file = settings.pinned_versions.get(self._name), self._serving.pinned
        if by_setting is not None:
            if by_file not in (None, by_setting):
                text = f"{PINS} pins version {by_setting}, and wins over version {by_file} in serving.json"
                self._remark(text, "pin_overruled")
        elif by_file is not None:
            since = f", at {self._serving.time_utc} UTC" if self._serving.time_utc else ""
            by = f" by {self._serving.by}" if self._serving.by else ""
            why = f" ({self._serving.reason})" if self._serving.reason else ""
            end = f'POST /v1/models/{self._name}:pin with {{"version": null}} ends that'
            self.remarks.append(Remark(f"version {by_file} is pinned{since}{by}{why}; {end}", "pinned", logging.INFO))
        return by_file if by_setting is None else by_setting

    def _candidate(self, settings: Settings) -> Candidate | None:
        canary, shadow = self._serving.canary, self._serving.shadow
        beside = None if shadow is None else (shadow.version, shadow.share)
        by_setting = settings.shadow_versions.get(self._name)
        if by_setting is not None:
            beside = by_setting, settings.shadow_share
            if shadow is not None and shadow.version != by_setting:
                text = f"{SHADOWS} compares version {by_setting}, and wins over version {shadow.version}"
                self._remark(f"{text} in serving.json", "shadow_overruled")
        if canary is None:
            return None if beside is None else Candidate(beside[0], shadow=beside[1])
        if beside is not None and beside[0] != canary.version:
            text = f"version {beside[0]} is not compared while version {canary.version} is the canary"
            self._remark(text, "shadow_overruled")
            beside = None
        return Candidate(canary.version, canary.share, beside[1] if beside is not None else None)

    def _remark(self, text: str, event: str, is_error: bool = False) -> None:
        self.remarks.append(Remark(text, event, logging.ERROR if is_error else logging.WARNING))
