"""What binds an agent here, in a few lines that it can read first, kept in a block of a file of instructions."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.invariants.limits import in_words
from supervisor.profile.model import Entry, Profile, Rule, Scope
from supervisor.profile.rulevalues import COMMAND_CLASSES
from supervisor.run.checking import Here, policy_here
from supervisor.vocabulary.errors import GovrunError, UsageError
from supervisor.vocabulary.policy import Coverage, Invariant

MOST_LINES = 40
NAMES = ("AGENTS.md", "CLAUDE.md", "GEMINI.md", ".github/copilot-instructions.md")
_OF_COMMANDS = ("command", "deploy")
_LONGEST = 320  # characters of a line
_MOST_FILE = 1 << 20
_BLOCK = re.compile(
    rb"^<!-- govrun:begin [0-9a-f]* -->\r?\n(?:(?!<!-- govrun:).*\n)*?<!-- govrun:end -->", re.MULTILINE
)
_MARK = re.compile(rb"^<!-- govrun:(?:begin|end)\b", re.MULTILINE)
_ANSWERS = {
    "observe": "recorded", "warn": "let pass, and warned of", "ask": "asked of a person first", "deny": "refused",
    "revert": "refused, or taken back where it has landed", "pause": "stops the run until a person resumes it",
    "kill": "ends the run",
}  # fmt: skip


class Brief(NamedTuple):
    """``lines`` without the marks; ``digest`` of them."""

    tree: Path
    lines: tuple[str, ...]
    digest: str

    def block(self) -> str:
        return "\n".join((f"<!-- govrun:begin {self.digest} -->", *self.lines, "<!-- govrun:end -->"))


def brief(environ: Mapping[str, str]) -> Brief:
    """Of the profile that is in force here. Errors: ``GovrunError`` with exit code 2."""
    try:
        here = policy_here(environ)
    except GovrunError as error:
        error.exit_code = 2
        raise
    lines = tuple(_lines(here))
    return Brief(here.place.tree, lines, hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12])


def stale(made: Brief, names: Iterable[str]) -> list[str]:
    """Of the files ``names`` (or, where there are none, those with a block that agents usually read) the ones that say
    something else, in words. Errors: ``UsageError``."""
    given = list(names)
    paths = [_place(made.tree, name) for name in given] or _with_block(made.tree)
    if not paths:
        return [f"no file has a block of govrun: looked at {', '.join(NAMES)}"]
    found = []
    for path in paths:
        shown, content = str(path.relative_to(made.tree)), _read(path)
        block = _found(content, shown)
        if block is None:
            found.append(f"{shown} has no block of govrun")
        elif content[block.start() : block.end()].replace(b"\r\n", b"\n") != made.block().encode():
            found.append(f"{shown} says something else than the profile")
    return found


def write(made: Brief, name: str) -> tuple[Path, bool]:
    """Put the block into the file, in place of the one there, else at its end. Where, and whether that changed it.
    Errors: ``UsageError``."""
    path = _place(made.tree, name)
    content = _read(path)
    end = b"\r\n" if b"\r\n" in content else b"\n"
    text = made.block().encode().replace(b"\n", end)
    block = _found(content, name)
    if block is not None:
        after = content[: block.start()] + text + content[block.end() :]
    else:
        gap = b"" if not content else end if content.endswith(b"\n") else end + end
        after = content + gap + text + end
    if after != content:
        _replace(path, after)
    return path, after != content


# ---- the file -------------------------------------------------------------------------------------------------------


def _with_block(tree: Path) -> list[Path]:
    found = [tree / name for name in NAMES if (tree / name).is_file()]
    return [path for path in dict.fromkeys(Path(os.path.realpath(each)) for each in found) if _MARK.search(_read(path))]


def _place(tree: Path, name: str) -> Path:
    """Where the file lies: people let one file of instructions be a link to another."""
    path = Path(os.path.realpath(name))
    if tree not in path.parents:
        raise UsageError(f"{name!r} lies outside the tree", str(tree), "name a file of this repository", exit_code=2)
    if not path.parent.is_dir() or (path.exists() and not path.is_file()):
        raise UsageError(f"{name!r} is no file", "it has to be one, or its folder be there", "AGENTS.md", exit_code=2)
    return path


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            found = file.read(_MOST_FILE + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UsageError(f"cannot read {path}", str(error), "make it readable", exit_code=2) from error
    if len(found) > _MOST_FILE:
        raise UsageError(f"cannot read {path}", "it is larger than 1 MiB", "name another file", exit_code=2)
    return found


def _found(content: bytes, name: str) -> re.Match[bytes] | None:
    """The block. What has marks that are no block is left to people."""
    block = _BLOCK.search(content)
    if len(_MARK.findall(content)) != (2 if block is not None else 0):
        raise UsageError(
            f"{name} has marks of govrun that are no block",
            "there has to be one begin, and one end after it",
            "take the lines with `<!-- govrun:` out",
            exit_code=2,
        )
    return block


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}", str(error), "make the folder writable", exit_code=2) from error


# ---- the text -------------------------------------------------------------------------------------------------------


def _lines(here: Here) -> Iterator[str]:
    profile = here.profile
    found = [*_scope(profile.scope)]
    for rule in profile.rules:
        whole, answered = _answered(rule, profile)
        left = tuple(each for each in _elements(rule, "deny") if _class_of(each) not in whole)
        if whole and not left:
            continue  # the repository has answered all of it
        told = rule._replace(fields={**rule.fields, "deny": left}) if whole else rule
        found.append(_rule(told, here.policy.invariants[rule.id], answered))
    found += _contracts(profile)
    room = MOST_LINES - 6
    if len(found) > room:
        found = [*found[: room - 1], f"- and {len(found) - room + 1} more: `govrun explain`"]
    yield "## What binds agents here"
    yield ""
    yield "Work runs under govrun, which holds these rules of govrun.toml; a refusal names the rule and what to do."
    yield ""
    yield from map(_plain, found)


def _scope(scope: Scope) -> Iterator[str]:
    for layer in scope.write:
        yield f"- write only {_named(layer)}"
    if scope.protect:
        yield f"- never write {_named(scope.protect)}"
    for layer in scope.read:
        yield f"- of the tree read only {_named(layer)}"
    if scope.hide:
        yield f"- not readable: {_named(scope.hide)}"
    for layer in scope.hosts:
        yield f"- connect only to {_named(layer)}" if layer else "- no network"
    for layer in scope.commands:
        yield f"- start only {_named(layer)}"
    for key, told in (("branches", "move only the branches"), ("push", "push only")):
        if key in scope.sources:
            yield f"- {told} {_named(getattr(scope, key))}"
    for key in ("pull_requests", "commits"):
        if key in scope.sources:
            said = (f"{name} {_value(value)}" for name, value in getattr(scope, key).items())
            yield f"- {key.replace('_', ' ')}: {'; '.join(said)}"
    yield from _rest(scope)


def _rest(scope: Scope) -> Iterator[str]:
    told = (("executables", "of what a run makes or changes, execute only"), ("mcp", "add only these tool servers:"))
    for key, words in told:
        listed = scope.tools.get(key)
        if isinstance(listed, tuple):
            yield f"- {words} {', '.join(str(getattr(each, 'value', each)) for each in listed) or 'nothing'}"
    if "state" in scope.sources:
        yield f"- each change of what you remember is recorded: {_named(scope.state)}"
    limits = [in_words(key, float(most)) for key in ("processes", "cpu") if (most := getattr(scope, key)) is not None]
    sizes = (("memory", "of memory"), ("disk", "written to disk"))
    limits += [f"{in_words(key, most)} {what}" for key, what in sizes if (most := getattr(scope, key)) is not None]
    if scope.files is not None:
        limits.append(f"{scope.files} open files of a process")
    if limits:
        yield f"- a run uses at most {'; '.join(limits)}"
    if scope.timeout is not None:
        yield f"- a run ends after {scope.timeout:g} s"


def _named(entries: tuple[Entry, ...]) -> str:
    """Those of the repository by name, those of packs by number."""
    own = [entry.value for entry in entries if not entry.source.startswith("pack:")]
    packs: dict[str, int] = {}
    for entry in entries:
        if entry.source.startswith("pack:"):
            name = entry.source.rpartition(":")[0]
            packs[name] = packs.get(name, 0) + 1
    return ", ".join([*own, *(f"{count} patterns of {name}" for name, count in packs.items())]) or "nothing"


def _answered(rule: Rule, profile: Profile) -> tuple[frozenset[str], str]:
    """What other rules of the repository allow of what a pack asks about, as ``invariants.actions`` has it: the classes
    that are allowed wherever they act, and in words what is allowed else."""
    if rule.kind not in _OF_COMMANDS or not rule.layer.startswith("pack:") or rule.then != "ask":
        return frozenset(), ""
    denied = frozenset(_class_of(each) for each in _elements(rule, "deny")).intersection(COMMAND_CLASSES)
    whole: set[str] = set()
    found = []
    for other in profile.rules:
        if other.kind not in _OF_COMMANDS or other.layer.startswith("pack:"):
            continue
        listed = [each for each in _elements(other, "allow") if _class_of(each) in {*denied, "*"}]
        free = [each for each in listed if _is_whole(each) and not other.paths and not other.exempt]
        for each in free:
            whole |= denied if _class_of(each) == "*" else {_class_of(each)}
        if rest := [each for each in listed if each not in free]:
            where = f" in {_value(other.paths)}" if other.paths else ""
            where += f" but not in {_value(other.exempt)}" if other.exempt else ""
            found.append(f"{_value(rest)}{where} ({other.id})")
    return frozenset(whole), "; ".join(found)


def _elements(rule: Rule, key: str) -> tuple[object, ...]:
    listed = rule.fields.get(key)
    return tuple(listed) if isinstance(listed, tuple | list) else ()


def _class_of(element: object) -> str:
    return str(element.get("class", "")) if isinstance(element, Mapping) else str(element)


def _is_whole(element: object) -> bool:
    """Whether it names a class at every target."""
    target = element.get("target", "*") if isinstance(element, Mapping) else "*"
    return target == "*" and _class_of(element) in {*COMMAND_CLASSES, "*"}


def _allows(rule: Rule, invariant: Invariant) -> str:
    """Of a rule about commands that only allows: the rest of what it names is denied, where there is one."""
    listed = _elements(rule, "allow")
    whole = {_class_of(each) for each in listed if _is_whole(each)}
    rest = {_class_of(each) for each in listed if _class_of(each) in COMMAND_CLASSES} - whole
    for each in listed:
        words = str(each["exec"]) if isinstance(each, Mapping) and "exec" in each else str(each)
        if words not in COMMAND_CLASSES and (not isinstance(each, Mapping) or "exec" in each):
            rest.add(words.split()[0] if words.split() else words)
    refused = (
        f"; all else of {', '.join(sorted(rest))} is {_answer(rule, invariant)}" if rest and "*" not in whole else ""
    )
    return f"allowed: {_value(listed)}{refused}"


def _rule(rule: Rule, invariant: Invariant, answered: str) -> str:
    allows = rule.kind in _OF_COMMANDS and "deny" not in rule.fields
    parts = [f"- **{rule.id}**: {_allows(rule, invariant) if allows else '; '.join(_said(rule))}"]
    if answered:
        parts.append(f"allowed here: {answered}")
    if rule.paths:
        parts.append(f"in {_value(rule.paths)}")
    if rule.exempt:
        parts.append(f"but not in {_value(rule.exempt)}")
    if rule.use:
        parts.append(f"instead: {rule.use}")
    if not allows:
        parts.append(f"({_answer(rule, invariant)})")
    if rule.adr is not None:
        parts.append(f"ADR {rule.adr.id or rule.adr.ref} {rule.adr.path}".rstrip())
    elif rule.why:
        parts.append(f"since {rule.why}")
    return ". ".join((f"{parts[0]}", *parts[1:])).replace(". (", " (")


def _said(rule: Rule) -> Iterator[str]:
    verbs: Mapping[str, str] = {
        "deny": "never", "allow_only": "only", "allow": "but", "only_via": "except in", "layers": "layers, top first:",
        "isolate": "nothing of third parties in", "acyclic": "no cycles between", "files": "in", "at": "at",
        "never_edit": "a fix never edits", "fixers": "fix with", "max": "at most",
        "irreversible": "what cannot be undone:",
    }  # fmt: skip
    for key, value in rule.fields.items():
        yield f"{verbs.get(key, key)} {_value(value)}"
    if rule.kind == "secrets":
        yield "no credentials in files"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_value(each)}" for key, each in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_value(each) for each in value)
    return str(value)


def _answer(rule: Rule, invariant: Invariant) -> str:
    if invariant.coverage is Coverage.UNENFORCEABLE:
        return "not held by govrun: keep to it all the same"
    return _ANSWERS.get(rule.then or "deny", rule.then or "refused")


_WHEN = {"start": "before anything starts", "checkpoint": "after each change", "commit": "before each commit"}


def _contracts(profile: Profile) -> Iterator[str]:
    for contract in profile.contracts:
        if command := contract.fields.get("run"):
            words = command if isinstance(command, tuple | list) else (command,)
            moment = _WHEN.get(str(contract.fields.get("when")), "at the end")
            yield f"- has to pass {moment}: `{' '.join(map(str, words))}` ({contract.id})"


def _plain(line: str) -> str:
    """One line that ends no block and hides nothing, whatever the profile says."""
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    shown = "".join(" " if unicodedata.category(sign) in hidden else sign for sign in line)
    shown = shown.replace("<!--", "<! --").replace("-->", "-- >")
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
