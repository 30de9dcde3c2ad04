"""Escape 238: a path begins with a link of /proc to something the process holds, and goes on from there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

ACTS = {
    "create": "open(top + '/new', 'w')",
    "write": "open(top + '/victim', 'w')",
    "append": "open(top + '/victim', 'a').write('x')",
    "truncate": "os.truncate(top + '/victim', 1)",
    "mkdir": "os.mkdir(top + '/new')",
    "unlink": "os.unlink(top + '/victim')",
    "rename from": "os.rename(top + '/victim', 'taken')",
    "rename to": "os.rename('evil', top + '/victim')",
    "link": "os.link('evil', top + '/new')",
    "symlink": "os.symlink('evil', top + '/new')",
    "chmod": "os.chmod(top + '/victim', 0o777)",
    "utime": "os.utime(top + '/victim', (1, 1))",
    "setxattr": "os.setxattr(top + '/victim', 'user.x', b'x')",
    "fifo": "os.mkfifo(top + '/new')",
    "socket": "socket.socket(socket.AF_UNIX).bind(top + '/new')",
    "folder itself": "os.chmod(top + '/', 0o700)",
}
SPELLINGS = {
    "self": "/proc/self/fd/{fd}",
    "thread-self": "/proc/thread-self/fd/{fd}",
    "pid": "/proc/{pid}/fd/{fd}",
    "task": "/proc/self/task/{pid}/fd/{fd}",
    "dev": "/dev/fd/{fd}",
    "slashes": "//proc/./self//fd/{fd}//.",
    "cwd": "/proc/self/cwd/../home/outside",
    "upwards": "/proc/self/fd/{sub}/..",
}


def program(spelling: str, act: str) -> str:
    return f"""
fd, sub, pid = os.open(OUT, os.O_PATH), os.open(OUT + "/sub", os.O_PATH), os.getpid()
top = f"{SPELLINGS[spelling]}"
{act}
"""


@pytest.mark.parametrize("act", ACTS)
def test_folder_outside(cage: Cage, act: str) -> None:
    outcome = cage.escape(cage.script(program("self", ACTS[act])), cage.WRITE)
    named = {str(each["op"].get("path", "")) for each in outcome.denied()}
    assert not any("/proc/" in each for each in named), "the record names the folder, not the descriptor"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling(cage: Cage, spelling: str) -> None:
    outcome = cage.escape(cage.script(program(spelling, ACTS["write"])), cage.WRITE)
    assert f"{cage.outside}/victim is outside the write scope" in outcome.stderr


def test_protected_folder(cage: Cage) -> None:
    cage.both("mkdir prot; echo x > prot/victim")
    cage.profile('[scope]\nprotect = ["prot/**"]\nwhy = "a test"\n')
    code = "fd = os.open('prot', os.O_RDONLY); open(f'/proc/self/fd/{fd}/victim', 'w')"
    cage.escape(cage.script(code), cage.PROTECT, guarded=["prot"])


def test_hidden_folder(cage: Cage) -> None:
    cage.profile('[scope]\nhide = ["~/outside/**"]\nwhy = "a test"\n')
    code = "fd = os.open(OUT, os.O_PATH); open(f'/proc/self/fd/{fd}/victim', 'w')"
    cage.escape(cage.script(code), cage.HIDE)


# What the process gave, and so what the record has to say.
REFUSED = {
    "another process's": ("/proc/{os.getppid()}/fd/8/victim", ""),
    "another process's directory": ("/proc/{os.getppid()}/cwd/../home/outside/victim", ""),
    "beneath a descriptor of /proc": ("/proc/self/fd/7/self/fd/8/victim", ""),
    "a link to one": ("toward/victim", "os.symlink('/proc/self/fd/8', 'toward')"),
    "a name in /dev/fd": ("/dev/fd/../fd/8/victim", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_the_name_that_was_given(cage: Cage, case: str) -> None:
    path, before = REFUSED[case]
    code = f"{before}\nprint(f'{path}')\nopen(f'{path}', 'w')"
    # In a shell that stays, so that the parent holds the folder as well.
    script = f'exec 7< /proc 8< "$OUT"; {cage.script(code)}; true'
    outcome = cage.escape(script, cage.PATH)
    given = outcome.stdout.decode().strip()
    assert given in {each["op"]["path"] for each in cage.refused(outcome, cage.PATH)}, outcome.denied()
    assert f": {given} · " in outcome.stderr


def test_control_characters_do_not_reach_the_terminal(cage: Cage) -> None:
    code = "print(attempt(os.mkdir, '/proc/1/cwd/\\x1b[2J\\u202e'))"
    outcome = cage.run(cage.script(code))
    assert outcome.stdout == b"EACCES\n" and cage.refused(outcome, cage.PATH)
    assert "\x1b" not in outcome.stderr and "\u202e" not in outcome.stderr and "\\x1b" in outcome.stderr


def test_program(cage: Cage) -> None:
    """A forbidden program stays one, and its name is its own."""
    cage.profile('[scope]\ncommands = ["bash", "python3*"]\n')
    code = """
fd = os.open("/usr/bin", os.O_RDONLY)
os.set_inheritable(fd, True)
os.execv(f"/proc/self/fd/{fd}/touch", ["python3", os.path.abspath("mark")])
"""
    cage.escape(cage.script(code), cage.COMMANDS, guarded=["mark"])


@pytest.mark.parametrize("link", ["fd/8/evil", "cwd/evil"])
def test_program_of_another_process(cage: Cage, link: str) -> None:
    cage.both("printf '#!/bin/sh\\ntouch mark\\n' > evil")
    code = f"os.execv(f'/proc/{{os.getppid()}}/{link}', ['evil'])"
    outcome = cage.escape(f"exec 8< .; {cage.script(code)}; true", cage.EXEC, guarded=["mark"])
    assert f"/{link}" in os.fsdecode(str(outcome.denied()[0]["op"]))
