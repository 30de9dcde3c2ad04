"""``govrun undo``: what a run has changed is put back, by a run of its own, which is recorded and can be undone too."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import folders
from supervisor.git import refs as git_refs
from supervisor.journal.codec import bytes_of
from supervisor.journal.reader import is_live
from supervisor.journal.store import new_run, read_meta, update_meta, write_meta, write_refs
from supervisor.journal.writer import Journal
from supervisor.provenance.completion import complete
from supervisor.run.acts import reader_of, records_of
from supervisor.run.history import spellings
from supervisor.run.lineages import AGENT
from supervisor.run.place import place_of
from supervisor.run.restore import Done, Restorer, Wish, plan
from supervisor.trees.frames import FRAMES, Frames
from supervisor.trees.looking import look
from supervisor.trees.states import STATES, Kept, StateLog, Step, read_states
from supervisor.vocabulary.errors import GovrunError, UsageError
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Version


class Plan(NamedTuple):
    """What undoing the run in ``folder`` means in ``tree``. ``folders``: as they are wanted, for those that somebody
    removed since, or that hold one of the chosen paths."""

    folder: Path
    tree: bytes
    wishes: tuple[Wish, ...]
    folders: Mapping[bytes, Version]


class Undone(NamedTuple):
    """``run``: the run that did it, by which it can be undone; empty when there was nothing to do."""

    run: str
    restored: int
    left: tuple[Done, ...]
    notes: tuple[str, ...] = ()


def planned(folder: Path, seq: int | None, names: Sequence[str], place: str) -> Plan:
    """What is to be done so that the tree is as it was before the run in ``folder``, or once record ``seq`` of it had
    been acted upon. ``names``: only these paths and what lies below them, meant from the folder ``place``, else from
    the tree. Raises ``UsageError``, ``StopRun``."""
    meta = read_meta(folder)
    tree = meta.get("tree")
    if is_live(folder):
        raise UsageError(f"{folder.name} goes on", "it cannot be undone meanwhile", "wait, or govrun stop", exit_code=2)
    if not isinstance(end := meta.get("end"), dict):
        raise UsageError(
            f"{folder.name} ended without a word", "what it left is not known", "govrun recover", exit_code=2
        )
    if not isinstance(tree, str) or not os.path.isdir(tree):
        what = f"the tree of {folder.name} is not there"
        raise UsageError(what, repr(tree), "put it back where it was", exit_code=2)
    if not (folder / STATES).exists():
        dropped = "what it kept was dropped to make room" if meta.get("dropped") else "it changed no file of its tree"
        why, fix = dropped, f"govrun show {folder.name}"
        raise UsageError(f"there is nothing to undo of {folder.name}", why, fix, exit_code=2)
    last = end.get("seq")
    if seq is not None and not 1 <= seq <= (last if isinstance(last, int) else seq):
        raise UsageError(
            f"no record {seq} of {folder.name}", f"it has {last}", f"govrun log {folder.name}", exit_code=2
        )
    states = read_states(folder)
    wanted = dict(states.before) if seq is None else states.at(seq)
    left = states.at(None)
    within = {path: kept.version for path, kept in wanted.items() if kept.version.kind is Kind.DIR}
    wishes, named = plan(wanted, left), set[bytes]()
    if names:
        found = [_chosen(name, place, tree, wanted) for name in names]
        named = {path for path, _ in found}
        chosen = set[bytes]().union(*(each for _, each in found))
        around = {path.rpartition(b"/")[0] for path in chosen} - chosen
        # Their folders get their times back, if something is put there.
        beside = [wish._replace(done=True, left="") for wish in wishes if wish.path in around]
        wishes = sorted([wish for wish in wishes if wish.path in chosen] + beside)
    theirs = _theirs(folder, seq or 0) - named
    spared = (_spared(wish) if wish.path in theirs else wish for wish in wishes)
    return Plan(folder, os.fsencode(tree), tuple(spared), within)


def _theirs(folder: Path, seq: int) -> set[bytes]:
    """Where somebody else has changed what the run had left, before the run went on with it: what they wrote lies in no
    state that an undo leads to. Changes up to record ``seq`` are in the state that is wanted."""
    found = set()
    for record in records_of(reader_of(folder)):
        op, number = record.get("op"), record.get("seq")
        if record.get("kind") != "external" or not isinstance(op, dict) or not op.get("divergence"):
            continue
        if isinstance(path := op.get("path"), str) and isinstance(number, int) and number > seq:
            found.add(bytes_of(path))
    return found


def _spared(wish: Wish) -> Wish:
    if wish.done or wish.left or wish.want.version.kind is wish.now.version.kind is Kind.DIR:
        return wish
    return wish._replace(left="somebody else changed it, too, while the run went on; name it to have it put back")


def _is_in(path: bytes, place: bytes) -> bool:
    return path == place or path.startswith(place.rstrip(b"/") + b"/")


def _chosen(name: str, place: str, tree: str, wanted: Mapping[bytes, Kept]) -> tuple[bytes, set[bytes]]:
    """The path that ``name`` means, and what the run changed there or below."""
    if not name:  # a variable of a script that was never set
        raise UsageError("a path is empty", "it would mean all that lies below here", "govrun undo RUN .", exit_code=2)
    for path in spellings(name, place, tree):
        if found := {each for each in wanted if _is_in(each, path)}:
            return path, found
    fix = "govrun undo RUN --dry-run lists what it changed"
    raise UsageError(f"the run did not change {name!r}", "nothing of it lies there", fix, exit_code=2)


def carry_out(state: Path, found: Plan, argv: Sequence[str], tell: Callable[[Done], None]) -> Undone:
    """Do it, and record it as a run. ``tell`` hears of each path. Raises ``GovrunError``."""
    todo = [wish for wish in found.wishes if not wish.done]
    if not todo:
        return Undone("", 0, ())
    run, folder = new_run(state)
    started = time.time()
    _begin(folder, run, found, argv, started)
    journal = Journal(folder, run)
    results: list[Done] = []
    try:
        journal.append({"kind": "run.start", "phase": "outcome", "op": {"argv": list(argv), "cwd": found.tree}})
        with _tools(found, folder) as (restorer, contents, log):
            for wish in todo:  # all of it before anything is done: what is half done can be undone then
                log.before(wish.path, look(wish.path, contents), journal.seq)
            for done in restorer.carry_out(found.wishes):
                results.append(done)
                journal.append(_record(done))
                tell(done)
            _step(log, contents, todo, journal.seq)
        left = [done for done in results if done.how == "left"]
        counts = {"attempted": len(results), "succeeded": len(results) - len(left), "failed": len(left)}
        told = {"reason": "exit", "status": "WARNED" if left else "PASSED", "exit": 1 if left else 0}
        journal.append({"kind": "run.end", "phase": "outcome", "op": told | {"counts": counts}})
        seconds = round(time.time() - started, 3)
        more = {"code": told["exit"], "seconds": seconds, "counts": counts, "seq": journal.seq, "chain": journal.head}
        update_meta(folder, end=told | more)
    finally:
        journal.close()
    return Undone(run, len(results) - len(left), tuple(left), tuple(_published(folder)))


def _begin(folder: Path, run: str, found: Plan, argv: Sequence[str], started: float) -> None:
    meta: dict[str, object] = {
        "run": run, "agent": AGENT, "argv": list(argv), "tree": os.fsdecode(found.tree), "pid": os.getpid(),
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)), "undoes": found.folder.name,
        "coverage": {},
    }  # fmt: skip
    repository = place_of(Path(os.fsdecode(found.tree)), None).repository
    if repository is not None:
        meta["git"] = {
            "git_dir": str(repository.git_dir), "common_dir": str(repository.common_dir),
            "object_format": repository.object_format, "base": repository.head_commit,
        }  # fmt: skip
        write_refs(folder, git_refs.snapshot(repository.common_dir))
    write_meta(folder, meta)


@contextlib.contextmanager
def _tools(found: Plan, folder: Path) -> Iterator[tuple[Restorer, Frames, StateLog]]:
    staging, quarantine = folders(folder)
    with contextlib.ExitStack() as opened:
        kept = Frames(found.folder, reading=True) if (found.folder / FRAMES).exists() else Frames(folder)
        opened.callback(kept.close)
        contents = Frames(folder)
        opened.callback(contents.close)
        log = StateLog(folder)
        opened.callback(log.close)
        reverter = Reverter(staging, quarantine, found.tree, found.folders.get)
        opened.callback(reverter.close)
        restorer = Restorer(found.tree, reverter, kept)
        opened.callback(restorer.close)
        yield restorer, contents, log


def _step(log: StateLog, contents: Frames, todo: Sequence[Wish], seq: int) -> None:
    changes: dict[bytes, Kept] = {}
    for wish in todo:
        now = look(wish.path, contents)
        if not now.same_as(wish.now):
            changes[wish.path] = now
    if changes:
        log.step(Step(1, 1, seq, changes))


def _record(done: Done) -> dict[str, object]:
    op: dict[str, object] = {"call": "put back", "path": done.path, "how": "failed" if done.how == "left" else done.how}
    if done.detail:
        op["detail"] = done.detail
    outcome = "failed" if done.how == "left" else "succeeded"
    return {"kind": "state", "phase": "outcome", "op": op, "outcome": outcome}


def _published(folder: Path) -> Iterator[str]:
    try:
        complete(folder)
    except GovrunError as error:
        yield f"not noted: {error.what}: {error.why}; govrun recover tries again"


__all__ = ["AGENT", "Plan", "Undone", "carry_out", "planned"]
