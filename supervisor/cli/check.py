"""``govrun check``: what of the tree as it is breaks a rule about content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.run.checking import Checked, Violation


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("check")
    def check(
        paths: list[str] = cli.Argument(
            None, metavar="[PATH]…", help="Only these files, and what lies in these folders."
        ),
        base: str = cli.Option("", "--base", metavar="REV", help="Tolerate what the same path says in this commit."),
        fail_on: str = cli.Option(
            "deny", "--fail-on", metavar="warn|deny", help="From which effect on the exit status is 1."
        ),
        as_json: bool = cli.Option(False, "--json", help="One JSON object per violation, then one for the whole."),
    ) -> None:
        """Judge the content of the tree as it is. Exit status 0 clean, 1 violations, 2 something cannot be read."""
        import os
        import time

        from supervisor.cli.text import emit
        from supervisor.run.checking import check as run_check
        from supervisor.vocabulary.errors import UsageError

        if fail_on not in ("warn", "deny"):
            raise UsageError(f"--fail-on {fail_on!r} is none", "it is warn or deny", "--fail-on deny", exit_code=2)
        begun = time.monotonic()
        found = run_check(base, [os.fsencode(path) for path in paths or ()], os.environ)
        seconds = time.monotonic() - begun
        emit(_documents(found, seconds) if as_json else _lines(found, seconds))
        if found.unreadable:
            raise cli.Exit(2)
        if any(each.blocks or fail_on == "warn" for each in found.violations):
            raise cli.Exit(1)


def _documents(found: Checked, seconds: float) -> Iterator[str]:
    from supervisor.journal.codec import encode

    for each in found.violations:
        rule = each.rule
        yield encode(
            {
                "path": each.path,
                "line": each.line,
                "message": each.message,
                "blocks": each.blocks,
                "tolerated": each.tolerated,
                "invariant": rule.id,
                "invariant_kind": rule.kind,
                "source": rule.source,
                "adr": rule.adr,
                "why": rule.why,
                "use": rule.use,
            }
        )
    yield encode(
        {
            "summary": True,
            "tree": str(found.tree),
            "base": found.base,
            "rules": found.rules,
            "files": found.files,
            "read": found.read,
            "inspected": found.inspected,
            "violations": sum(each.blocks for each in found.violations),
            "warnings": sum(not each.blocks for each in found.violations),
            "tolerated": sum(each.tolerated and each.blocks for each in found.violations),
            "unjudged": [{"id": rule.id, "source": rule.source, "note": rule.note} for rule in found.unjudged],
            "examples_not_checked": list(found.unchecked),
            "unreadable": [{"path": path, "error": why} for path, why in found.unreadable],
            "notes": list(found.warnings),
            "seconds": round(seconds, 3),
        }
    )


def _lines(found: Checked, seconds: float) -> Iterator[str]:
    from supervisor.cli.text import safe

    for each in found.violations:
        yield _line(each)
    for path, why in found.unreadable:
        yield f"{safe(path)}: cannot be read: {safe(why)}"
    for warning in found.warnings:
        yield f"note: {safe(warning)}"
    for rule in found.unjudged:
        yield f"note: nothing judges {safe(rule.id)} ({safe(rule.source)}): {safe(rule.note)}"
    for example in found.unchecked:
        yield f"note: an example that nothing asks: {safe(example)}"
    if not found.rules:
        yield "note: no rule here speaks of content"
    there = sum(each.tolerated and each.blocks for each in found.violations)
    if there:
        verb = "is" if there == 1 else "are"
        yield f"{_count(there, 'violation')} that {verb} there already; a run tolerates those of its base"
    broken = sum(each.blocks for each in found.violations)
    warned = len(found.violations) - broken
    parts = [_count(broken, "violation")] + ([_count(warned, "warning")] if warned else [])
    against = f" against {found.base[:12]}" if found.base else ""
    yield f"{', '.join(parts)} in {_count(found.files, 'file')}{against} ({_looked_at(found)}, {seconds:.1f} s)"


def _looked_at(found: Checked) -> str:
    """How far the files bear on a rule: only those that could break one are parsed, and locks."""
    if not found.rules:
        return "none judged"
    if not found.read:
        return "none of a kind that is judged by content"
    one = found.inspected == 1
    if found.kinds == {"dependency"}:
        if not found.inspected:
            return "none mentions a package that a rule speaks of"
        verb, locks = ("mentions", "is a lock") if one else ("mention", "are locks")
        return f"{found.inspected} {verb} a package that a rule speaks of, or {locks}"
    if not found.inspected:
        return "none that a rule could speak of"
    return f"{found.inspected} that {'a rule' if one else 'rules'} could speak of {'was' if one else 'were'} read whole"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _line(each: Violation) -> str:
    from supervisor.cli.text import safe

    shown = each.path.decode("utf-8", "backslashreplace")
    told = each.message.removeprefix(f"{shown}:{each.line} ").removeprefix(shown + " ")
    if each.line:
        told = told.replace(f" at line {each.line}", "", 1)
    where = safe(each.path) + (f":{each.line}" if each.line else "")
    use = f" instead: {safe(each.rule.use)}" if each.rule.use else ""
    kind = "" if each.blocks else "warning: "
    return f"{where}: {kind}{safe(told)} ({safe(each.rule.id)}){use}"
