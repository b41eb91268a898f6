"""Install peers under .venv-peers/: `python -m benchmarks.peers [litserve kserve ...]`.

All of them by default.
"""

import argparse
import subprocess
import sys

from benchmarks.peers import HERE, HOME, READY


def main() -> int:
    """Make an environment per peer and install its pinned requirements."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(READY))
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environments (this one)")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - READY.keys())
    if unknown:
        parser.error(f"no peer is named {', '.join(unknown)}; there are {', '.join(READY)}")
    failed = [name for name in options.names or READY if not install(name, options.python)]
    if failed:
        print(f"not installed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def install(name: str, python: str) -> bool:
    """Install one peer; tell whether that worked."""
    environment = HOME / name
    requirements = HERE / f"{name}.txt"
    commands = (
        [python, "-m", "venv", str(environment)],
        [str(environment / "bin" / "pip"), "install", "-r", str(requirements)],
    )
    return all(subprocess.run(command, check=False).returncode == 0 for command in commands)


if __name__ == "__main__":
    sys.exit(main())
