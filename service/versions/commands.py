"""Commands of operators: load, unload, roll back, pin and compare versions, in all workers.

Each changes the desired state, and returns when it is served.
"""

import asyncio

from service.errors import ArtifactError, NotReady, VersionConflict
from service.versions.checks import BeingChecked
from service.versions.reconciler import CHECKED_S, Reconciler
from service.versions.shadow import check_features

UNLOADABLE = (ArtifactError, OSError, MemoryError, BeingChecked)
"""Why a version cannot be loaded: now, or at all."""


class VersionCommands:
    """Commands about the versions of one process's models; they hold until the service restarts.

    Args:
        reconciler: of that process.
    """

    def __init__(self, reconciler: Reconciler) -> None:
        self._catalogue, self._reconciler = reconciler.catalogue, reconciler

    async def load(self, name: str) -> None:
        """Look at the disk, load what is new, and this model even if it was unloaded.

        Raises:
            ModelNotFound: there is no such model.
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
            ModelNotFound: there is no such model.
        """
        self._catalogue.state(name)
        await self._reconciler.change(lambda desired: {"unloaded": desired.unloaded | {name}})

    async def rollback(self, name: str) -> int:
        """Pin the version before the one that is served, the next lower one that can be served.

        Return it.

        Raises:
            ModelNotFound: there is no such model.
            VersionConflict: there is none before.
        """
        state = self._catalogue.state(name)
        if state.served is None:
            raise VersionConflict(f"No version of model {name!r} is served", "Look at the index for the reasons")
        reasons = []
        for version in (version for version in state.versions if version.version < state.served):
            reason = version.reason if version.state == "refused" else await self._pin(name, version.version)
            if reason is None:
                return version.version
            reasons.append(f"version {version.version}: {reason}")
        why = f", as those on disk must not be served: {'; '.join(reasons[:3])}" if reasons else ""
        raise VersionConflict(
            f"There is no version of model {name!r} before {state.served}{why}",
            "Publish one with a lower number, or pin another with POST /v1/models/{name}:pin",
        )

    async def pin(self, name: str, version: int | None) -> None:
        """Serve a version in place of the highest.

        None serves the highest again, or what a setting pins.

        Raises:
            ModelNotFound: there is no such model, or version.
            VersionConflict: the version cannot be loaded.
        """
        self._catalogue.state(name, version)
        if version is None:
            await self._reconciler.change(
                lambda desired: {"pinned": {n: v for n, v in desired.pinned.items() if n != name}}
            )
        elif (reason := await self._pin(name, version)) is not None:
            raise VersionConflict(f"Version {version} cannot be served: {reason}", "Pin another")

    async def shadow(self, name: str, version: int | None, share: float | None = None) -> None:
        """Run a version beside the served one and compare them on a share of the runs.

        None ends that.

        Raises:
            ModelNotFound: there is no such model, or version.
            VersionConflict: it must not be served, is served itself, or takes other rows.
        """
        asked = None
        if version is not None:
            await self._check_shadow(name, version)
            asked = version, self._catalogue.settings.shadow_share if share is None else share
        else:
            self._catalogue.state(name)
        await self._reconciler.change(lambda desired: {"shadows": {**desired.shadows, name: asked}})

    async def _check_shadow(self, name: str, version: int) -> None:
        state = self._catalogue.state(name, version)
        if state.served is None:
            raise VersionConflict(f"No version of model {name!r} is served", "Look at the index for the reasons")
        if version == state.served:
            raise VersionConflict(
                f"Version {version} of model {name!r} is the one that is served",
                "Pin the version that is to be served, then compare this one with it",
            )
        try:
            manifest = (await self._reconciler.preload(name, version)).manifest
        except UNLOADABLE as error:
            raise VersionConflict(f"Version {version} cannot be served: {error}", "Compare another") from None
        served = self._catalogue.repository.get(name)
        try:
            check_features(name, (served.version, served.manifest), (version, manifest))
        except VersionConflict:
            self._catalogue.repository.forget()
            raise

    async def _pin(self, name: str, version: int) -> str | None:
        """Pin a version if it can be loaded, else say why not.

        One that is loaded waits for no check.
        """
        try:
            await self._reconciler.preload(name, version)
            await self._reconciler.change(
                lambda desired: {"pinned": {**desired.pinned, name: version}}, needs=(name, version)
            )
        except UNLOADABLE as error:
            return str(error) or type(error).__name__
        return None
