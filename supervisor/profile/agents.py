"""Which shipped pack describes the agent that is about to start.

Chosen by ``--agent``, else by what the command line runs: the program, the script's package or a runner's argument.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any, Final

from supervisor.profile.hosts import host
from supervisor.profile.model import AgentPack
from supervisor.profile.packs import pack_names, packs_folder, read_document
from supervisor.profile.problems import Problems, Spot, nearest, shown
from supervisor.profile.values import Check, home_glob, list_of, state_glob, text, variable, variables

GENERIC: Final = "generic"
KEYS: Final[tuple[tuple[str, Check], ...]] = (
    ("programs", list_of(text)),
    ("packages", list_of(text)),
    ("state", list_of(state_glob)),
    ("protect", list_of(state_glob)),
    ("hosts", list_of(host)),
    ("executables", list_of(text)),
    ("keep", list_of(variable)),
    ("unconfined", text),
    ("own", list_of(home_glob)),
    ("set", variables),
    ("state_from", home_glob),
    ("state_in", home_glob),
    ("starts", list_of(text)),
)
# Runner, and the words that follow it before the package.
RUNNERS: Final = (
    *(("npx",), ("bunx",), ("uvx",), ("pnpm", "dlx"), ("pnpx",), ("yarn", "dlx"), ("npm", "exec"), ("npm", "x")),
    *(("uv", "tool", "run"), ("pipx", "run"), ("bun", "x")),
)
# Options of the runners whose value names the package, and those whose value is something else.
PACKAGE_OPTIONS: Final = ("--from", "--package", "-p", "--spec")
VALUE_OPTIONS: Final = ("--with", "--python", "--index", "--cache", "--prefix", "--registry", "--directory")
INTERPRETERS: Final = ("python", "node", "bun", "deno", "ruby", "perl")


def load_agent(name: str | None, program: Sequence[str]) -> AgentPack:
    """The pack ``name``, else the one that fits the command line ``program``, else ``generic``.

    Raises ``ProfileError`` if ``name`` is no pack. Never guesses: a command it cannot read is ``generic``.
    """
    problems = Problems()
    known = pack_names("agents")
    if name is not None:
        if name not in known:
            told = f"{shown(name)} is not an agent pack{nearest(name, known)}; packs: {', '.join(known) or 'none'}"
            problems.error("--agent", 0, told)
            problems.raise_if_any()
        return _read(name, problems)
    wanted = frozenset(candidates(program))
    for pack in known:
        if pack != GENERIC and _mentions(pack, wanted):
            found = _read(pack, problems)
            if wanted.intersection(found.programs) or wanted.intersection(found.packages):
                return found
    return _read(GENERIC, problems) if GENERIC in known else AgentPack(GENERIC)


def late_agents() -> tuple[AgentPack, ...]:
    """Packs of known agents that a launcher may go on to start: but for those that need a place prepared (outside of
    their state), or a variable set, before that."""
    problems = Problems()
    packs = (_read(name, problems) for name in pack_names("agents") if name != GENERIC)
    return tuple(pack for pack in packs if not (pack.set or pack.state_in or _is_apart(pack)))


def _is_apart(pack: AgentPack) -> bool:
    folders = tuple(state.removesuffix("**") for state in pack.state if state.endswith("/**"))
    return not all(each.startswith(folders) for each in pack.own)


def _mentions(pack: str, wanted: frozenset[str]) -> bool:
    """Cheap look before a parse: does the file hold one of the words at all?"""
    try:
        with open(os.path.join(packs_folder(), "agents", f"{pack}.toml"), "rb") as file:
            data = file.read()
    except OSError:
        return True  # let the parse tell
    return any(os.fsencode(word) in data for word in wanted)


def _read(name: str, problems: Problems) -> AgentPack:
    document = read_document(os.path.join(packs_folder(), "agents", f"{name}.toml"), f"agent pack {name}", problems)
    out: dict[str, Any] = {}
    if document is not None:
        spot, checks = Spot(document.source), dict(KEYS)
        for key, value in document.table.items():
            if key == "version":
                continue
            if key in checks:
                out[key] = checks[key](spot.to(key), value)
            else:
                spot.to(key).unknown(key, "an agent pack", checks)
        for pattern in out.get("protect") or ():
            if not any(pattern.startswith(folder.removesuffix("**")) for folder in out.get("state") or ()):
                spot.to("protect").bad(f'{shown(pattern)} lies in no folder of "state", so nobody may write it anyway')
    elif not problems.errors:
        problems.error(f"agent pack {name}", 0, "does not exist")
    problems.raise_if_any()
    return AgentPack(name, **out)


def candidates(program: Sequence[str]) -> Iterator[str]:
    """Names of programs and packages that ``program`` runs."""
    words = list(program)
    if not words or any("\0" in word for word in words):  # execve(2) could not take it either
        return
    first = os.path.basename(words[0])
    for runner in RUNNERS:
        if first == runner[0] and tuple(words[1 : len(runner)]) == runner[1:]:
            yield from _runner(words[len(runner) :])
            return
    if first.rstrip("0123456789.").startswith(INTERPRETERS):
        yield from _interpreted(words[1:])
        return
    yield first
    yield from _script(_resolved(words[0]))


def _runner(words: Sequence[str]) -> Iterator[str]:
    """The package a runner fetches: ``-p PKG`` and ``--from PKG``, else its first plain argument."""
    position = 0
    while position < len(words):
        word = words[position]
        option, equals, value = word.partition("=")
        if not word.startswith("-"):
            yield _bare(word)
            return
        if option in PACKAGE_OPTIONS:
            value = value if equals else words[position + 1] if position + 1 < len(words) else ""
            yield _bare(value)
            position += 0 if equals else 1
        elif option in VALUE_OPTIONS and not equals:
            position += 1
        position += 1


def _bare(package: str) -> str:
    """Without version and extras: ``@scope/name@1.2`` and ``name[x]==3`` become the name."""
    scope = package[:1] if package.startswith("@") else ""
    rest = package[len(scope) :]
    for mark in ("@", "[", "=", "<", ">", "~", "!"):
        rest = rest.partition(mark)[0]
    return scope + rest.strip()


def _interpreted(words: Sequence[str]) -> Iterator[str]:
    """``-m MODULE``, else the script; interpreter options that take no value are stepped over."""
    for position, word in enumerate(words):
        if word == "-m":
            if position + 1 < len(words):
                yield words[position + 1].partition(".")[0]
            return
        if not word.startswith("-"):
            yield os.path.basename(word)
            yield from _script(os.path.realpath(word))
            return
        if word in ("-c", "-e", "-", "--eval"):
            return


def _resolved(word: str) -> str:
    if "/" in word:
        return os.path.realpath(word)
    for folder in os.get_exec_path():
        path = os.path.join(folder, word)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return os.path.realpath(path)
    return ""


def _script(path: str) -> Iterator[str]:
    """The package behind an installed script: its npm folder, or what a pip console script imports."""
    if not path:
        return
    yield os.path.basename(path)
    _, found, inside = path.rpartition("/node_modules/")
    if found:
        parts = inside.split("/")
        yield "/".join(parts[:2]) if parts[0].startswith("@") else parts[0]
        return
    try:
        # A name may lead to something else by now, a FIFO for one: never wait for it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return
            head = file.read(2048)
    except OSError:
        return
    if not head.startswith(b"#!"):
        return
    for line in head.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) >= 4 and words[0] == "from" and words[2] == "import":
            yield words[1].partition(".")[0]
