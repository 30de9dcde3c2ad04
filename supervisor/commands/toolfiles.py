"""The catalogue of tools: one TOML file each in ``catalogue/``, read when a program of that name is first executed.

Keys of a file, all optional:
``like``: another file that says everything; ``same = true``: it is the same program, so its name is used.
``value``: options that take a value, ``flag``: options that take none; an option in neither list takes none, but a word
after it is not trusted. ``[valued]``: more of the first, by the first word of the verb, and with ``!`` less.
``classes`` (a table of class -> entries) and ``read`` (entries of what only looks); ``default``: the class of a verb
that no entry names; ``alone``: the class where there is no verb at all.
``verbless``: no word of it is a verb; ``anywhere``: each word is one (goals, tasks); ``scan``: groups come before the
verb, an entry of one word stands for the first word that any such entry names; ``depth``: words of an unlisted verb.
``single``: options are ``-name``, never bundled; ``shortens``: long options may be cut short; ``ends``: verbs whose
first operand ends the options, since the rest is a command of its own.
``dry``: options that make any verb only look. ``targets``: table of verb, class or ``*`` -> where the target stands
(see ``targets``). ``applies``: table of verb, class or ``*`` -> files that it applies (see ``applying``).
``reversible``: entries of a class that could be taken back. ``local``: verbs that count only where the target is not
this machine. ``handler``: code that adds to this (see ``special``); ``database``: its target is a server and database.

An entry is words, then ``+OPTION|OPTION`` (one is given) and ``!OPTION|OPTION`` (none is). Words may hold ``*``.
Of several that fit the one with most words, literal words and conditions counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "catalogue")


class Entry(NamedTuple):
    """``needs`` and ``bars`` are sets of options of which one, or none, has to be given. ``name`` is the class, empty
    for what only looks. ``rank`` orders entries that fit."""

    words: tuple[str, ...]
    needs: tuple[frozenset[str], ...] = ()
    bars: frozenset[str] = frozenset()
    name: str = ""
    rank: tuple[int, int, int] = (0, 0, 0)


class Tool(NamedTuple):
    """One file of the catalogue; see the module."""

    name: str
    value: frozenset[str] = frozenset()
    flag: frozenset[str] = frozenset()
    valued: Mapping[str, frozenset[str]] = {}
    entries: Mapping[str, tuple[Entry, ...]] = {}
    wild: tuple[Entry, ...] = ()
    default: str = ""
    alone: str = ""
    verbless: bool = False
    anywhere: bool = False
    scan: bool = False
    depth: int = 1
    single: bool = False
    shortens: bool = False
    ends: frozenset[str] = frozenset()
    dry: frozenset[str] = frozenset()
    targets: Mapping[str, tuple[str, ...]] = {}
    applies: Mapping[str, tuple[str, ...]] = {}
    reversible: tuple[Entry, ...] = ()
    local: frozenset[str] = frozenset()
    handler: str = ""
    database: bool = False


@cache
def names() -> frozenset[str]:
    """Every name that a file of the catalogue has."""
    return frozenset(name[:-5] for name in os.listdir(_FOLDER) if name.endswith(".toml"))


@cache
def tool(name: str) -> Tool | None:
    """The tool of that name; None when there is no file of it."""
    if name not in names():
        return None
    table = _table(name)
    like = table.get("like")
    if isinstance(like, str):
        found = tool(like)
        return found if found is None or table.get("same") is True else found._replace(name=name)
    return _made(name, table)


def _table(name: str) -> dict[str, object]:
    import tomllib

    with open(os.path.join(_FOLDER, name + ".toml"), "rb") as file:
        return tomllib.load(file)


def _texts(found: object) -> list[str]:
    """A list of texts, or one text of words."""
    if isinstance(found, str):
        return found.split()
    return [str(each) for each in found] if isinstance(found, list) else []


def _words(table: Mapping[str, object], key: str) -> frozenset[str]:
    return frozenset(word for text in _texts(table.get(key)) for word in text.split())


def _table_of(found: object) -> dict[str, object]:
    return found if isinstance(found, dict) else {}


def _made(name: str, table: Mapping[str, object]) -> Tool:
    entries: dict[str, list[Entry]] = {}
    wild: list[Entry] = []
    listed = [("", _texts(table.get("read")))]
    listed += [(kind, _texts(found)) for kind, found in _table_of(table.get("classes")).items()]
    for kind, texts in listed:
        for each in (entry(text, kind) for text in texts):
            if "*" in each.words[0]:
                wild.append(each)
            else:
                entries.setdefault(each.words[0], []).append(each)
    depth = table.get("depth")
    value = _words(table, "value")
    asked = (each for found in (*entries.values(), wild) for each in found)
    flags = frozenset(option for each in asked for options in (*each.needs, each.bars) for option in options)
    return Tool(
        name,
        value=value,
        flag=_words(table, "flag") | (flags - value),
        valued={key: frozenset(str(text).split()) for key, text in _table_of(table.get("valued")).items()},
        entries={key: tuple(found) for key, found in entries.items()},
        wild=tuple(wild),
        default=str(table.get("default", "")),
        alone=str(table.get("alone", "")),
        verbless=table.get("verbless") is True,
        anywhere=table.get("anywhere") is True,
        scan=table.get("scan") is True,
        depth=depth if isinstance(depth, int) else 1,
        single=table.get("single") is True,
        shortens=table.get("shortens") is True,
        ends=frozenset(_texts(table.get("ends"))),
        dry=_words(table, "dry"),
        targets={key: tuple(_texts(found)) for key, found in _table_of(table.get("targets")).items()},
        applies={key: tuple(_texts(found)) for key, found in _table_of(table.get("applies")).items()},
        reversible=tuple(entry(text, "") for text in _texts(table.get("reversible"))),
        local=frozenset(_texts(table.get("local"))),
        handler=str(table.get("handler", "")),
        database=table.get("database") is True,
    )


def entry(text: str, name: str) -> Entry:
    """One entry from its text."""
    parts = text.split()
    words = tuple(part for part in parts if part[0] not in "+!")
    needs = tuple(frozenset(part[1:].split("|")) for part in parts if part[0] == "+")
    bars = frozenset(option for part in parts if part[0] == "!" for option in part[1:].split("|"))
    literal = sum("*" not in word for word in words)
    return Entry(words, needs, bars, name, (len(words), literal, len(needs) + bool(bars)))


_VERSION = re.compile(r"[-_.]?v?\d[\d.]{0,20}$")
_ENDINGS = (".exe", ".cjs", ".mjs", ".js", ".pyz", ".py", ".rb", ".pl", ".php", ".jar", ".phar", ".cmd", ".sh")
_FOLDED: Mapping[str, str] = {"__main__": "", "index": "", "cli": "", "main": "", "bin": "", "run": ""}
# Packages whose program has another name, as runners and node_modules name them.
PACKAGES: Mapping[str, str] = {
    "@angular/cli": "ng",
    "@aws-amplify/cli": "amplify",
    "@cloudflare/wrangler": "wrangler",
    "@railway/cli": "railway",
    "@sanity/cli": "sanity",
    "@vscode/vsce": "vsce",
    "@semantic-release/cli": "semantic-release",
    "@changesets/cli": "changeset",
    "awscli": "aws",
    "aws-cdk": "cdk",
    "aws-sam-cli": "sam",
    "azure": "az",
    "cdktf-cli": "cdktf",
    "firebase-tools": "firebase",
    "netlify-cli": "netlify",
    "prisma": "prisma",
    "serverless": "serverless",
}


def lookup(path: str) -> str:
    """The catalogue's name for a program or script at this path, empty when it lists none."""
    listed = names()
    folder, _, base = path.rstrip("/").rpartition("/")
    if base in listed:
        return base
    for ending in _ENDINGS:
        if base.endswith(ending) and len(base) > len(ending):
            base = base[: -len(ending)]
            break
    if base in _FOLDED and folder:
        return _of_package(folder)
    tries = (base, base.removesuffix("-cli"), base.removeprefix("@").partition("@")[0], _VERSION.sub("", base))
    found = next((each for each in tries if each in listed), "") or PACKAGES.get(base, "")
    if not found and base.startswith("git-") and base not in ("git-", "git-shell"):
        return "git"
    return found or (_of_package(folder) if "/node_modules/" in path else "")


def _of_package(folder: str) -> str:
    """The tool whose package a script lies in."""
    listed = names()
    _, mark, inside = folder.rpartition("/node_modules/")
    if mark:
        parts = inside.split("/")
        package = "/".join(parts[:2]) if parts[0].startswith("@") else parts[0]
        return packaged(package)
    last = folder.rpartition("/")[2]
    return last if last in listed else PACKAGES.get(last, "")


def packaged(package: str) -> str:
    """The catalogue's name of the program that a package brings, empty when it lists none."""
    name = PACKAGES.get(package, "")
    if name in names():
        return name
    bare = package.rpartition("/")[2] if package.startswith("@") else package
    return next((each for each in (bare, bare.removesuffix("-cli")) if each in names()), "")
