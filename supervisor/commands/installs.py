"""argv -> what a package manager would bring in.

An option that is not known counts as one without a value, so that no package is overlooked; what follows it may then
be taken for a package. Shells and wrappers are not read: what they start is an exec of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from supervisor.commands import compiled_specs, specs
from supervisor.commands.compiled_tools import COMPILED, JAVA_TOOLS
from supervisor.commands.tools import NPM_ALIASES, NPM_COMMANDS, TOOLS, Does, Tool, Verb
from supervisor.vocabulary.content import Installation, Requirement

_DEEPEST = 3  # interpreters and wrappers before the tool itself
_PYTHON_VALUED = "WX"
_JAVA_VALUED = frozenset(("-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens"))
_RUBY_VALUED = frozenset(("-I", "-r", "-C", "-E", "-K", "-e"))
_NODE_VALUED = frozenset(("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"))


class Line(NamedTuple):
    """A command line taken apart: ``options`` in order, with their value where they take one."""

    verb: Verb
    words: tuple[str, ...]
    options: tuple[tuple[str, str | None], ...]


def installation(argv: tuple[bytes, ...], program: bytes) -> Installation | None:
    """What the command would bring in; None when it is no package manager, or installs nothing. ``program`` is the
    path that the kernel executes; ``argv[0]`` counts only where that says nothing."""
    found = _tool(argv, program)
    if found is None:
        return None
    tool, arguments = found
    if tool.name == "mvn":
        return compiled_specs.maven(arguments)
    line = _taken_apart(tool, arguments)
    return None if line is None else _installation(tool, line)


def is_manager(program: bytes, argv: tuple[bytes, ...]) -> bool:
    """Whether the process is a package manager, whatever it is asked to do."""
    return _tool(argv, program) is not None


# ------------------------------------------------------------------------------------------------ which program


def _tool(argv: tuple[bytes, ...], program: bytes) -> tuple[Tool, list[str]] | None:
    words = [word.decode("utf-8", "surrogateescape") for word in argv]
    names = [program.decode("utf-8", "surrogateescape"), *words[:1]]
    return next((found for name in names if (found := _named(name, words[1:], _DEEPEST)) is not None), None)


def _named(path: str, arguments: list[str], depth: int) -> tuple[Tool, list[str]] | None:
    """The tool that a program or script is, and its arguments; looks through interpreters."""
    name = _base(path)
    tool = TOOLS.get(name) or COMPILED.get(name)
    if tool is not None:
        if name in ("cargo", "bundle", "bundler") and re.fullmatch(r"\+.+|_.+_", "".join(arguments[:1])):
            arguments = arguments[1:]  # which toolchain or release of it
        return tool, arguments
    if depth == 0:
        return None
    if re.fullmatch(r"(?:python|pypy)[\d.]*[a-z]?", name):
        return _python(arguments, depth)
    if name in ("node", "nodejs"):
        return _script(arguments, _NODE_VALUED, depth)
    if re.fullmatch(r"j?ruby[\d.]*", name):
        return _script(arguments, _RUBY_VALUED, depth)
    if name == "java":
        return _java(arguments)
    if name == "corepack":
        return _script(arguments, frozenset(), depth)
    return None


def _base(path: str) -> str:
    folder, _, name = path.rstrip("/").rpartition("/")
    if name == "__main__.py":
        name = folder.rpartition("/")[2]
    name = re.sub(r"\.(?:c?js|mjs|py|pyz|exe)$", "", name)
    if re.fullmatch(r"pip[-\d.]*", name):
        return "pip"
    return name.removesuffix("-cli") if name.endswith("-cli") else name


def _script(arguments: list[str], valued: frozenset[str], depth: int) -> tuple[Tool, list[str]] | None:
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] in valued else 1
    if at >= len(arguments):
        return None
    script = re.sub(r"@.*$", "", arguments[at]) if "/" not in arguments[at] else arguments[at]  # corepack: `pnpm@9`
    return _named(script, arguments[at + 1 :], depth - 1)


def _java(arguments: list[str]) -> tuple[Tool, list[str]] | None:
    """By the class that is started: Maven and Gradle are scripts that end in such a command."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] in _JAVA_VALUED else 1
    tool = JAVA_TOOLS.get(arguments[at]) if at < len(arguments) else None
    return None if tool is None else (COMPILED[tool], arguments[at + 1 :])


def _python(arguments: list[str], depth: int) -> tuple[Tool, list[str]] | None:
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if not word.startswith("-") or word == "-":
            return _named(word, arguments[at + 1 :], depth - 1)
        if word.startswith("--"):
            at += 2 if word == "--check-hash-based-pycs" else 1
            continue
        for number, letter in enumerate(word[1:], 2):
            if letter == "c":
                return None
            if letter == "m":
                attached = word[number:]
                module = attached or "".join(arguments[at + 1 : at + 2])
                rest = arguments[at + (1 if attached else 2) :]
                return _named(module.partition(".")[0], rest, depth - 1)
            if letter in _PYTHON_VALUED:
                at += 0 if word[number:] else 1
                break
        at += 1
    return None


# -------------------------------------------------------------------------------------------------- the command


def _taken_apart(tool: Tool, arguments: list[str]) -> Line | None:
    """The verb with its words and options; None for a verb that installs nothing."""
    words: list[str] = []
    options: list[tuple[str, str | None]] = []
    verb, before, skip, at = (tool.alone if not tool.verbs else None), "", 0, 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word == "--":
            words.extend(arguments[at:])
            break
        if word.startswith("-") and word != "-":
            found, taken = _option(tool, word, arguments[at : at + 1])
            options.extend(found)
            at += taken
        elif verb is not None:
            words.append(word)
            if verb.does in (Does.RUN, Does.WITH) and not (tool.name == "npm" and tool.verbs):
                break  # what follows belongs to the program; `npm exec` alone goes on to look for its own options
        elif skip:
            skip -= 1
        elif not before and word in tool.skips:
            skip = tool.skips[word]
        else:
            name = f"{before} {_verb_name(tool, word)}".strip()
            verb = tool.verbs.get(name)
            if verb is None and not any(each.startswith(name + " ") for each in tool.verbs):
                return None
            before = name
    if verb is None and not before:
        verb = tool.alone
    return None if verb is None else Line(verb, tuple(words), tuple(options))


def _verb_name(tool: Tool, word: str) -> str:
    if tool.name != "npm" or (word in NPM_COMMANDS and word not in NPM_ALIASES):
        return word
    word = re.sub(r"[A-Z]", lambda found: "-" + found[0].lower(), word)
    if word in NPM_ALIASES:
        return NPM_ALIASES[word]
    begun = {name for name in (*NPM_COMMANDS, *NPM_ALIASES) if name.startswith(word)}
    only = begun.pop() if len(begun) == 1 else word
    return NPM_ALIASES.get(only, only)


def _option(tool: Tool, word: str, following: Sequence[str]) -> tuple[list[tuple[str, str | None]], int]:
    """The options that one word holds, and how many words after it are their value."""
    following = following if tool.greedy else [each for each in following if not each.startswith("-")]
    value = following[0] if following else None
    name, equals, attached = word.partition("=")
    if word.startswith("--"):
        name = _whole(tool, name)
        if equals:
            return [(name, attached)], 0
        return [(name, value)] if name in tool.valued else [(name, None)], int(name in tool.valued and bool(following))
    if (tool.name == "npm" or tool.one_dash) and "-" + name in tool.valued:  # its parser does not count the dashes
        return ([("-" + name, attached)], 0) if equals else ([("-" + name, value)], int(bool(following)))
    if tool.one_dash:
        return [("-" + name, attached if equals else None)], 0
    found: list[tuple[str, str | None]] = []
    for number, letter in enumerate(word[1:], 2):
        name = "-" + letter
        if name in tool.valued:
            rest = word[number:].removeprefix("=")
            if rest and tool.name != "npm":
                return [*found, (name, rest)], 0
            return [*found, (name, rest or value)], int(not rest and bool(following))
        found.append((name, None))
    return found, 0


def _whole(tool: Tool, name: str) -> str:
    """A long option that was cut short, where the tool takes that and it can only be one with a value. pip refuses
    what could be several."""
    if not tool.shortens or name in tool.valued or len(name) < 4 or name in tool.shortens:
        return name
    return next((each for each in sorted(tool.valued) if each.startswith(name)), name)


# ------------------------------------------------------------------------------------------------- what it brings


def _installation(tool: Tool, line: Line) -> Installation | None:
    given = [value for name, value in line.options if name in tool.packages and value]
    files = [value for name, value in line.options if name in tool.files and value]
    words = list(line.words)
    does = line.verb.does
    if does is Does.FILES:
        files, words = files + words, []
    elif does is Does.INTO:
        words = words[1:]
    elif does is Does.CREATE:
        words = [specs.creator(words[0])] if words else []
    elif does is Does.RUN and not given:
        words = words[:1]
    elif does in (Does.SYNC, Does.WITH, Does.RUN):
        words = []
    if does in (Does.WITH, Does.CREATE) and not (given or files or words):
        return None
    if does is Does.RUN and not (given or words):
        return None
    if tool.name == "go" and line.verb.maybe_there and not any("@" in word for word in words):
        return None  # what is there already
    packages = _packages(tool, line, (*given, *words))
    if does is Does.RUN and line.verb.maybe_there and not given and tool.name != "go":
        packages = [each._replace(place="run") if _is_bare(each) else each for each in packages]
    packages = list(_from_indexes(tool, line, packages))
    named = bool(packages)
    locked = (line.verb.locked and not (tool.name == "go" and named)) or (not named and _locks(line))
    encoded = tuple(each.encode("utf-8", "surrogateescape") for each in files)
    return Installation(tool.name, tool.ecosystem, tuple(packages), encoded, from_lock=locked)


def _packages(tool: Tool, line: Line, words: tuple[str, ...]) -> list[Requirement]:
    if tool.ecosystem not in ("pypi", "npm"):
        return compiled_specs.packages(tool.ecosystem, words, line.options)
    read = specs.npm if tool.ecosystem == "npm" else specs.pypi
    found = [made for made in map(read, words) if made is not None]
    if tool.ecosystem == "npm":
        found += [made for made in map(specs.npm_address, words) if made is not None]
    return found


def _is_bare(found: Requirement) -> bool:
    return not found.versions and not found.origin


def _locks(line: Line) -> bool:
    told = False
    for name, value in line.options:
        if name in line.verb.locks:
            told = value not in ("false", "0")
        elif name.startswith("--no-") and "--" + name[5:] in line.verb.locks:
            told = False
    return told


def _from_indexes(tool: Tool, line: Line, packages: list[Requirement]) -> Iterator[Requirement]:
    """Another index than the configured one is where the packages come from, even those that a file names."""
    given = (_placed(name, value) for name, value in line.options if name in tool.indexes and value)
    indexes = list(dict.fromkeys(re.sub(r"^[\w-]+=(?=[a-z]+://)", "", value) for value in given))  # uv: `name=url`
    if not indexes:
        yield from packages
        return
    for index in indexes:
        yield from (each if each.origin else each._replace(origin=index) for each in packages)
        if not packages:
            yield Requirement(tool.ecosystem, "", place="argv", origin=index)


def _placed(option: str, value: str) -> str:
    """Folders are told as relative to where the command runs."""
    return f"./{value}" if option == "--path" and not value.startswith(("/", ".")) else value
