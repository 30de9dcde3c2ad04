"""What the enforcer is asked to do for a process, and what the process is answered.

A surface that resolved a path or copied a socket address hands over *handles* (descriptors it opened), never the
names: the act reaches exactly what was judged. Whoever performs or refuses an act closes its handles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from supervisor.vocabulary.events import Kind


class Reply(NamedTuple):
    """The answer to one notification.

    ``error``: positive errno, 0 for success with ``value`` as the result. ``cont``: let the kernel run the call
    (only where its arguments are in registers or the floor bounds them). ``fd`` >= 0: install that descriptor in the
    process and return its number there; ``cloexec`` sets FD_CLOEXEC on it. The loop closes ``fd`` afterwards.
    """

    error: int = 0
    value: int = 0
    cont: bool = False
    fd: int = -1
    cloexec: bool = False


CONTINUE = Reply(cont=True)
DONE = Reply()


class Held(NamedTuple):
    """An act that cannot finish yet. The loop calls ``retry`` when ``fd`` is ready for writing (``fd`` >= 0) or every
    few milliseconds, until it returns a reply; ``abandon`` is called when the process is gone or interrupted."""

    retry: Callable[[], Reply | None]
    abandon: Callable[[], None]
    fd: int = -1


class OpenAct(NamedTuple):
    """Create ``name`` beneath ``parent``, or reopen the pinned ``handle`` when it exists (>= 0). ``path`` is its
    canonical name; ``links``: how many names the file has that the run did not make. ``own``: the run made it."""

    parent: int
    name: bytes
    handle: int
    flags: int
    mode: int
    tid: int
    kind: Kind
    path: bytes
    links: int = 0
    own: bool = False


class PathAct(NamedTuple):
    """One path call on judged handles. ``call`` names it; numbers are as the process gave them.

    ``replace``: the bytes that were judged and that land instead of the file being renamed. ``links``: how many names
    the file has that the run did not make."""

    call: str
    parent: int
    name: bytes
    handle: int = -1
    other_parent: int = -1
    other_name: bytes = b""
    flags: int = 0
    mode: int = 0
    uid: int = -1
    gid: int = -1
    dev: int = 0
    size: int = 0
    tid: int = 0
    links: int = 0
    times: tuple[int, int, int, int] | None = None
    xattr: bytes = b""
    value: bytes = b""
    text: bytes = b""
    replace: bytes | None = None
