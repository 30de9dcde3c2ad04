"""The operator's end of control sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from supervisor.operator.protocol import (
    BUSY,
    MAX_ANSWER,
    SOCKET,
    Answer,
    Asked,
    MalformedError,
    order_line,
    read_answer,
)

_AGAIN = 0.02  # seconds between tries while too many others connect


class Silence(NamedTuple):
    """No answer. ``dead``: nobody listens; else somebody does and has not answered, and ``sent`` says whether the order
    may still be carried out."""

    why: str
    dead: bool = False
    sent: bool = False


def ask(folder: Path, asked: Asked, patience: float) -> Answer | Silence:
    """Give the run in ``folder`` one order; ``patience`` in seconds."""
    return ask_all([folder], asked, patience)[folder]


def ask_all(folders: Iterable[Path], asked: Asked, patience: float) -> Mapping[Path, Answer | Silence]:
    """Give many runs one order. All of them together have ``patience`` seconds to answer."""
    until = time.monotonic() + patience
    found: dict[Path, Answer | Silence] = {}
    left = list(folders)
    while left:
        found |= _round(left, order_line(asked), until)
        left = [folder for folder in left if isinstance(got := found[folder], Answer) and got.word == BUSY]
        if left:
            time.sleep(_AGAIN)
        if time.monotonic() >= until:
            break
    return found


def _round(folders: Sequence[Path], order: bytes, until: float) -> dict[Path, Answer | Silence]:
    found: dict[Path, Answer | Silence] = {}
    lines: dict[Path, _Line] = {}
    with ExitStack() as closing:
        for folder in folders:
            try:
                line = closing.enter_context(_Line(folder, until))
                line.send(order)
                lines[folder] = line
            except OSError as error:
                found[folder] = _silence(error, sent=False)
        for folder, line in lines.items():
            try:
                found[folder] = read_answer(line.answer(), folder.name)
            except OSError as error:
                found[folder] = _silence(error, sent=True)
            except MalformedError as error:
                found[folder] = Silence(f"it answered otherwise: {error}", sent=True)
    return found


class _Line:
    """One connection, with everything on it done by ``until`` (monotonic seconds)."""

    def __init__(self, folder: Path, until: float) -> None:
        self._until = until
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect(folder)
        except BaseException:
            self._link.close()
            raise

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def _connect(self, folder: Path) -> None:
        at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while True:
                self._link.settimeout(self._left())
                try:
                    self._link.connect(f"/proc/self/fd/{at}/{SOCKET}")
                except BlockingIOError:
                    time.sleep(_AGAIN)  # its queue is full
                else:
                    return
        finally:
            os.close(at)

    def send(self, line: bytes) -> None:
        self._link.settimeout(self._left())
        try:
            self._link.sendall(line)
        except (BrokenPipeError, ConnectionResetError):
            return  # it may have answered before it hung up

    def answer(self) -> bytes:
        """The line that comes back, without its newline. Raises ``OSError``, or ``MalformedError`` when it is none."""
        got = bytearray()
        while b"\n" not in got:
            # What has arrived while others were waited for is taken, however late it is.
            self._link.settimeout(max(0.0, self._until - time.monotonic()))
            data = self._link.recv(65536)
            got += data
            if not data or len(got) > MAX_ANSWER:
                raise MalformedError("it hung up" if not data else "too much")
        return bytes(got.partition(b"\n")[0])

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _silence(error: OSError, *, sent: bool) -> Silence:
    if isinstance(error, ConnectionRefusedError | FileNotFoundError | NotADirectoryError):
        return Silence("nobody listens", dead=True)
    if isinstance(error, TimeoutError | BlockingIOError):
        return Silence("it does not answer", sent=sent)
    return Silence(error.strerror or str(error), sent=sent)
