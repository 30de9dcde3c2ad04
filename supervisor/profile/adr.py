"""Decision records: which file a reference means, whether it binds, and the invariants its front matter carries.

PyYAML is imported only when a record's front matter has to be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from supervisor.profile.model import NOTHING, Adr, Entry
from supervisor.profile.problems import Path, Problems, Source, Spot, nearest, shown
from supervisor.profile.reading import decode, read_file

FOLDERS: Final = ("docs/adr", "docs/decisions", "doc/adr", "adr")
IDLE: Final = ("proposed", "draft", "pending", "rejected", "deprecated", "superseded", "superceded", "withdrawn")
LIMIT: Final = 1 << 20
MOST_FILES: Final = 5000


class Record(NamedTuple):
    """One file. ``front`` is its parsed front matter, ``lines`` where its keys stand; ``real`` is free of links."""

    path: str
    real: str
    data: bytes
    text: str
    front: Mapping[str, Any] = NOTHING
    lines: Mapping[Path, int] | None = None


class Decisions:
    """The records of one tree. ``in_force`` collects what was referenced or enforces, by path."""

    def __init__(self, tree: str, folder: Entry | None, problems: Problems) -> None:
        self.tree, self.problems = tree, problems
        self.in_force: dict[str, tuple[Adr, Record]] = {}
        self._cache: dict[str, Record | None] = {}
        self._names: list[str] | None = None
        self.folder = self._find_folder(folder)

    def _find_folder(self, folder: Entry | None) -> str | None:
        if folder is None:
            return next((name for name in FOLDERS if os.path.isdir(os.path.join(self.tree, name))), None)
        name, _, line = folder.source.rpartition(":")
        place = os.path.normpath(folder.value)
        inside = not os.path.isabs(place) and place.split("/")[0] != ".."
        if inside and os.path.isdir(os.path.join(self.tree, place)):
            return place
        reason = "is not a folder" if inside else "must lie inside the tree"
        self.problems.error(name, int(line), f'"adr_dir": {shown(folder.value)} {reason}')
        return None

    def names(self) -> list[str]:
        """Paths of all ``*.md`` below the folder, relative to the tree, sorted."""
        if self._names is None:
            self._names = sorted(self._walk(self.folder)) if self.folder else []
            if len(self._names) > MOST_FILES:
                self.problems.error(self.folder or "", 0, f"holds more than {MOST_FILES} decision records")
                self._names = []
        return self._names

    def _walk(self, folder: str, depth: int = 0) -> Iterator[str]:
        try:
            with os.scandir(os.path.join(self.tree, folder)) as found:
                entries = list(found)
        except OSError as error:
            self.problems.error(folder, 0, f"cannot be listed: {os.strerror(error.errno or 0)}")
            return
        for entry in entries:
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if depth < 3:
                    yield from self._walk(path, depth + 1)
            elif entry.name.endswith(".md"):
                yield path

    def read(self, path: str) -> Record | None:
        """The record, its front matter still unparsed. None with the error reported, or when there is no such file."""
        if path not in self._cache:
            self._cache[path] = self._read(path)
        return self._cache[path]

    def _read(self, path: str) -> Record | None:
        real = os.path.realpath(os.path.join(self.tree, path))
        if not real.startswith(os.path.realpath(self.tree).rstrip("/") + "/"):
            self.problems.error(path, 0, "is a link that leads out of the tree")
            return None
        data = read_file(real, path, self.problems, limit=LIMIT)
        if data is None:
            return None
        if b"enforces" not in data:  # prose only: odd bytes there bind nothing
            return Record(path, real, data, data.decode("utf-8", "replace").removeprefix("\ufeff"))
        text = decode(data.removeprefix(b"\xef\xbb\xbf"), path, self.problems)
        return None if text is None else Record(path, real, data, text)

    def parsed(self, record: Record, *, quiet: bool = False) -> Record | None:
        """``record`` with its front matter; None with the error reported, unless ``quiet``."""
        cached = self._cache.get(record.path)
        if cached is not None and cached.lines is not None:
            return cached
        block = front_matter(record.text)
        if block is None:
            done = record._replace(lines={(): 1})
        else:
            from supervisor.profile.frontmatter import BadFront, parse_front

            try:
                front, lines = parse_front(block[1], block[0])
            except BadFront as error:
                if not quiet:
                    self.problems.error(record.path, error.line, str(error))
                return None
            done = record._replace(front=front, lines={(): block[0], **lines})
        self._cache[record.path] = done
        return done

    def resolve(self, spot: Spot, ref: str) -> Adr | None:
        """The accepted record ``ref`` means; anything else is reported at ``spot``."""
        record = self._by_path(spot, ref) if ref.endswith(".md") else self._by_name(spot, ref)
        if record is None:
            return None
        record = self.parsed(record)
        if record is None:
            spot.bad(f"{shown(ref)}: the front matter of that decision record cannot be read")
            return None
        found = status(record)
        if found and _word(found) != "accepted":
            hint = nearest(_word(found), ("accepted",)) if _word(found) not in IDLE else ""
            spot.bad(f'{record.path} does not bind: its status is {shown(found)}{hint}, only "accepted" does')
            return None
        return self._bind(record, ref, found)

    def _bind(self, record: Record, ref: str, found: str) -> Adr:
        if not found:
            self.problems.warn(record.path, "has no status; taken as accepted")
        known = self.in_force.get(record.path)
        if known is not None:
            return known[0]._replace(ref=ref)
        import hashlib

        head = b"blob %d\0" % len(record.data)
        blob = hashlib.sha1(head + record.data, usedforsecurity=False).hexdigest()
        adr = Adr(ref, record.path, _id(record), "accepted" if found else "", blob, title(record))
        self.in_force[record.path] = (adr, record)
        return adr

    def _by_path(self, spot: Spot, ref: str) -> Record | None:
        place = os.path.normpath(ref)
        if os.path.isabs(place) or place.split("/")[0] == "..":
            spot.bad(f"{shown(ref)}: a decision record lies inside the tree")
            return None
        for path in dict.fromkeys((place, os.path.join(self.folder or "", place))):
            if os.path.lexists(os.path.join(self.tree, path)):
                record = self.read(path)
                if record is None:
                    spot.bad(f"{shown(ref)} cannot be read")
                return record
        known = self.names() if "/" in ref else [os.path.basename(path) for path in self.names()]
        spot.bad(f"{shown(ref)} does not exist{nearest(ref, known)}")
        return None

    def _by_name(self, spot: Spot, ref: str) -> Record | None:
        if self.folder is None:
            looked = ", ".join(FOLDERS)
            spot.bad(f'{shown(ref)}: there is no folder of decision records; set "adr_dir" (looked for {looked})')
            return None
        wanted = number_in(ref, whole=True)
        matches = [record for record in self._with_ids() if _id(record) and _id(record) == ref]
        if not matches and wanted is not None:
            paths = [path for path in self.names() if number_in(os.path.basename(path)) == wanted]
            if len(paths) == 1:
                return self.read(paths[0])
            matches = [record for path in paths if (record := self.read(path)) is not None]
        if len(matches) == 1:
            return matches[0]
        if matches:
            spot.bad(f"{shown(ref)} means several decision records: {', '.join(m.path for m in matches)}")
            return None
        names = [os.path.basename(path) for path in self.names()]
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        spot.bad(f"{shown(ref)} is no decision record in {self.folder}; there are: {listed or 'none'}")
        return None

    def _with_ids(self) -> Iterator[Record]:
        """Records whose front matter names an id."""
        for path in self.names():
            record = self.read(path)
            block = None if record is None else front_matter(record.text)
            if record is not None and block is not None and any(x.startswith("id:") for x in block[1].split("\n")):
                parsed = self.parsed(record, quiet=True)
                if parsed is not None:
                    yield parsed

    def enforcing(self) -> Iterator[tuple[Adr, Source, list[Any]]]:
        """Each accepted record with ``enforces``: its list, and where its keys stand."""
        for path in self.names():
            record = self.read(path)
            if record is None or "enforc" not in record.text:
                continue
            block = front_matter(record.text)
            for key in re.findall(r"^(enforc\w*)\s*:", block[1] if block is not None else "", re.MULTILINE):
                if key != "enforces":
                    self.problems.warn(path, f'"{key}" binds nothing (did you mean "enforces"?)')
            if block is None or "enforces" not in block[1]:
                if any(line.startswith("enforces:") for line in record.text.split("\n")):
                    self.problems.warn(path, '"enforces" stands outside the front matter and does not bind')
                continue
            parsed = self.parsed(record)
            if parsed is not None and "enforces" in parsed.front:
                yield from self._enforced(parsed)

    def _enforced(self, record: Record) -> Iterator[tuple[Adr, Source, list[Any]]]:
        source = Source(record.path, record.lines or {}, self.problems)
        spot = Spot(source, ("enforces",), "enforces")
        found, items = status(record), record.front["enforces"]
        word = _word(found)
        if found and word != "accepted":
            if word in IDLE:
                self.problems.warn(record.path, f"is {word}; what it enforces does not bind")
            else:
                Spot(source, ("status",)).bad(
                    f'unknown status {shown(found)}{nearest(word, ("accepted", *IDLE))}; only "accepted" binds'
                )
        elif not isinstance(items, list):
            spot.wrong("a list of one-key tables", items)
        else:
            yield self._bind(record, record.path, found), source, items


def number_in(name: str, *, whole: bool = False) -> int | None:
    """``7`` of ``0007-x.md``, ``ADR-007`` or ``7``; with ``whole`` nothing may follow the digits."""
    rest = name[3:].lstrip("-_ ") if name[:3].lower() == "adr" else name
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not digits or len(digits) > 9 or (whole and digits != rest):
        return None
    return int(digits)


def front_matter(text: str) -> tuple[int, str] | None:
    """First line number and text between the ``---`` lines at the top; an unclosed block runs to the end."""
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if start == len(lines) or lines[start].rstrip() != "---":
        return None
    for number in range(start + 1, len(lines)):
        if lines[number].rstrip() in ("---", "..."):
            return start + 2, "\n".join(lines[start + 1 : number])
    return start + 2, "\n".join(lines[start + 1 :])


def status(record: Record) -> str:
    """The status as written, from front matter, a ``## Status`` heading or a ``Status:`` line at the top; else ``""``.

    Of several lines below the heading one that withdraws the record wins: adr-tools keeps ``Accepted`` above it.
    """
    value = record.front.get("status")
    if value is not None:
        return str(value)[:200] if isinstance(value, str | int | float) else "not a word"
    lines: list[str] = []
    heading = inside = False
    for line in _body(record):
        bare = line.strip().strip("*_- ").strip()
        if line.startswith("#"):
            if inside:
                break
            heading = heading or line.startswith("##")
            inside = line.strip().strip("# :\t").lower() == "status"
        elif inside and bare:
            lines.append(bare)
        elif not heading and bare.lower().startswith("status:"):
            return bare[7:].strip("*_ ")[:200]
    withdrawn = (line for line in lines if _word(line) in IDLE)
    return next(withdrawn, lines[0] if lines else "")[:200]


def _body(record: Record) -> list[str]:
    block = front_matter(record.text)
    lines = record.text.split("\n")
    return lines if block is None else lines[block[0] + block[1].count("\n") + 1 :]


def _word(found: str) -> str:
    """The first word of a status line, bare and lower case."""
    words = found.strip("*_`[]() ").split()
    return words[0].strip("*_`[]().,:;").lower() if words else ""


def title(record: Record) -> str:
    """Front matter ``title``, else the first heading without its number."""
    value = record.front.get("title")
    if isinstance(value, str):
        return value[:200]
    for line in _body(record):
        if line.startswith("# "):
            return line[2:].strip().lstrip("0123456789").lstrip(".: ")[:200]
    return ""


def _id(record: Record) -> str:
    value = record.front.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
