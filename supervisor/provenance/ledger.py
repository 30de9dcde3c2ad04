"""The ledger: which runs an installation has recorded in a clone, one empty commit each, so that none is taken out
without a trace.

``refs/govrun/ledger/KEY/CHAIN`` is linear and only grows: ``KEY`` are 16 hexadecimal digits of the SHA-256 of the
public key, ``CHAIN`` is the id of the first run in it. A clone goes on in its own chain, so that clones of one user
never have to force each other. Each entry names the run, its number and the SHA-256 of its statement; the statement,
which is signed, names the number and the statement before. What the last one was is also remembered in the state
folder: an older tip that somebody put there is not built upon silently, the numbers show the gap.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.git.layout import is_object_id, read_small
from supervisor.git.own import staging
from supervisor.journal.codec import encode
from supervisor.journal.ids import is_ulid
from supervisor.vocabulary.errors import HostError

LEDGERS = "refs/govrun/ledger/"
_TITLE = "govrun ledger"
_MOST_MEMORY = 32 << 10
_MOST_LOST = 64
_MOST_NUMBER = 10**9
_HEX = re.compile(r"[0-9a-f]{64}")
_ENTRY = re.compile(rb"number ([1-9][0-9]{0,11})\nrun ([0-9A-Z]{26})\nstatement sha256:([0-9a-f]{64})\n?")


class Entry(NamedTuple):
    """One commit: ``statement`` is a SHA-256 in hexadecimal, ``parent`` the commit before, "" for none."""

    number: int
    run: str
    statement: str
    parent: str = ""


class Place(NamedTuple):
    """Where a run goes: ``previous`` is the statement before, ``parent`` its commit, ``tip`` what the ref is at now;
    ``after`` is the chain that went before and whose commits are not here."""

    chain: str
    number: int = 1
    previous: str = ""
    parent: str = ""
    tip: str = ""
    after: str = ""

    def described(self) -> dict[str, object]:
        """As the statement tells it."""
        told: dict[str, object] = {"chain": self.chain, "number": self.number, "previous": self.previous}
        return told | ({"after": self.after} if self.after else {})


class Last(NamedTuple):
    """What the state folder remembers of a clone."""

    chain: str
    number: int
    statement: str
    commit: str


def ref_of(key: bytes, chain: str) -> str:
    """``key``: 32 bytes of Ed25519."""
    return f"{LEDGERS}{hashlib.sha256(key).hexdigest()[:16]}/{chain}"


def parse(commit: bytes) -> Entry | None:
    """The entry in a commit object; None when it is none."""
    head, _, message = commit.partition(b"\n\n")
    found = _ENTRY.fullmatch(message.removeprefix(f"{_TITLE}\n\n".encode()))
    parents = [line[7:].decode("ascii", "replace") for line in head.split(b"\n") if line.startswith(b"parent ")]
    if found is None or len(parents) > 1 or not is_ulid(found[2].decode()):
        return None
    return Entry(int(found[1]), found[2].decode(), found[3].decode(), parents[0] if parents else "")


def stream(place: Place, run: str, statement: str, when: int) -> bytes:
    """The input of fast-import (git-fast-import(1)) that makes the entry and prints its id."""
    text = f"{_TITLE}\n\nnumber {place.number}\nrun {run}\nstatement sha256:{statement}\n".encode()
    parent = b"from %s\n" % place.parent.encode("ascii") if place.parent else b""
    return (
        b"commit %s\nmark :1\ncommitter govrun <govrun@invalid> %d +0000\ndata %d\n%s%s\nget-mark :1\ndone\n"
        % (staging(), when, len(text), text, parent)
    )  # fmt: skip


def place_after(
    last: Last | None,
    key: bytes,
    run: str,
    ref: Callable[[str], str],
    content: Callable[[str], bytes | None],
    backed: Callable[[Entry], bool],
) -> Place:
    """Where ``run`` goes. ``ref`` gives the commit at a ref or ""; ``content`` a commit object, None for none;
    ``backed`` whether the record of an entry is here and this installation has signed it."""
    if last is None:
        return Place(run, tip=ref(ref_of(key, run)))
    tip = ref(ref_of(key, last.chain))
    entry = parse(content(tip) or b"") if tip else None
    if entry is not None and entry.number > last.number and _grew_from(last, entry, content, backed):
        return Place(last.chain, entry.number + 1, entry.statement, tip, tip)
    if content(last.commit) is not None:
        return Place(last.chain, last.number + 1, last.statement, last.commit, tip)
    if entry is not None:
        return Place(last.chain, last.number + 1, last.statement, tip, tip)
    # Cloned anew, at the same place.
    return Place(run, 1, last.statement, tip=ref(ref_of(key, run)), after=last.chain)


def _grew_from(
    last: Last, entry: Entry, content: Callable[[str], bytes | None], backed: Callable[[Entry], bool]
) -> bool:
    """Whether the entry follows what is remembered: what came after was lost in a crash, so it is not far. Whoever can
    write the repository can add entries; he cannot sign the records that they name."""
    for _ in range(_MOST_LOST):
        if not backed(entry):
            return False
        if entry.number == last.number + 1:
            return entry.parent == last.commit
        before = parse(content(entry.parent) or b"") if entry.parent else None
        if before is None or before.number != entry.number - 1:
            return False
        entry = before
    return False


class Memory:
    """What was recorded last in the clone whose git directory is ``common``, in the state folder ``state``."""

    def __init__(self, state: Path, common: Path) -> None:
        self._common = os.fsdecode(common)
        self._path = state / "ledgers" / hashlib.sha256(os.fsencode(common)).hexdigest()[:24]

    def last(self) -> Last | None:
        """None where nothing is known; what is damaged is not known."""
        return _remembered(self._path)[0]

    def is_damaged(self) -> bool:
        """Whether something was remembered, and cannot be read."""
        return os.path.lexists(self._path) and self.last() is None

    def moved(self, is_here: Callable[[Last], bool]) -> Last | None:
        """What is remembered of a clone that is not where it was any more, and whose last entry is here: it was moved,
        and is remembered here from now on."""
        for path in sorted(self._path.parent.glob("[0-9a-f]*")):
            last, common = _remembered(path)
            if last is None or not common or os.path.lexists(common) or not is_here(last):
                continue
            try:
                os.rename(path, self._path)  # it goes on in one place only
            except OSError:
                continue  # another one was faster
            return last
        return None

    def keep(self, last: Last) -> None:
        """Errors: ``HostError``."""
        known = self.last()
        if known is not None and known.chain == last.chain and known.number > last.number:
            return  # a run that ended at the same time was faster
        ours = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(encode(last._asdict() | {"common": self._common}).encode("ascii"))
                file.flush()
                os.fsync(descriptor)
            os.rename(ours, self._path)
        except OSError as error:
            raise HostError("cannot remember the ledger", str(error), "free space in the state folder") from error


def _remembered(path: Path) -> tuple[Last | None, str]:
    """What a file of the state folder says, and of which git directory ("" in files of before)."""
    try:
        told = json.loads(read_small(path, _MOST_MEMORY) or "null")
        last = Last(str(told["chain"]), int(told["number"]), str(told["statement"]), str(told["commit"]))
        common = str(told.get("common", ""))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError):
        return None, ""
    whole = is_ulid(last.chain) and 0 < last.number < _MOST_NUMBER and _HEX.fullmatch(last.statement)
    return (last if whole and is_object_id(last.commit) else None), common


class Chain:
    """The entries that a ref leads to, read from its tip on as far as they are asked for."""

    def __init__(self, tip: str, content: Callable[[str], bytes | None]) -> None:
        self._next = tip
        self._content = content
        self._known: dict[int, Entry] = {}
        self.first = self.last = 0  # the numbers that were read; 0: none
        self.problem = ""

    def entry(self, number: int) -> Entry | None:
        """The one with that number; None when it is not here, and ``problem`` may say why."""
        while self._next and not self.problem and (not self.first or self.first > number):
            self._read()
        return self._known.get(number)

    def entries(self) -> Mapping[int, Entry]:
        """All that are here, newest first."""
        self.entry(0)
        return self._known

    def _read(self) -> None:
        body = self._content(self._next)
        entry = parse(body or b"")
        if entry is None:
            self.problem = "is no entry" if body is not None else "is not here"
            self.problem = f"commit {self._next[:12]} {self.problem}"
            return
        if self.first and entry.number != self.first - 1:
            self.problem = f"number {entry.number} comes before number {self.first}"
            if entry.number >= self.first:
                return
        if not entry.parent and entry.number != 1:
            self.problem = self.problem or f"nothing comes before number {entry.number}"
        self._known[entry.number] = entry
        self.first, self.last = entry.number, self.last or entry.number
        self._next = entry.parent


def lookup(chain: Chain, told: Mapping[str, object], run: str, statement: str) -> tuple[bool, str]:
    """What of the ledger is not as the ``run`` has signed it (``told``: its place), "" when all is; and whether it only
    does not reach so far, as one that was fetched before."""
    number = told.get("number")
    if not isinstance(number, int) or number < 1:
        return False, "what was signed names no number of the ledger"
    entry = chain.entry(number)
    if entry is None:
        short = chain.last < number and not chain.problem
        why = chain.problem or (f"it ends with number {chain.last}" if short else "it begins after that")
        return short, f"number {number} of its ledger is not here: {why}"
    if (entry.run, entry.statement) != (run, statement):
        return False, f"number {number} of its ledger is of another run or statement: {entry.run}"
    before = chain.entry(number - 1)
    if before is not None and before.statement != told.get("previous"):
        return False, f"number {number - 1} of its ledger is not what was signed as the one before"
    return False, ""
