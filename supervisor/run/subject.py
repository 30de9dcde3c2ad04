"""What a record is about, in one line. Not neutralised: whoever shows it has to do that."""

from __future__ import annotations

import shlex

from supervisor.run.acts import Record

LONGEST = 400


def clip(value: object, limit: int) -> str:
    """The text of a value, at most ``limit`` characters of it."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def subject_of(record: Record, cause: Record | None = None) -> str:
    """What the act was about: a path, a command line, or the remaining facts as name=value. The outcome of an act is
    about what its intent was. Not neutralised: one line of it is, as a whole, by whoever shows it."""
    op = record.get("op")
    told = op if isinstance(op, dict) else {}
    begun = cause.get("op") if cause is not None else None
    text = about(begun if isinstance(begun, dict) and "how" not in told else told)
    return clip(text, LONGEST)


def about(op: Record) -> str:
    """What an ``op`` says, in one line."""
    if isinstance(op.get("argv"), list):
        return shlex.join(_words(op["argv"]))
    if "path" in op:
        other = next((op[name] for name in ("to", "target") if op.get(name)), None)
        text = str(op["path"]) + (f" -> {other}" if other else "")
        return text if not op.get("reason") else f"{text} reason={op['reason']}"
    if "ref" in op:
        old, new = (str(op.get(name) or "-")[:12] for name in ("old", "new"))
        return f"{op['ref']} {old} -> {new}"
    if op.get("unix"):
        return f"{op.get('call', '')} {op['unix']}".strip()
    if "host" in op:
        return f"{op.get('call', '')} {op['host'] or '-'}:{op.get('port', 0)}/{op.get('transport', '-')}".strip()
    return " ".join(f"{name}={clip(value, 120)}" for name, value in op.items() if not isinstance(value, dict))


def _words(argv: object) -> list[str]:
    """The first arguments: more than a line holds are not quoted one by one."""
    words: list[str] = []
    length = 0
    for word in argv if isinstance(argv, list) else ():
        words.append(clip(word, LONGEST))
        length += len(words[-1]) + 1
        if length > LONGEST:
            break
    return words
