"""What is downloaded and runs at once: an interpreter whose standard input is the pipe that a downloader writes to.

The shell makes all pipes before it starts any of the programs, and in no stated order: whichever is executed last is
the one that is seen to close the chain.
"""

from __future__ import annotations

import os
from collections import OrderedDict

_MOST = 256  # pipes that are remembered
_DOWNLOADERS = frozenset(b"curl wget wget2 aria2c fetch lwp-download GET http https xh ftp lftp".split())
_FILTERS = frozenset(
    b"tee cat gzip gunzip zcat bzip2 bunzip2 xz unxz zstd base64 sed tr head tail grep awk mawk gawk dd pv openssl gpg"
    b" tac cut".split()
)

_Known = OrderedDict[bytes, bytes]


class Pipes:
    """Per run. A pipe is known by the inode that ``/proc/PID/fd`` shows (pipe(7)): numbers are used again, so only the
    latest are remembered."""

    def __init__(self) -> None:
        self._downloaded: _Known = OrderedDict()  # pipe -> the downloader that writes to it
        self._interpreted: _Known = OrderedDict()  # pipe -> the interpreter that reads it
        self._onward: _Known = OrderedDict()  # what a filter reads -> what it writes
        self._backward: _Known = OrderedDict()

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
            return name if _follow(pipe, self._onward, self._interpreted) else b""
        if interprets:
            pipe = _pipe(tid, 0)
            if pipe:
                _remember(self._interpreted, pipe, name)
            return _follow(pipe, self._backward, self._downloaded)
        return b""

    def _passes_on(self, source: bytes, to: bytes) -> bytes:
        """A filter: what comes in goes out."""
        if not source or not to:
            return b""
        _remember(self._onward, source, to)
        _remember(self._backward, to, source)
        origin = _follow(source, self._backward, self._downloaded)
        return origin if origin and _follow(to, self._onward, self._interpreted) else b""


def _follow(pipe: bytes, links: _Known, wanted: _Known) -> bytes:
    """The program at the first pipe of the chain that one of ``wanted`` has at its end. A chain may be a ring."""
    for _ in range(_MOST):
        if pipe in wanted:
            return wanted[pipe]
        if pipe not in links:
            return b""
        pipe = links[pipe]
    return b""


def _pipe(tid: int, number: int) -> bytes:
    try:
        link = os.readlink(b"/proc/%d/fd/%d" % (tid, number))
    except OSError:
        return b""
    return link if link.startswith(b"pipe:") else b""


def _remember(known: _Known, pipe: bytes, name: bytes) -> None:
    known[pipe] = name
    known.move_to_end(pipe)
    if len(known) > _MOST:
        known.popitem(last=False)
