"""A command line taken apart: which words are operands, which are options, and what follows an option as its value.

Whatever would make a command look harmless has to be certain: an option after one that nobody listed may be the value
of that, so it is not ``sure``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from supervisor.commands.toolfiles import Tool

_NOT_TRUE = frozenset(("false", "0", "no", "off", "none", "f", "F", "FALSE", "False", "None"))


class Option(NamedTuple):
    """``value`` is None where it has none. ``sure``: it cannot be the value of another option. ``listed``: the tool is
    known to have an option of this name."""

    name: str
    value: str | None
    sure: bool = True
    at: int = 0
    listed: bool = False


class Line(NamedTuple):
    """``words``: (place in ``arguments``, operand); ``loose``: places of operands that may be an option's value."""

    arguments: Sequence[str]
    words: tuple[tuple[int, str], ...]
    options: tuple[Option, ...]
    loose: frozenset[int] = frozenset()

    def operands(self) -> tuple[str, ...]:
        return tuple(word for _, word in self.words)

    def value(self, names: Iterable[str]) -> str:
        """The value of the last of these options that has one, empty when none has."""
        wanted = frozenset(names)
        return next((o.value for o in reversed(self.options) if o.value and o.name in wanted), "")

    def has(self, names: frozenset[str]) -> bool:
        """Whether one of the options may be given: what could be one counts, also cut short."""
        return any(
            option.value not in _NOT_TRUE
            and (option.name in names or (not option.listed and _begins(option.name, names)))
            for option in self.options
        )

    def has_surely(self, names: frozenset[str]) -> bool:
        """Whether one of the options is given and nothing takes it back."""
        given = [option for option in self.options if option.name in names]
        if not given or any(option.value in _NOT_TRUE or not option.sure for option in given):
            return False
        return not any(_undoes(option, names) for option in self.options)


def _begins(name: str, names: frozenset[str]) -> bool:
    return len(name) > 2 and name.startswith("--") and any(each.startswith(name) for each in names)


def _undoes(option: Option, names: frozenset[str]) -> bool:
    """``--no-dry-run``, also cut short."""
    bare = option.name.lstrip("-")
    if not bare.startswith("no-") or len(bare) < 4:
        return False
    return any(name.lstrip("-").startswith(bare[3:]) for name in names)


def take_apart(tool: Tool, arguments: Sequence[str]) -> Line:
    """The operands and options of what follows the program's name."""
    words: list[tuple[int, str]] = []
    options: list[Option] = []
    loose: list[int] = []
    value, sure, at = tool.value, True, 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word == "--":
            words.extend((place, arguments[place]) for place in range(at, len(arguments)))
            break
        if len(word) < 2 or word[0] != "-":
            if not sure:
                loose.append(at - 1)
            words.append((at - 1, word))
            if len(words) == 1 and word in tool.valued:
                more = tool.valued[word]
                value = (tool.value | more) - {each[1:] for each in more if each.startswith("!")}
            sure = True
            if tool.ends and _ended(tool, words):
                words.extend((place, arguments[place]) for place in range(at, len(arguments)))
                break
            continue
        following = arguments[at] if at < len(arguments) else None
        found, taken = _options(tool, value, word, following)
        options.extend(
            option._replace(sure=sure, at=at - 1, listed=option.name in value or option.name in tool.flag)
            for option in found
        )
        at += taken
        sure = bool(taken) or all(_is_listed(tool, value, option) for option in found)
    return Line(arguments, tuple(words), tuple(options), frozenset(loose))


def _ended(tool: Tool, words: Sequence[tuple[int, str]]) -> bool:
    """Whether the operand just read is the one after which another command begins."""
    if "*" in tool.ends:
        return True
    if len(words) == 2:
        return words[0][1] in tool.ends
    return len(words) == 3 and f"{words[0][1]} {words[1][1]}" in tool.ends


def _is_listed(tool: Tool, value: frozenset[str], option: Option) -> bool:
    if option.value is not None or option.name in tool.flag or option.name in value or option.name in tool.dry:
        return True
    return option.name in ("--help", "-h", "--version")


def _options(tool: Tool, value: frozenset[str], word: str, following: str | None) -> tuple[list[Option], int]:
    """The options that one word holds, and how many words after it are their value."""
    name, equals, attached = word.partition("=")
    if tool.single:
        name = "-" + name.lstrip("-")
    elif tool.shortens and name.startswith("--"):
        name = _whole(tool, value, name)
    if tool.single or word.startswith("--"):
        if equals:
            return [Option(name, attached)], 0
        if name in value and following is not None:
            return [Option(name, following)], 1
        return [Option(name, None)], 0
    if (name in value or name in tool.flag) and len(name) > 2:  # `-name` of a tool that has both kinds
        if equals:
            return [Option(name, attached)], 0
        return ([Option(name, following)], 1) if name in value and following is not None else ([Option(name, None)], 0)
    found: list[Option] = []
    for number, letter in enumerate(word[1:64], 2):
        name = "-" + letter
        if name in value:
            rest = word[number:].removeprefix("=")
            if rest:
                return [*found, Option(name, rest)], 0
            return [*found, Option(name, following)], int(following is not None)
        found.append(Option(name, None))
    return found, 0


def _whole(tool: Tool, value: frozenset[str], name: str) -> str:
    """An option that was cut short, where it can only be one."""
    if len(name) < 4 or name in value or name in tool.flag:
        return name
    found = {each for each in (*value, *tool.flag) if each.startswith(name)}
    return found.pop() if len(found) == 1 else name


def each_option(line: Line, names: frozenset[str]) -> Iterator[str]:
    """Every value that is given to one of the options, in order."""
    return (option.value for option in line.options if option.value and option.name in names)
