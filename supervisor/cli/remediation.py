"""``govrun show --remediation``: what was refused in a run, what was then tried, and how that ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from supervisor.cli.text import safe

Episode = dict[str, object]
_MOST, _MOST_GATES, _DEEP = 500, 64, 20
_KEYS: Final = ("episode", "parent", "invariant", "subject", "attempts", "gates", "from", "to", "outcome", "violations")


def episodes(folder: Path) -> tuple[list[Episode], int]:
    """The episodes of a run in the order in which they began, and how many more there are. Errors: ``UsageError``."""
    from supervisor.run.acts import reader_of, records_of
    from supervisor.run.reasons import op_of

    found: dict[str, Episode] = {}
    ended: dict[str, list[dict[str, object]]] = {}
    more = 0
    for record in records_of(reader_of(folder)):
        op = op_of(record)
        if record.get("kind") == "state" and op.get("call") == "fixer":
            ended.setdefault(str(op.get("episode")), []).append(op)
        if record.get("kind") != "state" or op.get("call") != "episode":
            continue
        if len(found) >= _MOST:
            more += 1
            continue
        found[str(op.get("episode"))] = {name: op[name] for name in _KEYS if name in op} | {"seq": op.get("opened")}
    for ident, each in found.items():
        _with_exits(each, ended.get(ident, []))
    return sorted(found.values(), key=lambda each: _number(each.get("seq"))), more


def _with_exits(each: Episode, ended: list[dict[str, object]]) -> None:
    """How govrun's own fixers ended: as many as are told of, the newest last."""
    gates = each.get("gates")
    mine = [gate for gate in gates if isinstance(gate, dict) and gate.get("fixer")] if isinstance(gates, list) else []
    for gate, op in zip(reversed(mine), reversed(ended), strict=False):
        gate["exit"] = op.get("exit")


def document(folder: Path) -> dict[str, object]:
    """What ``--json`` prints."""
    found, more = episodes(folder)
    return {"run": folder.name, "episodes": found, "more": more}


def page(folder: Path, heading: str) -> Iterator[str]:
    """The chains, each episode below the one whose attempt has led to it."""
    found, more = episodes(folder)
    yield f"{folder.name}   {heading}"
    if not found:
        yield "no episodes: nothing was refused while a [[remediation]] rule was in force"
        return
    names = {str(each.get("episode")) for each in found}
    children: dict[str, list[Episode]] = {}
    for each in found:
        parent = str(each.get("parent") or "")
        own = parent not in names or parent == each.get("episode")
        children.setdefault("" if own else parent, []).append(each)
    seen: set[str] = set()
    waiting = [(each, 0) for each in reversed(children.get("", []))]
    while waiting:
        each, depth = waiting.pop()
        name = str(each.get("episode"))
        if name in seen:
            continue
        seen.add(name)
        yield from _lines(each, min(depth, _DEEP))
        waiting += [(child, depth + 1) for child in reversed(children.get(name, []))]
    for each in found:
        if str(each.get("episode")) not in seen:  # they say that they come from one another
            yield from _lines(each, 0)
    if more:
        yield f"and {more} more: govrun log --kind state"


def _lines(each: Episode, depth: int) -> Iterator[str]:
    pad = "  " * depth
    subject = each.get("subject")
    name = subject.get("name", "-") if isinstance(subject, dict) else "-"
    tried = _number(each.get("attempts"))
    head = f"{each.get('episode', '-')} {each.get('invariant', '-')}: {name}: {each.get('outcome', '-')}"
    after = f" after {each['parent']}" if each.get("parent") else ""
    yield pad + safe(f"{head}, {tried} attempt{'' if tried == 1 else 's'}{after} (record {each.get('seq', '-')})", 400)
    yield pad + safe(f"  state {_tree(each.get('from'))} -> {_tree(each.get('to'))}", 200)
    gates = each.get("gates")
    for gate in (gates if isinstance(gates, list) else [])[:_MOST_GATES]:
        if isinstance(gate, dict):
            said = f"action {gate.get('action', '-')}: {gate.get('gate', '-')} {gate.get('result', '-')}"
            tree = f", state {_tree(gate['tree'])}" if gate.get("tree") else ""
            what = f": {gate['command']}" if gate.get("command") else ""
            what += f" (fixer, exit {gate.get('exit', '-')})" if gate.get("fixer") else ""
            yield pad + safe(f"  gate  {said}{tree}{what}", 300)


def _tree(value: object) -> str:
    return str(value or "-")[:12]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
