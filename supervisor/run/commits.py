"""Ref updates, judged before they happen by the raw difference of two trees: a commit can carry content that never was
a file (``git hash-object -w``, ``git update-index --cacheinfo``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from supervisor.decide import decide
from supervisor.git import refs as git_refs
from supervisor.git.base import GITLINK, SYMLINK, TREE, Entry, Objects, TooLarge
from supervisor.git.commits import header
from supervisor.git.index import staged
from supervisor.git.layout import is_object_id, packed, read_small
from supervisor.inspection.kinds import INSTALLED, SCRIPT
from supervisor.invariants.gitdir import holds_history, is_record
from supervisor.invariants.policy import CompiledPolicy, GitDir, RunState
from supervisor.run.brought import Brought, Ends, brought
from supervisor.run.contents import Contents
from supervisor.run.fetches import Fetches
from supervisor.run.judgement import Judgement
from supervisor.run.prior import Prior
from supervisor.run.reached import Reached
from supervisor.run.refs import head_commit
from supervisor.surfaces.contents import plain_content
from supervisor.surfaces.paths import Refused
from supervisor.surfaces.reading import MOST_SCRIPT
from supervisor.vocabulary.acts import PathAct
from supervisor.vocabulary.content import NOTHING_FOUND
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import Actor, ContentEvent, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.versions import Identity

_MOST_PATHS = 100_000  # of one update
_MOST_BLOB = 64 << 20
_CARRIES = (b"rebase", b"merge", b"cherry-pick", b"pull", b"revert", b"am", b"stash")
_NOWHERE = Identity(0, 0, 0, 0, 0)
_NOBODY = Actor(0, 0, 0, b"", (), 0)
_DEEPEST = 256
_MOST_NOTES = 64


class Commits:
    """``refs``: {ref: object id} at the start, and with it the commits that need no look.
    ``history``: what the refs among them lead to that hold history."""

    def __init__(
        self,
        policy: CompiledPolicy,
        contents: Contents | None,
        prior: Prior,
        git: GitDir,
        fetches: Fetches,
        ends: Ends,
        refs: dict[str, str],
        head: str,
        reached: Reached,
        history: Reached,
    ) -> None:
        self._policy = policy
        self._contents = contents
        self._state = RunState()
        self._fetches, self._ends = fetches, ends
        self._prior = prior
        self._objects: Objects = prior.objects
        self._git = git
        self._common, self._own = git.common + b"/", git.path + b"/"
        self._tree = policy.tree
        self._refs = dict(refs)
        self._head = head
        self._reached, self._history = reached, history
        self._known = {commit for commit in (head, *refs.values()) if commit}
        self._own_commits: set[str] = set()
        self._let_be: dict[str, list[Judgement]] = {}  # by what a ref is set to; emptied once it is set
        self._named: dict[str, str] = {}  # by tags of the run: id of the tag, and of the commit that it names
        self.brought: dict[str, str] = {}  # the run's own commits that the act judged last would set, and a ref of each

    def before(self, event: FsEvent, act: PathAct) -> tuple[Judgement | None, PathAct]:
        """The first violation that a rename onto a ref, or onto packed-refs, would bring; and the act in which just
        the value that was judged lands. Raises ``Refused``."""
        self.brought = {}
        path = event.other.path if event.op is FsOp.RENAME and event.other is not None else b""
        if not path.startswith((self._common, self._own)):
            return None, act
        if path == self._common + b"packed-refs":
            updates = {ref: new for ref, new in _packed(act.replace or b"") if not self._is_published(ref, new)}
        elif ref := ref_at(self._git, path):
            content = plain_content(b"/proc/self/fd/%d" % act.handle, 4096, follow=True)
            new = content.strip().decode("ascii", "replace")
            updates = {ref: new} if is_object_id(new) else {}
            if new.startswith("ref:"):
                _check_symbolic(ref, new[4:].strip())
            elif not updates:
                raise Refused(f"{ref} would hold no object id")  # git passes over what follows one after a space
            act = act._replace(replace=content)
        else:
            return None, act
        for name, new in updates.items():
            found = self._update(event, name, new)
            if found is not None:
                return found, act
            if self._contents is not None and new in self._let_be:
                self._tell_once_set(new, self._contents)
        # What is stashed is put aside, and nobody's commit before another ref gets it.
        tips = ((ref, self._named.get(new, new)) for ref, new in updates.items() if ref != "refs/stash")
        self.brought = {tip: ref for ref, tip in tips if tip in self._own_commits}
        return None, act

    def _is_published(self, ref: str, new: str) -> bool:
        """Whether a ref of govrun's own has this value, or had it a moment ago: its publisher goes on meanwhile. No run
        can write such a ref itself."""
        if not is_record(os.fsencode(ref)):
            return False
        common = Path(os.fsdecode(self._git.common))
        try:
            loose = (read_small(common / ref) or "").strip()
            if not loose:
                return packed(common).get(ref, "") == new
            # A file of its own goes before what is packed: no older value comes back thereby.
            return any(at == new for at in self._before(loose))
        except GovrunError as error:
            raise Refused(f"{ref} cannot be judged: {error.what}: {error.why}") from error

    def _before(self, tip: str) -> Iterator[str]:
        """``tip`` and what it was built on, as far as notes are written while a git packs refs."""
        for _ in range(_MOST_NOTES):
            yield tip
            found = self._objects.get(tip) if is_object_id(tip) else None
            parents = header(found[2]).parents if found is not None and found[1] == "commit" else ()
            if not parents:
                return
            tip = parents[0]

    def _update(self, event: FsEvent, ref: str, new: str) -> Judgement | None:
        if ref.startswith("refs/remotes/") and new not in self._known and self._fetches.brings(event, new):
            self._prior.fetched(new, ref)
            self._known.add(new)
        try:
            if new in self._known or self._was_there(new):
                self._take_up(ref, new)
                self._note(ref, new)
                return None
            found = self._commits(event, ref, new)
            if found is not None and self.learn():
                found = self._commits(event, ref, new)
        except GovrunError as error:
            raise Refused(f"{ref} cannot be judged: {error.what}: {error.why}") from error
        if found is None:
            self._note(ref, new)
        return found

    def _tell_once_set(self, new: str, contents: Contents) -> None:
        """What a rule only warns of is told when the ref is set: the act may fail, or wait and come again."""
        if self._let_be[new]:
            contents.landing.let_be.append(self._let_be[new])
        else:
            del self._let_be[new]  # told

    def staged(self) -> Iterator[Judgement]:
        """What the index holds beyond the checked-out commit and a commit of the run could not have. Raises
        ``GovrunError``."""
        index = Path(os.fsdecode(self._git.path + b"/index"))
        for relative, entry in staged(self._prior.folder, index, head_commit(self._git)):
            event = FsEvent(_NOBODY, FsOp.RENAME, "rename", Target(self._tree + b"/" + relative, Kind.FILE))
            if entry.mode != SYMLINK and not self._prior.has_blob(relative, entry.id):
                judged = self._content(event, "the index", relative, entry, "index")
                if judged is not None and judged.verdict.blocks:
                    yield judged

    def learn(self) -> bool:
        """Take up what others (the user, another run) committed meanwhile: each move of the run is known, so a ref that
        is elsewhere was moved by them. True when there was something. Raises ``GovrunError``."""
        now = git_refs.snapshot(Path(os.fsdecode(self._git.common)))
        news = [(ref, tip) for ref, tip in now.items() if self._refs.get(ref) != tip and tip not in self._known]
        for ref, tip in news:
            self._refs[ref] = tip
            self._known.add(tip)
            self._prior.fetched(tip, ref)
        return bool(news)

    def _note(self, ref: str, new: str) -> None:
        self._known.add(new)
        self._refs[ref] = new
        if ref == "HEAD":
            self._head = new

    def _commits(self, event: FsEvent, ref: str, new: str) -> Judgement | None:
        """Every commit that comes with ``new`` is compared with its first parent: what a later one takes back stays in
        the history. An object that is no commit is compared with nothing."""
        seen: set[tuple[bytes, Entry | None]] = set()
        let_be: list[Judgement] = []
        fresh = list(self._fresh(event, ref, new))
        named = fresh[0].id if fresh else self._known_by_tag(new)
        for commit, parents, _ in fresh if named else [Brought(new, (), b"")]:
            for relative, entry in self._changed(parents[0] if parents else "", commit, b"", 0):
                if (relative, entry) in seen:
                    continue
                seen.add((relative, entry))
                if len(seen) > _MOST_PATHS:
                    raise Refused(f"{ref} would change more than {_MOST_PATHS} files at once")
                judged = self._placed(event, ref, relative, entry, commit)
                judged = judged or self._content(event, ref, relative, entry, commit)
                if judged is not None and judged.verdict.blocks:
                    return judged
                let_be += [judged] if judged is not None and judged.verdict.matches else []
        if let_be:
            self._let_be[new] = [each._replace(content=b"") for each in let_be]
        self._known.update(each.id for each in fresh)
        self._own_commits.update(each.id for each in fresh)
        if named not in ("", new):
            self._named[new] = named
        return None

    def _known_by_tag(self, new: str) -> str:
        """The commit that brings nothing, but may lie where no history is (``stash``); empty for a tree or a blob."""
        found = self._objects.get(new + "^{commit}")
        return found[0] if found is not None else ""

    def _take_up(self, ref: str, new: str) -> None:
        """What lay aside at the start, in a stash, and comes into the history now, is shown as the run's own: a run
        before this one may have put it there."""
        history = self._prior.history
        if new in history or len(history) == len(self._prior.tips) or not holds_history(ref):
            return
        if self._named.get(new, new) in self._own_commits:
            return
        found = self._objects.get(new + "^{commit}")
        if found is not None and not self._history.has(found[0], header(found[2]).date):
            self._own_commits.add(found[0])
            self._named[new] = found[0]

    def _was_there(self, new: str) -> bool:
        """Whether a ref led to this commit, or to the one that a tag names, at the start."""
        found = self._objects.get(new + "^{commit}")
        return found is not None and self._is_old(found[0], *header(found[2]))

    def _is_old(self, commit: str, parents: tuple[str, ...], date: int) -> bool:
        if not self._reached.is_near and parents and all(parent in self._known for parent in parents):
            return False  # as most commits are that a run makes
        return self._reached.has(commit, date)

    def _fresh(self, event: FsEvent, ref: str, tip: str) -> Iterator[Brought]:
        """Each commit below ``tip`` that was not known, and that no ref led to at the start. Raises ``Refused``."""

        def is_old(commit: str, parents: tuple[str, ...], date: int) -> bool:
            old = self._is_old(commit, parents, date)
            if old:
                self._known.add(commit)
            return old

        return brought(self._objects, ref, tip, self._known, is_old, lambda commit: self._ends.at(event, commit))

    def _placed(self, event: FsEvent, ref: str, relative: bytes, entry: Entry | None, commit: str) -> Judgement | None:
        """Whether a file may be changed, or removed (``entry`` None), at its very path. Only an objection is asked
        whether other people committed just that."""
        target = Target(self._tree + b"/" + relative, Kind.FILE if entry is not None else Kind.ABSENT)
        placed = ContentEvent(event.actor, target, NOTHING_FOUND, landing=True, commit=commit, placed=True)
        verdict = decide(self._policy, self._state, placed)
        if verdict.blocks:
            prior = self._prior
            if entry is None:
                theirs = prior.lack(self._sources(event, ref, commit), relative)
            else:
                theirs = prior.has_blob(relative, entry.id)
            theirs = theirs or self._lies_there(target.path, entry)
            placed = placed._replace(theirs=theirs)
            verdict = decide(self._policy, self._state, placed)
        return Judgement(placed, verdict, "", b"", _NOWHERE) if verdict.blocks else None

    def _sources(self, event: FsEvent, ref: str, commit: str) -> list[str]:
        """Where a removal may come from: where git carries changes of others over, any of them; else the commits known
        before that ``commit`` is built on."""
        words = [word for word in event.actor.argv[1:] if not word.startswith(b"-")]
        if event.git_tool and words[:1] and words[0] in _CARRIES:
            return list(self._prior.tips)
        fresh = list(self._fresh(event, ref, commit))
        return [parent for each in fresh for parent in each.parents if parent in self._known]

    def _lies_there(self, path: bytes, entry: Entry | None) -> bool:
        """Whether the commit takes up what lies in the tree, or that nothing does: the run could not have brought that
        about."""
        if entry is None:
            return not os.path.lexists(path)
        return self._prior.blob_id(plain_content(path, _MOST_BLOB)) == entry.id

    def _content(self, event: FsEvent, ref: str, relative: bytes, entry: Entry | None, commit: str) -> Judgement | None:
        contents, path = self._contents, self._tree + b"/" + relative
        # What is committed is the project's, whatever ignore rules say and however the folder is called.
        kind = contents.looks.kind(path) if contents is not None else None
        if contents is None or entry is None or kind in (None, INSTALLED) or entry.mode == GITLINK:
            return None
        assert kind is not None
        link = entry.mode == SYMLINK  # whose text may have passed as the content of a file
        if not link and contents.has_passed(path, entry.id):
            return None
        try:
            found = self._objects.get(entry.id, limit=MOST_SCRIPT if kind == SCRIPT else _MOST_BLOB)
        except TooLarge:
            if kind == SCRIPT:
                return None  # too large to be one
            raise
        if found is None:  # it could be written later
            raise Refused(f"{ref}: the object {entry.id} is missing")
        if link:
            if not self._prior.has_blob(relative, entry.id):
                contents.check_link(path, found[2])
            return None
        target = Target(path, Kind.FILE)
        return contents.judge_bytes(
            found[2], target, kind, event.actor, _NOWHERE, git_tool=True, landing=True, commit=commit
        )

    def _changed(self, old: str, new: str, folder: bytes, depth: int) -> Iterator[tuple[bytes, Entry | None]]:
        """(path, entry) of every file that ``new`` has and ``old`` has not, or not like that; None: it is gone."""
        if depth > _DEEPEST:
            raise Refused("its folders are nested too deeply")
        before = (self._objects.tree(old) if old else None) or {}
        after = self._objects.tree(new) if new else {}
        if after is None:
            raise Refused(f"{new} is no commit and no tree: what it says lies at no path that could be judged")
        for name, was in before.items():
            now = after.get(name)
            if now is None or (now.mode == TREE) != (was.mode == TREE):
                if was.mode == TREE:
                    yield from self._changed(was.id, "", folder + name + b"/", depth + 1)
                else:
                    yield folder + name, None
        for name, entry in after.items():
            known = before.get(name)
            if known == entry or entry.mode == GITLINK:
                continue
            if entry.mode == TREE:
                inner = known.id if known is not None and known.mode == TREE else ""
                yield from self._changed(inner, entry.id, folder + name + b"/", depth + 1)
            else:
                yield folder + name, entry


def _check_symbolic(ref: str, target: str) -> None:
    """A symbolic ref is another name of what it leads to: only into where commits are judged."""
    if target.startswith("refs/heads/") or (ref.startswith("refs/remotes/") and target.startswith("refs/remotes/")):
        return
    raise Refused(f"{ref} would lead to {target}, where commits are not judged")


def ref_at(git: GitDir, path: bytes) -> str:
    """The ref that a path in the git directory holds; ``packed-refs`` holds all; empty for anything else. Linked
    worktrees have a HEAD, and refs of their own (gitrepository-layout(5)): ``worktrees/NAME/HEAD``."""
    if path.startswith(git.common + b"/refs/"):
        return "" if path.endswith(b".lock") else os.fsdecode(path[len(git.common) + 1 :])
    if path.startswith(git.common + b"/worktrees/") and path != git.path + b"/HEAD":
        relative = path[len(git.common) + 1 :]
        own = b"/".join(relative.split(b"/")[2:])
        is_ref = own == b"HEAD" or (own.startswith(b"refs/") and not own.endswith(b".lock"))
        return os.fsdecode(relative) if is_ref else ""
    if path == git.common + b"/packed-refs":
        return "packed-refs"
    return "HEAD" if path == git.path + b"/HEAD" else ""


def _packed(content: bytes) -> Iterator[tuple[str, str]]:
    for line in content.split(b"\n"):
        value, _, name = line.partition(b" ")
        if name and is_object_id(text := value.decode("ascii", "replace")):
            yield os.fsdecode(name), text
