"""One record explained, as lines of text."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from types import MappingProxyType

from supervisor.cli.lines import error_name
from supervisor.cli.text import command_line, safe
from supervisor.run.acts import Record, is_note
from supervisor.run.reasons import Reason, op_of
from supervisor.run.subject import about, subject_of

_MOST_DIFFERENCE = 200  # lines
_LONGEST_TITLE = 200
_TOLD_APART = ("reason", "detail", "divergence")
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


def explained(found: Reason, told: str) -> Iterator[str]:
    """Who tried what, which rule spoke, where it is written, and what followed; ``told``: which run that was."""
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
    yield f"attempted  {safe(intent.get('kind', '-'))} {safe(subject_of(intent))}".rstrip()
    yield from _actors(found)
    if verdict := spoke.get("verdict") or intent.get("verdict"):
        yield f"verdict    {safe(verdict)}"
    if spoke.get("message"):
        yield f"because    {safe(spoke['message'])}"
    yield from _rule(found, spoke)
    yield from _outcome(found)
    if spoke.get("use"):
        yield f"instead    {safe(spoke['use'])}"


def _noted(record: Record) -> Iterator[str]:
    """What govrun wrote down of the run itself, and of what others did."""
    op, kind = op_of(record), str(record.get("kind", "-"))
    theirs = kind == "external" and "target" not in op
    apart = () if kind.startswith("run.") else _TOLD_APART
    what = safe(about({name: value for name, value in op.items() if name not in apart}))
    if theirs and "more" in op:
        what = f"{safe(op['more'])} more files, not named one by one"
    yield f"{'changed' if theirs else 'noted':<10} {safe(kind)} {what}".rstrip()
    if not theirs:
        yield "by         govrun itself"
    elif op.get("divergence"):
        yield "by         nobody knows: it is not as the run left it"
    else:
        yield "by         somebody outside the run"
    for name, key in (("because", "reason"), ("detail", "detail")):
        if key in apart and op.get(key):
            yield f"{name:<10} {safe(op[key])}"
    if record.get("message"):
        yield f"breaks     {safe(record['message'])}"
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
    argv = actor.get("argv")
    line = command_line(argv) if isinstance(argv, list) and argv else safe(actor.get("exe", "-"))
    return f"{line if len(line) <= 400 else line[:399] + '…'} (pid {safe(actor.get('pid', '-'))})"


def _rule(found: Reason, spoke: Record) -> Iterator[str]:
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
        told = f"ADR {safe(found.decision.get('id', '-'))}" + (f" {safe(title, _LONGEST_TITLE)}" if title else "")
        yield f"decision   {told}" + (f" ({safe(path)})" if path else "")


def _happened(outcome: Record) -> str:
    """How an act ended, in words."""
    ended, how, number = outcome.get("outcome"), str(op_of(outcome).get("how", "")), outcome.get("errno")
    why = ""
    if isinstance(number, int) and number:
        why = f": {os.strerror(number)} ({error_name(number)})" if number in errno.errorcode else f": error {number}"
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
    outcome = found.outcome
    if outcome is None:
        yield "happened   unknown: the journal holds no outcome"
        return
    op = op_of(outcome)
    detail = safe(op["detail"]) if "how" in op and op.get("detail") else ""
    told = "; ".join(filter(None, (_happened(outcome), detail)))
    yield f"happened   {told} (record {safe(outcome.get('seq', '-'))})"
    if op.get("quarantine"):
        yield f"rejected   {safe(op['quarantine'])}{'' if found.kept else ' (not there any more)'}"
    difference = str(op.get("diff", "")).splitlines()
    yield from (f"         | {safe(line)}" for line in difference[:_MOST_DIFFERENCE])
    if len(difference) > _MOST_DIFFERENCE:
        yield f"         | … {len(difference) - _MOST_DIFFERENCE} more lines"
