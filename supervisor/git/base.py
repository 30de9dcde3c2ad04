"""Reading git objects through one lazy ``git cat-file --batch`` on a repository of ours.

Trees are read raw and walked here, by object id: a path never becomes a revision expression, so that no byte in it
(newline, colon, pathspec magic) means anything.

Git believes the index of a pack: whoever adds one can have any object id stand for anything. So each object is held
against its id here, and what an id leads to (``ID^{tree}``) is followed here.
"""

from __future__ import annotations

import hashlib
import select
import subprocess
import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from supervisor.git.layout import is_object_id
from supervisor.git.neutral import Git, GitError

TREE, GITLINK, SYMLINK = 0o040000, 0o160000, 0o120000
_MAX_KEPT = 100_000
_DEFAULT_LIMIT = 8 << 20
_MOST_TAGS = 16  # tags of tags
MOST_AHEAD = 128  # all of their ids fit into a pipe, whatever git does meanwhile


class Entry(NamedTuple):
    """One line of a tree; ``mode`` as in git: 0o100644, 0o100755, or one of ``TREE``, ``GITLINK``, ``SYMLINK``."""

    mode: int
    id: str


class TooLarge(GitError):
    """An object of more bytes than were asked for."""


class Silent(GitError):
    """git does not answer: nothing is known of the object, not even that it is none."""


class Objects:
    """``git`` should be on a GIT_DIR of ours; ``timeout`` in seconds for each object. Starts git at first use."""

    def __init__(self, git: Git, *, timeout: float = 1.0) -> None:
        self._git = git
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._ahead: deque[str] = deque()
        self._kept = 0
        self._trees: dict[str, dict[bytes, Entry]] = {}

    @property
    def pid(self) -> int:
        """The process that answers, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def get(self, name: str, *, limit: int = _DEFAULT_LIMIT) -> tuple[str, str, bytes] | None:
        """(id, type, content) of an object id, or of ``ID^{commit}`` and ``ID^{tree}``; None when it does not exist.

        Raises ``GitError`` on a time-out, on a dead git, for an object that is not what its id says, and (``TooLarge``)
        for one of more than ``limit`` bytes.
        """
        plain, _, kind = name.partition("^")
        if not is_object_id(plain) or kind not in ("", "{commit}", "{tree}"):
            raise GitError("not an object id", repr(name[:80]), None)
        deadline = time.monotonic() + self._timeout
        found = self._asked(plain, limit, deadline)
        for _ in range(_MOST_TAGS):
            wanted = kind[1:-1]
            if found is None or wanted in ("", found[1]):
                return found
            next_id = _leads_to(found[1], found[2], wanted)
            if not next_id:
                return None
            found = self._asked(next_id, limit, deadline)
        return None

    def ahead(self, names: Iterable[str]) -> None:
        """Ask for objects that ``get`` will be asked for next, in this order, so that git has them ready: waiting for
        one answer before the next question takes two changes of process for each object."""
        if self._ahead:
            self.close()  # something was not asked for after all
        wanted = [name for name in names if is_object_id(name)][:MOST_AHEAD]
        try:
            self._ask_for(wanted)
        except BrokenPipeError:
            self.close()
        else:
            self._ahead.extend(wanted)

    def _ask_for(self, names: Iterable[str]) -> None:
        if self._process is None:
            self._process = self._git.serve(["cat-file", "--batch"])
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{name}\n" for name in names).encode("ascii"))

    def _asked(self, name: str, limit: int, deadline: float) -> tuple[str, str, bytes] | None:
        try:
            return self._ask(name, limit, deadline)
        except BrokenPipeError:
            # It died since the last question (or never lived): once more with a fresh one.
            self.close()
            try:
                return self._ask(name, limit, deadline)
            except BrokenPipeError as error:
                self.close()
                raise Silent("git cat-file ended", f"asked for {name}", None) from error

    def _ask(self, name: str, limit: int, deadline: float) -> tuple[str, str, bytes] | None:
        if self._ahead and self._ahead[0] == name:
            self._ahead.popleft()
        else:
            if self._ahead:
                self.close()  # what comes next is the answer to something else
            self._ask_for([name])
        header = self._until_newline(deadline).split(b" ")
        if len(header) != 3 or not header[2].isdigit():
            if header[-1] in (b"missing", b"ambiguous"):
                return None
            self.close()
            raise Silent("git cat-file answered strangely", repr(b" ".join(header)[:80]), None)
        size = int(header[2])
        if size > limit:
            self.close()  # cheaper than reading it all
            raise TooLarge("the object is too large", f"{name}: {size} bytes, limit {limit}", None)
        body = self._exactly(size + 1, deadline)[:-1]
        digest = hashlib.sha1 if len(name) == 40 else hashlib.sha256
        if digest(b"%s %d\0%s" % (header[1], size, body), usedforsecurity=False).hexdigest() != name:
            raise GitError("an object is not what its id says", f"{name}: git fsck names it", None)
        return name, header[1].decode("ascii"), body

    def _until_newline(self, deadline: float) -> bytes:
        while b"\n" not in self._rest:
            self._rest += self._more(deadline)
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _exactly(self, size: int, deadline: float) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size:
            parts.append(self._more(deadline))
            have += len(parts[-1])
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]

    def _more(self, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        poll = select.poll()
        poll.register(self._process.stdout.fileno(), select.POLLIN)
        if not poll.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            self.close()
            raise Silent("git cat-file took too long", f"more than {self._timeout} s", None)
        data = self._process.stdout.read(1 << 16)
        if not data:
            raise BrokenPipeError
        return data

    def close(self) -> None:
        """End the process. The next question starts a new one."""
        process, self._process, self._rest = self._process, None, b""
        self._ahead.clear()
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()

    def tree(self, name: str) -> dict[bytes, Entry] | None:
        """Entries of the tree of an object id (commit or tree), None when there is none. Kept: trees never change."""
        known = self._trees.get(name)
        if known is not None:
            return known
        found = self.get(name + "^{tree}")
        if found is None:
            return None
        entries = parse_tree(found[2], len(found[0]) // 2)
        self._kept += len(entries) + 1
        if self._kept > _MAX_KEPT:
            self._trees.clear()
            self._kept = len(entries) + 1
        self._trees[name] = entries
        return entries

    def files(self, commit: str, most: int) -> list[bytes]:
        """Paths of the files and links of a commit. Raises ``GitError``, also for more than ``most`` entries."""
        found: list[bytes] = []
        waiting = [(b"", commit)]
        count = 0
        while waiting:
            folder, name = waiting.pop()
            for part, each in (self.tree(name) or {}).items():
                count += 1
                if each.mode == TREE:
                    waiting.append((folder + part + b"/", each.id))
                elif each.mode != GITLINK:
                    found.append(folder + part)
            if count > most:
                raise GitError("too many files", f"more than {most}", None)
        return found

    def entry(self, commit: str, path: bytes) -> Entry | None:
        """What ``path`` (relative, ``/`` between names) is in a commit, or None. Raises ``GitError``."""
        at = commit
        *folders, last = path.split(b"/")
        for folder in folders:
            step = (self.tree(at) or {}).get(folder)
            if step is None or step.mode != TREE:
                return None
            at = step.id
        return (self.tree(at) or {}).get(last)

    def is_tracked(self, commit: str, path: bytes) -> bool:
        """True when the commit holds ``path`` as a file, symlink, submodule or folder. Raises ``GitError``."""
        return self.entry(commit, path) is not None

    def blob(self, commit: str, path: bytes, *, limit: int = 1 << 20) -> bytes | None:
        """Content of a regular file in a commit, or None. Raises ``GitError``, also beyond ``limit`` bytes."""
        entry = self.entry(commit, path)
        if entry is None or entry.mode in (TREE, GITLINK, SYMLINK):
            return None
        found = self.get(entry.id, limit=limit)
        return None if found is None else found[2]


def _leads_to(kind: str, content: bytes, wanted: str) -> str:
    """The id that a commit or a tag names in its first line, "" where that is not on the way to ``wanted``."""
    word, _, rest = content.partition(b"\n")[0].partition(b" ")
    on_the_way = (kind == "tag" and word == b"object") or (kind == "commit" and wanted == "tree" and word == b"tree")
    text = rest.decode("ascii", "replace")
    return text if on_the_way and is_object_id(text) else ""


def _mode(text: bytes) -> int:
    """As git reads it: of 32 bits, and only the kind counts, of a file whether its owner may run it (``canon_mode`` in
    its ``object.h``). ``ValueError`` for what git calls malformed."""
    if not text or text.strip(b"01234567"):
        raise ValueError("a mode that is no number")
    mode = int(text, 8) & 0xFFFFFFFF
    kind = mode & 0o170000
    if kind == 0o100000:
        return 0o100755 if mode & 0o100 else 0o100644
    return kind if kind in (TREE, SYMLINK) else GITLINK


def parse_tree(raw: bytes, width: int) -> dict[bytes, Entry]:
    """Name -> entry of a raw tree object; ``width`` is the length of a binary object id (20 or 32). Raises ``GitError``
    for what git fsck calls a bad tree: of two entries with one name each reader may see another."""
    found: dict[bytes, Entry] = {}
    position = 0
    try:
        while position < len(raw):
            space = raw.index(b" ", position)
            zero = raw.index(b"\0", space)
            name, end = raw[space + 1 : zero], zero + 1 + width
            if name in found or end > len(raw):
                raise ValueError("a name twice, or no whole id")
            found[name] = Entry(_mode(raw[position:space]), raw[zero + 1 : end].hex())
            position = end
    except ValueError as error:
        raise GitError("a tree is damaged", f"{error}: git fsck names it", None) from error
    return found
