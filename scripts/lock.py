"""Lock files of the images: every package with the hashes of all its files.

Made from the pins in constraints.txt.

    python -m scripts.lock            write deploy/requirements/, and check that both platforms can
    install it python -m scripts.lock --audit    look the pins up in the database of known
    vulnerabilities

torch is named without hashes, since its builds differ by index; the packages of CUDA that it pins
itself come with it. Both commands ask the package index that uv and pip-audit are configured for.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "deploy" / "requirements"
SECTIONS = {
    "service": "the service",
    "grpc": "[grpc]",
    "trainer": "[train]",
    "otel": "[otel]",
    "stores": "[stores]",
    "evaluate": "[evaluate]",
}
"""Lock file by the section of constraints.txt that it holds."""

UNHASHED = frozenset({"torch"})
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
PYTHON = "3.11"
"""Version of the images' Python; the oldest supported, so that newer ones find files too."""

HEADER = "# Made by `make lock` from {source}.\n"


def sections(constraints: str) -> dict[str, list[Requirement]]:
    """Split constraints.txt by its headings, such as "# [train]" above the pins of the trainer."""
    found: dict[str, list[Requirement]] = {}
    heading = ""
    for line in constraints.splitlines():
        if line.startswith("# "):
            heading = line.removeprefix("# ")
        elif line.strip():
            found.setdefault(heading, []).append(Requirement(line))
    return found


def pins_of(lock: str) -> list[Requirement]:
    """Return the pins of a lock file by its name.

    With the markers of pyproject.toml, without those left unhashed.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = (project["dependencies"], *project["optional-dependencies"].values())
    markers = {canonicalize_name(r.name): r.marker for group in groups for r in map(Requirement, group)}
    pins = sections((ROOT / "constraints.txt").read_text())[SECTIONS[lock]]
    for pin in pins:
        pin.marker = markers.get(canonicalize_name(pin.name))
    return [pin for pin in pins if pin.name not in UNHASHED]


def locked(text: str) -> dict[str, set[str]]:
    """Return the hashes of a lock file by pin, as name==version."""
    found: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", text).strip()):
        pin, *hashes = entry.replace("\\\n", " ").split("--hash=")
        found[pin.partition(";")[0].strip()] = {one.strip() for one in hashes}
    return found


def write() -> None:
    """Write the lock files and torch's line."""
    LOCKS.mkdir(exist_ok=True)
    for lock in SECTIONS:
        _uv(
            "compile", "-", "--output-file", str(LOCKS / f"{lock}.txt"), "--no-deps", "--universal",
            "--generate-hashes", "--no-annotate", "--no-header", "--python-version", PYTHON,
            given="\n".join(map(str, pins_of(lock))),
        )  # fmt: skip
        _head(LOCKS / f"{lock}.txt", f"constraints.txt, `# {SECTIONS[lock]}`")
    (torch,) = [pin for pin in sections((ROOT / "constraints.txt").read_text())["[train]"] if pin.name in UNHASHED]
    (LOCKS / "torch.txt").write_text(f"{torch}\n")
    _head(LOCKS / "torch.txt", "constraints.txt; no hashes, as its builds differ by index")


def check() -> None:
    """Resolve the lock files for both platforms with all hashes required, installing nothing."""
    files = [part for lock in SECTIONS for part in ("-r", str(LOCKS / f"{lock}.txt"))]
    for platform in PLATFORMS:
        with tempfile.TemporaryDirectory() as target:
            _uv(
                "install", "--dry-run", "--target", target, "--require-hashes", "--only-binary", ":all:",
                "--python-platform", platform, "--python-version", PYTHON, *files,
            )  # fmt: skip
        print(f"{platform}, Python {PYTHON}: every package has a wheel with a hash")


def audit() -> int:
    """Look every pin up.

    Returns 0 if all were looked up and none is known to be vulnerable.
    """
    pins = [pin for lock in SECTIONS for pin in pins_of(lock)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(map(str, pins)))
        file.flush()
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--strict"]
        run = subprocess.run([sys.executable, "-m", "pip_audit", "-r", file.name, *options], check=False)
    if run.returncode != 0:
        print(
            "The audit has found a vulnerability, or could not look up a package (the lines above say which): "
            "it needs an index, or a service, that has the data of vulnerabilities.",
            file=sys.stderr,
        )
    return run.returncode


def _head(path: Path, source: str) -> None:
    path.write_text(HEADER.format(source=source) + path.read_text())


def _uv(command: str, *arguments: str, given: str | None = None) -> None:
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", command, "--quiet", *arguments], input=given, text=True, check=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser("python -m scripts.lock", description="Lock or audit the packages of the images.")
    parser.add_argument("--audit", action="store_true", help="look for known vulnerabilities instead of locking")
    if parser.parse_args(arguments).audit:
        return audit()
    write()
    check()
    return 0


if __name__ == "__main__":
    sys.exit(main())
