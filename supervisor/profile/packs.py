"""Where the shipped packs lie, and reading one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from supervisor.profile.lines import TooDeep, line_index
from supervisor.profile.problems import Problems, Source, nearest, shown
from supervisor.profile.reading import decode, parse_toml, read_file

if TYPE_CHECKING:
    from pathlib import Path


class Document:
    """A parsed file: its name and places, its real path, its bytes and its keys."""

    __slots__ = ("data", "path", "source", "table")

    def __init__(self, source: Source, path: str, data: bytes, table: dict[str, object]) -> None:
        self.source, self.path, self.data, self.table = source, path, data, table


def packs_folder() -> str:
    """``supervisor/_profiles`` in a wheel, ``profiles`` of the repository in a checkout."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    shipped = os.path.join(package, "_profiles")
    return shipped if os.path.isdir(shipped) else os.path.join(os.path.dirname(package), "profiles")


def packs_dir() -> Path:
    """The folder of the shipped packs."""
    from pathlib import Path

    return Path(packs_folder())


def read_document(path: str, name: str, problems: Problems) -> Document | None:
    """Read and parse a TOML file; None if it does not exist or an error was reported."""
    data = read_file(path, name, problems)
    text = None if data is None else decode(data, name, problems)
    if data is None or text is None:
        return None
    try:
        lines = line_index(text)
    except TooDeep as error:
        problems.error(name, error.line, str(error))
        return None
    table = parse_toml(text, name, problems)
    return None if table is None else Document(Source(name, lines, problems), path, data, table)


def pack_names(folder: str = "") -> list[str]:
    """Names of the packs in the folder, agents' when ``folder`` is ``agents``."""
    try:
        found = os.listdir(os.path.join(packs_folder(), folder))
    except OSError:
        return []
    return sorted(name[:-5] for name in found if name.endswith(".toml"))


def read_pack(reference: str, where: tuple[str, int], problems: Problems) -> Document | None:
    """The pack ``pack:NAME``; ``where`` is who asks for it and gets the error."""
    prefix, _, name = reference.partition(":")
    known = [f"pack:{pack}" for pack in pack_names()]
    if prefix != "pack" or not name or not name.replace("-", "a").isalnum() or not name.isascii():
        problems.error(*where, f'{shown(reference)} is not a pack; write "pack:NAME"{nearest(reference, known)}')
        return None
    before = len(problems.errors)
    found = read_document(os.path.join(packs_folder(), f"{name}.toml"), reference, problems)
    if found is None and len(problems.errors) == before:
        listed = ", ".join(known) or "none"
        problems.error(*where, f"{shown(reference)} does not exist{nearest(reference, known)}; packs: {listed}")
    return found
