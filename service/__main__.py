"""`python -m service`: read the settings, then serve with one process, or launch several."""

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.run_directory import RunDirectory
    from service.settings import Settings

USAGE = """Usage: python -m service [--help | --check-settings]

Serve the models of a directory or an object store over HTTP, or check settings and keys and end. All settings are
environment variables:

{settings}
"""


ENDING = (signal.SIGTERM, signal.SIGINT)


def main(arguments: list[str]) -> int:
    """Run the service.

    Return its exit status: 0 after a signal, 1 if it cannot serve, 2 for a wrong setting.
    """
    _leave_at_once(None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return _serve(arguments)
    finally:
        for number in ENDING:  # the end has begun: one more must not change the exit status
            signal.signal(number, signal.SIG_IGN)


def _leave_at_once(directory: "RunDirectory | None") -> None:
    """End at a signal while there is nothing to drain yet.

    An exception from a signal would do worse: in the middle of an import it is lost, or crashes a
    library half made.
    """

    def leave(number: int, frame: object) -> None:
        try:
            if directory is not None:
                directory.close()
        finally:
            os._exit(0)

    for number in ENDING:
        signal.signal(number, leave)


def _serve(arguments: list[str]) -> int:
    # Read once, at the first import: parallelism here is by request and by process.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines have neither the form of the log nor its words
    from service.errors import ServiceError, SettingsError
    from service.settings import help_text

    if arguments in (["--help"], ["-h"]):
        print(USAGE.format(settings=help_text()), end="")
        return 0
    if arguments and arguments != ["--check-settings"] and arguments[0] not in ("--worker", "--mirror"):
        print(f"python -m service takes no {arguments[0]!r}; see --help.", file=sys.stderr)
        return 2
    try:
        if arguments[:1] == ["--mirror"]:
            return _mirror(arguments[1])
        return _check_settings() if arguments == ["--check-settings"] else _run(arguments[1:])
    except ServiceError as error:
        _say_why_not(error)
        return 2 if isinstance(error, SettingsError) else 1


def _say_why_not(error: Exception) -> None:
    """Report why the service does not start.

    A line of the log where that is JSON, else the sentence alone.
    """
    import logging

    from service.logs.log import configure, is_json, log_event

    form = os.environ.get("MMOE_LOG_FORMAT") or "auto"  # the settings may be what is wrong
    if is_json(form, sys.stderr):
        configure("json", "info")
        log_event(logging.getLogger("service"), logging.CRITICAL, "not_started", "%s", error)
    else:
        print(error, file=sys.stderr)


def _check_settings() -> int:
    from service.grpc.extra import wants_grpc
    from service.keys import check_guarded
    from service.logs.traces import wants_traces
    from service.settings import read_settings, unknown_variables
    from service.workers.mirror import wants_store

    settings = read_settings(os.environ)
    check_guarded(settings)
    wants_traces(settings, os.environ)
    wants_grpc(settings)
    wants_store(settings)
    for sentence in unknown_variables(os.environ):
        print(sentence, file=sys.stderr)
    print("The settings can be served with.")
    return 0


def _run(worker: list[str]) -> int:
    import logging

    from service.logs.log import configure, log_event
    from service.settings import read_settings, unknown_variables

    settings = read_settings(os.environ)
    configure(settings.log_format, settings.log_level, _place(settings, worker))
    if worker:
        from service.workers.worker import run_launched

        run_launched(settings, worker)
        return 0
    from service.keys import check_guarded

    if settings.models_store is None:  # else its mirror finds out first
        check_guarded(settings)  # before anything else is logged, and once instead of by every worker
    for sentence in unknown_variables(os.environ):
        log_event(logging.getLogger("service"), logging.WARNING, "unknown_setting", "%s", sentence)
    from service.grpc.extra import wants_grpc
    from service.logs.traces import wants_traces
    from service.run_directory import RunDirectory
    from service.system.cores import usable_cores
    from service.workers.launcher import launch
    from service.workers.mirror import mirrored, wants_store

    wants_traces(settings, os.environ)
    wants_grpc(settings)
    wants_store(settings)
    workers = settings.workers or usable_cores()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # one in between would leave the directory behind
    with RunDirectory.create(workers, settings.run_dir) as directory:
        _leave_at_once(directory)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        with mirrored(settings, directory):
            if settings.models_store is not None:
                check_guarded(settings)
            if workers > 1:
                return launch(settings, workers, directory)
            from service.workers.worker import run_alone

            run_alone(settings, directory)
            return 0


def _mirror(run_directory: str) -> int:
    from pathlib import Path

    from service.logs.log import configure
    from service.settings import read_settings
    from service.workers.mirror import run_mirror

    settings = read_settings(os.environ)
    configure(settings.log_format, settings.log_level)
    run_mirror(settings, Path(run_directory))
    return 0


def _place(settings: "Settings", worker: list[str]) -> int | None:
    """Return the place of this process among the workers; None for a launcher."""
    if worker:
        return int(worker[0])
    return 0 if settings.workers == 1 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
