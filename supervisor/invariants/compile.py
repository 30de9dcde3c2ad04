"""Profile and context -> ``CompiledPolicy``: every invariant with how firmly it holds on this host.

A rule whose kind has no judge yet compiles to an invariant that reads ``unenforceable`` and says why; it is named in
the banner, in ``explain`` and in the record, and a ``require`` above it stops the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from supervisor.invariants import kinds, scopekeys
from supervisor.invariants.commands import compile_commands
from supervisor.invariants.dependency import compile_dependencies, is_judged, named_packages, unjudged
from supervisor.invariants.globs import Globs
from supervisor.invariants.hosts import compile_hosts
from supervisor.invariants.hosts import unjudged as unjudged_hosts
from supervisor.invariants.packages import JUDGED, unreadable
from supervisor.invariants.places import below, is_under
from supervisor.invariants.policy import Baselines, CompiledPolicy, GitDir, Grant
from supervisor.profile.model import Entry, Layers, Profile, Rule, Scope
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.limits import LimitFacts
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect

EFFECTS = {effect.word: effect for effect in Effect}
_SCOPE_UNJUDGED = {
    "tls": "there is no gateway yet",
}


class Context(NamedTuple):
    """Facts of place and host that the policy is compiled against. Paths are canonical. ``locked``: (ecosystem,
    canonical name) of what the base tree's locks name; ``with_lock``: the ecosystems that have one; ``locked_at``:
    the same of the trees of revisions."""

    tree: bytes
    state: bytes
    home: bytes
    temp: tuple[bytes, ...]
    git: GitDir | None
    grants: tuple[Grant, ...]
    code: tuple[bytes, ...]
    resolvers: tuple[str, ...]
    agent_hosts: tuple[str, ...]
    abi: int
    agent_programs: tuple[str, ...] = ()
    verified: bool = True
    locked: frozenset[tuple[str, str]] = frozenset()
    with_lock: frozenset[str] = frozenset()
    locked_at: Mapping[str, frozenset[tuple[str, str]]] = {}
    baselines: Baselines = Baselines()
    limits: LimitFacts = LimitFacts()


def compile_policy(profile: Profile, context: Context) -> CompiledPolicy:
    """The compiled policy. Errors: ``ProfileError`` when a required coverage cannot be had here, or a pattern cannot
    be compiled."""
    _check_ranges(profile)
    scope = profile.scope._replace(hide=(*profile.scope.hide, *_hidden_data(profile)))
    hide, files = _hidden(scope, context)
    granted, _ = _provider(context)
    protect = Globs((*(e for e in scope.protect if not e.value.startswith("~/")), *_of_agents(context)))
    at_home = Globs(entry._replace(value=entry.value[1:]) for entry in scope.protect if entry.value.startswith("~/"))
    invariants = {found.id: found for found in _invariants(profile, context, bool(files))}
    rules = profile.rules
    policy = CompiledPolicy(
        tree=context.tree,
        state=context.state,
        home=context.home,
        temp=context.temp,
        git=context.git,
        grants=context.grants,
        write=tuple(Globs(e for e in layer if not e.value.startswith("~/")) for layer in scope.write),
        code=context.code,
        protect=protect,
        protected_files=frozenset(path.encode("utf-8", "surrogateescape") for path in profile.protected_files),
        leads=protect.leads(),
        home_protect=at_home,
        hide=hide,
        hosts=compile_hosts(scope.hosts, context.resolvers, granted, context.home.decode("utf-8", "surrogateescape")),
        commands=compile_commands(_with_programs(scope, context)),
        words=dict(scope.layers),
        scope_then=EFFECTS[scope.then],
        debug=scope.debug,
        timeout=scope.timeout,
        invariants=invariants,
        digest=profile.digest,
        dependencies=compile_dependencies(
            _of("dependency", rules), invariants, context.locked, context.with_lock, context.locked_at
        ),
        baselines=context.baselines,
        **kinds.compiled(rules, invariants),
        **scopekeys.compiled(scope, context.limits),
        **_unread(files, scope.read),
    )
    _check_required(profile, invariants)
    return policy


def _hidden_data(profile: Profile) -> Iterator[Entry]:
    """Whole folders of the home folder that rules about data hide: the kernel can do that."""
    for rule in _of("data", profile.rules):
        from supervisor.invariants.data import closed_by_kernel

        if closed_by_kernel(rule):
            yield from (Entry(path, rule.source) for path in rule.paths)


def _of_agents(context: Context) -> Iterator[Entry]:
    """What agent packs protect, where the tree holds their state folders too (``--root`` at the home folder)."""
    for grant in context.grants:
        if is_under(grant.path, context.tree):
            base = re.sub(rb"([*?\[\]\\])", rb"\\\1", below(grant.path, context.tree))
            for entry in grant.protect.entries:
                yield entry._replace(value=f"/{base.decode('utf-8', 'surrogateescape')}{entry.value}")


def _provider(context: Context) -> tuple[list[Entry], list[str]]:
    """Hosts of the agent pack: addresses, which are granted, and names, which are not as long as a name cannot be
    judged: its port would open every public host to a run whose profile lists the few it may reach."""
    entries = [Entry(host, "agent pack") for host in context.agent_hosts]
    names = unjudged_hosts((), entries)
    return [entry for entry in entries if entry not in names], [entry.value for entry in names]


def _with_programs(scope: Scope, context: Context) -> Layers:
    """A profile that lists commands need not list what the agent itself consists of."""
    own = tuple(Entry(name, "agent pack") for name in context.agent_programs)
    return tuple((*layer, *own) for layer in scope.commands)


def _hidden(scope: Scope, context: Context) -> tuple[tuple[bytes, ...], tuple[Entry, ...]]:
    """Whole folders outside the tree, which the kernel can hide, and the entries that it cannot."""
    folders: list[bytes] = []
    others: list[Entry] = []
    for entry in scope.hide:
        path = entry.value.encode("utf-8", "surrogateescape")
        if path.startswith(b"~/"):
            path = context.home + path[1:]
        bare = path.removesuffix(b"/**").rstrip(b"/")
        plain = bare.startswith(b"/") and not any(sign in bare for sign in b"*?[")
        inside = bare == context.tree or bare.startswith(context.tree + b"/")
        if plain and (context.tree + b"/").startswith(bare + b"/") and not inside:
            what = f"{entry.source}: {entry.value} would hide the working tree itself"
            raise ProfileError("a hidden folder contains the working tree", what, "take it out of hide")
        if plain and not inside and path.endswith((b"/**", b"/")):
            folders.append(bare)
        else:
            within = path[len(context.tree) :].decode("utf-8", "surrogateescape")
            others.append(entry._replace(value=within) if inside else entry)
    return tuple(dict.fromkeys(folders)), tuple(others)


def _unread(files: tuple[Entry, ...], read: Layers) -> dict[str, Any]:
    """Hidden files, where there are any."""
    if not files and not read:
        return {}
    from supervisor.invariants.hidden import compile_hidden

    return {"hidden": compile_hidden(files, read)}


def _invariants(profile: Profile, context: Context, hides_files: bool) -> Iterator[Invariant]:
    yield from _built_in(context, profile.scope.debug)
    yield from _scope(profile.scope, hides_files, context)
    for rule in (*profile.rules, *profile.contracts):
        described = kinds.described(rule)
        if described is not None:
            found = _named(rule, *described)
        else:
            found = _dependency(rule) if rule.kind == "dependency" else _unjudged(rule)
        yield found._replace(note=found.note + _against(rule, context.baselines)) if rule.revision else found


def _against(rule: Rule, baselines: Baselines) -> str:
    commit = baselines.commits.get(rule.revision, "")
    return f"; what is new is told by {rule.revision}" + (f" ({commit[:12]})" if commit else "")


def _built_in(context: Context, debug: bool) -> Iterator[Invariant]:
    def rule(
        ident: str, why: str, use: str = "", coverage: Coverage = Coverage.SUPERVISED, note: str = ""
    ) -> Invariant:
        return Invariant(ident, "builtin", "deny", why, use, source="govrun", coverage=coverage, note=note)

    enforced, supervised = Coverage.ENFORCED, Coverage.SUPERVISED
    yield rule("govrun.state", "the record of a run is out of its reach", coverage=enforced, note="Landlock")
    yield rule("govrun.policy", "what binds a run cannot be changed by it", "write govrun.toml.proposed")
    if context.code:
        yield rule(
            "govrun.code", "the code that supervises a run cannot be changed by it", "an installed copy of govrun"
        )
    if any(grant.protect for grant in context.grants):
        why = "the agent program would run what is written there in a later session that nobody supervises"
        yield rule("govrun.agent", why, "ask the person who started the run to make this change")
    yield rule("govrun.path", "a path that cannot be resolved safely is refused", "name the file by its plain path")
    exec_coverage = supervised if context.verified and not debug else Coverage.OBSERVED
    exec_note = "debug = true: what a debugger holds is looked at after its exec, not before" if debug else ""
    yield rule("govrun.exec", "what runs must be what was judged", coverage=exec_coverage, note=exec_note)
    scoped = context.abi >= 6
    note = "Landlock signal scope" if scoped else "notify; this kernel has no signal scope"
    note += "; debug = true: processes of the run may be traced by it, Landlock keeps that inside" if debug else ""
    yield rule(
        "govrun.processes",
        "a run acts on its own processes only",
        coverage=enforced if scoped else supervised,
        note=note,
    )
    yield rule("git.internals", "git would run or trust what is written there")


def _scope(scope: Scope, hides_files: bool, context: Context) -> Iterator[Invariant]:
    def rule(key: str, coverage: Coverage, note: str, why: str, use: str = "") -> Invariant:
        source = scope.sources.get(key.partition(".")[0], "govrun")
        return Invariant(f"scope.{key}", "scope", scope.then, why, use, source=source, coverage=coverage, note=note)

    verified = context.verified
    effective = EFFECTS[scope.then]
    acts = Coverage.SUPERVISED if effective >= Effect.ASK else Coverage.OBSERVED
    yield rule("write", acts, "Landlock holds the tree's boundary; patterns inside it by notify", "")
    yield rule("protect", acts, "notify", "these files steer tools and people outside the run")
    yield rule("hide", Coverage.ENFORCED, "Landlock, whole folders outside the tree", "secrets stay unread")
    opens = "notify, each open for reading too, which costs time"
    if hides_files:
        yield rule("hide.files", acts, opens, "secrets stay unread")
    if scope.read:
        yield rule("read", acts, f"{opens}; files of the tree", "")
    names = unjudged_hosts(scope.hosts)
    note = "notify, on the copied address"
    if names:
        note += "; every public host is open on the ports that names stand for"
    provider = " ".join(_provider(context)[1]) if scope.hosts else ""
    use = f"if the agent cannot reach its model: hosts has to name {provider}" if provider else ""
    yield rule("hosts", min(acts, Coverage.OBSERVED) if names else acts, note, "", use)
    if names:
        listed = ", ".join(entry.value for entry in names[:8])
        yield rule("hosts.names", Coverage.UNENFORCEABLE, f"names are not judged yet: {listed}", "")
    if scope.commands:
        note = "notify and exec stop; binds names, not what a program can do"
        yield rule("commands", Coverage.OBSERVED if scope.debug or not verified else acts, note, "")
    yield rule("env", Coverage.ENFORCED, "withheld before the first exec", "")
    if scope.timeout is not None:
        yield rule("timeout", Coverage.SUPERVISED, f"{scope.timeout:g} s of wall clock", "")
    if scope.files is not None:
        yield rule("files", Coverage.ENFORCED, "RLIMIT_NOFILE", "")
    at_exec = Coverage.OBSERVED if scope.debug or not verified else acts
    refs = acts if context.git is not None else Coverage.UNENFORCEABLE
    for described in scopekeys.described(scope, context.limits, at_exec=at_exec, refs=refs):
        yield rule(*described)
    for key, why in _SCOPE_UNJUDGED.items():
        if key in scope.sources:
            yield rule(key, Coverage.UNENFORCEABLE, why, "")


def _of(kind: str, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.kind == kind)


def _check_ranges(profile: Profile) -> None:
    bad = [
        f"{rule.source}: {rule.id}: {made.text!r}"
        for rule in _of("dependency", profile.rules)
        for made in named_packages(rule)
        if unreadable(made)
    ]
    if bad:
        fix = "write versions such as <4.17.21, >=1,<2 or 1.2.3"
        raise ProfileError("a version range cannot be read", "\n".join(bad), fix)


def _dependency(rule: Rule) -> Invariant:
    others = ", ".join(unjudged(rule))
    if not is_judged(rule):
        return _named(rule, Coverage.UNENFORCEABLE, f"packages of {others} are not judged by this version")
    acts = EFFECTS[rule.then or "revert"] >= Effect.ASK
    note = "install command, manifest, imports, arrival on disk; before the act where it can be seen, else taken back"
    if "allow_only" in rule.fields:
        note += "; allow_only speaks of manifests, locks, installs and arrivals, not of imports"
    if others:
        note += f"; not judged: {others}"
    return _named(rule, Coverage.SUPERVISED if acts else Coverage.OBSERVED, f"{', '.join(JUDGED)}: {note}")


def _unjudged(rule: Rule) -> Invariant:
    return _named(rule, Coverage.UNENFORCEABLE, f"[[{rule.kind}]] is not judged by this version")


def _named(rule: Rule, coverage: Coverage, note: str) -> Invariant:
    adr, blob = (rule.adr.id or rule.adr.ref, rule.adr.sha1_blob) if rule.adr is not None else ("", "")
    then = rule.then or ("warn" if rule.fields.get("when") == "checkpoint" else "deny")
    return Invariant(rule.id, rule.kind, then, rule.why, rule.use, adr, blob, rule.source, coverage, note)


def _check_required(profile: Profile, invariants: dict[str, Invariant]) -> None:
    """A level that the profile demands, for all rules or for one, must be had here."""
    levels = {coverage.word: coverage for coverage in Coverage}
    single = {rule.id: levels[rule.require] for rule in (*profile.rules, *profile.contracts) if rule.require}
    overall = levels[profile.require] if profile.require else None
    for words in profile.scope.layers.values():
        if words.require:
            level = levels[words.require]
            for ident in invariants:
                if ident.startswith("scope."):
                    single[ident] = max(level, single.get(ident, level))
    problems = []
    for found in invariants.values():
        general = overall if found.kind != "builtin" else None  # the profile speaks of its own rules
        wanted = max(filter(None, (single.get(found.id), general)), default=None)
        if wanted is not None and found.coverage < wanted:
            how = f" ({found.note})" if found.note else ""
            told = f"{found.source}: {found.id} is {found.coverage.word} here{how}, {wanted.word} is required"
            problems.append(told)
    if problems:
        count = f"{len(problems)} invariant{'s' if len(problems) > 1 else ''}"
        fix = "lower `require`, take the rules out, or use a version and host that can hold them"
        raise ProfileError(f"{count} cannot be held as required", "\n".join(problems), fix)
