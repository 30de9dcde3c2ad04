"""YAML front matter to plain values, with the line of every key. Imported only when a record has to be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from supervisor.profile.problems import Path


class BadFront(Exception):
    """Front matter that cannot be taken; ``line`` is the line in the file."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


MOST_NODES = 20_000
MOST_DEPTH = 32
MOST_CHARACTERS = 64 << 10


def parse_front(text: str, first: int) -> tuple[dict[str, Any], dict[Path, int]]:
    """The mapping and the index of its keys. ``first`` is the file's line on which ``text`` starts.

    The C loader is 8 times faster; where PyYAML came without libyaml the Python one reads the same language.
    Raises ``BadFront``.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadFront(f"front matter is larger than {MOST_CHARACTERS >> 10} KiB", first)
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_depth(base, text, first)
        loader = base(text)
        node = loader.get_single_node()
        lines = dict(_lines(node, first))
        value = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first + mark.line if mark is not None else first
        raise BadFront(f"is not valid YAML: {error.problem or error.context}", line) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # odd characters; dates and numbers out of range
        raise BadFront(f"is not valid YAML: {str(error).splitlines()[0][:120]}", first) from None
    except RecursionError:
        raise BadFront("is nested too deeply", first) from None
    if not isinstance(value, dict):
        raise BadFront("front matter must be a mapping", first)
    if ("id",) in lines:  # as written: YAML reads 0010 as the octal number 8
        value["id"] = next(item.value for key, item in node.value if key.value == "id")
    return {key if isinstance(key, str) else str(key)[:80]: item for key, item in value.items()}, lines


def _check_depth(loader: Any, text: str, first: int) -> None:
    """The C loader composes nodes by recursion on the C stack: 100,000 brackets end the process with SIGSEGV."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                raise BadFront("is nested too deeply", first)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _lines(root: Any, first: int) -> Iterator[tuple[Path, int]]:
    """Key paths and lines. Bounded: aliases can make a small document walk into millions of nodes."""
    stack: list[tuple[Path, Any]] = [((), root)]
    visited = 0
    while stack:
        path, node = stack.pop()
        visited += 1
        if visited > MOST_NODES:
            raise BadFront("front matter has too many elements", first)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else "?"
                line = first + key.start_mark.line
                if name in seen:
                    raise BadFront(f'the key "{name[:80]}" stands twice', line)
                seen.add(name)
                yield (*path, name), line
                stack.append(((*path, name), value))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                yield (*path, number), first + value.start_mark.line
                stack.append(((*path, number), value))
