"""``govrun explain``: what would bind a run here, how firmly, and why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.cli.text import emit, safe
from supervisor.invariants.surfaces import Judged, surfaces
from supervisor.vocabulary.policy import Invariant

if TYPE_CHECKING:
    import typer

    from supervisor.invariants.policy import Grant
    from supervisor.run.prepare import Prepared


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("explain")
    def explain(
        as_json: bool = cli.Option(False, "--json", help="One JSON object instead of text."),
        agent: str = cli.Option(None, "--agent", help="Explain for this agent pack."),
    ) -> None:
        """Say what would bind a run in this directory: invariants, coverage, grants."""
        from supervisor.run.prepare import Options, prepare

        prepared = prepare(Options(command=("true",), agent=agent), os.environ)
        emit([json.dumps(document(prepared), indent=2)] if as_json else plan(prepared))


def document(prepared: Prepared) -> dict[str, object]:
    """Everything ``explain`` knows, ready for JSON; what records also say has the name it has there."""
    policy = prepared.policy
    where = surfaces(prepared.profile, policy.invariants, git=policy.git is not None)
    return {
        "tree": str(prepared.place.tree),
        "agent": prepared.agent.name,
        "tier": prepared.host.tier,
        "policy_blob": policy.digest,
        "sources": [{"name": s.name, "sha256": s.sha256} for s in prepared.profile.sources],
        "warnings": list(prepared.profile.warnings),
        "withheld": list(prepared.environment.withheld),
        "invariants": [_invariant(found, where[found.id]) for found in policy.invariants.values()],
        "grants": [
            {"path": _text(grant.path), "source": grant.source, "protected": _protected(grant)}
            for grant in policy.grants
        ],
        "hidden": [_text(path) for path in policy.unread()],
        "not_checked": _not_checked(prepared),
    }


def _invariant(found: Invariant, where: tuple[Judged, ...]) -> dict[str, object]:
    named = {"id": "invariant", "kind": "invariant_kind", "then": "verdict"}
    known = found._asdict() | {"coverage": found.coverage.word}
    judged = [{"surface": each.surface, "coverage": each.coverage.word, "how": each.how} for each in where]
    return {named.get(name, name): value for name, value in known.items()} | {"surfaces": judged}


def _not_checked(prepared: Prepared) -> list[str]:
    """Ids of rules with an example that nothing asks."""
    from supervisor.run.examples import examples

    rules = [each.rule for each in examples(prepared.policy, prepared.profile) if not each.asked]
    return list(dict.fromkeys(rules))


def plan(prepared: Prepared) -> list[str]:
    """The same as lines of text. Whoever wrote the profile may be a stranger: nothing in it reaches a terminal raw."""
    return [safe(line) for line in _plan(prepared)]


def _plan(prepared: Prepared) -> list[str]:
    policy = prepared.policy
    lines = [f"tree     {prepared.place.tree}", f"agent    {prepared.agent.name}   tier {prepared.host.tier}", ""]
    width = max(len(found.id) for found in policy.invariants.values())
    for found in policy.invariants.values():
        told = " · ".join(filter(None, (found.note, found.why, f"ADR {found.adr}" if found.adr else "", found.source)))
        lines.append(f"{found.coverage.word:13} {found.id:{width}}  {found.then:7} {told}")
    lines += ["", "where each is judged, and how firmly:", *_where(prepared, width), ""]
    if prepared.place.repository is not None and policy.write:
        told = "untracked paths that the base commit's ignore rules cover   (counted, not journalled one by one)"
        lines += ["writable inside the tree, whatever scope.write says:", f"  {told}"]
    lines.append("writable outside the tree:")
    for grant in policy.grants:
        lines.append(f"  {_text(grant.path)}   ({grant.source})")
        lines += [f"    not {pattern}" for pattern in _protected(grant)]
    lines += [f"  {_text(path)}   (only names the run creates)" for path in policy.temp]
    lines += ["hidden:", *(f"  {_text(path)}" for path in policy.unread())]
    if not policy.judges_reads:
        lines.append(
            "  files beside these that are new, or replaced by rename, during a run   (unreadable until the next)"
        )
    if prepared.environment.withheld:
        lines.append(f"withheld: {', '.join(prepared.environment.withheld)}")
    skipped = _not_checked(prepared)
    if skipped:
        lines.append(f"examples not checked yet: {', '.join(skipped)}")
    return lines


def _where(prepared: Prepared, width: int) -> Iterator[str]:
    """One line for each surface of each invariant."""
    policy = prepared.policy
    for ident, where in surfaces(prepared.profile, policy.invariants, git=policy.git is not None).items():
        shown = ident
        for each in where:
            yield f"  {shown:{width}}  {each.surface:17} {each.coverage.word:13} {each.how}".rstrip()
            shown = ""


def _protected(grant: Grant) -> list[str]:
    return [entry.value for entry in grant.protect.entries]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
