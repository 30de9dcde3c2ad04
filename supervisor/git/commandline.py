"""What a git process was asked to do, by its arguments as they were seen when it was executed."""

from __future__ import annotations

# Options of git itself that take the next word (git(1), OPTIONS).
_TAKING = frozenset(
    b"-c -C --git-dir --work-tree --namespace --super-prefix --config-env --exec-path --attr-source".split()
)
# Commands that bring commits of others and name them by remote-tracking refs. An alias runs them in a process of their
# own, and so does `git pull`.
FETCHING = frozenset(b"fetch pull push clone remote submodule fetch-pack send-pack".split())


def command_of(argv: tuple[bytes, ...]) -> bytes:
    """``rebase`` of ``git -C x rebase main``, empty when there is none. Pure."""
    if not argv:
        return b""
    called = argv[0].rpartition(b"/")[2]
    if called.startswith(b"git-"):
        return called[4:]
    words = iter(argv[1:])
    for word in words:
        if not word.startswith(b"-"):
            return word
        if word in _TAKING:
            next(words, None)
    return b""
