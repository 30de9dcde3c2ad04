"""The publisher's process: ``python -I -m supervisor.provenance.publish RUN_DIR`` with JSON lines on standard input.

``{"ref", "commit", "counts", "decisions", "upto", "seconds", "fetched"}`` for each ref that moved, in the order in
which they moved, and ``{"end": {…}}`` (see ``Ending``) as the last. Without that the supervisor died: UNKNOWN.
Exit status: 0 everything is written, 1 something is not (``notes.jsonl`` says what), 2 it could not begin.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from supervisor.provenance.progress import claimed, put_down
from supervisor.provenance.publisher import Ending, IncompleteError, Publisher
from supervisor.provenance.retention import prune_daily
from supervisor.vocabulary.errors import GovrunError

_MAX_LINE = 1 << 20
_ATTEMPTS = 3
_LOOK_AGAIN = (50, 450, 4500)  # milliseconds


def main(arguments: list[str]) -> int:
    """Serve until the input ends."""
    if len(arguments) != 1:
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.monotonic()
    folder = Path(arguments[0])
    try:
        with claimed(folder):
            publisher = Publisher(folder)
            try:
                code = _serve(publisher, started)
            finally:
                publisher.close()
    except GovrunError as error:
        put_down(folder, {"run": folder.name, "problem": f"{error.what}: {error.why}"})
        return 2
    except Exception as error:  # noqa: BLE001 - nobody reads its standard error, and a loss must be told
        put_down(folder, {"run": folder.name, "problem": f"BUG: {type(error).__name__}: {error}"})
        return 2
    prune_daily(folder.parent.parent)
    return code


def _serve(publisher: Publisher, started: float) -> int:
    end: dict[str, object] | None = None
    failed = False
    for batch in _batches(0):
        for line in batch:
            try:
                message = json.loads(line)
                end = message.get("end", end)
            except (ValueError, AttributeError, RecursionError) as error:
                failed = True
                publisher.problem(f"not a message: {error}")
                continue
            if isinstance(other := message.get("foreign"), str):
                publisher.made_by_others(other)
            if "ref" in message:
                failed |= not _take(publisher, message)
        _try_flush(publisher)
        if end is not None:
            break
    try:
        publisher.finish(_ending(end, publisher.folder, time.monotonic() - started))
    except IncompleteError:
        failed = True
    except GovrunError as error:
        publisher.problem(f"the end: {error.what}: {error.why}")
        failed = True
    except ValueError as error:
        publisher.problem(f"the end: {error}")
        failed = True
    return 1 if failed else 0


def _ending(told: dict[str, object] | None, folder: Path, seconds: float) -> Ending:
    if isinstance(told, dict):
        return Ending.read(told)
    from supervisor.provenance.completion import crashed

    return crashed(folder)._replace(seconds=seconds)


def _take(publisher: Publisher, message: dict[str, object]) -> bool:
    for attempt in range(_ATTEMPTS):
        try:
            publisher.moved(message)
            return True
        except GovrunError as error:
            if attempt == _ATTEMPTS - 1:
                publisher.problem(f"{error.what}: {error.why}", commit=message.get("commit"))
    return False


def _try_flush(publisher: Publisher) -> None:
    """What cannot be written now stays pending: the next flush, at the latest that of the end, tries again."""
    try:
        publisher.flush()
    except GovrunError as error:
        publisher.problem(f"{error.what}: {error.why}", commits=len(publisher.pending))


def _batches(descriptor: int) -> Iterator[list[bytes]]:
    """Complete lines, as many as are there: a burst of ref updates becomes one transaction.

    A few empty ones follow each: a prune that was under way may have taken what was written.
    """
    rest = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    pauses: tuple[int, ...] = ()
    while True:
        if pauses and not poll.poll(pauses[0]):
            pauses = pauses[1:]
            yield []
            continue
        if not (data := os.read(descriptor, _MAX_LINE)):
            return
        rest, pauses = rest + data, _LOOK_AGAIN
        while len(rest) < 16 * _MAX_LINE and poll.poll(0) and (data := os.read(descriptor, _MAX_LINE)):
            rest += data
        *lines, rest = rest.split(b"\n")
        yield [line for line in lines if line]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
