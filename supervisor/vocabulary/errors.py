"""Errors that reach a user, each as what failed, why, and what to do.

Only ``cli.main`` prints them. A bare ``OSError`` that escapes is a bug of ours and becomes an ``InternalError``.
"""

from __future__ import annotations


class GovrunError(Exception):
    """Base of all told errors. ``exit_code`` is 125 (nothing ran) unless the raiser knows better."""

    exit_code = 125

    def __init__(self, what: str, why: str = "", fix: str = "", *, exit_code: int | None = None) -> None:
        super().__init__(what)
        self.what, self.why, self.fix = what, why, fix
        if exit_code is not None:
            self.exit_code = exit_code

    def lines(self) -> list[str]:
        """The message, one fact per line: ``govrun: what`` / ``  why: …`` / ``  fix: …``."""
        out = [f"govrun: {self.what}"]
        out += [f"  why: {line}" for line in self.why.splitlines()]
        out += [f"  fix: {line}" for line in self.fix.splitlines()]
        return out


class ProfileError(GovrunError):
    """The user's profile, a pack or an ADR cannot be taken as it is."""


class HostError(GovrunError):
    """The kernel, a library or the machine's settings lack something that is needed."""


class UsageError(GovrunError):
    """The command line, the tree or the place govrun was called from does not fit."""


class InternalError(GovrunError):
    """A bug of ours."""

    def __init__(self, what: str, why: str = "") -> None:
        told = why or "something happened that govrun does not expect, so it stopped"
        super().__init__(f"BUG: {what}", told, "please report this with the output of `govrun doctor --json`")


class StopRun(GovrunError):
    """The run cannot go on safely (journal, listener or store failed): stop it, exit 121."""

    exit_code = 121

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        told = "`govrun log latest` shows how far it came; start again, and report it if it comes back"
        super().__init__(what, why, fix or told)


class TooMuchError(GovrunError):
    """What is to be looked at or kept is larger than that may cost."""

    exit_code = 121
