"""Escapes 58, 60-62: kernel interfaces that no agent needs and each of which has been a way out."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CODE = """
area = ctypes.create_string_buffer(128)
print(json.dumps({
    "bpf": sc(321, 0, area, 128),
    "perf_event_open": sc(298, area, 0, -1, -1, 0),
    "userfaultfd": sc(323, 0),
    "add_key": sc(248, c("user"), c("k"), c("v"), 1, -3),
    "keyctl": sc(250, 0, -3, 0, 0, 0),
    "kexec_load": sc(246, 0, 0, None, 0),
    "init_module": sc(175, area, 0, c("")),
    "delete_module": sc(176, c("none"), 0),
    "swapoff": sc(168, c("/none")),
    "acct": sc(163, c("/none")),
    "quotactl": sc(179, 0, c("/none"), 0, None),
    "chroot": sc(161, c(".")),
    "pivot_root": sc(155, c("."), c(".")),
    "mount": sc(165, c("none"), c("."), c("tmpfs"), 0, None),
    "umount2": sc(166, c("/none"), 0),
    "open_tree": sc(428, AT, c("."), 1),
    "fsopen": sc(430, c("tmpfs"), 0),
    "move_mount": sc(429, AT, c("."), AT, c("."), 0),
    "mount_setattr": sc(442, AT, c("."), 0, area, 32),
    "fanotify_init": sc(300, 0, 0),
    "lookup_dcookie": sc(212, 0, area, 128),
    "sethostname": sc(170, c("x"), 1),
    "iopl": sc(172, 0),
    "set mm": sc(157, 35, 1, 0, 0, 0),
}))
"""


def test_refused_calls(cage: Cage) -> None:
    answers = cage.probe(CODE)
    assert set(answers.values()) <= {"EPERM", "ENOSYS", "EACCES", "EOPNOTSUPP"}, answers


def test_not_dumpable(cage: Cage) -> None:
    """A process that makes itself unreadable would be unreadable for its supervisor too."""
    code = "got = sc(157, 4, 0, 0, 0, 0); print(json.dumps([got, libc.prctl(3), attempt(open, VICTIM, 'w')]))"
    outcome = cage.run(cage.script(code))
    assert outcome.stdout == b'["ok", 1, "EACCES"]\n', outcome.stdout
    cage.refused(outcome, cage.WRITE)


def test_clock(cage: Cage) -> None:
    """No bare twin: it would set the clock of the host. The value given is the clock's own."""
    code = (
        "import time; now = time.time_ns(); t = (ctypes.c_long * 2)(*divmod(now, 10**9)); "
        "print(json.dumps([sc(227, 0, t), sc(164, t, None)]))"
    )
    assert cage.probe(code) == ["EPERM", "EPERM"]
