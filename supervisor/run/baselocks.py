"""What the lock files of the tree name as it is found: those packages may arrive."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.kinds import is_lock, is_unpacked, kind_of
from supervisor.inspection.reading import MOST_LOCK
from supervisor.inspection.worker import Inspector
from supervisor.vocabulary.content import Findings

if TYPE_CHECKING:
    from supervisor.git.base import Objects
    from supervisor.invariants.globs import IgnoreRules
    from supervisor.invariants.policy import Baselines

_DEEPEST = 3  # folders below the root
_MOST_FILES = 64
_MOST_FOLDERS = 20_000
_PATIENCE = 30.0  # seconds for one lock
_PASSED_OVER = frozenset((b".git", b"node_modules", b"site-packages", b"dist-packages", b"__pycache__", b".venv"))
_ECOSYSTEMS = {
    **dict.fromkeys(("package-lock", "yarn.lock", "pnpm-lock", "bun.lock"), "npm"),
    **dict.fromkeys(("go.sum", "modules.txt"), "go"),
    "Cargo.lock": "cargo",
    "Gemfile.lock": "rubygems",
    "gradle.lockfile": "maven",
}
_MOST_IGNORE = 1 << 20


class Locks(NamedTuple):
    """``named``: (ecosystem, canonical name) of all packages; ``ecosystems`` that have a lock; ``warnings`` say which
    lock could not be read, and tolerates nothing for it. ``at``: ``named`` by revision, of rules whose baseline is
    one."""

    named: frozenset[tuple[str, str]] = frozenset()
    ecosystems: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    at: Mapping[str, frozenset[tuple[str, str]]] = {}


def ecosystem_of(kind: str) -> str:
    """The ecosystem that a lock of ``kind`` speaks of."""
    return _ECOSYSTEMS.get(kind, "pypi")


def named_in(findings: Iterable[Findings]) -> frozenset[tuple[str, str]]:
    """(ecosystem, name) of what locks name."""
    return frozenset((each.ecosystem, each.name) for found in findings for each in found.requirements if each.locked)


def read_locks(tree: bytes) -> Locks:
    """The locks at the root of ``tree`` and up to three folders below. Never raises for what it finds."""
    paths, more = _candidates(tree)
    return _read(paths, lambda path: read_regular(tree + b"/" + path, MOST_LOCK), more=more)


def with_baselines(locks: Locks, baselines: Baselines) -> Locks:
    """The same with what the locks name that the trees of revisions hold at the same depth. Errors: ``GovrunError``."""
    from supervisor.run.baselines import reading

    at, warnings = {}, locks.warnings
    with reading(baselines) as objects:
        for revision, commit in baselines.commits.items():
            found = _in_commit(objects, commit)
            at[revision] = found.named
            warnings += tuple(f"{revision}: {each}" for each in found.warnings)
    return locks._replace(at=at, warnings=warnings)


def _in_commit(objects: Objects, commit: str) -> Locks:
    from supervisor.git.base import GITLINK, SYMLINK, TREE, TooLarge

    def entries(folder: bytes) -> Iterator[tuple[bytes, bool]]:
        for name, each in (objects.tree(below.get(folder, commit)) or {}).items():
            if each.mode == TREE:
                below[folder + b"/" + name if folder else name] = each.id
            if each.mode not in (GITLINK, SYMLINK):
                yield name, each.mode == TREE

    def content(path: bytes) -> bytes | None:
        try:
            return objects.blob(commit, path, limit=MOST_LOCK)
        except TooLarge:
            return None  # nothing of it is tolerated

    below: dict[bytes, str] = {}
    found = sorted(filter(_is_own_lock, _walk(entries)), key=_nearest)
    return _read(found[:_MOST_FILES], content, more=len(found) > _MOST_FILES)


def _read(paths: list[bytes], content_of: Callable[[bytes], bytes | None], *, more: bool) -> Locks:
    if not paths:
        return Locks()
    found: list[Findings] = []
    ecosystems: set[str] = set()
    warnings = [f"more than {_MOST_FILES} lock files: the first ones count"] if more else []
    inspector = Inspector(deadline=_PATIENCE)  # a process of its own: an earlier run may have written them
    inspector.start()
    try:
        for relative in paths:
            kind = kind_of(relative)
            content = content_of(relative)
            if kind is None or content is None:
                continue
            ecosystems.add(ecosystem_of(kind))
            said = inspector.inspect(kind, relative, content) if len(content) <= MOST_LOCK else _TOO_LARGE
            found.append(said)
            if said.refusal or said.pending:
                name = relative.decode("utf-8", "backslashreplace")
                warnings.append(f"{name}: {said.refusal or said.pending}; what it does not tell is not tolerated")
    finally:
        inspector.close()
    return Locks(named_in(found), frozenset(ecosystems), tuple(warnings))


_TOO_LARGE = Findings(refusal=f"it is larger than {MOST_LOCK >> 20} MiB")


def read_regular(path: bytes, limit: int) -> bytes | None:
    """The bytes of a regular file, at most ``limit`` + 1 of them; None when there is none that can be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, "rb") as file:
        try:
            return file.read(limit + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        except OSError:
            return None


def _candidates(tree: bytes) -> tuple[list[bytes], bool]:
    """Paths of locks that are not ignored, those at the top first, and whether there are more."""
    found = [relative for relative in _walk(partial(_listed, tree)) if _is_own_lock(relative)]
    if found:
        ignores = _Ignores(tree)
        found = [relative for relative in found if not ignores.covers(relative)]
    found.sort(key=_nearest)
    return found[:_MOST_FILES], len(found) > _MOST_FILES


def _nearest(relative: bytes) -> tuple[int, bytes]:
    return relative.count(b"/"), relative


def _is_own_lock(relative: bytes) -> bool:
    """Whether it is a lock of the tree's own: those of unpacked packages say nothing of what is built here."""
    kind = kind_of(relative)
    return kind is not None and is_lock(kind) and not is_unpacked(kind, relative)


def _listed(tree: bytes, folder: bytes) -> Iterator[tuple[bytes, bool]]:
    try:
        entries = list(os.scandir(tree + b"/" + folder))
    except OSError:
        return
    for entry in entries:
        if (is_folder := entry.is_dir(follow_symlinks=False)) or entry.is_file(follow_symlinks=False):
            yield entry.name, is_folder


def _walk(entries: Callable[[bytes], Iterable[tuple[bytes, bool]]]) -> Iterator[bytes]:
    """Names of files, level by level, links not followed. ``entries``: names in a folder, and which are folders."""
    folders, seen = [b""], 0
    for depth in range(_DEEPEST + 1):
        below: list[bytes] = []
        for folder in folders:
            seen += 1
            if seen > _MOST_FOLDERS:
                return
            for name, is_folder in entries(folder):
                relative = folder + b"/" + name if folder else name
                if not is_folder:
                    yield relative
                elif depth < _DEEPEST and name not in _PASSED_OVER:
                    below.append(relative)
        folders = below


class _Ignores:
    """The ignore files of the tree itself, read where they are asked for."""

    def __init__(self, tree: bytes) -> None:
        self._tree = tree
        self._rules: dict[bytes, IgnoreRules | None] = {}

    def covers(self, relative: bytes) -> bool:
        """Whether the file, or a folder it lies in, is ignored."""
        parts = relative.split(b"/")
        names = (b"/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        return any(self._ignored(name, directory=name != relative) for name in names)

    def _ignored(self, path: bytes, *, directory: bool) -> bool:
        folder = path
        while folder:
            folder = folder.rpartition(b"/")[0]
            rules = self._of(folder)
            word = rules.says(path[len(folder) + 1 :] if folder else path, directory=directory) if rules else None
            if word is not None:
                return word
        return False

    def _of(self, folder: bytes) -> IgnoreRules | None:
        if folder not in self._rules:
            name = folder + b"/.gitignore" if folder else b".gitignore"
            content = read_regular(self._tree + b"/" + name, _MOST_IGNORE)
            self._rules[folder] = _rules(content) if content else None
        return self._rules[folder]


def _rules(content: bytes) -> IgnoreRules:
    from supervisor.invariants.globs import IgnoreRules

    return IgnoreRules(content)
