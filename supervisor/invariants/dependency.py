"""``[[dependency]]``: which packages may not be asked for, imported, or come to lie on disk.

Content is judged against what the file said before: a violation is a (rule, file, package) that was not there. What
is named in a base lock may arrive. Violations in content are matters of fact and are all told; commands and arrivals
are judged before the act, so `revert` means `deny` there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from supervisor.invariants.arrival import INSTALLERS, Arrival, arrivals, may_arrive
from supervisor.invariants.compiled_names import denied_imports, ecosystem_of, packages_of, words_of
from supervisor.invariants.globs import Globs
from supervisor.invariants.importnames import distributions, imports_of, npm_package
from supervisor.invariants.packages import Answer, Pattern, Patterns, ecosystems, named, pattern, patterns, within
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.addresses import BY_ADDRESS
from supervisor.vocabulary.content import Findings, Import, Installation, Requirement
from supervisor.vocabulary.events import ContentEvent, ExecEvent
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect, Match

_MOST_TOLD = 50
_ENDS = frozenset(("", "/", ":", "#", "@"))
_UNKNOWN = "came with another package; add a lock or `transitive = true` to refuse it"


class DependencyRule(NamedTuple):
    """One compiled table. ``effect`` is that on content that has landed. ``governed``: ecosystems that ``allow`` is
    the whole list of. ``modules``: dotted module name -> the unranged denied distributions that bring it.
    ``frozen``: what was there before is tolerated."""

    invariant: Invariant
    effect: Effect
    deny: Patterns = Patterns()
    allow: Patterns = Patterns()
    governed: frozenset[str] = frozenset()
    modules: Mapping[str, tuple[str, ...]] = {}
    paths: Globs = Globs(())
    exempt: Globs = Globs(())
    only_via: Globs = Globs(())
    lock_only: bool = False
    sources: tuple[str, ...] = ()
    transitive: bool = False
    frozen: bool = True
    revision: str = ""
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def before_the_act(self) -> Effect:
        """Nothing has happened yet that could be taken back, and nobody can be asked yet."""
        return Effect.DENY if self.effect in (Effect.ASK, Effect.REVERT) else self.effect

    def after_the_act(self) -> Effect:
        return Effect.REVERT if self.effect in (Effect.ASK, Effect.DENY) else self.effect


class DependencyRules(NamedTuple):
    """Every judged table, and what the base tree's locks name: ``locked`` holds (ecosystem, canonical name),
    ``locked_at`` the same by revision, for rules whose baseline is one."""

    rules: tuple[DependencyRule, ...] = ()
    locked: frozenset[tuple[str, str]] = frozenset()
    with_lock: frozenset[str] = frozenset()
    arriving: bool = False
    locked_at: Mapping[str, frozenset[tuple[str, str]]] = {}

    def __bool__(self) -> bool:
        return bool(self.rules)

    def asks_versions(self) -> bool:
        """Whether an npm package is denied in some versions only: which one arrived is known by its manifest alone."""
        return any(
            pattern.versions and pattern.ecosystem in ("npm", "*")
            for rule in self.rules
            for pattern in (*rule.deny.globs, *(each for found in rule.deny.exact.values() for each in found))
        )

    def may_arrive(self, path: bytes) -> bool:
        """Whether ``judge_arrival`` could say anything of the path."""
        return self.arriving and may_arrive(path)


class Said(NamedTuple):
    """A violation: what it is known by in its file, and in words. ``weak``: it may only be warned of."""

    key: tuple[str, str, str]
    message: str
    requirement: Requirement | None = None
    weak: bool = False
    line: int = 0


# ------------------------------------------------------------------------------------------------- compilation


def _words(rule: Rule, key: str) -> tuple[str, ...]:
    found = rule.fields.get(key)
    return tuple(str(word) for word in found) if isinstance(found, tuple | list) else ()


def named_packages(rule: Rule) -> tuple[Pattern, ...]:
    """Every pattern that the table holds."""
    return tuple(pattern(text) for text in (*_words(rule, "deny"), *_words(rule, "allow_only")))


def unjudged(rule: Rule) -> tuple[str, ...]:
    """The ecosystems that the rule names and nothing here judges, sorted."""
    return tuple(sorted({made.ecosystem for made in named_packages(rule) if not ecosystems(made)}))


def is_judged(rule: Rule) -> bool:
    """Whether anything that the rule says can be judged: a package of a known ecosystem, or a key about all."""
    if "install" in rule.fields or "sources" in rule.fields:
        return True
    return any(ecosystems(made) for made in named_packages(rule))


def compile_dependencies(
    rules: Iterable[Rule],
    invariants: Mapping[str, Invariant],
    locked: frozenset[tuple[str, str]] = frozenset(),
    with_lock: frozenset[str] = frozenset(),
    locked_at: Mapping[str, frozenset[tuple[str, str]]] = {},
) -> DependencyRules:
    """The judged rules among ``rules``, in profile order."""
    made = tuple(_compiled(rule, invariants[rule.id]) for rule in rules if is_judged(rule))
    arriving = any(rule.deny or rule.governed for rule in made)
    return DependencyRules(made, locked, with_lock, arriving, locked_at)


def _compiled(rule: Rule, invariant: Invariant) -> DependencyRule:
    deny = patterns(_words(rule, "deny"))
    modules: dict[str, tuple[str, ...]] = {}
    for (ecosystem, name), found in deny.exact.items():
        if ecosystem == "pypi" and any(not each.versions for each in found):
            for module in imports_of(name):
                modules[module] = (*modules.get(module, ()), name)

    def globs(values: Iterable[str]) -> Globs:
        return Globs(Entry(value, rule.source) for value in values)

    allow = _words(rule, "allow_only")
    return DependencyRule(
        invariant,
        Effect[(rule.then or "revert").upper()],
        deny,
        patterns(allow),
        frozenset(each for text in allow for each in ecosystems(pattern(text))),
        modules,
        globs(rule.paths),
        globs(rule.exempt),
        globs(_words(rule, "only_via")),
        lock_only=rule.fields.get("install") == "lock-only",
        sources=_words(rule, "sources"),
        transitive=rule.fields.get("transitive") is True,
        frozen=rule.baseline != "none",
        revision=rule.revision,
        denied=rule.denied,
        allowed=rule.allowed,
    )


def needles(rules: DependencyRules) -> frozenset[bytes] | None:
    """Lower-case names of which at least one stands, whatever joins its parts, in every file that could break a rule;
    None if a rule can be broken without one."""
    found: set[str] = set()
    for rule in rules.rules:
        if rule.governed or rule.sources or rule.deny.globs:
            return None
        for ecosystem, name in rule.deny.exact:
            found.update(words_of(ecosystem, name))
            if ecosystem == "pypi":
                # `from google.cloud import storage`: each component stands there, but not all of them side by side.
                found.update(max(module.split("."), key=len) for module in imports_of(name))
    return frozenset(name.lower().encode("utf-8", "surrogateescape") for name in found)


# ----------------------------------------------------------------------------------------------------- content


def judge_content(rules: DependencyRules, event: ContentEvent, relative: bytes) -> Iterator[Match]:
    """What is new in this version of the file and breaks a rule. ``relative``: its path in the tree."""
    for rule in rules.rules:
        effect = rule.before_the_act() if event.landing else rule.after_the_act()
        told: dict[tuple[str, str, str], Said] = {}
        for said in _new(rules, rule, event, relative):
            if said.key not in told or told[said.key].weak > said.weak:
                told[said.key] = said
        for said in islice(sorted(told.values(), key=lambda each: each.weak), _MOST_TOLD):
            spoken = min(effect, Effect.WARN) if said.weak else effect
            yield Match(rule.invariant, spoken, said.message, said.line)


def count_content(rules: DependencyRules, event: ContentEvent, relative: bytes) -> int:
    """How many violations the version holds that neither ``before`` nor ``prior`` holds, told or not."""
    return sum(len({said.key for said in _new(rules, rule, event, relative)}) for rule in rules.rules)


def offending(rules: DependencyRules, event: ContentEvent, relative: bytes) -> tuple[Requirement, ...]:
    """The manifest entries that have to be taken out for the file to pass; empty when that alone would not do."""
    found: dict[Requirement, None] = {}
    for rule in rules.rules:
        if rule.effect <= Effect.WARN:
            continue
        for said in _new(rules, rule, event, relative):
            if said.weak:
                continue
            if said.requirement is None or said.requirement.locked:
                return ()
            found[said.requirement] = None
    return tuple(found)


def _new(rules: DependencyRules, rule: DependencyRule, event: ContentEvent, relative: bytes) -> Iterator[Said]:
    if not _covers(rule, relative):
        return
    show, event = _show(relative), event.against(rule.revision)
    if event.now.refusal:
        # The same bytes were there before, or are other people's. What nobody can read excuses no other version of it.
        known = event.now.digest and event.now.digest in (event.before.digest, event.prior.digest)
        if not known and _could_break(rule, ecosystem_of(relative)):
            yield Said(("", "", ""), f"{show} cannot be inspected: {event.now.refusal}")
        return
    had_lock = rules.with_lock | {each.ecosystem for each in event.before.requirements if each.locked}
    now = list(_violations(rules, rule, event.now, show, had_lock))
    if now and rule.frozen:
        old = {
            said.key
            for findings in (event.before, event.prior)
            for said in _violations(rules, rule, findings, show, had_lock)
        }
        now = [said for said in now if said.key not in old]
    yield from now


def _could_break(rule: DependencyRule, ecosystem: str) -> bool:
    """Whether a file that nobody can read could break the rule. ``ecosystem``: of which alone it can speak."""
    if rule.sources or not ecosystem:
        return bool(rule.sources or rule.deny or rule.governed)
    return rule.deny.speaks_of(ecosystem) or ecosystem in rule.governed


def _covers(rule: DependencyRule, relative: bytes) -> bool:
    if rule.paths and rule.paths.match(relative) is None:
        return False
    return rule.exempt.match(relative) is None and rule.only_via.match(relative) is None


def _violations(
    rules: DependencyRules, rule: DependencyRule, findings: Findings, show: str, had_lock: frozenset[str] | set[str]
) -> Iterator[Said]:
    for each in findings.imports:
        for name in _imported(rules, rule, each):
            where = f" at line {each.line}" if each.line else ""
            message = f"{show} imports {_plain(each.module)} ({each.ecosystem}:{name}){where}"
            yield Said((each.ecosystem, name, ""), message, line=each.line)
    for requirement in findings.requirements:
        weak = requirement.locked and not rule.transitive and requirement.ecosystem not in had_lock
        for key, why in _required(rules, rule, requirement):
            yield Said(key, _names(show, requirement, why, weak=weak), requirement, weak, requirement.line)


def _imported(rules: DependencyRules, rule: DependencyRule, found: Import) -> tuple[str, ...]:
    """The denied packages that an import asks for. A range says nothing of an import."""
    if found.ecosystem == "npm":
        name = npm_package(found.module)
        return (name,) if name and _denied_whole(rule, "npm", name) else ()
    if found.ecosystem == "pypi":
        return _brought(rules, rule, found.module)
    return denied_imports(rule.deny, found)


def _brought(rules: DependencyRules, rule: DependencyRule, module: str) -> tuple[str, ...]:
    """Denied distributions that a Python module may come from: none, if it may as well come from another one that a
    base lock names."""
    candidates = distributions(module)
    denied = [name for name in candidates if _denied_whole(rule, "pypi", name)]
    if denied and any(("pypi", name) in rules.locked for name in candidates if name not in denied):
        return ()
    parts = module.split(".")
    prefixes = (".".join(parts[:end]) for end in range(1, len(parts) + 1)) if rule.modules else ()
    for prefix in prefixes:
        for name in rule.modules.get(prefix, ()):
            if name not in candidates and name not in denied:
                denied.append(name)
    return tuple(denied)


def _denied_whole(rule: DependencyRule, ecosystem: str, name: str) -> bool:
    return any(not each.versions for each in named(rule.deny, ecosystem, name))


def _required(
    rules: DependencyRules, rule: DependencyRule, found: Requirement
) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Key and reason of each way in which the rule is broken by naming this package."""
    ecosystem, name = found.ecosystem, found.name
    tolerated = found.locked and _locked(rules, rule, ecosystem, name)
    for each in named(rule.deny, ecosystem, name):
        if each.versions:
            answer = within(each.versions, ecosystem, found.versions)
            # Of a lock nothing more will be known; an open request ends in a lock or on disk, where the version shows.
            if answer is Answer.YES or (answer is Answer.MAYBE and found.locked):
                yield (ecosystem, name, found.versions if found.locked else ""), each.text
        elif not tolerated:
            yield (ecosystem, name, ""), each.text
    guessed = found.place.endswith(BY_ADDRESS)
    if ecosystem in rule.governed and name and not guessed and not is_local(found.origin) and not tolerated:
        listed = (within(each.versions, ecosystem, found.versions) for each in named(rule.allow, ecosystem, name))
        if not any(answer is not Answer.NO for answer in listed):
            yield (ecosystem, name, ""), "not among the allowed packages"
    if rule.sources and found.origin and not _comes_from(found.origin, rule.sources):
        yield (ecosystem, name, "from " + found.origin), f"from {_plain(found.origin)}"


def _names(show: str, found: Requirement, why: str, *, weak: bool) -> str:
    version = f" {_plain(found.versions)}" if found.versions else ""
    line = f" at line {found.line}" if found.line else ""
    place = f" ({_plain(found.place)})" if found.place and found.place != "argv" else ""
    verb = "locks" if found.locked else "names"
    plain = why == f"{found.ecosystem}:{found.name}"
    reason = "" if plain else f": {why}"
    after = f"; it {_UNKNOWN}" if weak else ""
    return f"{show} {verb} {_plain(found.name or found.origin)}{version}{line}{place}{reason}{after}"


def is_local(origin: str) -> bool:
    """A place relative to the file that names it: part of the tree, or beside it in the same workspace."""
    bare = origin.partition(":")[2] if origin.startswith(("file:", "link:", "workspace:", "portal:")) else origin
    if origin.startswith("workspace:"):
        return True
    return bare == "." or bare.startswith(("./", "../")) or (bare == ".." and origin != "")


def _comes_from(origin: str, sources: tuple[str, ...]) -> bool:
    """Whether an address begins with a listed one, at a boundary."""
    if is_local(origin):
        return True
    if "/../" in origin + "/" or "%" in origin or "\\" in origin:
        return False
    forms = (origin, re.sub(r"^(?:git\+)?(?:[a-z0-9+.-]+://)?(?:[^/@]*@)?", "", origin))
    for source in sources:
        for form in forms:
            if form.startswith(source) and (source.endswith("/") or form[len(source) :][:1] in _ENDS):
                return True
    return False


# ---------------------------------------------------------------------------------------------------- commands


def judge_install(rules: DependencyRules, event: ExecEvent) -> Iterator[Match]:
    """What a command would bring in. ``paths`` and ``only_via`` speak of files and do not bear on it."""
    if event.installs is None:
        return
    for rule in rules.rules:
        for message in islice(dict.fromkeys(_installed(rules, rule, event.installs)), _MOST_TOLD):
            yield Match(rule.invariant, rule.before_the_act(), message)


def _installed(rules: DependencyRules, rule: DependencyRule, found: Installation) -> Iterator[str]:
    """``place`` ``run``: a program that may lie in the tree already is started by that name, so it is no package
    until it is fetched; only what is denied outright counts."""
    for requirement in found.packages:
        if requirement.place == "run":
            if any(named(rule.deny, requirement.ecosystem, requirement.name)):
                for _, why in _required(rules, rule._replace(governed=frozenset(), sources=()), requirement):
                    yield _names(found.tool, requirement, why, weak=False)
            continue
        for _, why in _required(rules, rule, requirement):
            yield _names(found.tool, requirement, why, weak=False)
    started = bool(found.packages) and all(each.place == "run" for each in found.packages)
    if rule.lock_only and not found.from_lock and not started and (found.packages or found.ecosystem):
        yield f"{found.tool} would install what no lock names; only an install from the lock is allowed"


# ----------------------------------------------------------------------------------------------------- arrival


def judge_arrival(
    rules: DependencyRules, path: bytes, version: str = "", *, by_manager: bool = False, folder: bool = False
) -> Iterator[Match]:
    """What would come to lie at ``path``, which is about to be made. ``version``: where the caller knows it.
    ``folder``: it is one.
    ``by_manager``: the actor is a package manager that nothing in this run could have rewritten; what it brings
    along may be a dependency of something allowed, which only a lock can tell."""
    coming = tuple(each for each in arrivals(path) if not (folder and each.file))
    for rule in rules.rules if coming else ():
        effect, worst = rule.before_the_act(), None
        for found in coming:
            told = _arrives(rules, rule, found, version)
            if told and by_manager and not rule.transitive and found.ecosystem not in rules.with_lock:
                worst = worst or Match(rule.invariant, min(effect, Effect.WARN), f"{told} {_UNKNOWN}")
            elif told:
                place = _show(path.rpartition(b"/")[0])
                worst = Match(rule.invariant, effect, f"{told} would come to lie in {place}")
                break
        if worst is not None:
            yield worst


def _arrives(rules: DependencyRules, rule: DependencyRule, found: Arrival, version: str) -> str:
    """The package as the message names it, empty when it may come."""
    if found.module:
        return _arrives_as(rules, rule, Import(found.ecosystem, found.module, 0))
    ecosystem, name, exact = found.ecosystem, found.name, found.version or version
    known = _locked(rules, rule, ecosystem, name)
    for each in named(rule.deny, ecosystem, name):
        if not each.versions and not known:
            return f"{ecosystem}:{_plain(name)}"
        if each.versions and exact and within(each.versions, ecosystem, exact) is Answer.YES:
            return f"{ecosystem}:{_plain(name)} {_plain(exact)}"
    if ecosystem in rule.governed and not known and name not in INSTALLERS and not (found.file or found.unsure):
        listed = (within(each.versions, ecosystem, exact) for each in named(rule.allow, ecosystem, name))
        if not any(answer is not Answer.NO for answer in listed):
            return f"{ecosystem}:{_plain(name)}, which is not among the allowed packages,"
    return ""


def _arrives_as(rules: DependencyRules, rule: DependencyRule, found: Import) -> str:
    """The same of a part of a package whose name its path does not tell for certain."""
    if found.ecosystem == "pypi":
        names = tuple(name for name in _brought(rules, rule, found.module) if not _locked(rules, rule, "pypi", name))
    elif any(_locked(rules, rule, found.ecosystem, name) for name in packages_of(found.ecosystem, found.module)):
        return ""
    else:
        names = denied_imports(rule.deny, found)
    return f"{found.ecosystem}:{_plain(names[0])}" if names else ""


def _locked(rules: DependencyRules, rule: DependencyRule, ecosystem: str, name: str) -> bool:
    locked = rules.locked_at.get(rule.revision, frozenset()) if rule.revision else rules.locked
    return rule.frozen and (ecosystem, name) in locked


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _plain(text: str) -> str:
    """Names from files and command lines may hold anything; a message must be writable."""
    return text.encode("utf-8", "backslashreplace").decode()
