"""What stands at the names that govrun gives, read from the files of the user's repository: whoever can write there can
have put anything at them, above them and below them."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor.git.layout import is_object_id, is_ref_name, packed, read_small
from supervisor.vocabulary.errors import UsageError

_OURS = ("refs/govrun", "refs/notes")


class Refs:
    """Of the repository whose git directory is ``common``."""

    def __init__(self, common: Path) -> None:
        self._common = common
        self._known: tuple[tuple[int, int, int], dict[str, str]] = (0, 0, 0), {}

    def plain(self, name: str) -> str:
        """The id that ``name`` is at, "" when there is none. Raises ``UsageError`` when it is a symbolic ref, or none
        at all."""
        text = read_small(self._common / name)
        if text is None:
            return self._packed().get(name, "")
        value = text.strip()
        if not is_object_id(value):
            raise UsageError(f"{name} is not a plain ref", repr(value[:60]), self._removal(name))
        return value

    def expected(self, name: str) -> str | None:
        """What a transaction that is to replace ``name`` has to find there: an id, "" for nothing, None for a symbolic
        ref, which git cannot hold against an id. What is no ref at all is for ``check`` to tell."""
        text = read_small(self._common / name)
        if text is not None and text.startswith("ref:"):
            return None
        try:
            return self.plain(name)
        except UsageError:
            return ""

    def check(self, name: str) -> None:
        """Raises ``UsageError`` when git could not write ``name`` whatever is tried: something lies where it needs a
        folder, or below it, or is no ref."""
        parts = name.split("/")
        for above in ("/".join(parts[:depth]) for depth in range(2, len(parts))):
            if os.path.isfile(self._common / above) or above in self._packed():
                raise UsageError(f"{name} cannot be written", f"{above} is in the way", self._removal(above))
        if below := self._below(name):
            raise UsageError(f"{name} cannot be written", f"{below} is in the way", self._removal(below))
        if self.expected(name) == "":
            self.plain(name)

    def _below(self, name: str) -> str:
        for folder, _, files in os.walk(self._common / name):  # git takes away folders that are empty
            if files:
                return os.path.relpath(os.path.join(folder, min(files)), self._common)
        return next((each for each in self._packed() if each.startswith(f"{name}/")), "")

    def _packed(self) -> dict[str, str]:
        try:
            info = os.stat(self._common / "packed-refs")
            signature = info.st_ino, info.st_size, info.st_mtime_ns
        except OSError:
            signature = 0, 0, 0
        if self._known[0] != signature:
            self._known = signature, {n: at for n, at in packed(self._common).items() if n.startswith(_OURS)}
        return self._known[1]

    def _removal(self, name: str) -> str:
        """The command. ``git update-ref -d`` of a symbolic ref would delete the branch that it names, and of what is
        no ref it does nothing."""
        import shlex

        text = read_small(self._common / name)
        value = text.strip() if text is not None else self._packed().get(name, "")
        if not is_ref_name(name) or not (value.startswith("ref:") or is_object_id(value)):
            return f"rm {shlex.quote(str(self._common / name))}"
        return f"git update-ref --no-deref -d {shlex.quote(name)}"
