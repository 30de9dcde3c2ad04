"""Imports of the code cells of a Jupyter notebook, whose code is taken for Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from supervisor.inspection import python_source
from supervisor.inspection.json_entries import json_entries, json_problem
from supervisor.vocabulary.content import Findings, Import

if TYPE_CHECKING:
    from supervisor.inspection.entries import Entry
    from supervisor.inspection.parsing import Parsers

_MAGIC = re.compile(r"^[ \t]*(?:[%!?][^\n]*|[\w.]+\?{1,2}[ \t]*$)", re.MULTILINE)


def inspect(content: bytes, parsers: Parsers) -> Findings:
    """Lines are those of the notebook file."""
    if b"\0" in content:
        return Findings(refusal="binary")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Findings(refusal=f"not UTF-8: {error.reason} at byte {error.start}")
    code: set[object] = set()
    sources: dict[object, list[Entry]] = {}
    for entry in json_entries(text):
        cell = _cell(entry)
        if cell is None or entry.text is None:
            continue
        if entry.path[cell[1]] == "cell_type":
            if entry.text == "code":
                code.add(cell[0])
        else:
            sources.setdefault(cell[0], []).append(entry)
    found: set[Import] = set()
    problem = json_problem(text)
    for cell_id, entries in sources.items():
        # Of a half-written notebook the type may not be there yet.
        if cell_id in code or problem:
            found.update(_imports(entries, parsers))
    return Findings(imports=tuple(sorted(found, key=lambda each: (each.line, each.module))), pending=problem)


def _cell(entry: Entry) -> tuple[object, int] | None:
    """(which cell, position of its key in the path) for the type and the source of a cell: versions 4, and 3 with
    worksheets and ``input``."""
    match entry.path:
        case ("cells", int(), "cell_type" | "source", *_):
            return entry.path[:2], 2
        case ("worksheets", int(), "cells", int(), "cell_type" | "input", *_):
            return entry.path[:4], 4
    return None


def _imports(entries: list[Entry], parsers: Parsers) -> set[Import]:
    parts: list[str] = []
    lines: list[int] = []  # of each line of the code, the line in the file
    for entry in entries:
        text = entry.text or ""
        if not parts or parts[-1].endswith("\n"):
            lines.append(entry.line)
        lines += [entry.line] * (text.count("\n") - text.endswith("\n"))
        parts.append(text)
    code = "".join(parts)
    # A line that looks like a magic can be the second half of an expression, so both readings count.
    found = {
        each
        for reading in {code, _MAGIC.sub("", code)}
        for each in python_source.inspect(reading.encode("utf-8", "replace"), parsers).imports
    }
    return {each._replace(line=lines[min(each.line, len(lines)) - 1] if lines else 0) for each in found}
