"""``govrun why``: one record of a run, explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.run.reasons import Reason, Record

_MOST_DIFFERENCE = 200  # lines
_MOST_LISTED = 20
_USAGE = "govrun why RUN SEQ, such as: govrun why latest 12"
_TAKEN_BACK = MappingProxyType(
    {
        "restored": "taken back: the last accepted version is there again",
        "removed": "taken back: it was removed, as nothing was there before",
        "replaced": "taken back: the offending entries were taken out, the rest was kept",
        "external": "left alone: somebody else had changed it in the meantime",
        "gone": "nothing was left to be taken back",
        "failed": "it could not be taken back, so the run was stopped",
    }
)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("why")
    def why(
        run: str = cli.Argument(
            "latest", help="A run's id, the beginning of one, or 'latest': the newest of this tree."
        ),
        seq: str = cli.Argument(
            "", help="The number of a record, as govrun log shows it; without it, the last refusals."
        ),
        as_json: bool = cli.Option(
            False, "--json", help="One JSON object instead of text; without SEQ one per record."
        ),
    ) -> None:
        """Explain one record: who tried what, which rule spoke, where it is written, and what followed."""
        import os

        from supervisor.cli.choice import heading
        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.journal.store import state_dir
        from supervisor.run.reasons import explain, refusals
        from supervisor.vocabulary.errors import UsageError

        if seq and not seq.isdecimal():
            raise UsageError(f"{seq[:40]!r} is not the number of a record", "records have numbers", _USAGE, exit_code=2)
        folder = _folder(state_dir(os.environ), run, with_seq=bool(seq))
        if seq:
            found = explain(folder, int(seq))
            emit([encode(_document(found))] if as_json else _lines(found, heading(folder, run)))
            return
        refused = refusals(folder)
        emit(map(encode, refused) if as_json else _list(folder, heading(folder, run), refused))


def _folder(state: Path, run: str, *, with_seq: bool) -> Path:
    from supervisor.cli.choice import choose
    from supervisor.vocabulary.errors import UsageError

    try:
        return choose(state, run)
    except UsageError as error:
        error.exit_code = 2
        if run.isdecimal() and not with_seq:
            error.fix = f"govrun why latest {run} explains that record of the newest run of this tree"
        raise


def _list(folder: Path, told: str, refused: list[Record]) -> Iterator[str]:
    """The last refusals of a run, and how to ask for one."""
    from supervisor.cli.log import line_of

    yield f"{folder.name}   {told}"
    if not refused:
        yield "nothing was refused or taken back"
        yield f"any other record: govrun why RUN SEQ, with a number that govrun log {folder.name} shows"
        return
    if len(refused) > _MOST_LISTED:
        yield f"{len(refused) - _MOST_LISTED} earlier ones: govrun log {folder.name} --blocked"
    yield from map(line_of, refused[-_MOST_LISTED:])
    yield f"to explain one: govrun why RUN SEQ, such as: govrun why {folder.name} {refused[-1].get('seq', 1)}"


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


def _lines(found: Reason, told: str) -> Iterator[str]:
    from supervisor.cli.log import subject
    from supervisor.cli.text import safe

    intent, outcome = found.intent, found.outcome
    asked = outcome if outcome is not None and outcome.get("seq") == found.seq else intent
    yield f"{found.run} record {found.seq}   {safe(asked.get('time', '-'))}"
    yield f"in         {told}"
    if asked is not intent:
        yield f"           record {found.seq} is the outcome of record {safe(intent.get('seq', '-'))}, told here"
    if is_note(intent):
        yield from _noted(intent)
        return
    spoke = intent if intent.get("invariant") or outcome is None else outcome
    yield f"attempted  {safe(intent.get('kind', '-'))} {subject(intent)}".rstrip()
    yield from _actors(found)
    if verdict := spoke.get("verdict") or intent.get("verdict"):
        yield f"verdict    {safe(verdict)}"
    if spoke.get("message"):
        yield f"because    {safe(spoke['message'])}"
    yield from _rule(found, spoke)
    yield from _outcome(found)
    if spoke.get("use"):
        yield f"instead    {safe(spoke['use'])}"


def is_note(record: Record) -> bool:
    """Whether a record tells of something that nobody of the run attempted: nothing was decided, nothing followed."""
    return record.get("phase") == "outcome" and not any(record.get(name) for name in ("actor", "outcome", "verdict"))


def _noted(record: Record) -> Iterator[str]:
    """What govrun wrote down of the run itself, and of what others did."""
    from supervisor.cli.log import subject
    from supervisor.cli.text import safe

    op = record.get("op")
    op = op if isinstance(op, dict) else {}
    theirs = record.get("kind") == "external" and "target" not in op
    what = subject(record) or safe(record.get("path", ""))
    if theirs and "more" in op:
        what = f"{safe(op['more'])} more files, not named one by one"
    yield f"{'changed' if theirs else 'noted':<10} {safe(record.get('kind', '-'))} {what}".rstrip()
    if not theirs:
        yield "by         govrun itself"
    elif record.get("divergence"):
        yield "by         nobody knows: it is not as the run left it"
    else:
        yield "by         somebody outside the run"
    for name, key in (("because", "reason"), ("detail", "detail"), ("breaks", "message")):
        if record.get(key) and not (key == "reason" and key in op):
            yield f"{name:<10} {safe(record[key])}"
    if record.get("invariant"):
        yield f"rule       {safe(record['invariant'])}"
    if theirs:
        yield "happened   it was left alone"


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


def _happened(outcome: Record) -> str:
    """How an act ended, in words."""
    import errno
    import os

    from supervisor.cli.text import safe

    ended, how, number = outcome.get("outcome"), str(outcome.get("how", "")), outcome.get("errno")
    why = ""
    if isinstance(number, int) and number:
        why = f": {os.strerror(number)} ({errno.errorcode.get(number, number)})"
    if how in _TAKEN_BACK:
        return _TAKEN_BACK[how]
    words = {
        "blocked": f"refused{why}",
        "succeeded": "it was done",
        "failed": f"it failed{why}",
        "reverted": "taken back",
    }
    return words.get(str(ended), safe(ended or "unknown"))


def _outcome(found: Reason) -> Iterator[str]:
    from supervisor.cli.text import safe

    outcome = found.outcome
    if outcome is None:
        yield "happened   unknown: the journal holds no outcome"
        return
    told = "; ".join(filter(None, (_happened(outcome), safe(outcome.get("detail", "")))))
    yield f"happened   {told} (record {safe(outcome.get('seq', '-'))})"
    if outcome.get("quarantine"):
        yield f"rejected   {safe(outcome['quarantine'])}{'' if found.kept else ' (not there any more)'}"
    difference = str(outcome.get("diff", "")).splitlines()
    yield from (f"         | {safe(line)}" for line in difference[:_MOST_DIFFERENCE])
    if len(difference) > _MOST_DIFFERENCE:
        yield f"         | … {len(difference) - _MOST_DIFFERENCE} more lines"
