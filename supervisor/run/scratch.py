"""Temporary space of one run: a folder that it starts with, and that goes with it.

Programs keep their own folders under fixed names in shared temporary space (pytest-of-USER, jest_0): those were there
before the run, and are not its to write.
"""

from __future__ import annotations

import os

from supervisor.profile.model import Scope


def make(places: tuple[bytes, ...], run: str) -> bytes:
    """The folder of ``run`` in the first of ``places`` that takes one; empty where none does."""
    for place in places:
        path = name_in(place, run)
        try:
            os.mkdir(path, mode=0o700)
        except OSError:
            continue
        return path
    return b""


def name_in(place: bytes, run: str) -> bytes:
    """The path that the folder of ``run`` has in ``place``."""
    return place + b"/govrun-" + run[-12:].lower().encode()


VARIABLES = ("TMPDIR", "TMUX_TMPDIR", "SCREENDIR")


def shown(variables: dict[str, str], scope: Scope, path: bytes) -> dict[str, str]:
    """The environment with the folder as TMPDIR, and as the place where terminal multiplexers listen (the user's own
    are not the run's to talk to), unless the profile sets that itself."""
    names = [name for name in VARIABLES if path and name not in scope.env_set]
    return variables | dict.fromkeys(names, os.fsdecode(path))


def remove(path: bytes) -> None:
    """Everybody who could use it is dead."""
    if not path:
        return
    try:
        os.rmdir(path)
    except OSError:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
