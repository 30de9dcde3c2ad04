"""Variables by which a loader, shell, interpreter or git is made to run something that nobody asked for, as far as a
program is executed with others than the run began with.

Two rules speak of them. Where ``tools.executables`` is set, what such a variable leads to counts as executed. And one
that ``env.drop`` of the profile takes out of the environment is not put back by the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.invariants.tools import INVARIANT, may_run
from supervisor.profile.model import Entry, Scope
from supervisor.vocabulary.events import ExecEvent
from supervisor.vocabulary.verdicts import Match

if TYPE_CHECKING:
    from supervisor.invariants.policy import CompiledPolicy

# The value is files, one or several; a folder, or several; options or a command line with files in it.
FILES: Final = frozenset(("LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV", "PYTHONSTARTUP", "OPENSSL_CONF"))
FOLDERS: Final = frozenset(
    (
        "LD_LIBRARY_PATH", "GCONV_PATH", "LOCPATH", "PYTHONHOME", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR",
        "GCC_EXEC_PREFIX", "COMPILER_PATH", "OPENSSL_ENGINES", "OPENSSL_MODULES", "OPENSSL_CONF_INCLUDE",
    )
)  # fmt: skip
OPTIONS: Final = frozenset(
    (
        "NODE_OPTIONS", "BUN_OPTIONS", "PERL5OPT", "PERL5DB", "RUBYOPT", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_PAGER",
        "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_ASKPASS", "SSH_ASKPASS", "SUDO_ASKPASS", "PYTHONBREAKPOINT",
        "PROMPT_COMMAND", "LESSOPEN", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER",
    )
)  # fmt: skip
LOADING: Final = FILES | FOLDERS | OPTIONS
# Of these every one that the profile drops stays dropped: switches of the loader, and functions of a shell.
_FAMILIES: Final = ("LD_", "BASH_FUNC_")


class InjectionRules(NamedTuple):
    """``leads``: whether it is asked where the variables lead. ``dropped``: names that the run must not set, with
    ``*`` at the end for any rest. ``passed``: names that the profile lets through."""

    leads: bool
    dropped: tuple[Entry, ...] = ()
    passed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.leads or bool(self.dropped)

    def asks(self, name: str) -> bool:
        """Whether a variable plays a part."""
        known = name in LOADING
        if not (known or name.startswith(_FAMILIES)) or any(fnmatchcase(name, pattern) for pattern in self.passed):
            return False
        return (known and self.leads) or self.drops(name) is not None

    def drops(self, name: str) -> Entry | None:
        """The entry of the profile that takes it away."""
        return next((entry for entry in self.dropped if fnmatchcase(name, entry.value)), None)


def compile_injection(scope: Scope) -> InjectionRules:
    """What the profile says of such variables. Packs drop credentials, which may be set again."""
    dropped = tuple(entry for entry in scope.env_drop if _is_loading(entry.value))
    return InjectionRules("executables" in scope.tools, dropped, tuple(entry.value for entry in scope.env_pass))


def _is_loading(pattern: str) -> bool:
    stem = pattern.removesuffix("*")
    if stem.startswith(_FAMILIES) or (stem != pattern and any(family.startswith(stem) for family in _FAMILIES)):
        return True
    return any(fnmatchcase(name, pattern) for name in LOADING)


def judge_exec(policy: CompiledPolicy, event: ExecEvent) -> Iterator[Match]:
    """What a program is executed with, and may not be."""
    for name, path in event.injected:
        entry = policy.injection.drops(name)
        if entry is not None:
            rule, effect = policy.rule("scope.env", entry.source)
            yield Match(rule, effect, f"{name} is set, which this profile takes out of the environment")
        elif not path:
            rule, effect = policy.rule(INVARIANT, policy.tools.source)
            why = "is set to what cannot be told here ($, `, ~, /proc, /dev, or too much of it): write paths out"
            yield Match(rule, effect, f"{name} {why}")
        elif not may_run(policy, path):
            rule, effect = policy.rule(INVARIANT, policy.tools.source)
            shown = path.removeprefix(policy.tree + b"/").decode("utf-8", "backslashreplace")
            yield Match(rule, effect, f"{name} leads to {shown}, which this run made and executables does not name")
