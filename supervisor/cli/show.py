"""``govrun show``: one page about a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from supervisor.cli.text import command_line, safe

if TYPE_CHECKING:
    import typer

    from supervisor.run.account import Account, Some
    from supervisor.run.acts import Record

_MOST, _MOST_RULES = 10, 40
_ENDS: Final[Mapping[str, str]] = {
    "exit": "the command ended",
    "signal": "the command was ended by a signal",
    "invariant": "an invariant stopped it",
    "operator": "its operator stopped it",
    "timeout": "its time was up",
    "internal": "govrun failed and stopped it",
    "crash": "the supervisor died, and everything it had started was stopped",
}


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    from supervisor.cli.choice import RUN_HELP

    @app.command("show")
    def show(
        run: str = cli.Argument("latest", help=RUN_HELP),
        as_json: bool = cli.Option(False, "--json", help="One JSON object instead of text."),
        remediation: bool = cli.Option(False, "--remediation", help="What was tried after something was refused."),
    ) -> None:
        """One page about a run: what ran, how it ended, what was refused, taken back, changed by others, recorded.

        Exit status 1 when the chain of its journal is broken.
        """
        from supervisor.cli.choice import choose, heading
        from supervisor.cli.lines import paged
        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.journal.store import state_dir
        from supervisor.run.account import account

        folder = choose(state_dir(os.environ), run)
        if remediation:
            from supervisor.cli.remediation import document as chains
            from supervisor.cli.remediation import page

            emit([encode(chains(folder))] if as_json else paged(page(folder, heading(folder, run))))
            return
        found = account(folder)
        told = document(folder, found)
        if as_json:
            emit([encode(told)])
        else:
            emit(paged(_page(folder, heading(folder, run), told, found)))
        if not found.report.intact:
            raise cli.Exit(1)


def document(folder: Path, found: Account) -> dict[str, object]:
    """Everything ``show`` knows, with the keys that ``runs`` and the records of the journal have."""
    from supervisor.cli.runs import row
    from supervisor.journal.store import read_meta

    meta, report = read_meta(folder), found.report
    end, git = _object(meta.get("end")), _object(meta.get("git"))
    left = {name: some.count - len(some.entries) for name, some in found.lists.items()}
    return row(folder)._asdict() | {
        "code": end.get("code"),
        "policy_blob": meta.get("policy"),
        "sources": meta.get("sources") if isinstance(meta.get("sources"), list) else [],
        "decisions": meta.get("decisions") if isinstance(meta.get("decisions"), list) else [],
        "base": git.get("base"),
        "folder": os.fspath(folder),
        "ref": found.ref or None,
        "dropped": meta.get("dropped"),
        "records": report.records,
        "chain": {
            "intact": report.intact,
            "head": report.head,
            "torn": report.torn and not found.live,
            "problems": [problem._asdict() for problem in report.problems],
        },
        "kinds": found.kinds,
        "invariants": invariants(found, meta),
        "refused": found.worst(),
        **{name: some.entries for name, some in found.lists.items()},
        "more": {name: count for name, count in left.items() if count} | found.beyond,
    }


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _is_undo(known: Mapping[str, object]) -> bool:
    """Nothing governs one: it is the user's own act."""
    from supervisor.run.lineages import AGENT

    return known["agent"] == AGENT


def _page(folder: Path, heading: str, known: dict[str, object], found: Account) -> Iterator[str]:
    argv = known["argv"]
    yield f"{folder.name}   {heading}"
    yield _labelled("ran", command_line(argv) if isinstance(argv, list) and argv else "-", 2000)
    yield _labelled("in", known["tree"], 2000)
    if known["base"]:
        yield _labelled("base", f"commit {known['base']}")
    spent = f", {known['seconds']:.1f} s" if isinstance(known["seconds"], float) else ""
    yield _labelled("when", f"{known['start']}{spent}")
    yield _labelled("ended", _ended(known))
    undo = _is_undo(known)
    if not undo:
        yield from _governed(known)
    counts = _object(known["counts"])
    if counts:
        yield _labelled("counts", " ".join(f"{name}={value}" for name, value in counts.items()))
    yield from _invariants(known["invariants"])
    yield from _refused(found.worst(), found.beyond.get("refused", 0))
    label, told = ("put back", _put_back) if undo else ("taken back", _revert)
    yield from _listed(label, found.lists["reverts"], told)
    yield from _listed("by others", found.lists["external"], _external)
    yield from _listed("diverged", found.lists["divergence"], _external)
    yield from _listed(
        "killed", found.lists["kills"], lambda each: f"{each.get('invariant', '-')}: {each.get('message', '-')}"
    )
    yield from _listed(
        "gaps", found.lists["gaps"], lambda each: f"{each.get('reason', '-')}: {each.get('detail', '-')}"
    )
    yield from _listed("state", found.lists["state"], _state)
    yield from _listed("refs", found.lists["refs"], _ref)
    yield from _listed("commits", found.lists["commits"], lambda each: f"{each.get('commit')}")
    if found.lists["commits"].count:
        yield _labelled("", "the note on one: git notes --ref=govrun show COMMIT")
    yield from _listed(
        "no note", found.lists["unwritten"], lambda each: f"{each.get('commit') or ''} {each.get('problem')}"
    )
    yield from _record(folder, found)


def _labelled(label: str, text: object, limit: int = 600) -> str:
    return f"{label:<10} {safe(text, limit)}".rstrip()


def _ended(known: dict[str, object]) -> str:
    status, reason = known["status"], str(known["reason"])
    if status == "RUNNING":
        return "RUNNING: it goes on"
    words = [_ENDS.get(reason, "nothing says how: govrun recover") if reason in _ENDS or reason == "-" else reason]
    if isinstance(code := known["exit"], int):
        words.append(f"exit code {code}" if code >= 0 else f"signal {-code}")
    own = known["code"]
    if own is not None and own != code and not (isinstance(code, int) and own == 128 - code):
        words.append(f"govrun's own {own}")
    return f"{status}: {', '.join(words)}"


def _governed(known: dict[str, object]) -> Iterator[str]:
    sources = known["sources"]
    named = [
        f"{each.get('name', '-')}@{str(each.get('sha256', '-'))[:12]}"
        for each in (sources if isinstance(sources, list) else [])
        if isinstance(each, dict)
    ]
    policy = str(known["policy_blob"] or "-")[:12]
    yield _labelled("governed", f"policy {policy}, agent pack {known['agent']}, from {' '.join(named) or '-'}")
    decisions = known["decisions"]
    for each in (decisions if isinstance(decisions, list) else [])[:_MOST]:
        if isinstance(each, dict):
            yield _labelled(
                "", f"decision {each.get('id', '-')} {each.get('title', '')} ({each.get('path', '-')})", 300
            )


def invariants(found: Account, meta: Mapping[str, object]) -> list[Record]:
    """Every invariant in force, and every one that spoke: what it said, how firmly it holds here, which contracts are
    about it, and what the run leaves of it. Of a run that has not ended, or by a crash, nothing is known to be held."""
    begun = {name: {"coverage": level} for name, level in _object(meta.get("invariants")).items()}
    rows: list[Record] = []
    for name in sorted({*found.invariants, *found.standing, *begun}):
        spoke: Record = {"invariant": name, **dict.fromkeys(("judged", "blocked", "reverted", "warned"), 0)}
        told = {"state": "unproved", **begun.get(name, {}), **found.standing.get(name, {})}
        rows.append(spoke | told | found.invariants.get(name, {}))
    return rows


def _invariants(rows: object) -> Iterator[str]:
    """One line for each: those that were violated first, then those that spoke."""
    label, some = "invariants", rows if isinstance(rows, list) else []
    order = sorted(some, key=lambda row: (row["state"] != "violated", not row["judged"], row["invariant"]))
    for each in order[:_MOST_RULES]:
        words = [f"{name} {each[name]}" for name in ("judged", "blocked", "reverted", "warned") if each[name]]
        words += [f"contract {name} {came}" for name, came in _object(each.get("contracts")).items()]
        origin = ", ".join(map(str, filter(None, (each.get("coverage", "-"), each.get("adr") or each.get("source")))))
        said = f": {', '.join(words)}" if words else ""
        yield _labelled(label, f"{each['state']:<8} {clipped(each['invariant'])}{said} ({origin})")
        label = ""
    if len(order) > _MOST_RULES:
        yield _labelled("", f"… and {len(order) - _MOST_RULES} more, in --json")
    if any(each["state"] == "unproved" for each in order):
        yield _labelled("", "unproved: no contract showed it; nothing broke it either")


def clipped(value: object) -> str:
    """An id as a page has room for it."""
    from supervisor.run.subject import clip

    return clip(value, 80)


def _refused(worst: list[Record], beyond: int) -> Iterator[str]:
    label = "refused"
    for each in worst[:_MOST]:
        times = f"{each['count']} times " if each["count"] != 1 else ""
        yield _labelled(
            label, f"{times}{each['kind']} {each['subject']} ({clipped(each['invariant'])}, record {each['seq']})"
        )
        label = ""
    if len(worst) > _MOST or beyond:
        yield _labelled("", f"… and {max(0, len(worst) - _MOST) + beyond} more: govrun log --blocked")


def _revert(each: Record) -> str:
    place = each.get("quarantine")
    kept = f"; rejected: {place}{'' if each.get('kept') else ' (not there any more)'}" if place else ""
    return f"{each.get('path', '-')} {each.get('how', '-')} ({clipped(each.get('invariant', '-'))}){kept}"


def _put_back(each: Record) -> str:
    how = "left as it is" if each.get("how") == "failed" else each.get("how", "-")
    detail = f": {each['detail']}" if each.get("detail") else ""
    return f"{each.get('path', '-')} {how}{detail}"


def _external(each: Record) -> str:
    if "ref" in each:
        return _ref(each)
    if "more" in each:
        return f"{each['more']} more"
    words = [str(each[name]) for name in ("reason", "message") if each.get(name)]
    leads = f" -> {each['target']}" if each.get("target") else ""
    return f"{each.get('path', '-')}{leads}{': ' if words else ''}{'; '.join(words)}"


def _state(each: Record) -> str:
    was, now = (str(each.get(name) or "nothing").rpartition(":")[2][:12] for name in ("pre", "post"))
    return f"{each.get('path', '-')} {was} -> {now}"


def _ref(each: Record) -> str:
    old, new = (str(each.get(name) or "-")[:12] for name in ("old", "new"))
    return f"{each.get('ref', '-')} {old} -> {new}"


def _listed(label: str, some: Some, text: Callable[[Record], str]) -> Iterator[str]:
    for each in some.entries[:_MOST]:
        seq = f" (record {each['seq']})" if "seq" in each else ""
        yield _labelled(label, f"{text(each)}{seq}")
        label = ""
    if some.count > _MOST:
        yield _labelled("", f"… and {some.count - _MOST} more")


def _record(folder: Path, found: Account) -> Iterator[str]:
    from supervisor.cli.log import chain_lines
    from supervisor.journal.store import read_meta

    yield _labelled("record", os.fspath(folder), 2000)
    if found.ref:
        yield _labelled("", f"without content at {found.ref}")
    dropped = _object(read_meta(folder).get("dropped"))
    if dropped:
        when, size = dropped.get("time", "-"), dropped.get("bytes", "-")
        yield _labelled("", f"contents dropped at {when} to make room ({size} bytes): it cannot be undone")
    yield from (_labelled("", line.strip()) for line in chain_lines(found.report, folder)[0])
    yield _labelled("", f"govrun log {folder.name}, govrun why {folder.name} SEQ")
