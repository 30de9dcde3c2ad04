"""``govrun init``: a first profile for the repository one is in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("init")
    def init(
        force: bool = cli.Option(False, "--force", help="Replace a govrun.toml that is there."),
        stdout: bool = cli.Option(False, "--stdout", help="Print it, and write nothing."),
        as_json: bool = cli.Option(False, "--json", help="One JSON object instead of text."),
    ) -> None:
        """Write a first govrun.toml for this repository, by looking at what is in it."""
        import os

        from supervisor.cli.text import emit, safe
        from supervisor.run.firstprofile import first_profile

        path, text = first_profile(os.environ, force=force, write=not stdout)
        if stdout and not as_json:
            emit(text.splitlines())
            return
        following = ("govrun explain", "govrun -- COMMAND")
        if as_json:
            emit([json.dumps({"path": str(path), "written": not stdout, "text": text, "next": list(following)})])
            return
        emit(
            [
                f"wrote {safe(str(path))}",
                f"next: {following[0]}      what binds a run here, and how firmly",
                f"      {following[1]}   runs a command under it",
            ]
        )
