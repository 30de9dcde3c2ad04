"""What a run leaves in the repository beside its notes: a tree, at ``refs/govrun/runs/…``. No commit: those would stand
in everybody's ``git log --all``.

```
run.json        what ran, when, on which base, how it ended; digests of what was in force
commits.jsonl   what the note of each commit says
note.txt        the lines of the run's note, without those of the signature
lineage.jsonl   {n, pre, post, since, upto, paths, why} of each transition from one tree to the next
segments.jsonl  {first, last, sha256, chain} of each segment; ``chain`` is that of the journal, which stays where it is
events/N.jsonl  5,000 published events each
policy/…        the profile of the tree as it was read, while it still reads like that
statement.json  the signed bytes: an in-toto statement over all of the above
bundle.intoto.jsonl   its envelope, and those of the statements beside it (``siblings``)
```

The same journal gives the same tree: publishing twice is publishing once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from supervisor import __version__
from supervisor.git.layout import is_object_id
from supervisor.git.neutral import Git, GitError
from supervisor.git.own import staging
from supervisor.journal import chain
from supervisor.journal.codec import encode
from supervisor.journal.merkle import Tree
from supervisor.journal.reader import raw_lines
from supervisor.provenance import siblings
from supervisor.provenance.envelope import Envelope, sealed
from supervisor.provenance.keys import own_key
from supervisor.provenance.lineage import Lineage, trace
from supervisor.provenance.published import Projector, shape
from supervisor.provenance.statement import statement, subjects
from supervisor.vocabulary.errors import GovrunError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEGMENT = 5000
UNTRACED = "the states of the tree: "
_KEY = "publish.key"
_SCRATCH = "publish.tmp"
_MAX_POLICY = 1 << 20
_GAP, _CONTRACT = b'"kind":"gap"', b'"kind":"contract"'
_OF_META = ("run", "agent", "start", "policy", "coverage")


class Log(NamedTuple):
    """The journal in figures: ``events`` lines, the root over them as published (64 hexadecimal digits), gaps."""

    events: int = 0
    root: str = ""
    gaps: int = 0


class Bundle:
    """The tree of the run in ``folder``, written once by ``write``. ``untraced``: why ``lineage`` could not be told."""

    def __init__(self, folder: Path, meta: dict[str, object]) -> None:
        self._folder = folder
        self._meta = meta
        self._run = folder.name
        self.log = Log()
        self.lineage, self.untraced = _traced(folder, meta)
        self._files: dict[str, bytes] = {}
        self._contracts: dict[str, bool] = {}
        self._file = self._events()

    def close(self) -> None:
        """Give up the space that the events took."""
        self._file.close()

    def _events(self) -> BinaryIO:
        """The segments as fast-import reads them, and ``log``. Raises ``GovrunError``."""
        path = self._folder / _SCRATCH
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            file = os.fdopen(descriptor, "w+b")
            os.unlink(path)
            self._segments(file)
            self._length = file.tell()
        except OSError as error:
            raise GovrunError("the record of the run could not be built", str(error), exit_code=121) from error
        return file

    def _segments(self, file: BinaryIO) -> None:
        projector, tree, head = Projector(self._key()), Tree(), chain.START
        self._projector = projector
        self._parts: list[dict[str, object]] = []
        lines: list[bytes] = []
        gaps, raw = 0, b""
        for raw in self._lines():
            if _CONTRACT in raw:
                self._contract(raw)
            leaf = chain.leaf(raw)
            head = chain.join(head, leaf)
            line = projector.line(raw)
            tree.add(leaf if line is raw else chain.leaf(line))
            gaps += _GAP in raw
            lines.append(line)
            if len(lines) == SEGMENT:
                self._segment(file, lines, tree.count, head)
        if lines:
            self._segment(file, lines, tree.count, head)
        self._chain = head.hex()
        self._ended = str(_object(raw).get("time", ""))
        self.log = Log(tree.count, tree.root().hex(), gaps)

    def _contract(self, raw: bytes) -> None:
        record = _object(raw)
        op = record.get("op")
        if record.get("kind") == "contract" and isinstance(op, dict):
            self._contracts[str(op.get("id", ""))] = op.get("call") == "passed"

    def _lines(self) -> Iterator[bytes]:
        try:
            yield from raw_lines(self._folder)
        except FileNotFoundError:
            return  # it ended before it had a journal

    def _segment(self, file: BinaryIO, lines: list[bytes], last: int, head: bytes) -> None:
        data = b"".join(line + b"\n" for line in lines)
        number = len(self._parts)
        file.write(b"blob\nmark :%d\ndata %d\n%s\n" % (number + 1, len(data), data))
        first, digest = last - len(lines) + 1, hashlib.sha256(data).hexdigest()
        self._parts.append({"first": first, "last": last, "sha256": digest, "chain": head.hex()})
        lines.clear()

    def _key(self) -> bytes:
        path = self._folder / _KEY
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
        except FileExistsError:
            pass  # of an earlier attempt
        key = path.read_bytes()
        if len(key) != 32:
            path.unlink()  # torn by a crash: nothing was published with it
            return self._key()
        return key

    def seal(self, text: str, commits: list[dict[str, object]], more: dict[str, object]) -> Envelope:
        """Sign what the record is going to be. ``text``: the run's note; ``commits``: what the note of each commit
        says, with ``role``, ``commit`` and ``tree``; ``more``: what else ``run.json`` tells. Raises ``HostError``."""
        key = own_key(self._folder.parent.parent)
        described = self._described() | more
        beside = self._beside(described, commits, key)
        described["siblings"] = [{"type": kind, "sha256": siblings.digest(line)} for kind, line in beside]
        told = {
            "run.json": encode(described) + "\n",
            "segments.jsonl": "".join(encode(part) + "\n" for part in self._parts),
            "commits.jsonl": "".join(encode(each) + "\n" for each in commits),
            "note.txt": text,
        }
        if self.lineage is not None:
            told["lineage.jsonl"] = self.lineage.lines()
        files = {name: content.encode("utf-8", "backslashreplace") for name, content in told.items()}
        files |= {f"policy/{name}": data for name, data in self._policy()}
        made = sealed(statement(described, commits, files), key)
        lines = [made.line, *(line for _, line in beside)]
        self._files = {**files, "statement.json": made.payload, "bundle.intoto.jsonl": b"\n".join(lines) + b"\n"}
        return made

    def _beside(
        self, described: dict[str, object], commits: list[dict[str, object]], key: Ed25519PrivateKey
    ) -> list[tuple[str, bytes]]:
        """Envelopes of the statements beside the run's own, with their types."""
        subject = subjects(commits) or [{"name": "log", "digest": {"sha256": self.log.root}}]
        facts = siblings.Facts(described, subject, self._contracts, self._ended)
        made = [(siblings.LINK, siblings.link(facts)), (siblings.TEST_RESULT, siblings.test_result(facts))]
        found = [(kind, sealed(payload, key).line) for kind, payload in made if payload is not None]
        last = siblings.summary(facts, [line for _, line in found])
        return [*found, (siblings.SUMMARY, sealed(last, key).line)]

    def write(self, git: Git) -> str:
        """Make the objects of what was sealed and return the tree's id. Raises ``GitError``."""
        try:
            self._file.seek(self._length)  # what an attempt before has added goes
            for part in self._commit():
                self._file.write(part)
            self._file.flush()
            self._file.truncate()
            self._file.seek(0)
        except OSError as error:
            raise GitError("the record of the run could not be built", str(error), None) from error
        # No delta search among segments: it costs more than the events.
        made = git.run(["fast-import", "--quiet", "--force", "--done", "--depth=0"], file=self._file)
        told = made.decode("ascii", "replace")  # 040000 SP tree SP ID HT PATH
        tree = told.partition("\t")[0].removeprefix("040000 tree ")
        if not is_object_id(tree):
            raise GitError("the record of the run could not be built", f"git fast-import said {told[:80]!r}", None)
        return tree

    def _commit(self) -> Iterator[bytes]:
        # fast-import makes trees for commits only.
        yield b"commit %s\ncommitter govrun <govrun@invalid> 0 +0000\ndata 0\n" % staging()
        for number in range(len(self._parts)):
            yield b"M 100644 :%d events/%06d.jsonl\n" % (number + 1, number)
        for name, content in self._files.items():
            yield _inline(name, content)
        yield b'ls ""\n\ndone\n'

    def _described(self) -> dict[str, object]:
        meta = self._meta
        argv = meta.get("argv")
        git = meta.get("git")
        log = {"events": self.log.events, "root": f"sha256:{self.log.root}", "gaps": self.log.gaps}
        return {
            "v": 1,
            "govrun": __version__,
            **{name: meta[name] for name in _OF_META if name in meta},
            "argv": shape(argv) if isinstance(argv, list) else [],
            "argv_hmac": self._projector.digest(argv),
            "base": git.get("base", "") if isinstance(git, dict) else "",
            "sources": [_source(each) for each in _items(meta.get("sources"))],
            "decisions": _items(meta.get("decisions")),
            "log": log | {"chain": f"sha256:{self._chain}"},
            **({"lineage": self.lineage.described()} if self.lineage is not None else {}),
        }

    def _policy(self) -> Iterator[tuple[str, bytes]]:
        """The layers that lie in the tree; packs come with govrun and are known by their digest."""
        for source in _items(self._meta.get("sources")):
            name, digest = str(source.get("name", "")), source.get("sha256")
            path = str(source.get("path") or os.path.join(str(self._meta.get("tree", "")), name))
            if ":" in name or not name:
                continue
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                with os.fdopen(descriptor, "rb") as file:
                    data = file.read(_MAX_POLICY)
            except OSError:
                continue  # gone since; its digest is in run.json
            if hashlib.sha256(data).hexdigest() == digest:
                yield os.path.basename(name), data


def _traced(folder: Path, meta: dict[str, object]) -> tuple[Lineage | None, str]:
    """The lineage, and why there is none where there should be one. It is told of and keeps nothing from being
    recorded."""
    try:
        return trace(folder, meta), ""
    except GovrunError as error:
        return None, f"{UNTRACED}{error.what}: {error.why}"


def _object(raw: bytes) -> dict[str, object]:
    """A record of the journal; empty for what is none."""
    try:
        found = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _inline(name: str, data: bytes) -> bytes:
    return b"M 100644 inline %s\ndata %d\n%s\n" % (_quoted(name), len(data), data)


def _quoted(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogateescape")
    return b'"' + b"".join(b"\\%03o" % b if b < 32 or b in b'"\\' else bytes([b]) for b in raw) + b'"'


def _items(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _source(source: dict[str, object]) -> dict[str, object]:
    return {name: source[name] for name in ("name", "sha256", "sha1_blob", "blob") if name in source}
