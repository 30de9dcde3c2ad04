"""``[scope]`` for paths, and the built-in rules about paths: state folder, profile, git internals.

One act touches one or two names; a moved directory touches every name in it. Each is judged, the strictest counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from supervisor.invariants import gitdir
from supervisor.invariants.places import Place, Zone, below, is_under, locate
from supervisor.invariants.policy import CompiledPolicy
from supervisor.vocabulary.events import ContentEvent, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect, Match

WRITE, PROTECT, HIDE = "scope.write", "scope.protect", "scope.hide"
STATE, POLICY, PATH, CODE = "govrun.state", "govrun.policy", "govrun.path", "govrun.code"
PROGRAM = "govrun.agent"
_ASK = "ask the person who started the run"
_OWN_FOLDER = "write to $TMPDIR, which is this run's own, or to a folder that it made"
_ADD_PATTERN = f"{_ASK} to add a pattern for that path to write"


def judge(policy: CompiledPolicy, event: FsEvent) -> Iterator[Match]:
    """Every objection to the act, in no order."""
    if event.exposes:
        yield Match(policy.invariant(gitdir.INVARIANT), Effect.DENY, event.exposes)
    elif event.other is None and _is_free(policy, event):
        return
    if event.refusal:
        yield Match(policy.invariant(PATH), Effect.DENY, event.refusal)
        return
    if event.op is FsOp.READ:
        for target in (event.target, event.other):
            if target is not None:
                yield from _reads(policy, target)
        return
    yield from _names(policy, event, event.target, event.beneath, new=event.op in (FsOp.CREATE, FsOp.WRITE))
    if event.other is not None:
        yield from _names(policy, event, event.other, event.beneath, new=True)
        if (
            event.op is FsOp.RENAME
            and event.other.kind is not Kind.ABSENT
            and (event.exchange or _is_folder_kind(event))
        ):
            yield from _names(policy, event, event.other, event.beneath_other, new=False)
        if event.exchange:
            yield from _names(policy, event, event.target, event.beneath_other, new=True)


def judge_placed(policy: CompiledPolicy, event: ContentEvent) -> Iterator[Match]:
    """Objections to a file at its very path: brought by a commit, or by git as it moved between commits."""
    if not event.placed or event.theirs:
        return
    place = locate(policy, event.target.path)
    if place.zone is Zone.TREE:
        op = FsOp.UNLINK if event.target.kind is Kind.ABSENT else FsOp.WRITE
        act = FsEvent(event.actor, op, "git", event.target, git_tool=True)
        yield from _in_tree(policy, act, event.target, place.relative, new=op is FsOp.WRITE)


# Writing to these changes nothing that outlives the writer; terminals are the agent's own. The floor grants the same.
DEVICES = frozenset(b"/dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx /dev/pts/ptmx".split())


def _is_free_device(target: Target) -> bool:
    """Other terminals of the same user lie beside the run's own: what is typed there is not the run's to see."""
    return target.path in DEVICES or target.made or target.given


def _is_folder_kind(event: FsEvent) -> bool:
    """A file that is renamed over another is a write of it; a directory that is replaced is taken away."""
    return event.other is not None and event.other.kind is Kind.DIR


def _reads(policy: CompiledPolicy, target: Target) -> Iterator[Match]:
    place = locate(policy, target.path)
    if place.zone is Zone.HIDDEN:
        yield Match(policy.invariant(HIDE), Effect.DENY, f"{_show(target.path)} is hidden from this run")
    elif place.zone is Zone.STATE:
        yield Match(policy.invariant(STATE), Effect.DENY, "govrun's own records are hidden from the run")
    elif policy.hidden:
        from supervisor.invariants import hidden

        yield from hidden.judge(policy, target)


def _names(
    policy: CompiledPolicy, event: FsEvent, target: Target, beneath: tuple[bytes, ...] | None, *, new: bool
) -> Iterator[Match]:
    yield from _name(policy, event, target, locate(policy, target.path), new=new)
    opposite = event.target if event.other is not None and target is event.other else event.other
    if beneath is None:
        why = "it holds too many files, or a folder that cannot be listed"
        message = f"a move of {_show(target.path)} cannot be judged: {why}"
        yield Match(policy.invariant(PATH), Effect.DENY, message)
        return
    for relative in beneath:
        if _is_dull(policy, target.path + b"/" + relative):
            continue
        # What is in a moved directory keeps its kind; only its name changes. Under a new name it is as new as that.
        fresh = target.made or (new and target.kind is Kind.ABSENT)
        inner = target._replace(path=target.path + b"/" + relative, kind=Kind.FILE, made=fresh)
        place = locate(policy, inner.path)
        if place.zone is Zone.GIT and opposite is not None and not event.exchange:
            there = locate(policy, opposite.path + b"/" + relative)
            if there.zone is Zone.GIT and there.relative == place.relative:
                continue  # a whole repository moves: nothing in its git directory changes
        found = list(_name(policy, event, inner, place, new=new))
        if found:
            yield from found
            return


def _is_free(policy: CompiledPolicy, event: FsEvent) -> bool:
    """The usual case, asked first: an ordinary file of the tree that no rule speaks of."""
    target = event.target
    plain = target.kind is Kind.FILE or (target.kind is Kind.ABSENT and event.makes is Kind.FILE)
    if not plain or event.mode & 0o4000 or event.refusal or target.git or event.op is FsOp.READ:
        return False
    return _is_dull(policy, target.path)


def _is_dull(policy: CompiledPolicy, path: bytes) -> bool:
    """Whether no rule can speak of a name in the tree: asked first, since a moved folder may hold tens of thousands."""
    tree = policy.tree
    if not path.startswith(tree + b"/") or b"/.git" in path.lower() or policy.code or path in policy.protected_files:
        return False
    relative = path[len(tree) + 1 :]
    if relative.endswith(b"govrun.toml") or policy.protect.match(relative) is not None:
        return False
    if policy.hidden:
        home = policy.home + b"/"
        if not policy.hidden.is_dull(relative, path[len(home) :] if path.startswith(home) else None):
            return False
    return all(layer.match(relative) is not None for layer in policy.write)


def _name(policy: CompiledPolicy, event: FsEvent, target: Target, place: Place, *, new: bool) -> Iterator[Match]:
    if target.unlinked and policy.hidden:
        yield from _reads(policy, target)  # opened for writing it can be read as well
    if target.unlinked or (target.given and event.op is FsOp.WRITE):
        return  # an inode without a name: nobody else can reach it; a file that the user handed in for writing
    if target.kind in (Kind.CHAR, Kind.BLOCK):
        if event.op is not FsOp.WRITE or target.kind is Kind.BLOCK or not _is_free_device(target):
            yield Match(
                policy.invariant(WRITE), Effect.DENY, f"the device {_show(target.path)} is outside the write scope"
            )
        return
    if event.mode & 0o4000 and target.kind is not Kind.DIR and event.makes is Kind.FILE:
        yield Match(policy.invariant(PATH), Effect.DENY, f"{_show(target.path)}: no set-user-id programs from a run")
    if any(is_under(target.path, code) for code in policy.code):
        yield Match(
            policy.invariant(CODE), Effect.DENY, f"{_show(target.path)} is part of the govrun that supervises this run"
        )
        return
    match place.zone:
        case Zone.STATE:
            yield Match(policy.invariant(STATE), _at_least_deny(policy), "govrun's own records are out of reach")
        case Zone.HIDDEN:
            yield Match(policy.invariant(HIDE), _at_least_deny(policy), f"{_show(target.path)} is hidden from this run")
        case Zone.GIT:
            git = policy.git
            shared = git is not None and git.path != git.common and place.base == git.common
            refusal = gitdir.refuses(event, target, place.relative, new=new, shared=shared)
            if refusal is not None:
                told = f"{_show(target.path)}: {refusal.message}" + (f"; use {refusal.use}" if refusal.use else "")
                yield Match(policy.invariant(gitdir.INVARIANT), Effect.DENY, told)
        case Zone.TREE:
            yield from _in_repository(policy, event, target, new=new)
            yield from _in_tree(policy, event, target, place.relative, new=new)
        case Zone.GRANTED:
            yield from _at_home(policy, target)
            yield from _in_state(policy, event, target, new=new)
            yield from _in_repository(policy, event, target, new=new)
            if (
                place.relative == b""
                and not new
                and event.op in (FsOp.UNLINK, FsOp.RENAME)
                and _is_folder(policy, place)
            ):
                yield Match(
                    policy.invariant(WRITE), _at_least_deny(policy), "a granted folder itself cannot be removed"
                )
        case Zone.TEMP:
            if not _may_touch_temp(target, place, new=new) and not _closes(policy, event, target, place):
                yield _was_there(policy, target, new=new)
        case Zone.OUTSIDE:
            message = f"{_show(target.path)} is outside the write scope"
            yield Match(_grantable(policy, target.path), _at_least_deny(policy), message)


def _grantable(policy: CompiledPolicy, path: bytes) -> Invariant:
    """The rule about what may be written, with how more is permitted: of the home folder only can anything be."""
    rule = policy.invariant(WRITE)
    if not path.startswith(policy.home + b"/"):
        return rule
    how = 'a further pattern such as "~/out/**" in write' if policy.write else 'write = ["**", "~/out/**"]'
    return rule._replace(use=f"{_ASK}: {how} of govrun.toml permits more, --agent NAME an agent's own state")


def _at_home(policy: CompiledPolicy, target: Target) -> Iterator[Match]:
    """Protected and hidden files in the home folder stay so inside what an agent pack grants."""
    if policy.hidden:
        from supervisor.invariants import hidden

        yield from hidden.at_home(policy, target)
    if target.path.startswith(policy.home + b"/"):
        entry = policy.home_protect.match(target.path[len(policy.home) + 1 :], target.kind is Kind.DIR)
        if entry is not None:
            rule, effect = policy.rule(PROTECT, entry.source)
            yield Match(rule, effect, f"{_show(target.path)} is protected (~{entry.value})")


def _in_state(policy: CompiledPolicy, event: FsEvent, target: Target, *, new: bool) -> Iterator[Match]:
    """What an agent program keeps beside its state, and would run in a session that nobody supervises."""
    for grant in policy.grants:
        if not grant.protect or not is_under(target.path, grant.path):
            continue
        relative = below(target.path, grant.path)
        entry = grant.protect.match(relative)  # a protected folder itself may be made: agents do so at their start
        if entry is not None:
            told = f"{_show(target.path)} is protected ({grant.source.removeprefix('pack:')} {entry.value})"
            yield Match(policy.invariant(PROGRAM), _at_least_deny(policy), told)
        elif _becomes_link(event, target, new=new) and grant.leads.exact(relative) is not None:
            told = f"{_show(target.path)} leads to protected files and cannot become a symbolic link"
            yield Match(policy.invariant(PROGRAM), _at_least_deny(policy), told)


def _is_folder(policy: CompiledPolicy, place: Place) -> bool:
    return any(grant.folder and grant.path == place.base for grant in policy.grants)


def _may_touch_temp(target: Target, place: Place, *, new: bool) -> bool:
    if place.relative == b"":
        return False
    if target.made:
        return True
    return new and target.kind is Kind.ABSENT and b"/" not in place.relative


def _was_there(policy: CompiledPolicy, target: Target, *, new: bool) -> Match:
    rule, effect = policy.invariant(WRITE), _at_least_deny(policy)
    if new and target.kind is Kind.ABSENT:
        folder = target.path.rpartition(b"/")[0]
        told = f"{_show(target.path)}: its folder {_show(folder)} was there before this run"
        return Match(rule._replace(use=_OWN_FOLDER), effect, told)
    return Match(rule, effect, f"{_show(target.path)} was there before this run")


def _closes(policy: CompiledPolicy, event: FsEvent, target: Target, place: Place) -> bool:
    """An agent keeps others out of a folder of its own in the home folder: what it finds so, it sets so again."""
    at_home = target.path.startswith(policy.home + b"/")
    return at_home and place.relative == b"" and event.call.endswith(("chmod", "chmodat")) and event.mode == 0o700


def _in_repository(policy: CompiledPolicy, event: FsEvent, target: Target, *, new: bool) -> Iterator[Match]:
    """A repository without a ``.git``: git runs its hooks and configuration for whoever steps into it. ``.Git`` is one
    where the file system does not tell cases apart; git tracks no such name."""
    if b"/.git" in target.path.lower() and any(p.lower() == b".git" != p for p in target.path.split(b"/")):
        yield Match(policy.invariant(gitdir.INVARIANT), Effect.DENY, f"{_show(target.path)}: another spelling of .git")
    if target.git and target.path.startswith(target.git + b"/"):
        inner = target.path[len(target.git) + 1 :]
        refusal = gitdir.reserved(event, target, inner, new=new)
        if refusal is not None:
            yield Match(policy.invariant(gitdir.INVARIANT), Effect.DENY, f"{_show(target.path)}: {refusal.message}")


def _in_tree(policy: CompiledPolicy, event: FsEvent, target: Target, relative: bytes, *, new: bool) -> Iterator[Match]:
    directory = target.kind is Kind.DIR or (target.kind is Kind.ABSENT and event.makes is Kind.DIR)
    if relative == b"" and event.op in (FsOp.UNLINK, FsOp.RENAME):
        yield Match(
            policy.invariant(WRITE), _at_least_deny(policy), "the working tree itself cannot be moved or removed"
        )
        return
    if relative == b"govrun.toml.proposed" or event.restorable:
        return
    if target.path in policy.protected_files or relative == b"govrun.toml":
        yield Match(policy.invariant(POLICY), _at_least_deny(policy), f"{_show(relative)} binds this run")
    elif relative.endswith(b"/govrun.toml") and not target.made:
        message = f"{_show(relative)} would bind runs that are started there"
        yield Match(policy.invariant(POLICY), _at_least_deny(policy), message)
    entry = policy.protect.match(relative, directory)
    if entry is not None and not (target.made and entry.value == "govrun.toml"):
        rule, effect = policy.rule(PROTECT, entry.source)
        yield Match(rule, effect, f"{_show(relative)} is protected ({entry.value})")
    if _becomes_link(event, target, new=new) and policy.leads.exact(relative) is not None:
        message = f"{_show(relative)} leads to protected files and cannot become a symbolic link"
        yield Match(policy.invariant(PROTECT), _at_least_deny(policy), message)
    if policy.hidden:
        from supervisor.invariants import hidden

        yield from hidden.in_tree(policy, target, relative, directory=directory)
    if target.ignored:
        return
    for layer in policy.write:
        if layer.match(relative, directory) is None and not (directory and relative in layer.ancestors()):
            if relative == b"" and event.op is FsOp.META:
                continue
            source = layer.entries[0].source if layer else ""
            rule, effect = policy.rule(WRITE, source)
            if not rule.use and not source.startswith("pack:"):
                rule = rule._replace(use=_ADD_PATTERN)
            yield Match(rule, effect, f"{_show(relative)} is outside the write scope")


def _becomes_link(event: FsEvent, target: Target, *, new: bool) -> bool:
    if not new:
        return False
    if event.op is FsOp.RENAME:
        source = event.target if event.other is not None and target.path == event.other.path else event.other
        return source is not None and source.kind is Kind.LINK
    return event.makes is Kind.LINK or (event.op is FsOp.LINK and event.target.kind is Kind.LINK)


def _at_least_deny(policy: CompiledPolicy) -> Effect:
    """What lies outside the tree is bounded by the kernel too, so `observe` or `warn` could not let it happen."""
    return max(policy.scope_then, Effect.DENY)


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
