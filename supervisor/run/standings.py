"""Whose command a program is: the agent's own, or a helper's of something else that it has started.

The agent process starts commands, and so does a shell that it starts with a line (``sh -c``, or lines on its input), or
a launcher (``timeout``, ``npx``). What scripts, shims and build tools start is their own matter. Where govrun started a
launcher or a script instead of the agent, the first program below that may be the agent, and counts as it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from supervisor.vocabulary.events import ExecEvent

_SHELLS = frozenset(b"sh bash dash zsh ksh mksh ash fish rbash".split())
_INTERPRETERS = (b"node", b"python", b"bun", b"deno")
_LAUNCHERS = frozenset(
    b"env timeout nice ionice nohup setsid stdbuf time chrt taskset flock xargs sudo doas su runuser watch script "
    b"strace unshare nsenter chroot setarch prlimit systemd-run systemd-inhibit dbus-run-session xvfb-run direnv op "
    b"doppler aws-vault chamber dotenv poetry bundle npx npx-cli.js bunx pnpx uvx pipx uv pdm hatch rye pipenv mise "
    b"asdf conda npm npm-cli.js pnpm yarn tmux screen tini dumb-init".split()
)
_VALUED = frozenset((b"--rcfile", b"--init-file"))


class Standing(NamedTuple):
    """``counts``: it is a command of the agent. ``starts``: so is what it starts. ``heir``: what is above it only leads
    to the agent; ``leads``: so does this."""

    counts: bool = True
    starts: bool = False
    heir: bool = False
    leads: bool = False


def root(event: ExecEvent) -> Standing:
    """Of what govrun starts."""
    script = bool(event.chain) or (_is_shell(event) and not takes_lines(event.argv))
    return Standing(True, True, True, script or _is_launcher(event))


def below(above: Standing | None, event: ExecEvent) -> Standing:
    """Of a program that was started by one with that standing; None: it has lost its parents, and counts."""
    counts = above is None or above.starts
    heir = above is not None and above.leads
    return replaced(Standing(counts, heir=heir), event)


def replaced(before: Standing, event: ExecEvent) -> Standing:
    """Of a process that was started with that standing and now executes this program."""
    shell, launcher = _is_shell(event), _is_launcher(event)
    lines = shell and not event.chain and takes_lines(event.argv)
    chief = before.heir and not shell
    starts = before.counts and (chief or lines or launcher)
    return before._replace(starts=starts, leads=before.heir and launcher)


def takes_lines(argv: Sequence[bytes]) -> bool:
    """Whether a shell with these words runs a line, or lines of its input, and not a script."""
    words = iter(argv[1:])
    for word in words:
        if word == b"-" or not word.startswith((b"-", b"+")):
            return False
        if word in _VALUED:
            next(words, None)
        elif not word.startswith(b"--"):
            if b"c" in word or b"s" in word:
                return True
            if word.endswith((b"o", b"O")):
                next(words, None)
    return True


def is_shell(program: bytes) -> bool:
    """By its name."""
    return program.rpartition(b"/")[2].removeprefix(b"-") in _SHELLS


def _is_shell(event: ExecEvent) -> bool:
    return is_shell(event.target.path) or bool(event.argv and is_shell(event.argv[0]))


def _is_launcher(event: ExecEvent) -> bool:
    words = [event.given, *event.argv[:1]]
    if event.argv[1:] and event.argv[0].rpartition(b"/")[2].startswith(_INTERPRETERS):
        words.append(event.argv[1])
    return any(word.rpartition(b"/")[2] in _LAUNCHERS for word in words)
