"""``govrun doctor``: whether runs can start here, and what to do about what is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.run.premises import Premises
    from supervisor.vocabulary.host import Gap, HostFacts


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("doctor")
    def doctor(
        as_json: bool = cli.Option(False, "--json", help="One JSON object instead of a table."),
    ) -> None:
        """Say whether runs can start here, and how to fix what is missing. Exit status 1 when they cannot."""
        import os

        from supervisor.cli.text import emit, safe
        from supervisor.kernel import probe
        from supervisor.kernel.gaps import gaps as host_gaps
        from supervisor.run.premises import gaps as other_gaps
        from supervisor.run.premises import premises

        facts, found = probe.host(), premises(os.environ)
        gaps = tuple(sorted((*host_gaps(facts), *other_gaps(found)), key=lambda gap: not gap.blocks))
        emit(
            [json.dumps(_document(facts, found, gaps), indent=2)] if as_json else map(safe, _table(facts, found, gaps))
        )
        if any(gap.blocks for gap in gaps):
            raise cli.Exit(1)


def _document(facts: HostFacts, found: Premises, gaps: tuple[Gap, ...]) -> dict[str, object]:
    sets = {"options": sorted(found.options), "cache_options": sorted(found.cache_options)}
    return {
        "can_start": not any(gap.blocks for gap in gaps),
        "tier": facts.tier,
        "facts": facts._asdict() | {"release": list(facts.release)},
        "premises": found._asdict() | sets,
        "gaps": [gap._asdict() for gap in gaps],
    }


def _rows(facts: HostFacts, found: Premises) -> list[tuple[str, str, str]]:
    """Name, value, and the gaps that row would have, separated by spaces."""
    user_namespaces = "available" if facts.userns_errno == 0 else "refused"
    git = f"{'.'.join(map(str, found.git_version))} ({found.git})" if found.git else "missing"
    free = f", {found.free / (1 << 30):.1f} GiB free" if found.free is not None else ""
    return [
        ("kernel", f"Linux {facts.release_text} {facts.machine}", "machine"),
        ("user", "root (capabilities are given up)" if facts.root else "ordinary user", ""),
        ("landlock", f"ABI {facts.landlock_abi}" if facts.landlock_abi else "missing", "landlock scopes"),
        ("seccomp notify", "yes" if facts.notify else "missing", "notify"),
        ("wait killable", "yes" if facts.wait_killable else "missing", "wait-killable"),
        ("sync wake-up", "yes" if facts.sync_wake_up else "no", "sync-wake-up"),
        ("listener", "can be loaded" if facts.listener_errno == 0 else "cannot be loaded", "listener inside-run"),
        ("filters in force", str(facts.seccomp_filters), ""),
        ("child calls", ", ".join(facts.refused_calls) or "allowed", "calls"),
        ("libseccomp", facts.libseccomp or "missing", "libseccomp"),
        ("Yama", "not active" if facts.yama < 0 else f"ptrace_scope = {facts.yama}", "yama"),
        ("BPF JIT", {-1: "unknown", 0: "off"}.get(facts.bpf_jit or 0, "on"), "bpf-jit"),
        ("user namespaces", f"{user_namespaces} (not used yet)", "userns"),
        ("container", facts.container or "none seen", ""),
        ("security modules", facts.lsm or "not readable", ""),
        ("git", git, "git"),
        ("state folder", f"{found.state or 'unknown'} ({found.filesystem or '?'}{free})", "state room network"),
        ("temporary space", found.temporary or "none", "temporary"),
        ("this folder", found.here or "not governed", "here caches"),
        ("Python package", "alone in its environment" if not facts.foreign_supervisor else "shared", "supervisord"),
        ("tier", facts.tier, ""),
    ]


def _table(facts: HostFacts, found: Premises, gaps: tuple[Gap, ...]) -> list[str]:
    blocking = {gap.name: gap.blocks for gap in gaps}
    lines = []
    for name, value, of in _rows(facts, found):
        states = [blocking[gap] for gap in of.split() if gap in blocking]
        mark = "no" if any(states) else "note" if states else "ok"
        lines.append(f"{mark:<5} {name:<17} {value}")
    for gap in gaps:
        lines += ["", f"{'missing' if gap.blocks else 'note'}: {gap.what}"]
        lines += [f"  why: {line}" for line in gap.why.splitlines()]
        lines += [f"  fix: {line}" for line in gap.fix.splitlines()]
        if gap.flag:
            lines.append(f"  or:  govrun --accept {gap.flag} …   (weaker, and recorded)")
    stuck = sum(gap.blocks for gap in gaps)
    lines += ["", "runs can start" if not stuck else f"runs cannot start: {stuck} thing(s) missing"]
    return lines
