"""What a run says of itself on the way in and out: the banner and the three lines at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from supervisor.enforce.explain import safe
from supervisor.invariants.policy import CompiledPolicy
from supervisor.journal.store import read_meta
from supervisor.run.prepare import Prepared
from supervisor.vocabulary.policy import Coverage


def levels(policy: CompiledPolicy) -> dict[Coverage, int]:
    """How many invariants hold at each level on this host, the firmest first."""
    found = [rule.coverage for rule in policy.invariants.values()]
    return {level: count for level in sorted(Coverage, reverse=True) if (count := found.count(level))}


def banner(prepared: Prepared, run: str) -> list[str]:
    """What is said before the agent starts, one line and the warnings."""
    found = prepared.policy.invariants.values()
    counted = " ".join(f"{count} {level.word}" for level, count in levels(prepared.policy).items())
    tree = str(prepared.place.tree)
    home = os.environ.get("HOME", "")
    shown = "~" + tree[len(home) :] if home and tree.startswith(home + "/") else tree
    parts = [
        f"govrun {run}: {prepared.agent.name} in {shown} (inplace, {prepared.host.tier} tier)",
        f"{len(prepared.policy.invariants)} invariants: {counted}",
    ]
    if prepared.policy.debug:
        parts.append("debug: tracing inside the run is allowed, commands are observed")
    if prepared.environment.withheld:
        parts.append(f"withheld: {', '.join(prepared.environment.withheld)}")
    parts.append(" ".join(f"{source.name}@{source.sha256[:7]}" for source in prepared.profile.sources))
    lines = [safe(" · ".join(parts))]
    lines += [safe(f"govrun: warning: {text}") for text in prepared.profile.warnings]
    unjudged = [rule.id for rule in found if rule.coverage is Coverage.UNENFORCEABLE]
    if unjudged:
        lines.append(f"govrun: not judged here: {', '.join(unjudged[:12])} (govrun explain says why)")
    if prepared.policy.branching and prepared.place.repository is not None:
        lines += _on_branch(prepared.policy, prepared.place.repository.head_ref or "")
    if prepared.place.repository is None:
        lines.append("govrun: not a git repository: no notes will be written")
    return lines


def _on_branch(policy: CompiledPolicy, ref: str) -> list[str]:
    """Where commits would be refused on the branch that is checked out: that, and what to do."""
    rules = policy.branching
    if not ref or rules.branches is None or rules.moves(ref):
        return []
    use = policy.rule("scope.branches", rules.source)[0].use
    told = f"govrun: commits on {ref.removeprefix('refs/heads/')} are refused (scope.branches): {rules.shown}"
    return [safe(f"{told} · {use}" if use else told)]


def _ending(end: Mapping[str, object]) -> str:
    """How a run ended, in words."""
    reason, code = end.get("reason"), end.get("exit")
    if reason == "exit":
        return f"exit {code}"
    if reason == "signal" and isinstance(code, int):
        return f"ended by {signal.Signals(-code).name}"
    words = {"invariant": "stopped by an invariant", "operator": "stopped by its operator", "timeout": "timeout"}
    return words.get(str(reason), str(reason))


_SAID_IF_ANY: Final = ("reverts", "kills", "external", "divergence")


def summary(folder: Path, run: str) -> list[str]:
    """The three lines at the end."""
    end = read_meta(folder).get("end")
    if not isinstance(end, dict):
        return [f"govrun {run}: UNKNOWN"]
    counts = end.get("counts") or {}
    counts = counts if isinstance(counts, dict) else {}
    told = " ".join(f"{name}={value}" for name, value in counts.items() if value or name not in _SAID_IF_ANY)
    return [
        f"govrun {run}: {end.get('status')} · {_ending(end)} · {end.get('seconds', '-')} s",
        f"govrun: {told or 'no record'}",
        f"govrun: govrun log {run[:12]}",
    ]
