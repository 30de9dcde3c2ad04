"""A system call as the notification would bring it, made by this very process: its memory is read like any other's."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.attributes import Attributes
from supervisor.surfaces.files import Call, Files
from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Caller, Resolver
from supervisor.surfaces.processes import Process
from supervisor.surfaces.renames import ConfigDelta, Renames
from supervisor.vocabulary.events import Actor

ME = Caller(os.getpid(), os.getpid())
ACTOR = Actor(os.getpid(), 1, 1, b"/usr/bin/x", (b"x",), 1)


def nothing_changed(old: bytes, new: bytes, module: bool) -> ConfigDelta:
    return ConfigDelta((), ())


@contextlib.contextmanager
def working_in(root: Path) -> Iterator[Path]:
    """`root` as the working directory; whoever leaves a descriptor open there fails."""
    with contextlib.chdir(root):
        before = len(os.listdir("/proc/self/fd"))
        yield root
        assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


class Caught:
    """The file surface over a real directory; calls are named and take bytes, numbers or buffers."""

    def __init__(
        self,
        tree: Path,
        delta: Callable[[bytes, bytes, bool], ConfigDelta] = nothing_changed,
        plain: Callable[[bytes, bytes], bool] = lambda old, new: False,
    ) -> None:
        self.made = Made((), os.fsencode(tree))
        resolver = Resolver(self.made, Ignored(os.fsencode(tree), None))
        self.renames = Renames(resolver, lambda path: b".git" in path.split(b"/"), delta, plain)
        self.files = Files(resolver, self.renames, Attributes(resolver))
        self.process = Process(os.getpid(), -1, 1, 1, 1)

    def __call__(self, name: str, *args: bytes | int | ctypes.Array[Any], git_tool: bool = False) -> Attempt:
        keep = [ctypes.create_string_buffer(arg) if isinstance(arg, bytes) else arg for arg in args]
        words = [arg if isinstance(arg, int) else ctypes.addressof(arg) for arg in keep]
        registers = tuple(word % (1 << 64) for word in [*words, 0, 0, 0, 0, 0, 0][:6])
        call = Call(name, registers, ME, self.process, ACTOR, git_tool)  # type: ignore[arg-type]
        return self.files.attempt(call)
