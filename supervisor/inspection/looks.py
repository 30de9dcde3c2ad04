"""Which changed files have to be inspected for all that the rules ask about: by name, then by a look at the bytes.

Runs in the supervisor on every changed file. What it lets through unread must be what no rule could object to.
"""

from __future__ import annotations

from supervisor.inspection.kinds import SCRIPT, file_kind, is_source, script_kind
from supervisor.inspection.prefilter import Prefilter
from supervisor.inspection.reading import DOCUMENT, TEXT
from supervisor.inspection.secrets import may_hold
from supervisor.invariants import content, dependency, infra, servers
from supervisor.invariants.policy import CompiledPolicy
from supervisor.invariants.secrets import has_own

MOST_TEXT = 8 << 20  # bytes; nobody writes a credential into a larger one by hand


class Looks:
    """``policy`` says what is asked. Paths are absolute, or relative to the tree."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self._inside = policy.tree + b"/"
        self._packages = Prefilter(dependency.needles(policy.dependencies)) if policy.dependencies else None
        self._boundaries = policy.boundaries
        self._references = bool(policy.boundaries)
        self._documents = policy.documents
        self._secrets = policy.secrets
        self._servers = policy.tools.servers if policy.tools else None
        self._all = content.is_counted(policy)
        self._own_secrets = bool(policy.secrets) and has_own(policy.secrets)

    def kind(self, path: bytes) -> str | None:
        """The kind of the file, None when no rule speaks of one like it."""
        kind = file_kind(path)
        if self._packages is not None and kind not in (None, SCRIPT):
            return kind
        if self._is_document(path):
            return kind if kind not in (None, SCRIPT) else DOCUMENT
        if self._all or self._secrets:
            return kind if kind not in (None, SCRIPT) else TEXT
        if kind is None or (self._packages is None and not self._is_spoken_of(kind, path)):
            return None
        return kind

    def _is_spoken_of(self, kind: str, path: bytes) -> bool:
        if not self._references or not (kind == SCRIPT or is_source(kind)):
            return False
        return self._boundaries.speaks_of(path.removeprefix(self._inside))

    def may_concern(self, kind: str, path: bytes, text: bytes) -> bool:
        """False only when no rule can object to ``text``."""
        told = script_kind(text) if kind in (SCRIPT, TEXT, DOCUMENT) else kind
        if told is not None:
            if self._references and is_source(told) and self._boundaries.speaks_of(path.removeprefix(self._inside)):
                return True
            if self._packages is not None and self._packages.may_concern(told, text):
                return True
        if self._is_document(path):
            return True
        return bool(self._secrets) and len(text) <= MOST_TEXT and may_hold(text, self._own_secrets)

    def _is_document(self, path: bytes) -> bool:
        relative = path.removeprefix(self._inside)
        return bool(self._documents and infra.covers(self._documents, relative)) or self.is_agents(path)

    def is_agents(self, path: bytes) -> bool:
        """Whether an agent would read its tool servers there: that counts also where git ignores the file."""
        return self._servers is not None and servers.covers(self._servers, path.removeprefix(self._inside))
