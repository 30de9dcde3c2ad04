"""What is downloaded and runs at once: an interpreter whose standard input is the pipe that a downloader writes to.

The shell makes both ends before it starts either program, and in no stated order: whichever of the two is executed
second is the one that is seen to close the chain.
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


class Pipes:
    """Per run. A pipe is known by the inode that ``/proc/PID/fd`` shows (pipe(7)): numbers are used again, so only the
    latest are remembered."""

    def __init__(self) -> None:
        self._downloaded: OrderedDict[bytes, bytes] = OrderedDict()  # pipe -> the downloader at its other end
        self._interpreted: OrderedDict[bytes, bytes] = OrderedDict()  # pipe -> the interpreter that reads it

    def starts(self, tid: int, program: bytes, *, interprets: bool) -> bytes:
        """A program is about to run as ``tid``. The downloader whose output an interpreter would run thereby; empty
        when none does. ``interprets``: its standard input is its program."""
        name = program.rpartition(b"/")[2]
        if name in _FILTERS:
            return self._passes_on(tid)
        if name in _DOWNLOADERS:
            pipe = _pipe(tid, 1)
            if pipe:
                _remember(self._downloaded, pipe, name)
            return name if pipe in self._interpreted else b""
        if interprets:
            pipe = _pipe(tid, 0)
            if pipe:
                _remember(self._interpreted, pipe, name)
            return self._downloaded.get(pipe, b"")
        return b""

    def _passes_on(self, tid: int) -> bytes:
        """A filter: what comes in goes out."""
        source, to = _pipe(tid, 0), _pipe(tid, 1)
        if not source or not to:
            return b""
        if source in self._downloaded:
            _remember(self._downloaded, to, self._downloaded[source])
            return self._downloaded[source] if to in self._interpreted else b""
        if to in self._interpreted:
            _remember(self._interpreted, source, self._interpreted[to])
        return b""


def _pipe(tid: int, number: int) -> bytes:
    try:
        link = os.readlink(b"/proc/%d/fd/%d" % (tid, number))
    except OSError:
        return b""
    return link if link.startswith(b"pipe:") else b""


def _remember(known: OrderedDict[bytes, bytes], pipe: bytes, name: bytes) -> None:
    known[pipe] = name
    known.move_to_end(pipe)
    if len(known) > _MOST:
        known.popitem(last=False)
