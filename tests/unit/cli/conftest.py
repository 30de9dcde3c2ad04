"""The reading commands through typer, on state folders made by the real writer or by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from supervisor.cli import log, runs, show, why
from supervisor.journal import store
from supervisor.journal.writer import JOURNAL, Journal
from supervisor.vocabulary.errors import UsageError


class Reading:
    """Call it with the words of a command: lines of standard output, or of the error. ``code``: what it has to exit
    with; None: whatever a reading command may."""

    def __init__(self, place: Path, tree: Path) -> None:
        self.env = {"XDG_STATE_HOME": str(place), "COLUMNS": "80"}
        self.state, self.tree = store.state_dir(self.env), tree
        self.app = typer.Typer()
        for module in (runs, log, show, why):
            module.register(self.app)

    def __call__(self, *words: str, code: int | None = 0) -> list[str]:
        done = CliRunner().invoke(self.app, words, env=self.env)
        if isinstance(done.exception, UsageError):
            assert done.exception.exit_code == (2 if code is None else code), done.exception.lines()
            return done.exception.lines()
        assert done.exception is None or isinstance(done.exception, SystemExit), (words, repr(done.exception))
        assert done.exit_code == code if code is not None else done.exit_code in (0, 1), done.output
        return done.stdout.split("\n")[:-1]

    def folder(self, **meta: object) -> Path:
        run, folder = store.new_run(self.state)
        known = {"run": run, "agent": "generic", "argv": ["make"], "tree": str(self.tree)}
        store.write_meta(folder, known | {"start": "2026-11-27T10:00:00Z"} | meta)
        return folder

    def run(self, *records: dict[str, object], **meta: object) -> Path:
        """A run whose journal the writer wrote and closed."""
        folder = self.folder(**meta)
        journal = Journal(folder, folder.name)
        for record in records:
            journal.append(record)
        journal.close()
        return folder

    def crafted(self, lines: Iterable[bytes | dict[str, Any]], **meta: object) -> Path:
        """A run whose journal was made by hand: dictionaries get a plausible head, bytes are written as they are."""
        folder = self.folder(**meta)
        with (folder / JOURNAL).open("wb") as file:
            for number, line in enumerate(lines, 1):
                head = {"v": 2, "run": folder.name, "seq": number, "time": f"2026-11-27T10:00:{number % 60:02d}.000Z"}
                file.write(line if isinstance(line, bytes) else json.dumps(head | line).encode() + b"\n")
        (folder / "chain.jsonl").touch()
        return folder


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    monkeypatch.chdir(tree)
    return Reading(tmp_path / "state", tree)
