"""What binds the command of a contract: what binds the run, with writes narrowed to a copy of the tree.

The command runs code that the run may have written, so it may read and use nothing that the run may not; what it could
hand over would be the run's. It asks nobody, reaches no host and leaves nothing behind.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from supervisor.invariants.places import is_under
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Entry, Profile, Rule, Scope, Words
from supervisor.vocabulary.limits import KEYS

_KEPT = ("hide", "read", "commands", "tools", "files", "env_drop", "env", *KEYS)
# Nobody is there to be asked, or to let a run go on.
_THEN = {"ask": "deny", "pause": "deny"}
_LIMIT = "contract"  # the layer of limits that end the command where they would hold a run still


class Within(NamedTuple):
    """``profile`` and ``policy`` of the run, ``temp``: the only temporary space, a canonical path, ``seconds``: how
    long it may take."""

    profile: Profile
    policy: CompiledPolicy
    temp: bytes
    seconds: float

    def narrowed(self, tree: str) -> Profile:
        """The profile of a run on a copy, ``tree``, which is canonical."""
        rules = tuple(_alone(rule) for rule in self.profile.rules if _binds(rule))
        return self.profile._replace(
            scope=self._scope(tree), rules=rules, contracts=(), ask="deny", require=None, require_committed=False,
            warnings=(), protected_files=(),
        )  # fmt: skip

    def _scope(self, tree: str) -> Scope:
        scope = self.profile.scope
        layers = {name: _silent(words) for name, words in scope.layers.items()} | {_LIMIT: Words("kill")}
        sources = {key: source for key, source in scope.sources.items() if key in _KEPT}
        for key in KEYS:
            if key in sources and scope.words_of(sources[key]).then in ("ask", "deny", "pause"):
                sources[key] = f"{_LIMIT}:0"
        return Scope(
            then=_THEN.get(scope.then, scope.then),
            read=scope.read,
            hosts=((),),
            commands=scope.commands,
            hide=tuple(entry for entry in scope.hide if not self._holds(entry, tree)),
            env_drop=scope.env_drop,
            env_set=scope.env_set,
            timeout=min(self.seconds, scope.timeout or self.seconds),
            cpu=scope.cpu,
            memory=scope.memory,
            disk=scope.disk,
            processes=scope.processes,
            files=scope.files,
            tools=scope.tools,
            sources=sources,
            layers=layers,
        )

    def _holds(self, entry: Entry, tree: str) -> bool:
        """Whether a hidden folder holds the copy; ``bind`` hides all else in it."""
        path = entry.value.removesuffix("/**").rstrip("/")
        if path.startswith("~/"):
            path = os.fsdecode(self.policy.home) + path[1:]
        return path.startswith("/") and tree.startswith(os.path.realpath(path) + "/")

    def bind(self, policy: CompiledPolicy) -> CompiledPolicy:
        """The compiled policy of a run on a copy, with what is hidden of the run's own tree and of its records."""
        outer = self.policy
        closed = [*policy.hide, *outer.hide, *outer.around, os.path.realpath(outer.state)]
        around = tuple(dict.fromkeys(folder for folder in closed if is_under(policy.tree, folder)))
        hide = tuple(dict.fromkeys(folder for folder in closed if folder not in around))
        policy = policy._replace(hide=hide, around=around, temp=(self.temp,))
        if not outer.judges_reads:
            return policy
        from supervisor.invariants.hidden import Hidden, beside_of

        return policy._replace(hidden=(policy.hidden or Hidden())._replace(beside=beside_of(outer)))


def _binds(rule: Rule) -> bool:
    if rule.kind == "data":
        from supervisor.invariants.data import closed_by_kernel

        return rule.fields.get("access") == "hide" and not closed_by_kernel(rule)  # those are folders of ``hide``
    return rule.kind in ("command", "rule")


def _alone(rule: Rule) -> Rule:
    then = _THEN.get(rule.then, rule.then) if rule.then is not None else None
    return rule._replace(then=then, denied=(), allowed=(), require=None)


def _silent(words: Words) -> Words:
    return words._replace(then=_THEN.get(words.then, words.then), denied=(), allowed=(), require=None)
