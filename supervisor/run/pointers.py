"""Files of the run that tell git where a repository lies: a ``.git`` file, a ``commondir``.

git writes them in place, so their content is not there yet when the open is judged. It is looked at afterwards: each
time the run executes something, and at its end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from supervisor.surfaces.contents import plain_content

_MOST = 4096  # bytes of such a file
_NAMES = (b"/.git", b"/commondir")
_MANY = 10_000


class Pointers:
    """``is_temporary``: whether a path lies where the run may do as it likes, so that no repository there is one that
    a file outside may lead to. ``told`` gets each file that was taken away and where it led."""

    def __init__(self, is_temporary: Callable[[bytes], bool], told: Callable[[bytes, bytes], None]) -> None:
        self._is_temporary = is_temporary
        self._told = told
        self._known: dict[bytes, None] = {}

    def landed(self, path: bytes) -> None:
        """The run made a name."""
        if not path.endswith(_NAMES) or self._is_temporary(path):
            return
        if len(self._known) >= _MANY:
            self.look()
            del self._known[next(iter(self._known))]
        self._known[path] = None

    def moved(self, old: bytes, new: bytes, *, exchange: bool) -> None:
        """A name moved, with all that is below it."""
        moves = {old: new, new: old} if exchange else {old: new}
        for path in list(self._known):
            for one, other in moves.items():
                if path == one or path.startswith(one + b"/"):
                    del self._known[path]
                    self._known[other + path[len(one) :]] = None
                    break

    def look(self) -> None:
        """Take away what leads to temporary space."""
        for path in list(self._known):
            try:
                found = os.lstat(path)
            except OSError:
                del self._known[path]
                continue
            if stat.S_ISDIR(found.st_mode):
                del self._known[path]
                continue
            if not (text := plain_content(path, _MOST)):
                continue  # not written yet
            text = text.partition(b"\0")[0].removeprefix(b"gitdir: ").rstrip(b"\r\n")
            leads = os.path.realpath(os.path.join(os.path.dirname(path), text))
            if self._is_temporary(leads):
                del self._known[path]
                _remove(path)
                self._told(path, leads)


def _remove(path: bytes) -> None:
    """The run may have taken its own right to remove it. OSError when it stays nevertheless."""
    try:
        os.unlink(path)
    except PermissionError:
        folder = os.path.dirname(path)
        mode = os.stat(folder).st_mode & 0o7777
        os.chmod(folder, mode | 0o300)
        os.unlink(path)
        os.chmod(folder, mode)
