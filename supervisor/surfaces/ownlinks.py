"""Paths that begin with a link of ``/proc`` to what the caller itself holds: a descriptor, its directory, its root.

``/proc/self/fd/N/rest`` is how programs name a file below a folder they have open where a call takes no descriptor. In
this process ``/proc/self`` would be the supervisor, so the link is spelt with the ids of the caller (proc(5)).
"""

from __future__ import annotations

import re
from typing import NamedTuple


class OwnLink(NamedTuple):
    """``entry``: the link as the supervisor can open it, empty when it is another process's. ``rest``: what of the path
    follows it, from the slash on; empty when the path ends in the link."""

    entry: bytes
    rest: bytes


# Numbers as the kernel reads them (fs/proc/util.c, name_to_int): no leading zero. Any slash may be several, or "/./".
_NUMBER = rb"(?:0|[1-9]\d*)"
_LINK = re.compile(
    (
        rb"(?:/proc/(?P<who>self|thread-self|N)(?:/task/(?P<task>N))?/(?P<link>fd/N|cwd|root)"
        rb"|/dev/(?:fd/(?P<number>N)|(?P<stream>stdin|stdout|stderr)))"
    )
    .replace(b"N", _NUMBER)
    .replace(b"/", rb"/(?:\.?/)*")
    + rb"(?P<rest>/.*)?\Z",
    re.DOTALL,
)
_STREAMS = {b"stdin": b"fd/0", b"stdout": b"fd/1", b"stderr": b"fd/2"}


def own_link(path: bytes, tgid: int, tid: int) -> OwnLink | None:
    """How the caller's own link that ``path`` begins with is spelt here; None for any other path."""
    if not path.startswith((b"/proc", b"/dev", b"//", b"/./")):
        return None
    match = _LINK.match(path)
    if match is None:
        return None
    rest = match["rest"] or b""
    if match["who"] is None:
        link = b"fd/" + match["number"] if match["stream"] is None else _STREAMS[match["stream"]]
        return OwnLink(b"/proc/%d/%s" % (tgid, link), rest)
    # A thread may have a table, a directory and a root of its own (unshare(2)); the kernel answers ENOENT for the task
    # of another process.
    owners = {b"self": b"%d" % tgid, b"thread-self": b"%d/task/%d" % (tgid, tid)}
    owners |= {b"%d" % tgid: b"%d" % tgid, b"%d" % tid: b"%d" % tid}
    owner = owners.get(match["who"])
    if owner is None:
        return OwnLink(b"", rest)
    task = b"/task/" + match["task"] if match["task"] is not None else b""
    link = re.sub(rb"/(?:\.?/)+", b"/", match["link"])
    return OwnLink(b"/proc/%s%s/%s" % (owner, task, link), rest)
