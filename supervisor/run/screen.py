"""What govrun itself has to say while the agent draws on the terminal that it would be said on."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.enforce.explain import is_drawn_on

_STDERR = 2
_MOST = 32


class Screen:
    """Says a line at once where nobody draws; else with the next one that can be said, or by ``flush``."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._held: list[str] = []
        self._more = 0

    def __call__(self, line: str) -> None:
        if not is_drawn_on(_STDERR):
            self.flush()
            self._say(line)
        elif len(self._held) < _MOST:
            self._held.append(line)
        else:
            self._more += 1

    def flush(self) -> None:
        """Say what was held. A program that was killed may have left the terminal so that a line end alone does not
        lead back to the first column."""
        start = "\r" if self._held and is_drawn_on(_STDERR) else ""
        for line in self._held:
            self._say(start + line.replace("\n", "\n" + start))
        if self._more:
            self._say(f"{start}govrun: and {self._more} more, which govrun log --blocked lists")
        self._held, self._more = [], 0
