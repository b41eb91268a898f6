"""Record of a cycle: its state and its journal, and what is told of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loop.journal import Journal, told
from loop.state import State, read_state, write_state


class Record:
    """State and journal of one model, written together.

    Args:
        directory: of both.
        say: told of what goes on, a sentence at a time.
        dry: whether neither is to be written.
    """

    def __init__(self, directory: Path, say: Callable[[str], None], dry: bool) -> None:
        self._directory, self._dry, self.say = directory, dry, say
        self._journal = Journal(directory)
        self.state = read_state(directory)
        if self.state == State():
            self.state = State(lines=self._journal.last())

    def save(self, **fields: Any) -> None:
        """Write the state with other fields."""
        self.state = self.state.model_copy(update=fields)
        if not self._dry:
            write_state(self._directory, self.state)

    def write(self, event: str, says: str, facts: Mapping[str, Any], **fields: Any) -> None:
        """Put a decision on the journal, and then fields of the state that go with it.

        Args:
            event: its kind.
            says: one sentence, without its full stop.
            facts: beside those of the state.
            fields: of the state.
        """
        state = self.state
        known = {"cycle": state.cycle, "event": event, "served": state.served, "candidate": state.candidate}
        if not self._dry:
            self._journal.write(state.lines + 1, {**known, **facts, "says": says, "findings": state.findings})
        self.save(lines=state.lines + 1, **fields)
        self.say(f"{says}.")
        for finding in state.findings:
            self.say(f"    {told(finding)}")
