"""The text of a note: pure functions between frozen summaries and keyed lines.

Every line begins with the run's ULID and its number, so that the notes of several runs survive sorting, merging and
squashing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

FORMAT = "govrun/1"
STATUSES = ("RUNNING", "PASSED", "WARNED", "FAILED", "UNKNOWN")
MAX_NOTE = 2048
_ROOM = 512 << 10  # characters of all runs on one commit
_TOP = 8
_FIELD = 96
# A line that wraps once on a terminal of 80 columns, where git log indents by four, can still be read.
_ROWS = 2 * 80 - 4
_LEVELS = (("enforced", "enforced"), ("supervised", "supervised"), ("observed", "observed"), ("none", "unenforceable"))
_EPISODES = ("fixed", "exhausted", "abandoned", "superseded")
_COUNTS = ("attempted", "succeeded", "failed", "blocked", "unknown")


class Summary(NamedTuple):
    """What is known of a run at one commit; counts are cumulative. ``exit`` None, empty trees and counts that are not
    there read ``-``. ``counts`` may hold ``episodes_fixed`` and so on, ``contracts`` and ``contracts_passed``.

    ``base`` and ``tree`` are the tree ids of the base commit and of the noted commit; ``upto`` the last seq counted;
    ``coverage`` counts invariants by level. The rest is known after the end: ``events`` and ``gaps`` of the journal,
    the Merkle ``root`` over what is published of it, and the reason why the run ended. ``bundle`` is the SHA-256 of the
    signed statement's envelope, and ``signature`` that of Ed25519 in base 64.
    """

    run: str
    status: str
    agent: str
    exit: int | None
    seconds: int
    upto: int
    counts: Mapping[str, int]
    base: str = ""
    tree: str = ""
    decisions: Mapping[str, int] = {}
    coverage: Mapping[str, int] = {}
    events: int = 0
    root: str = ""
    gaps: int = 0
    end: str = ""
    bundle: str = ""
    signature: str = ""


def render(summary: Summary) -> str:
    """The lines of one run, at most ``MAX_NOTE`` bytes. Lines 6 to 8 are there once the run has ended."""
    run = summary.run
    counts = " ".join(f"{name}={summary.counts.get(name, 0)}" for name in _COUNTS)
    base, tree = summary.base[:12] or "-", summary.tree[:12] or "-"
    moves = " ".join(f"{name}={summary.counts.get(name, '-')}" for name in ("transitions", "external", "divergence"))
    ends = " ".join(f"{name}={summary.counts.get(name, '-')}" for name in ("reverts", "kills"))
    lines = [
        status_line(summary),
        f"{run} 1 execution {counts}",
        f"{run} 2 state base={base} tree={tree} {moves}",
        f"{run} 3 remediation {ends} episodes={_episodes(summary.counts)}",
    ]
    levels = ",".join(f"{word}:{summary.coverage.get(name, 0)}" for word, name in _LEVELS) if summary.coverage else "-"
    last = [f"{run} 5 contract {_contracts(summary.counts)} coverage={levels}"]
    if summary.root:
        log = f"events={summary.events} root=sha256:{summary.root} gaps={summary.gaps} end={field(summary.end)}"
        last.append(f"{run} 6 log {log}")
    if summary.bundle:
        last.append(f"{run} 7 bundle sha256:{summary.bundle} {ref_of(run)}")
        last.append(f"{run} 8 sig ed25519 {summary.signature}")
    room = MAX_NOTE - sum(len(line.encode()) + 1 for line in (*lines, *last))
    lines += [_decision_line(run, summary.decisions, min(room, _ROWS)), *last]
    return "".join(f"{line}\n" for line in lines)


def ref_of(run: str) -> str:
    """The ref that holds what the run left; runs born together differ in the end of their ids, not in the beginning."""
    return f"refs/govrun/runs/{run[-2:]}/{run}"


def _episodes(counts: Mapping[str, int]) -> str:
    """How many ended how; there are none where no rule speaks of them."""
    found = [counts.get(f"episodes_{name}") for name in _EPISODES]
    return "/".join(str(number or 0) for number in found) if any(number is not None for number in found) else "-"


def _contracts(counts: Mapping[str, int]) -> str:
    total = counts.get("contracts", 0)
    return f"{counts.get('contracts_passed', 0)}/{total} passed" if total else "-"


def status_line(summary: Summary) -> str:
    """Line 0, which is rewritten at the end. Raises ``ValueError`` for a status that the format does not have."""
    if summary.status not in STATUSES:
        raise ValueError(f"no such status: {summary.status!r}")
    code = "-" if summary.exit is None else str(summary.exit)
    head = f"{summary.run} 0 {FORMAT} {summary.status} agent={field(summary.agent)}"
    return f"{head} exit={code} {summary.seconds}s upto={summary.upto}"


def _decision_line(run: str, decisions: Mapping[str, int], room: int) -> str:
    ranked = sorted(decisions.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{field(name)}={count}" for name, count in ranked[:_TOP]]
    while True:
        rest = len(ranked) - len(shown)
        words = [*shown, f"+{rest}"] if rest else shown
        line = f"{run} 4 decision {' '.join(words) or '-'}"
        if len(line.encode()) < room or not shown:
            return line
        shown.pop()


def field(text: str) -> str:
    """One word safe to print anywhere: control, format (bidi) and space characters dropped or replaced, bounded."""
    kept = "".join(
        "_" if c.isspace() else c for c in text if not unicodedata.category(c).startswith("C") or c in "\t\n"
    )
    return (kept if len(kept) <= _FIELD else kept[: _FIELD - 1] + "…") or "-"


def merge(existing: str, run: str, lines: str, *, only: Iterable[int] | None = None) -> str:
    """``existing`` with this run's lines replaced by ``lines``; every other line, of a run or a human, stays as it is.

    ``only``: replace these line numbers and keep the run's others.
    """
    numbers = None if only is None else {str(number) for number in only}
    fresh = [line for line in lines.splitlines() if numbers is None or line.split(" ")[1] in numbers]
    kept: list[str] = []
    ours: list[str] = []
    for line in existing.split("\n"):
        if not line.startswith(run + " "):
            kept.append(line)
        elif numbers is not None and line.split(" ")[1] not in numbers:
            ours.append(line)
    while kept and not kept[-1]:
        kept.pop()
    ours = sorted({*ours, *fresh}, key=order)
    return bounded("".join(f"{line}\n" for line in [*kept, *ours]))


def bounded(text: str) -> str:
    """The text of a note, where it has grown too large without the oldest runs that only began at this commit: a base
    on which thousands of runs begin would have one that nobody can read or write any more. Their records stay."""
    if len(text) <= _ROOM:
        return text
    lines, least = text.splitlines(), len(text) - _ROOM // 4 * 3
    runs = parse(text)
    sizes: dict[str, int] = {}
    for line in lines:
        run = line.partition(" ")[0]
        sizes[run] = sizes.get(run, 0) + len(line) + 1
    gone: set[str] = set()
    for run in sorted(runs):
        if least > 0 and _only_began(runs[run]):
            gone.add(run)
            least -= sizes[run]
    return "".join(f"{line}\n" for line in lines if line.partition(" ")[0] not in gone)


def _only_began(lines: Mapping[int, str]) -> bool:
    """Whether a run is over and says of the commit that it is its base: the trees are the same."""
    words = dict(word.partition("=")[::2] for word in lines.get(2, "").split() if "=" in word)
    return bool(lines.get(6)) and words.get("base", "-") == words.get("tree", "") != "-"


def number(line: str) -> int:
    """That of a line of a run, -1 for one that has none."""
    word = line.split(" ", 2)[1:2]
    return int(word[0]) if word and word[0].isascii() and word[0].isdigit() and len(word[0]) < 3 else -1


def order(line: str) -> tuple[int, str]:
    """To sort the lines of one run by."""
    found = number(line)
    return (found if found >= 0 else 999), line


def owner(line: str) -> str:
    """The run that a line begins with, in whatever spelling a reader would take for it; "" for none."""
    from supervisor.journal.ids import is_ulid

    shown = line if line.isascii() and line.isprintable() else "".join(
        " " if c.isspace() else c for c in line if not unicodedata.category(c).startswith("C") or c.isspace()
    )  # fmt: skip
    word = shown.strip().partition(" ")[0].upper()
    return word if is_ulid(word) else ""


def said(text: str) -> dict[str, frozenset[str]]:
    """ULID -> every line that a reader would take for one of that run's, of the runs of which there is a line as
    ``render`` makes them. Never raises."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if run := owner(line):
            found.setdefault(run, set()).add(line.strip())
    return {run: frozenset(each) for run, each in found.items() if any(number(line) >= 0 for line in each)}


def replaced(text: str, run: str, lines: Iterable[str]) -> str:
    """``text`` with nothing of a run but ``lines``."""
    kept = [line for line in text.splitlines() if owner(line) != run]
    while kept and not kept[-1]:
        kept.pop()
    return "".join(f"{line}\n" for line in [*kept, *sorted(lines, key=order)])


def parse(text: str) -> dict[str, dict[int, str]]:
    """ULID -> line number -> rest of the line, whatever order, blank lines or repetition merging left.

    The first line of a number wins, after sorting: what a reader sees does not depend on the order. Never raises.
    """
    from supervisor.journal.ids import is_ulid

    found: dict[str, dict[int, str]] = {}
    for line in sorted(text.splitlines()):
        run, _, rest = line.strip().partition(" ")
        number, _, body = rest.partition(" ")
        if is_ulid(run) and number.isascii() and number.isdigit() and len(number) < 3:
            found.setdefault(run, {}).setdefault(int(number), body)
    return found
