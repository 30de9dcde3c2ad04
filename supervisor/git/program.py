"""Where git is. Apart from what runs it, since every start asks."""

from __future__ import annotations

import os

from supervisor.vocabulary.errors import HostError

FIXED_PATH = "/usr/bin:/bin:/usr/local/bin"


def find_git() -> str:
    """Absolute path of git on a fixed search path. Raises ``HostError``."""
    for folder in FIXED_PATH.split(":"):
        path = f"{folder}/git"
        if os.access(path, os.X_OK):
            return path
    raise HostError("git is not installed", f"looked in {FIXED_PATH}", "install the package git")
