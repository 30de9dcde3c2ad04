"""What a raw commit object says (git-commit-tree(1), git-interpret-trailers(1)), read without git."""

from __future__ import annotations

import re
from typing import NamedTuple

from supervisor.vocabulary.events import CommitFacts

_IDENTITY = re.compile(rb"(?P<name>[^<>\n]*?) ?<(?P<address>[^<>\n]*)> ?(?P<time>-?\d{1,19})?[^\n]*")
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)[ \t]*:[ \t]*(.*)")
# Lines that git writes itself: with one of them a paragraph is one of trailers, whatever else stands there.
_OF_GIT = ("Signed-off-by: ", "(cherry picked from commit ")
_MOST = 256  # trailers of one commit
# Encodings that leave ASCII as it is; in others (UTF-7, UTF-16) a name that is shown holds signs its bytes do not.
_PLAIN = frozenset((b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin1", b"latin-1"))
_ONCE = (b"tree", b"author", b"committer")


class Header(NamedTuple):
    """``date`` of the committer in seconds since the epoch, 0 where it cannot be read."""

    parents: tuple[str, ...]
    date: int


def header(raw: bytes) -> Header:
    """The parents of a commit, and when it was made."""
    parents: list[str] = []
    date = 0
    for line in raw.partition(b"\n\n")[0].split(b"\n"):
        if line.startswith(b"parent "):
            parents.append(line[7:].decode("ascii", "replace"))
        elif line.startswith(b"committer "):
            found = _IDENTITY.fullmatch(line, 10)
            date = int(found["time"] or 0) if found is not None else 0
    return Header(tuple(parents), date)


def facts(name: str, raw: bytes) -> CommitFacts:
    """What the commit ``name`` says of itself. ``unclear`` where git might show something else than what is read here:
    of several authors ``git log`` shows the last and others the first."""
    head, _, message = raw.partition(b"\n\n")
    lines = head.split(b"\n")
    line = next((line for line in lines if line.startswith(b"author ")), b"")
    found = _IDENTITY.fullmatch(line, 7)
    author = address = ""
    if found is not None:
        address = found["address"].decode("utf-8", "backslashreplace").strip()
        author = f"{found['name'].decode('utf-8', 'backslashreplace').strip()} <{address}>".strip()
    text = message.partition(b"\0")[0].decode("utf-8", "backslashreplace")  # git shows nothing after it
    return CommitFacts(name, author, address, tuple(trailers(text)[:_MOST]), _unclear(lines))


def _unclear(lines: list[bytes]) -> str:
    """What keeps the author from being told, in words; empty where nothing does."""
    for key in _ONCE:
        count = sum(line.startswith(key + b" ") for line in lines)
        if count != 1:
            return f"it has {count or 'no'} {key.decode()} line{'s' if count > 1 else ''}"
    if any(b"\0" in line for line in lines):
        return "its header has a zero byte"  # where git stops to read
    for line in lines:
        if line.startswith(b"encoding ") and line[9:].lower() not in _PLAIN:
            return f"its encoding is {line[9:].decode('utf-8', 'backslashreplace')}, in which names can be written anew"
    return ""


def trailers(message: str) -> list[tuple[str, str]]:
    """The trailers of a message: its last paragraph, unless that is the first one or mostly prose. A paragraph is one
    of trailers where all lines are, or a quarter of them and one that git writes."""
    paragraphs = re.split(r"\n[ \t]*\n+", message.replace("\r\n", "\n").strip("\n").rstrip())
    if len(paragraphs) < 2:
        return []
    found: list[tuple[str, str]] = []
    others, ours = 0, False
    for line in paragraphs[-1].lstrip("\n").split("\n"):
        ours = ours or line.startswith(_OF_GIT)
        match = _TRAILER.fullmatch(line)
        if match is not None:
            found.append((match[1], match[2].strip()))
        elif line[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}".strip())
        elif not line.startswith(_OF_GIT):
            others += 1
    if others and not (ours and len(found) * 3 >= others):
        return []
    return found
