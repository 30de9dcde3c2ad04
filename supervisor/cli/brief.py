"""``govrun brief``: what binds an agent here, in lines for the file of instructions that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("brief")
    def brief(
        file: str = cli.Argument("", metavar="[FILE]", help="With --check: the file that is looked at."),
        write: str = cli.Option("", "--write", metavar="FILE", help="Keep a block of FILE up to date (AGENTS.md …)."),
        check: bool = cli.Option(False, "--check", help="Write nothing; exit status 1 if a block says something else."),
        as_json: bool = cli.Option(False, "--json", help="One JSON object instead of text."),
    ) -> None:
        """Say in at most 40 lines what binds an agent in this repository."""
        import json
        import os

        from supervisor.cli.text import emit, safe
        from supervisor.run import brief as briefs
        from supervisor.vocabulary.errors import UsageError

        if file and not check:
            raise UsageError(
                "FILE goes with --check", "nothing is written without --write", f"--write {file}", exit_code=2
            )
        made = briefs.brief(os.environ)
        if check:
            problems = briefs.stale(made, [each for each in (file, write) if each])
            if as_json:
                emit([json.dumps({"digest": made.digest, "stale": problems})])
            else:
                emit(safe(each) for each in problems or ["up to date"])
            if problems:
                raise cli.Exit(1)
            return
        path, changed = briefs.write(made, write) if write else (None, False)
        if as_json:
            told = {"digest": made.digest, "lines": list(made.lines), "changed": changed}
            emit([json.dumps(told | ({"path": str(path)} if path is not None else {}))])
        elif path is not None:
            emit([f"{'wrote' if changed else 'up to date:'} {safe(str(path))}"])
        else:
            emit(map(safe, made.lines))
