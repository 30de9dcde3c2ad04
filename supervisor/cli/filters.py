"""What ``govrun log`` is asked for: which records, by what they are about, who acted, what was decided, and when."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from supervisor.journal.codec import bytes_of, raw_of
from supervisor.journal.schema import KINDS, OUTCOMES, VERDICTS
from supervisor.profile.agents import INTERPRETERS
from supervisor.run.acts import is_refusal
from supervisor.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from supervisor.invariants.globs import Globs

Record = dict[str, object]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PLACES = ("path", "to", "target", "unix")
_MAGIC = re.compile(r"[*?\[]")
_SHELLS = frozenset(["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"])


@dataclass(frozen=True)
class Asked:
    """The options as they were given. Those of one name are alternatives, those of different names all hold."""

    paths: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    _: KW_ONLY
    blocked: bool = False
    since: str = ""
    until: str = ""
    seqs: str = ""


class Filter:
    """Compiled from ``asked``; ``tree`` and ``start`` (``2026-11-27T…``) are the run's. Errors: ``UsageError`` (2)."""

    def __init__(self, asked: Asked, tree: str, start: str) -> None:
        _one_of("--verdict", asked.verdicts, VERDICTS)
        _one_of("--outcome", asked.outcomes, OUTCOMES)
        groups = {kind.partition(".")[0] for kind in KINDS}
        _one_of("--kind", asked.kinds, [*KINDS, *sorted(groups - KINDS.keys())])
        self._asked = asked
        self._kinds = (*asked.kinds, *(f"{kind}." for kind in asked.kinds))
        self._places = _Places(asked.paths, tree) if asked.paths else None
        self._commands = [_words_of("--command", text) for text in asked.commands]
        self._since = moment("--since", asked.since, start) if asked.since else ""
        self._until = moment("--until", asked.until, start) if asked.until else ""
        self._first, self._last = _span(asked.seqs) if asked.seqs else (0, None)
        self._everything = asked == Asked()

    def __call__(self, record: Record, cause: Record | None) -> bool:
        """Whether ``record`` is wanted. ``cause`` is the intent whose outcome it tells: what is not said here is said
        there."""
        return self._everything or (
            self._when(record) and self._how(record, cause) and self._what(record, cause) and self._who(record, cause)
        )

    def _when(self, record: Record) -> bool:
        seq, when = record.get("seq"), str(record.get("time", ""))
        if isinstance(seq, int) and (seq < self._first or (self._last is not None and seq > self._last)):
            return False
        return self._since <= when and (not self._until or when <= self._until)

    def _how(self, record: Record, cause: Record | None) -> bool:
        asked = self._asked
        if asked.blocked and not is_refusal(record):
            return False
        if asked.outcomes and record.get("outcome") not in asked.outcomes:
            return False
        if asked.verdicts and _either("verdict", record, cause) not in asked.verdicts:
            return False
        if not asked.invariants:
            return True
        spoke = _either("matched", record, cause)
        named = [*(spoke if isinstance(spoke, list) else ()), _either("invariant", record, cause)]
        return any(fnmatchcase(each, wanted) for each in named if isinstance(each, str) for wanted in asked.invariants)

    def _what(self, record: Record, cause: Record | None) -> bool:
        kind = str(record.get("kind", ""))
        if self._kinds and kind not in self._kinds and not kind.startswith(self._kinds[len(self._asked.kinds) :]):
            return False
        return self._places is None or self._places.hold(record) or (cause is not None and self._places.hold(cause))

    def _who(self, record: Record, cause: Record | None) -> bool:
        if not self._commands:
            return True
        calls = [call for each in (record, cause) if each is not None for call in _calls(each)]
        return any(_speaks_of(call, words) for call in calls for words in self._commands)


def _either(name: str, record: Record, cause: Record | None) -> object:
    value = record.get(name)
    return value if value is not None or cause is None else cause.get(name)


def _one_of(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    for word in given:
        if word not in known:
            why, fix = f"{option} takes a word of a list", f"one of {', '.join(known)}"
            raise UsageError(f"{option}: {word!r:.60} is none of its words", why, fix, exit_code=2)


class _Places:
    """Patterns as in a profile: without a slash a name at any depth, else from the root of the tree, or absolute. What
    lies below a match matches too."""

    def __init__(self, patterns: Sequence[str], tree: str) -> None:
        self._inside = raw_of(tree).rstrip(b"/") + b"/"
        inside: list[str] = []
        absolute: list[str] = []
        names: list[str] = []
        for text in patterns:
            pattern = os.path.expanduser(text) if text.startswith("~/") else text
            words = pattern.split("/")
            if not pattern or ".." in words or "\n" in pattern:
                fix = "a path, or a pattern such as 'src/**' or '*.py'; no '..'"
                raise UsageError(f"--path: {text!r:.60} cannot be used", "it names nothing", fix, exit_code=2)
            if pattern.startswith("/"):
                absolute.append(pattern if pattern.strip("/") else "**")
            elif words[0] == ".":
                inside.append("/" + "/".join(words[1:]) if any(words[1:]) else "**")
            else:
                inside.append(pattern)
                names += [pattern] if len(words) == 1 else []
        # What a folder above the tree is called says nothing of what lies in the tree.
        self._below, self._anywhere, self._outside = _globs(inside), _globs(absolute), _globs([*absolute, *names])

    def hold(self, record: Record) -> bool:
        op = record.get("op")
        if not isinstance(op, dict):
            return False
        return any(self._holds(op[name]) for name in _PLACES if name in op)

    def _holds(self, text: object) -> bool:
        if not isinstance(text, str):
            return False
        path = bytes_of(text)
        if not path.startswith(self._inside):
            return self._outside.match(path.lstrip(b"/")) is not None
        below, whole = path[len(self._inside) :], path.lstrip(b"/")
        return self._below.match(below) is not None or self._anywhere.match(whole) is not None


def _globs(patterns: Sequence[str]) -> Globs:
    from supervisor.invariants.globs import Globs
    from supervisor.profile.model import Entry

    # A pattern of the profile may be a negation or a comment; one of the command line is not.
    entries = [Entry("\\" + each if each[0] in "!#" else each.rstrip("/"), "--path") for each in patterns]
    try:
        globs = Globs(entries)
        globs.match(b"-")
    except (ValueError, re.error) as error:
        fix = "patterns are those of .gitignore; a backslash before *, ? and [ takes them as they are"
        raise UsageError("--path: this pattern cannot be used", str(error), fix, exit_code=2) from error
    return globs


def _words_of(option: str, text: str) -> list[str]:
    words = text.split()
    if not words:
        fix = "a program, or words of its command line"
        raise UsageError(f"{option}: nothing to look for", "it holds no word", fix, exit_code=2)
    return words


def _calls(record: Record) -> list[tuple[str, list[str], list[str]]]:
    """What a record tells of: the actor, and the program that is started. File, arguments, scripts before the file."""
    found: list[tuple[str, list[str], list[str]]] = []
    actor, op = record.get("actor"), record.get("op")
    if isinstance(actor, dict):
        found.append((_text(actor.get("exe")), _texts(actor.get("argv")), []))
    if isinstance(op, dict) and "argv" in op:
        found.append((_text(op.get("path")), _texts(op["argv"]), _texts(op.get("chain"))))
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _speaks_of(call: tuple[str, list[str], list[str]], words: list[str]) -> bool:
    """Whether it is the program ``words`` begin with, and its arguments begin with the rest; options between are
    stepped over. With a pattern among the words: whether they stand in the line one after another."""
    file, argv, chain = call
    if any(map(_MAGIC.search, words)):
        line = [word for each in argv for word in each.split()]
        return _has([file], words) or _has(line, words)
    rest = argv[1:]
    if any(_is(each, words[0]) for each in (file, *argv[:1], *chain)) and _begins(rest, words[1:]):
        return True
    at = _script(file, rest)
    return at is not None and _is(rest[at], words[0]) and _begins(rest[at + 1 :], words[1:])


def _script(file: str, rest: list[str]) -> int | None:
    """Which argument of an interpreter is what it runs: a script or a module. None: a text, or no interpreter."""
    name = file.rpartition("/")[2]
    shell = name in _SHELLS
    if not shell and not name.startswith(INTERPRETERS):
        return None
    for at, word in enumerate(rest):
        if word == "-m" and not shell:
            return at + 1 if at + 1 < len(rest) else None
        if not word.startswith("-"):
            return at
        if word in ("-", "--eval", "--print") or (word[1] != "-" and ("c" in word or ("e" in word and not shell))):
            return None
    return None


def _begins(rest: list[str], words: list[str]) -> bool:
    """Whether arguments begin with ``words``. Before each, options are stepped over, and what follows one letter
    (``git -C x push``), since that may be its value."""
    at, after = 0, ""
    for word in rest:
        if at == len(words):
            break
        if _is(word, words[at]):
            at += 1
        elif not word.startswith("-") and not re.fullmatch("-[A-Za-z]", after):
            return False
        after = word
    return at == len(words)


def _has(line: list[str], words: list[str]) -> bool:
    """Whether the words stand in a line one after another, each as it is or without its folders."""
    count = len(words)
    return any(all(map(_is, line[at : at + count], words)) for at in range(len(line) - count + 1))


def _is(word: str, wanted: str) -> bool:
    name = word.rpartition("/")[2]
    if wanted in (word, name):
        return True
    return _MAGIC.search(wanted) is not None and (fnmatchcase(word, wanted) or fnmatchcase(name, wanted))


def _span(text: str) -> tuple[int, int | None]:
    """``12``, ``12-40``, ``12-`` or ``-40``."""
    match = re.fullmatch(r"(\d{0,18})-(\d{0,18})|(\d{1,18})", text, re.ASCII)
    if match is None or text == "-":
        why = "records are numbered from 1"
        raise UsageError(f"--seq: {text!r:.60} is no range", why, "12, 12-40, 12- or =-40", exit_code=2)
    if match[3]:
        return int(match[3]), int(match[3])
    first, last = int(match[1] or 0), int(match[2]) if match[2] else None
    if last is not None and last < first:
        why = "it ends before it begins"
        raise UsageError(f"--seq: {text!r:.60} is empty", why, "the smaller number first", exit_code=2)
    return first, last


def moment(option: str, text: str, start: str) -> str:
    """A moment as the journal writes it (UTC, milliseconds): ISO 8601, ``HH:MM[:SS]`` on the day the run began, or an
    age such as ``90s``, ``10m``, ``2h``, ``1d``."""
    import datetime as dt

    utc = dt.UTC
    try:
        if age := re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", text):
            when = dt.datetime.fromtimestamp(time.time() - float(age[1]) * _UNITS[age[2]], utc)
        elif re.fullmatch(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?", text):
            when = dt.datetime.fromisoformat(f"{start[:10]}T{text}")
        else:
            when = dt.datetime.fromisoformat(text)
        when = when.replace(tzinfo=utc) if when.tzinfo is None else when.astimezone(utc)
    except (ValueError, OverflowError) as error:
        fix = "2026-11-27T10:30, 10:30, or an age such as 90s, 10m, 2h, 1d; UTC unless it says otherwise"
        raise UsageError(f"{option}: {text!r:.60} is no time", "it cannot be read as one", fix, exit_code=2) from error
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"
