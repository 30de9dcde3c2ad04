"""Keys and scalars of a YAML document with their paths, by the parser's events.

Not by its composer: that recurses, and a deeply nested document would end the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Path

_DEEPEST = 6  # levels that are told


class Told(NamedTuple):
    """A key (``value`` None) or a scalar value. Lines and ``column`` count from 0; ``end`` is the last line."""

    path: Path
    value: str | None
    line: int
    column: int
    end: int


@dataclass(slots=True)
class _Frame:
    is_list: bool
    place: str | int
    key_next: bool


def told(text: str) -> Iterator[Told]:
    """``ValueError`` says what is wrong with the document, after what stands before the error.

    An alias stands for its scalar; aliases of lists and mappings are an error here.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stack: list[_Frame] = []
    scalars: dict[str, str] = {}
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                stack.pop()
                _step(stack)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                if stack and stack[-1].key_next:
                    stack[-1].place, stack[-1].key_next = "", False
                is_list = isinstance(event, yaml.SequenceStartEvent)
                stack.append(_Frame(is_list, 0 if is_list else "", not is_list))
            elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                if isinstance(event, yaml.ScalarEvent):
                    value = event.value
                    if event.anchor:
                        scalars[event.anchor] = value
                elif event.anchor in scalars:
                    value = scalars[event.anchor]
                else:
                    raise ValueError("an alias of a list or a mapping")
                is_key = _take(stack, value)
                start, end = event.start_mark, event.end_mark
                if stack and len(stack) <= _DEEPEST and start is not None and end is not None:
                    last = end.line if end.column else max(start.line, end.line - 1)
                    path = tuple(frame.place for frame in stack)
                    yield Told(path, None if is_key else value, start.line, start.column, last)
                if not is_key:
                    _step(stack)
    except yaml.YAMLError as error:
        raise ValueError(whole(f"not YAML: {error}".replace("\n", " "), 160)) from error


def _take(stack: list[_Frame], value: str) -> bool:
    """True when the scalar is a key."""
    if not stack or not stack[-1].key_next:
        return False
    stack[-1].place, stack[-1].key_next = value, False
    return True


def _step(stack: list[_Frame]) -> None:
    """One value of the innermost container is done."""
    if not stack:
        return
    frame = stack[-1]
    if isinstance(frame.place, int):
        frame.place += 1
    else:
        frame.key_next = True
