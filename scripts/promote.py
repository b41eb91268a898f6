"""Say which version of a model is served: python -m scripts.promote models/NAME 3.

It writes the model's serving.json, which every service of these models follows (docs/versions.md).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.command import fail
from service.errors import ServiceError, VersionConflict
from service.versions import serving_edits as edits
from service.versions.disk import look
from service.versions.serving_file import Edit, Serving, ServingFile
from service.versions.store_place import StorePlace, stored_versions
from stores.address import is_stored

BY = "scripts.promote"
HIGHEST = "highest"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns its exit code: 0, 2 for what the user can mend.
    """
    options = parse(arguments)
    models, _, name = options.model.rstrip("/").rpartition("/")
    file = _file(models, name, options.serving_directory)
    try:
        before = file.read()
        versions = _versions(models, name)
        edit = _edit(options, before, versions)
        after = before if edit is None else file.change(edit, BY, options.reason)
    except ServiceError as error:
        return fail(error)
    except OSError as error:
        if is_stored(models):
            return fail(error.strerror or str(error))
        advice = "write beside read-only models with --serving-directory, and set MMOE_SERVING_DIRECTORY to it"
        return fail(f"{file} cannot be written: {error.strerror or error}; {advice}")
    if edit is not None:
        print(f"before: {_describe(before, versions)}")
    print(f"now:    {_describe(after, versions)}")
    if edit is not None:
        print(f"Written to {file}; running services follow within MMOE_POLL_INTERVAL_S (5 s by default).")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.promote", description=__doc__)
    parser.add_argument("model", help="models/NAME, or in an object store s3://bucket/folder/NAME")
    parser.add_argument(
        "version", nargs="?", help=f"to serve, or to be the canary; {HIGHEST}: whatever is; none: only look"
    )
    parser.add_argument(
        "--rollback",
        action="store_true",
        help="serve what was served before: beside a canary, which ends, or else before the pinned one",
    )
    parser.add_argument(
        "--canary", type=float, metavar="SHARE", help="let the version answer this share of the requests; 0 ends that"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="kept in the file")
    parser.add_argument(
        "--serving-directory",
        type=Path,
        default=os.environ.get("MMOE_SERVING_DIRECTORY") or None,
        metavar="DIR",
        help="of serving files that do not lie beside the models (default: MMOE_SERVING_DIRECTORY)",
    )
    options = parser.parse_args(arguments)
    if options.rollback and (options.version is not None or options.canary is not None):
        parser.error("--rollback takes neither a version nor --canary")
    if options.canary is not None and not 0 <= options.canary <= 1:
        parser.error(f"--canary is {options.canary:g}, expected a share from 0 to 1")
    return options


def _edit(options: argparse.Namespace, now: Serving, versions: Sequence[int]) -> Edit | None:
    """Return the edit that is asked for; None where nothing is to be changed."""
    served = _served(now, versions)
    if options.rollback:
        before = edits.versions_before(now, served, versions)
        if not before:
            raise VersionConflict(f"version {served} is the lowest", "Publish one, or name the one to serve")
        return edits.roll_back(before[0], now.pinned)
    if options.canary == 0:
        return edits.canary(None)
    if options.version is None and options.canary is None:
        return None
    if options.version == HIGHEST and options.canary is None:
        return edits.pin(None)
    version = _version(options.version, versions)
    return edits.pin(version, served) if options.canary is None else edits.canary(version, options.canary, served)


def _version(text: str | None, versions: Sequence[int]) -> int:
    if text is None or not text.isdecimal() or int(text) not in versions:
        there = ", ".join(map(str, versions))
        raise VersionConflict(f"the version is {text or 'missing'}", f"Name one that is there: {there}")
    return int(text)


def _file(models: str, name: str, directory: Path | None) -> ServingFile:
    if directory is None and is_stored(models):
        return ServingFile(StorePlace(models, name))
    return ServingFile.of(Path(models), name, directory)


def _versions(models: str, name: str) -> list[int]:
    """List the versions of a model, highest first."""
    versions = stored_versions(models, name) if is_stored(models) else _local_versions(Path(models), name)
    if not versions:
        raise VersionConflict(f"{models}/{name} has no version", "Name a model as models/NAME, with a version in it")
    return versions


def _local_versions(models: Path, name: str) -> list[int]:
    files = look(models).get(name)
    return [] if files is None else [version for version, found in files.versions.items() if found is not None]


def _served(now: Serving, versions: Sequence[int]) -> int:
    """Return what services serve by this file, if nothing else is wrong."""
    candidates = {beside.version for beside in (now.canary, now.shadow) if beside is not None}
    others = [version for version in versions if version not in candidates]
    return now.pinned or max(others or versions)


def _describe(now: Serving, versions: Sequence[int]) -> str:
    served = f"version {_served(now, versions)} is served"
    parts = [f"{served}, pinned" if now.pinned is not None else f"{served}, the highest"]
    if now.canary is not None:
        parts.append(f"version {now.canary.version} answers {now.canary.share:g} of the requests")
    if now.shadow is not None:
        parts.append(f"version {now.shadow.version} is compared on {now.shadow.share:g} of the runs")
    if now.change:
        why = f": {now.reason}" if now.reason else ""
        parts.append(f"since {now.time_utc} UTC by {now.by}{why}")
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
