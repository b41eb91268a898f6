"""Commands of operators: load, unload, roll back, pin, canary and shadow, in all workers.

Each changes the desired state or the serving file, and returns when that is served.
"""

import asyncio

from service.errors import ArtifactError, NotReady, VersionConflict
from service.inference.model import Model
from service.versions import serving_edits as edits
from service.versions.canary import unfit
from service.versions.checks import BeingChecked
from service.versions.choices import SHADOWS, refuse_if_set
from service.versions.reconciler import CHECKED_S, Reconciler
from service.versions.serving_file import Edit
from service.versions.shadow import check_features
from service.versions.states import ModelState

UNLOADABLE = (ArtifactError, OSError, MemoryError, BeingChecked)
"""Why a version cannot be loaded: now, or at all."""


class VersionCommands:
    """Commands about the versions of one process's models.

    Loading and unloading hold until the service restarts, all else for good.

    Args:
        reconciler: of that process.
    """

    def __init__(self, reconciler: Reconciler) -> None:
        self._catalogue, self._reconciler = reconciler.catalogue, reconciler

    async def load(self, name: str) -> None:
        """Look at the disk, load what is new, and this model even if it was unloaded.

        Raises:
            ModelNotFound: no such model.
            ArtifactError: it must not be served, or the directory of models cannot be read.
        """
        await self._reconciler.look()
        await self._reconciler.change(lambda desired: {"unloaded": desired.unloaded - {name}})
        while name in self._catalogue.repository.awaited():
            await asyncio.sleep(CHECKED_S)
            await self._reconciler.reconcile()
        state = self._catalogue.state(name)
        try:
            self._catalogue.repository.get(name)
        except NotReady as error:
            raise ArtifactError(str(error), "Look at the index for the reason") from None
        if state.served not in self._catalogue.on_disk(name):
            reasons = "; ".join(f"version {v.version}: {v.reason}" for v in state.versions if v.reason)
            came = f"no version of model {name!r} on disk can be served ({reasons or 'there is none'})"
            raise ArtifactError(f"Nothing was loaded: {came}; version {state.served} is served on", "Publish another")

    async def unload(self, name: str) -> None:
        """Let go of a model; what is running ends as it began.

        Raises:
            ModelNotFound: no such model.
        """
        await self._state(name)
        await self._reconciler.change(lambda desired: {"unloaded": desired.unloaded | {name}})

    async def rollback(self, name: str, by: str = "") -> int:
        """Serve the version before the one that is served, whatever is published meanwhile.

        While a canary answers, that is the served one alone.

        Args:
            name: of the model.
            by: who asks for it, as for the other commands.

        Returns:
            The version that is served now.

        Raises:
            ModelNotFound: no such model.
            VersionConflict: there is none before, or a setting pins one.
        """
        state = await self._state(name)
        refuse_if_set(self._catalogue.settings, name)
        if state.served is None:
            raise _nothing_served(name)
        now, reasons = self._catalogue.chosen(name).serving, []
        refused = {version.version: version.reason for version in state.versions if version.state == "refused"}
        for number in edits.versions_before(now, state.served, [version.version for version in state.versions]):
            back = edits.roll_back(number, now.pinned)
            reason = refused.get(number) or await self._choose(name, number, back, by)
            if reason is None:
                return number
            reasons.append(f"version {number}: {reason}")
        why = f", as those on disk must not be served: {'; '.join(reasons[:3])}" if reasons else ""
        raise VersionConflict(
            f"There is no version of model {name!r} before {state.served}{why}",
            "Publish one with a lower number, or pin another with POST /v1/models/{name}:pin",
        )

    async def pin(self, name: str, version: int | None, by: str = "") -> None:
        """Serve a version in place of the highest; None serves the highest again.

        Raises:
            ModelNotFound: no such model, or version.
            VersionConflict: the version cannot be loaded, or a setting pins one.
        """
        served = (await self._state(name, version)).served
        refuse_if_set(self._catalogue.settings, name)
        reason = await self._choose(name, version, edits.pin(version, served), by)
        if reason is not None:
            raise VersionConflict(f"Version {version} cannot be served: {reason}", "Pin another")

    async def canary(self, name: str, version: int | None, share: float = 0.0, by: str = "") -> None:
        """Let a version answer a share of the requests that name none; None ends that.

        Raises:
            ModelNotFound: no such model, or version.
            VersionConflict: it cannot be loaded, is served itself, does not answer the same rows
                and tasks, or another one is compared.
        """
        state = await self._state(name, version)
        if version is None:
            await self._reconciler.choose(name, edits.canary(None), by)
            return
        self._refuse_other_shadow(name, version)
        served = self._served_beside(state, version)
        model = await self._preload(name, version)
        reason = unfit((served.version, served.manifest), (version, model.manifest))
        if reason is not None:
            self._catalogue.repository.forget()
            raise VersionConflict(f"Version {version} cannot answer in place of {served.version}: {reason}", "Pin it")
        pinned = None if name in self._catalogue.settings.pinned_versions else served.version
        await self._reconciler.choose(name, edits.canary(version, share, pinned), by)

    async def shadow(self, name: str, version: int | None, share: float | None = None, by: str = "") -> None:
        """Run a version beside the served one and compare them on a share of the runs.

        None ends that.

        Raises:
            ModelNotFound: no such model, or version.
            VersionConflict: it must not be served, is served itself, takes other rows, another one
                is the canary, or a setting says what is compared.
        """
        state = await self._state(name, version)
        refuse_if_set(self._catalogue.settings, name, shadow=True)
        if version is not None:
            served = self._served_beside(state, version)
            manifest = (await self._preload(name, version)).manifest
            try:
                check_features(name, (served.version, served.manifest), (version, manifest))
            except VersionConflict:
                self._catalogue.repository.forget()
                raise
        share = self._catalogue.settings.shadow_share if share is None else share
        await self._reconciler.choose(name, edits.shadow(version, share), by)

    async def _state(self, name: str, version: int | None = None) -> ModelState:
        """Return a model's state once this worker serves what all have been told to.

        Another worker may have changed that a moment ago.

        Raises:
            ModelNotFound: no such model, or version.
        """
        await self._reconciler.reconcile()
        return self._catalogue.state(name, version)

    def _served_beside(self, state: ModelState, version: int) -> Model:
        """Return what is served, beside which a version is to be loaded.

        Raises:
            VersionConflict: nothing is, or it is this version.
        """
        if state.served is None:
            raise _nothing_served(state.name)
        if version == state.served:
            raise VersionConflict(
                f"Version {version} of model {state.name!r} is the one that is served",
                "Pin the version that is to be served, then ask for this one beside it",
            )
        return self._catalogue.repository.get(state.name)

    def _refuse_other_shadow(self, name: str, version: int) -> None:
        by_setting = self._catalogue.settings.shadow_versions.get(name, version)
        if by_setting != version:
            came = f"{SHADOWS} compares version {by_setting} of model {name!r}; a canary has to be the same version"
            raise VersionConflict(came, f"Take the model out of {SHADOWS}, or ask for version {by_setting}")

    async def _preload(self, name: str, version: int) -> Model:
        try:
            return await self._reconciler.preload(name, version)
        except UNLOADABLE as error:
            raise VersionConflict(f"Version {version} cannot be served: {error}", "Choose another") from None

    async def _choose(self, name: str, version: int | None, edit: Edit, by: str) -> str | None:
        """Change what is served if that version can be loaded, else say why not.

        One that is loaded waits for no check.
        """
        needs = None if version is None else (name, version)
        try:
            if version is not None:
                await self._reconciler.preload(name, version)
            await self._reconciler.choose(name, edit, by, needs)
        except UNLOADABLE as error:
            return str(error) or type(error).__name__
        return None


def _nothing_served(name: str) -> VersionConflict:
    return VersionConflict(f"No version of model {name!r} is served", "Look at the index for the reasons")
