"""The content of a tree as it is, judged as a run would judge it, without starting anything."""

from __future__ import annotations

import os
import stat
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from supervisor.decide import decide
from supervisor.git.base import GITLINK, SYMLINK, TREE, Objects
from supervisor.git.layout import Repository
from supervisor.git.view import View
from supervisor.inspection.kinds import SCRIPT, VENDORED, is_lock, is_unpacked
from supervisor.inspection.looks import MOST_TEXT, Looks
from supervisor.inspection.reading import TEXT
from supervisor.inspection.worker import Inspector
from supervisor.invariants import content as contents
from supervisor.invariants.dependency import DependencyRules
from supervisor.invariants.policy import Baselines, CompiledPolicy, RunState
from supervisor.journal.store import state_path
from supervisor.kernel import probe
from supervisor.profile.agents import load_agent
from supervisor.profile.load import load
from supervisor.profile.model import Profile
from supervisor.run.baselines import Bases, objects_of, resolved
from supervisor.run.baselocks import Locks, ecosystem_of, named_in, with_baselines
from supervisor.run.compose import compile_for
from supervisor.run.examples import require_examples, unchecked
from supervisor.run.graphs import Graphs
from supervisor.run.judgement import Source
from supervisor.run.place import Place, cache_base, check_tree, home_folder, place_of, working_directory
from supervisor.run.sources import Sources, cache_folder
from supervisor.surfaces.reading import MOST, begins_script, read_whole
from supervisor.vocabulary.content import NOTHING_FOUND, Findings
from supervisor.vocabulary.errors import GovrunError, UsageError
from supervisor.vocabulary.events import Actor, ContentEvent, Kind, Target
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect

_NOBODY = Actor(0, 0, 0, b"", (), 0)
_TOO_LARGE = Findings(refusal=f"it is larger than {MOST >> 20} MiB")
_PATIENCE = 10.0  # seconds for one object of git


class Violation(NamedTuple):
    """What a rule says of the file at ``path`` (relative). ``blocks``: a run would not let it stand; else a warning.
    ``tolerated``: a run that finds it lets it be."""

    path: bytes
    line: int
    message: str
    rule: Invariant
    blocks: bool
    tolerated: bool


class Checked(NamedTuple):
    """``files`` were listed, ``read`` of them have a kind that is judged, ``inspected`` could break a rule. ``base``: a
    commit's id, or "". ``rules``: how many speak of content, ``kinds``: of which kinds. ``unjudged``: rules that
    nothing judges. ``unchecked``: examples that nothing asks. ``unreadable``: paths, and why."""

    tree: Path
    base: str
    rules: int
    kinds: frozenset[str]
    files: int
    read: int
    inspected: int
    violations: tuple[Violation, ...]
    unjudged: tuple[Invariant, ...]
    unchecked: tuple[str, ...]
    unreadable: tuple[tuple[bytes, str], ...]
    warnings: tuple[str, ...]


class _Held(NamedTuple):
    """A file that could break a rule, as it is."""

    path: bytes
    kind: str
    now: Findings


def check(base: str, paths: Iterable[bytes], environ: Mapping[str, str]) -> Checked:
    """Judge the tree around the working directory; ``paths`` narrow it down. ``base`` is a revision, or "". Errors:
    ``GovrunError`` with exit code 2."""
    with ExitStack() as opened:
        try:
            place, profile, policy, _ = policy_here(environ)
            wanted = _wanted(place, paths)
            view = _view(place.repository, opened)
            if base and view is None:
                raise UsageError("there is no commit to compare with", "this is no git repository", "leave --base out")
            commit = view.commit(base) if base and view is not None else ""
            files, unreadable = _listed(place.tree, view, environ)
            require_examples(policy, profile, lambda: files)
            baselines = resolved(profile, place.repository, view)
            policy = _with_baselines(policy, baselines)
            cache = cache_folder(state_path(environ))
            checker = _Checker(policy, place.tree, unreadable, opened, cache)
            held = list(checker.held(files, wanted))
            before = checker.versions(view, commit) if commit and view is not None else None
            found = checker.judge(held, before, checker.bases(baselines) if baselines else None)
        except GovrunError as error:
            error.exit_code = 2
            raise
    unjudged = tuple(rule for rule in policy.invariants.values() if rule.coverage is Coverage.UNENFORCEABLE)
    rules = _of_content(policy)
    return Checked(
        place.tree,
        commit,
        len(rules),
        frozenset(rule.kind for rule, _ in rules),
        sum(1 for path in files if wanted(path)),
        checker.read,
        len(held),
        tuple(sorted(found, key=lambda each: (each.path, each.line))),
        unjudged,
        tuple(unchecked(policy, profile)),
        tuple(unreadable),
        profile.warnings,
    )


def _of_content(policy: CompiledPolicy) -> list[tuple[Invariant, bool]]:
    """The rules that speak of content, and whether a run tolerates what it finds there already."""
    sets = (policy.dependencies, policy.boundaries, policy.documents, policy.secrets)
    found = [(rule.invariant, rule.frozen and not rule.revision) for found in sets if found for rule in found.rules]
    servers = policy.tools and policy.tools.servers is not None
    return [*found, (policy.invariant("scope.tools"), True)] if servers else found


class Here(NamedTuple):
    """What would bind a run here, whatever this machine can hold of it. ``compile`` makes the policy of another one."""

    place: Place
    profile: Profile
    policy: CompiledPolicy
    compile: Callable[[Profile], CompiledPolicy]


def policy_here(environ: Mapping[str, str]) -> Here:
    """Read and compile. Errors: ``GovrunError``."""
    home = Path(os.path.realpath(home_folder(environ)))
    place = place_of(working_directory(), None)
    state = state_path(environ)
    check_tree(place, home, state, explicit=False)
    profile = load(place.tree)
    rules = tuple(rule._replace(require=None) for rule in profile.rules)
    contracts = tuple(rule._replace(require=None) for rule in profile.contracts)
    words = {name: said._replace(require=None) for name, said in profile.scope.layers.items()}
    scope = profile.scope._replace(layers=words)
    bare = profile._replace(require=None, rules=rules, contracts=contracts, scope=scope)
    caches = cache_base(dict(environ), home, place.tree)
    agent = load_agent(None, ("true",))
    facts = probe.start_facts()

    def compiled(profile: Profile) -> CompiledPolicy:
        return compile_for(place, profile, agent, facts, state, home, caches)

    return Here(place, bare, compiled(bare), compiled)


def _wanted(place: Place, paths: Iterable[bytes]) -> Callable[[bytes], bool]:
    """Whether a path relative to the tree is one of ``paths``, or lies in one. Errors: ``UsageError``."""
    tree, exact, inside = os.fsencode(place.tree), set[bytes](), []
    for given in paths:
        absolute = os.path.join(os.fsencode(place.cwd), given)
        folder, name = os.path.split(os.path.normpath(absolute))
        whole = os.path.realpath(absolute) if os.path.isdir(absolute) else os.path.join(os.path.realpath(folder), name)
        shown = given.decode("utf-8", "backslashreplace")
        if whole != tree and not whole.startswith(tree + b"/"):
            raise UsageError(f"{shown!r} lies outside the tree", str(place.tree), "name files of this repository")
        if not os.path.lexists(whole):
            raise UsageError(f"there is no {shown!r}", f"not in {place.tree}", "name files and folders that exist")
        relative = whole[len(tree) + 1 :]
        exact.add(relative)
        inside.append(relative + b"/" if relative else b"")
    if not exact:
        return lambda _path: True
    beginnings = tuple(inside)
    return lambda path: path in exact or path.startswith(beginnings)


def _view(repository: Repository | None, opened: ExitStack) -> View | None:
    if repository is None:
        return None
    # Not in the state folder: an agent may check its work, and cannot write there.
    folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="govrun-check-"))
    return View(Path(folder) / "view", repository)


def tree_files(repository: Repository, environ: Mapping[str, str]) -> list[bytes]:
    """What git tracks or would track, relative to the top. Errors: ``GovrunError``."""
    with ExitStack() as opened:
        view = _view(repository, opened)
        return _listed(repository.top, view, environ)[0]


def _listed(tree: Path, view: View | None, environ: Mapping[str, str]) -> tuple[list[bytes], list[tuple[bytes, str]]]:
    if view is not None:
        base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/nonexistent"), ".config")
        own = Path(base) / "git" / "ignore"
        return view.files([own] if own.is_file() else []), []
    unreadable: list[tuple[bytes, str]] = []
    root = os.fsencode(tree)

    def failed(error: OSError) -> None:
        unreadable.append((os.fsencode(error.filename or "")[len(root) + 1 :], error.strerror or ""))

    found = []
    for folder, names, files in os.walk(root, onerror=failed):
        names[:] = [name for name in names if name != b".git"]
        found += [os.path.join(folder, name)[len(root) + 1 :] for name in files]
    return sorted(found), unreadable


class _Checker:
    """Reads, and asks the one decision function."""

    def __init__(
        self, policy: CompiledPolicy, tree: Path, unreadable: list[tuple[bytes, str]], opened: ExitStack, cache: Path
    ) -> None:
        self._policy = policy
        self._tree = os.fsencode(tree)
        self._unreadable = unreadable
        self._opened = opened
        self._cache = cache
        self._looks = Looks(policy)
        self._graphs = Graphs(policy)
        self._folders: dict[bytes, bool] = {}
        self._rules = _of_content(policy)
        self.read = 0

    def held(self, paths: Iterable[bytes], wanted: Callable[[bytes], bool]) -> Iterator[_Held]:
        """Files that are judged by content and could break a rule; locks always. What others reference matters where
        cycles are forbidden."""
        if not self._rules:
            return
        sources = Sources(contents.wanted(self._policy), self._cache)
        self._opened.callback(sources.close)
        ahead: deque[tuple[bytes, str, bool]] = deque()

        def begun() -> Iterator[Source | Findings]:
            for path in paths:
                asked = wanted(path)
                found = self._source(path, asked=asked) if asked or self._graphs.holds(path) else None
                if found is not None:
                    ahead.append((path, found[0], asked))
                    yield found[1]

        for found in sources.findings(begun()):
            path, kind, asked = ahead.popleft()
            if self._graphs.holds(path):
                self._graphs.put(path, found.references)
            if asked:
                yield _Held(path, kind, found)
        self._graphs.whole()

    def _source(self, path: bytes, *, asked: bool) -> tuple[str, Source | Findings] | None:
        """Its kind, and what has to be read for what it says, or that at once."""
        kind = self._looks.kind(path)
        if kind is None or any(part in b"/" + path for part in VENDORED) or is_unpacked(kind, path):
            return None
        if not self._is_inside(path):
            return None
        try:
            content = self._content(path, kind)
        except FileNotFoundError:
            return None  # in the index only, or no file
        except OSError as error:
            self._unreadable.append((path, error.strerror or str(error)))
            return None
        self.read += asked
        if (content is None or len(content) > MOST_TEXT) and kind in (SCRIPT, TEXT):
            return None
        if content is None:
            return kind, _TOO_LARGE
        locks = is_lock(kind) and bool(self._policy.dependencies)
        return (kind, Source(path, kind, content)) if locks or self._looks.may_concern(kind, path, content) else None

    def _is_inside(self, path: bytes) -> bool:
        """Whether no folder on the way is a link to elsewhere."""
        folder = path.rpartition(b"/")[0]
        if folder and folder not in self._folders:
            try:
                here = stat.S_ISDIR(os.lstat(self._tree + b"/" + folder).st_mode)
            except OSError:
                here = False
            self._folders[folder] = here and self._is_inside(folder)
        return not folder or self._folders[folder]

    def _content(self, path: bytes, kind: str) -> bytes | None:
        """None: too large. Errors: OSError, ``FileNotFoundError`` also for what is no regular file."""
        whole = self._tree + b"/" + path
        if not stat.S_ISREG(os.lstat(whole).st_mode):
            raise FileNotFoundError
        fd = os.open(whole, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if kind == SCRIPT and not begins_script(fd):
                raise FileNotFoundError
            return read_whole(fd)[0]
        finally:
            os.close(fd)

    def versions(self, view: View, commit: str) -> Callable[[_Held], Findings]:
        """What the version of a file in ``commit`` says. Errors of what is asked: ``GovrunError``."""
        objects = Objects(view.git, timeout=_PATIENCE)
        self._opened.callback(objects.close)
        inspector = Inspector(contents.wanted(self._policy))
        self._opened.callback(inspector.close)

        def before(held: _Held) -> Findings:
            entry = objects.entry(commit, held.path)
            if entry is None or entry.mode in (TREE, GITLINK, SYMLINK):
                return NOTHING_FOUND
            found = objects.get(entry.id, limit=MOST)
            return inspector.inspect(held.kind, held.path, found[2]) if found is not None else NOTHING_FOUND

        return before

    def bases(self, baselines: Baselines) -> Bases:
        """What reads the trees of revisions."""
        inspector = Inspector(contents.wanted(self._policy))
        self._opened.callback(inspector.close)
        folder = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="govrun-check-"))
        found = Bases(baselines, objects_of(baselines, Path(folder) / "git"), b"", inspector.inspect)
        self._opened.callback(found.close)
        return found

    def judge(
        self, held: list[_Held], before: Callable[[_Held], Findings] | None, bases: Bases | None
    ) -> Iterator[Violation]:
        """Locks of the tree say which package an import means; those of the base, what may stand in a lock."""
        locks = [each for each in held if is_lock(each.kind)]
        rules = self._policy.dependencies
        now = _with(rules, locks, [each.now for each in locks])
        was = {each.path: before(each) for each in locks} if before is not None else {}
        said = [each for each in locks if was.get(each.path, NOTHING_FOUND) != NOTHING_FOUND]
        base = _with(rules, said, list(was.values())) if before is not None else now._replace(locked=frozenset())
        found: list[Violation] = []
        state = RunState(graphs=self._graphs.known)
        frozen = {rule.id for rule, tolerates in self._rules if tolerates}
        for each in held:
            policy = self._policy._replace(dependencies=base if is_lock(each.kind) else now)
            target = Target(self._tree + b"/" + each.path, Kind.FILE)
            event = ContentEvent(_NOBODY, target, each.now)
            verdict = decide(policy, state, event)
            if verdict.matches and (before is not None or bases is not None):
                if before is not None:
                    event = event._replace(before=was[each.path] if each.path in was else before(each))
                if bases is not None:
                    event = event._replace(bases=bases.of(each.path, each.kind))
                verdict = decide(policy, state, event)
            for match in verdict.matches:
                tolerated = before is None and match.invariant.id in frozen
                blocks = match.effect > Effect.WARN
                found.append(Violation(each.path, match.line, match.message, match.invariant, blocks, tolerated))
        return iter(found)


def _with_baselines(policy: CompiledPolicy, baselines: Baselines) -> CompiledPolicy:
    if not (baselines and policy.dependencies):
        return policy
    at = with_baselines(Locks(), baselines).at
    return policy._replace(dependencies=policy.dependencies._replace(locked_at=at))


def _with(rules: DependencyRules, locks: Iterable[_Held], findings: Iterable[Findings]) -> DependencyRules:
    return rules._replace(locked=named_in(findings), with_lock=frozenset(ecosystem_of(each.kind) for each in locks))
