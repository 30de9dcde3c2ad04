"""What is downloaded and runs at once: an interpreter whose standard input is the pipe that a downloader writes to.

The shell makes all pipes before it starts any of the programs, and in no stated order: whichever is executed last is
the one that is seen to close the chain.
"""

from __future__ import annotations

import os
from collections import OrderedDict, defaultdict
from typing import TypeVar

_MOST = 256  # pipes that are remembered, and links between them
_DOWNLOADERS = frozenset(b"curl wget wget2 aria2c fetch lwp-download GET http https xh ftp lftp".split())
_FILTERS = frozenset(
    b"tee cat gzip gunzip zcat bzip2 bunzip2 xz unxz zstd base64 sed tr head tail grep awk mawk gawk dd pv openssl gpg"
    b" tac cut".split()
)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Known = OrderedDict[bytes, bytes]


class Pipes:
    """Per run. A pipe is known by the inode that ``/proc/PID/fd`` shows (pipe(7)): numbers are used again, so only the
    latest are remembered."""

    def __init__(self) -> None:
        self._downloaded: _Known = OrderedDict()  # pipe -> the downloader that writes to it
        self._interpreted: _Known = OrderedDict()  # pipe -> the interpreter that reads it
        # What a filter reads, and what it writes. Several may write to one pipe, or read from it.
        self._links: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()

    def starts(self, tid: int, program: bytes, *, interprets: bool) -> bytes:
        """A program is about to run as ``tid``. The downloader whose output an interpreter would run thereby; empty
        when none does. ``interprets``: its standard input is its program."""
        name = program.rpartition(b"/")[2]
        if name in _FILTERS:
            return self._passes_on(_pipe(tid, 0), _pipe(tid, 1))
        if name in _DOWNLOADERS:
            pipe = _pipe(tid, 1)
            if pipe:
                _remember(self._downloaded, pipe, name)
            return name if self._follow(pipe, self._interpreted, onward=True) else b""
        if interprets:
            pipe = _pipe(tid, 0)
            if pipe:
                _remember(self._interpreted, pipe, name)
            return self._follow(pipe, self._downloaded, onward=False)
        return b""

    def _passes_on(self, source: bytes, to: bytes) -> bytes:
        """A filter: what comes in goes out."""
        if not source or not to:
            return b""
        _remember(self._links, (source, to), None)
        origin = self._follow(source, self._downloaded, onward=False)
        return origin if origin and self._follow(to, self._interpreted, onward=True) else b""

    def _follow(self, pipe: bytes, wanted: _Known, *, onward: bool) -> bytes:
        """The program that one of ``wanted`` has at a pipe that the chain leads to, or comes from. It may be a ring."""
        links: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for source, to in self._links:
            if onward:
                links[source].append(to)
            else:
                links[to].append(source)
        seen, pending = set[bytes](), [pipe]
        while pending:
            here = pending.pop()
            if here in wanted:
                return wanted[here]
            if here not in seen:
                seen.add(here)
                pending += links[here]
        return b""


def _pipe(tid: int, number: int) -> bytes:
    try:
        link = os.readlink(b"/proc/%d/fd/%d" % (tid, number))
    except OSError:
        return b""
    return link if link.startswith(b"pipe:") else b""


def _remember(known: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _MOST:
        known.popitem(last=False)
