"""Runs a snippet in a Python process of its own and returns the JSON it printed.

Filters, domains and capabilities cannot be taken off again, so nothing that confines runs in the test process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

PRELUDE = """
import ctypes, errno, json, os, signal, socket, struct, sys
sys.path.insert(0, ROOT)
from supervisor.kernel import caps, filter as bpf, landlock, libc
NAMES = {0: "ok", **errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EDEADLK: "EDEADLK"}
def name(number): return NAMES.get(number, str(number))
def attempt(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as error:
        return name(error.errno)
    return "ok"
def sc(number, *args):
    # Addresses of buffers are kept alive by the caller; every argument is a full register.
    return attempt(libc.syscall, number, *args)
def addr(text): return ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value
"""

# Forks a child that loads the filter, and plays supervisor: every notification is answered with EREMOTEIO, which no
# path of these calls gives by itself, or as ``answers`` says (number -> errno or "continue"). The numbers asked about
# are returned beside what the child said and its wait status.
SUPERVISED = """
from supervisor.kernel import notify, process
def supervised(act, spec=None, answers=None):
    spec = spec or bpf.FilterSpec(False, "writes", landlock.abi())
    program = bpf.build(spec)
    result_r, result_w = os.pipe()
    fd_r, fd_w = os.pipe()
    go_r, go_w = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            caps.no_new_privs()
            fd = bpf.load(program)
            os.write(fd_w, str(fd).encode() + b"\\n")
            os.read(go_r, 1)  # until the listener is in the parent's hands
            os.close(fd)  # a second holder would turn ENOSYS after the parent's death into a hang
            os.write(result_w, json.dumps(act()).encode())
        except BaseException as error:
            os.write(result_w, json.dumps("child: " + repr(error)).encode())
        finally:
            os._exit(0)
    os.close(result_w); os.close(fd_w)
    number = b""
    while not number.endswith(b"\\n"):
        piece = os.read(fd_r, 1)
        if not piece:
            os.waitpid(child, 0)
            raise SystemExit("the filter was not loaded: " + os.read(result_r, 65536).decode())
        number += piece
    pidfd = process.pidfd_open(child)
    listener = notify.Listener(process.pidfd_getfd(pidfd, int(number)))
    os.write(go_w, b"g")
    import select
    seen = []
    poll = select.poll()
    poll.register(listener.fd, select.POLLIN)
    poll.register(result_r, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    said = b""
    # Until the child is gone and all it said is read: after an exec the pipe is closed, but calls still come.
    while True:
        ready = dict(poll.poll())
        if ready.get(listener.fd, 0) & select.POLLIN:
            note = listener.receive()
            if note is not None:
                seen.append(note.number)
                error = (answers or {}).get(note.number, errno.EREMOTEIO)
                listener.send(note.id, 0 if error == "continue" else error, cont=error == "continue")
        elif result_r in ready:
            piece = os.read(result_r, 65536)
            said += piece
            if not piece:
                poll.unregister(result_r)
        elif pidfd in ready:
            break
    status = os.waitpid(child, 0)[1]
    return json.loads(said) if said else None, seen, status
"""


def run(snippet: str, *, supervised: bool = False, user: int | None = None) -> Any:
    """The JSON value that ``snippet`` printed last; fails with its stderr when it did not end well.

    ``user`` runs it as that uid without groups (root only).
    """
    code = f"ROOT = {str(ROOT)!r}\n" + PRELUDE + (SUPERVISED if supervised else "") + textwrap.dedent(snippet)
    identity: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd="/", check=False, **identity
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])
