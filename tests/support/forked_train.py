"""Trainer's `--check` on each file of a directory, in a fork each.

Prints a line of JSON about each.

    python -m tests.support.forked_train CONFIG DIRECTORY

The forks come from a process that has the libraries imported and no thread started yet, so a run
takes milliseconds.
"""

import json
import os
import resource
import sys
from pathlib import Path

CPU_S = 60
"""A run that takes more CPU time is ended by a signal, which is then its status."""


def main() -> None:
    """Run each file; standard output takes the lines."""
    config, directory = sys.argv[1:]
    import model.data.table
    from scripts.train import main as train

    assert model.data.table
    output = Path(directory).parent / "output.txt"
    for path in sorted(Path(directory).iterdir()):
        child = os.fork()
        if child == 0:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            status = 70  # an exception that reached this far
            try:
                status = train([config, "--check", "--set", f"data.path={path}"])
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                if status == 70:
                    sys.excepthook(*sys.exc_info())
                os._exit(status)
        _, status, used = os.wait4(child, 0)
        line = {
            "file": path.name,
            "status": os.waitstatus_to_exitcode(status),
            "output": output.read_text(errors="replace"),
            "kilobytes": used.ru_maxrss,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
