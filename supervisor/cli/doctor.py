"""``govrun doctor``: whether runs can start here, and what to do about what is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.vocabulary.host import Gap, HostFacts


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("doctor")
    def doctor(
        as_json: bool = cli.Option(False, "--json", help="One JSON object instead of a table."),
    ) -> None:
        """Say whether runs can start on this machine, and how to fix what is missing."""
        from supervisor.kernel import probe

        facts = probe.host()
        gaps = probe.gaps(facts)
        print(json.dumps(_document(facts, gaps), indent=2) if as_json else "\n".join(_table(facts, gaps)))
        if any(gap.blocks for gap in gaps):
            raise cli.Exit(1)


def _document(facts: HostFacts, gaps: tuple[Gap, ...]) -> dict[str, object]:
    return {
        "can_start": not any(gap.blocks for gap in gaps),
        "tier": facts.tier,
        "facts": facts._asdict() | {"release": list(facts.release)},
        "gaps": [gap._asdict() for gap in gaps],
    }


def _rows(facts: HostFacts) -> list[tuple[str, str, str]]:
    """Name, value, and the gap that row would have."""
    user_namespaces = "available" if facts.userns_errno == 0 else "refused"
    return [
        ("kernel", f"Linux {facts.release_text} {facts.machine}", "machine"),
        ("user", "root (capabilities are given up)" if facts.root else "ordinary user", ""),
        ("landlock", f"ABI {facts.landlock_abi}" if facts.landlock_abi else "missing", "landlock"),
        ("seccomp notify", "yes" if facts.notify else "missing", "notify"),
        ("wait killable", "yes" if facts.wait_killable else "missing", "wait-killable"),
        ("sync wake-up", "yes" if facts.sync_wake_up else "no", "sync-wake-up"),
        ("listener", "can be loaded" if facts.listener_errno == 0 else "cannot be loaded", "listener"),
        ("filters in force", str(facts.seccomp_filters), ""),
        ("libseccomp", facts.libseccomp or "missing", "libseccomp"),
        ("Yama", "not active" if facts.yama < 0 else f"ptrace_scope = {facts.yama}", "yama"),
        ("BPF JIT", {-1: "unknown", 0: "off"}.get(facts.bpf_jit or 0, "on"), "bpf-jit"),
        ("user namespaces", f"{user_namespaces} (not used yet)", ""),
        ("container", facts.container or "none seen", ""),
        ("security modules", facts.lsm or "not readable", ""),
        ("tier", facts.tier, ""),
    ]


def _table(facts: HostFacts, gaps: tuple[Gap, ...]) -> list[str]:
    blocking = {gap.name: gap.blocks for gap in gaps}
    marks = {True: "no", False: "note", None: "ok"}
    lines = [f"{marks[blocking.get(gap)]:<5} {name:<17} {value}" for name, value, gap in _rows(facts)]
    for gap in gaps:
        lines += ["", f"{'missing' if gap.blocks else 'note'}: {gap.what}"]
        lines += [f"  why: {line}" for line in gap.why.splitlines()]
        lines += [f"  fix: {line}" for line in gap.fix.splitlines()]
        if gap.flag:
            lines.append(f"  or:  govrun --accept {gap.flag} …   (weaker, and recorded)")
    stuck = sum(gap.blocks for gap in gaps)
    lines += ["", "runs can start" if not stuck else f"runs cannot start: {stuck} thing(s) missing"]
    return lines
