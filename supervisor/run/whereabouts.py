"""Files that say where a command acts (a kubeconfig, a selected workspace): they have to stay as they were judged."""

from __future__ import annotations

import os
from collections.abc import Callable

from supervisor.commands.world import digest
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.rulevalues import COMMAND_CLASSES
from supervisor.run.holds import Held
from supervisor.surfaces.applied import Limits, links, look
from supervisor.vocabulary.commands import Command

_MOST = 1 << 20
# An installation changes the manifest that names its registry.
_OWN_FILES = "package-install"


def classes_with_targets(policy: CompiledPolicy) -> frozenset[str]:
    """Classes of commands of which a rule asks where they act."""
    if policy.expressions:
        return frozenset(COMMAND_CLASSES) - {_OWN_FILES}
    rules = policy.actions.rules if policy.actions else ()
    acts = (act for rule in rules for act in (*rule.deny, *rule.allow))
    return frozenset(name for act in acts if act.target != "*" for name in act.names) - {_OWN_FILES}


def judged_by(command: Command, writes: Callable[[bytes, int], bool]) -> tuple[list[Held], str]:
    """What must not change while the command runs; and why it may be other already, empty where it is not. ``writes``:
    whether the run may write to a file (``surfaces.applied.Limits``)."""
    # Nothing of it is told: hidden files count as well.
    limits = Limits(lambda _path: False, lambda _path, _fd: False, writes)
    held: list[Held] = []
    unsure = ""
    for name, before in command.read:
        path = os.fsencode(name)
        seen = look(path, _MOST, limits)
        held += [Held(seen.path or os.path.realpath(path), seen.inode), *(Held(each) for each in links(path))]
        if seen.content is None and not seen.absent:
            unsure = unsure or f"{name}: {seen.why or 'it is a folder'}"
        elif digest(seen.content) != before:
            unsure = unsure or f"{name}: it changes"
    return held, unsure
