"""How far the notes of a run have come: ``notes.jsonl`` in its folder, one line for what was written, and for what
could not be (``problem``). A second publisher of the same run goes on from there; the last has ``end`` and ``ref``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from supervisor.git.layout import read_small
from supervisor.git.turns import locked
from supervisor.journal.codec import encode
from supervisor.vocabulary.errors import GovrunError

RECORD = "notes.jsonl"
_MAX_RECORD = 64 << 20
_PATIENCE = 60.0


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Be the only publisher of the run in ``folder``: one that is left to finish by itself and ``recover`` may meet,
    and whoever is ready first takes away the git directories of both. Raises ``GovrunError`` when another goes on."""
    descriptor = _open_record(folder)
    try:
        if not locked(descriptor, _PATIENCE):
            what, why = "the notes of this run are being written", "another process of govrun is at it"
            raise GovrunError(what, why, "govrun recover, later", exit_code=121)
        yield
    finally:
        os.close(descriptor)


def _open_record(folder: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(folder / RECORD, flags, 0o600)
    except OSError as error:
        raise GovrunError(f"cannot write {RECORD}", str(error), exit_code=121) from error


def records(folder: Path) -> Iterator[dict[str, object]]:
    """What was put down; a torn line is passed over."""
    for line in (read_small(folder / RECORD, _MAX_RECORD) or "").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record


def problems(folder: Path) -> list[str]:
    """What could not be done, in its order."""
    return [str(record["problem"]) for record in records(folder) if "problem" in record]


def is_published(folder: Path) -> bool:
    """Whether the run in ``folder`` has got its last notes and its ref, or will never get them."""
    return any("end" in record and "ref" in record for record in records(folder))


def is_owing(folder: Path, meta: Mapping[str, object]) -> bool:
    """Whether the run in ``folder`` has still to be published in its repository."""
    return isinstance(meta.get("git"), dict) and "coverage" in meta and not is_published(folder)


def put_down(folder: Path, record: Mapping[str, object]) -> None:
    """Append one record to ``notes.jsonl`` of the run in ``folder``. Raises ``GovrunError``."""
    head = {"v": 1, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    line = encode(head | dict(record)).encode("ascii") + b"\n"
    descriptor = _open_record(folder)
    try:
        os.write(descriptor, line)
    except OSError as error:
        raise GovrunError(f"cannot write {RECORD}", str(error), exit_code=121) from error
    finally:
        os.close(descriptor)
