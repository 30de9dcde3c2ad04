"""``govrun why``: one record of a run, explained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.run.reasons import Reason, Record

_MOST_DIFFERENCE = 200  # lines


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("why")
    def why(
        run: str = cli.Argument(..., help="A run's id, the beginning of one, or 'latest'."),
        seq: int = cli.Argument(..., help="The number of a record, as govrun log shows it."),
        as_json: bool = cli.Option(False, "--json", help="One JSON object instead of text."),
    ) -> None:
        """Explain one record: who tried what, which rule spoke, where it is written, and what followed."""
        import os

        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.journal.store import find_run, state_dir
        from supervisor.run.reasons import explain
        from supervisor.vocabulary.errors import UsageError

        state = state_dir(os.environ)
        try:
            folder = find_run(state, run)
        except UsageError as error:
            error.exit_code = 2
            raise
        found = explain(folder, seq)
        emit([encode(_document(found))] if as_json else _lines(found))


def _document(found: Reason) -> dict[str, object]:
    return {
        "run": found.run,
        "seq": found.seq,
        "intent": found.intent,
        "outcome": found.outcome,
        "parents": list(found.parents),
        "rule": found.rule._asdict(),
        "decision": dict(found.decision),
        "rejected_kept": found.kept,
    }


def _lines(found: Reason) -> Iterator[str]:
    from supervisor.cli.log import subject
    from supervisor.cli.text import safe

    intent, outcome = found.intent, found.outcome
    spoke = intent if intent.get("invariant") or outcome is None else outcome
    yield f"{found.run} record {found.seq}   {safe(intent.get('time', '-'))}"
    yield f"attempted  {safe(intent.get('kind', '-'))} {subject(intent)}".rstrip()
    yield from _actors(found)
    yield f"verdict    {safe(spoke.get('verdict', '-'))}"
    if spoke.get("message"):
        yield f"because    {safe(spoke['message'])}"
    yield from _rule(found, spoke)
    yield from _outcome(found)
    if spoke.get("use"):
        yield f"instead    {safe(spoke['use'])}"


def _actors(found: Reason) -> Iterator[str]:
    actor = found.intent.get("actor")
    if not isinstance(actor, dict):
        yield "by         govrun itself"
        return
    for number, each in enumerate((actor, *found.parents)):
        yield f"{'by' if not number else '  below':<10} {_actor(each)}"


def _actor(actor: Record) -> str:
    from supervisor.cli.text import command_line, safe

    argv = actor.get("argv")
    line = command_line(argv) if isinstance(argv, list) and argv else safe(actor.get("exe", "-"))
    return f"{line if len(line) <= 400 else line[:399] + '…'} (pid {safe(actor.get('pid', '-'))})"


def _rule(found: Reason, spoke: Record) -> Iterator[str]:
    from supervisor.cli.text import safe

    if not spoke.get("invariant"):
        yield "rule       none spoke"
        return
    source, text = spoke.get("source", ""), found.rule
    where = f", {safe(source)}" if source else ""
    yield f"rule       {safe(spoke['invariant'])} ({safe(spoke.get('invariant_kind', '-'))}{where})"
    if text.state == "unchanged":
        yield from (f"  {text.first + number:>5} | {safe(line)}" for number, line in enumerate(text.lines))
    elif text.state in ("changed", "gone"):
        told = "has changed since" if text.state == "changed" else "is not there any more"
        yield f"           {safe(text.path)} {told}, so its text is not shown"
    if spoke.get("why"):
        yield f"reason     {safe(spoke['why'])}"
    if found.decision:
        title, path = found.decision.get("title"), found.decision.get("path")
        told = f"ADR {safe(found.decision.get('id', '-'))}" + (f" {safe(title)}" if title else "")
        yield f"decision   {told}" + (f" ({safe(path)})" if path else "")


def _outcome(found: Reason) -> Iterator[str]:
    from supervisor.cli.text import safe

    outcome = found.outcome
    if outcome is None:
        yield "happened   unknown: the journal holds no outcome"
        return
    told = [safe(outcome.get("outcome", "-"))]
    told += [f"{name} {safe(outcome[name])}" for name in ("how", "errno", "detail") if outcome.get(name)]
    yield f"happened   {', '.join(told)} (record {safe(outcome.get('seq', '-'))})"
    if outcome.get("quarantine"):
        yield f"rejected   {safe(outcome['quarantine'])}{'' if found.kept else ' (not there any more)'}"
    difference = str(outcome.get("diff", "")).splitlines()
    yield from (f"         | {safe(line)}" for line in difference[:_MOST_DIFFERENCE])
    if len(difference) > _MOST_DIFFERENCE:
        yield f"         | … {len(difference) - _MOST_DIFFERENCE} more lines"
