"""Commands whose exit status is an answer: ``grep`` that finds nothing has not failed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from supervisor.git.commandline import command_of
from supervisor.run.standings import is_shell
from supervisor.vocabulary.events import ExecEvent

_NONE: frozenset[int] = frozenset()
_NO = frozenset((1,))
_ASKING = frozenset(
    "grep egrep fgrep zgrep rg ag ack test [ [[ cmp diff which type pgrep pidof readlink expr".split()  # noqa: SIM905
)
_GIT = frozenset("rev-parse show-ref merge-base symbolic-ref grep check-ignore check-ref-format cat-file".split())  # noqa: SIM905
_GIT_WITH = {
    "ls-files": ("--error-unmatch",),
    "diff": ("--quiet", "--exit-code"), "diff-index": ("--quiet", "--exit-code"),
    "diff-files": ("--quiet", "--exit-code"), "diff-tree": ("--quiet", "--exit-code"),
    "config": ("--get", "--get-all", "--get-regexp", "--get-urlmatch", "get"),
}  # fmt: skip
_STATES = frozenset(("is-active", "is-enabled", "is-failed", "is-system-running"))
_LONGEST = 8192  # characters of a line that is read
_DEEPEST = 4
_TOKEN = re.compile(r"""((?:[^\s;&|()<>'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+)|[ \t\r]+|([;&|()<>\n]+)""", re.DOTALL)
_QUOTES = re.compile(r"""\\(.)|['"]""", re.DOTALL)
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def answers(event: ExecEvent, inside: bytes) -> frozenset[int]:
    """The exit statuses that are an answer of this command. ``inside``: the tree and a slash; programs that lie there
    have names of their own (``./test``)."""
    program = event.chain[0] if event.chain else event.target.path
    if not event.argv or program.startswith(inside):
        return _NONE
    words = [word.decode("utf-8", "surrogateescape") for word in event.argv]
    called = event.chain[0] if event.chain else event.argv[0]
    words[0] = called.rpartition(b"/")[2].decode("utf-8", "surrogateescape")
    return _of(words, 0)


def _of(words: Sequence[str], depth: int) -> frozenset[int]:
    name = words[0]
    if name in _ASKING:
        return _NO
    if name == "git":
        return _git(words)
    if name == "systemctl":
        return frozenset((1, 3, 4)) if not _STATES.isdisjoint(words) else _NONE
    if name == "command":
        return frozenset((1, 127)) if words[1:2] in (["-v"], ["-V"]) else _NONE
    if depth < _DEEPEST and is_shell(name.encode("utf-8", "surrogateescape")):
        line = _line(words)
    elif depth < _DEEPEST and name == "eval":
        line = " ".join(words[1:])
    else:
        return _NONE
    last = _last(line)
    return _of(last, depth + 1) if last else _NONE


def _git(words: Sequence[str]) -> frozenset[int]:
    verb = command_of(tuple(word.encode("utf-8", "surrogateescape") for word in words)).decode("utf-8", "replace")
    if verb in _GIT or any(option in words for option in _GIT_WITH.get(verb, ())):
        return _NO
    if verb == "config":  # one name alone asks for its value
        return _NO if sum(not word.startswith("-") for word in words[words.index(verb) + 1 :]) == 1 else _NONE
    return _NONE


def _line(words: Sequence[str]) -> str:
    """The line that a shell is given by ``-c``."""
    for at, word in enumerate(words[1:], 1):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            rest = [each for each in words[at + 1 :] if not each.startswith("-")]
            return rest[0] if rest else ""
        if not word.startswith(("-", "+")) and not words[at - 1].endswith(("o", "O")):
            return ""
    return ""


def _last(line: str) -> list[str]:
    """The words of the last command of a line, whose status is that of the line; none where that cannot be told."""
    if len(line) > _LONGEST:
        return []
    commands: list[list[str]] = [[]]
    at, skip = 0, False
    while at < len(line):
        found = _TOKEN.match(line, at)
        if found is None:
            return []
        at = found.end()
        if (word := found[1]) is not None:
            if not skip:
                commands[-1].append(_QUOTES.sub(lambda sign: sign[1] or "", word))
            skip = False
        elif (sign := found[2]) is not None:
            skip = "<" in sign or ">" in sign
            if not skip:
                commands.append([])
    told = [each for each in commands if each]
    while told and told[-1][0] in ("pwd", "}"):
        told.pop()  # agents that keep a shell's folder end their lines so
    return _bare(told[-1]) if told else []


def _bare(words: list[str]) -> list[str]:
    while words and (words[0] in ("!", "{", "exec", "builtin") or _ASSIGNED.match(words[0])):
        words = words[1:]
    if words[:1] == ["command"] and words[1:2] not in (["-v"], ["-V"]):
        words = words[1:]
    if words and words[0].startswith(("/usr/", "/bin/")):
        words = [words[0].rpartition("/")[2], *words[1:]]
    return words
