"""Turns of checks: one goes on at a time, beside slow ones."""

import contextlib
import threading
from collections.abc import Callable, Iterator

POLL_S = 0.02


class CheckTurns:
    """Turns of checks: one at a time beside slow ones, model by model, the latest first."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._waiting: dict[str, list[object]] = {}
        self._taken = False

    @contextlib.contextmanager
    def turn(self, name: str, go_on: Callable[[], None]) -> Iterator[Callable[[], None]]:
        """Wait for a turn; gives what passes it on early."""
        self._wait(name, object(), go_on)
        passed_on = False

        def pass_on() -> None:
            nonlocal passed_on
            with self._change:
                if not passed_on:
                    passed_on, self._taken = True, False
                    self._change.notify_all()

        try:
            yield pass_on
        finally:
            pass_on()

    def _wait(self, name: str, own: object, go_on: Callable[[], None]) -> None:
        with self._change:
            self._waiting.setdefault(name, []).append(own)
            try:
                while self._taken or next(iter(self._waiting.values()))[-1] is not own:
                    self._change.wait(POLL_S)
                    go_on()
                self._taken = True
            finally:
                others = self._waiting.pop(name)
                others.remove(own)
                if others:
                    self._waiting[name] = others  # behind the other models
                self._change.notify_all()
