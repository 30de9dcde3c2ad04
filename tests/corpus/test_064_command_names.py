"""Escapes 64-75: a forbidden program under another name, through a wrapper, a script, a loader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


PROFILE = """
[scope]
commands = [
    "bash", "sh", "env", "nice", "timeout", "setsid", "xargs",
    "find", "python3", "cp", "ln", "cat", "true", "chmod",
]
"""


WAYS = {
    "plain": "touch mark",
    "absolute": "/usr/bin/touch mark",
    "argv0": "bash -c 'exec -a cat touch mark'",
    "copy": "cp /usr/bin/touch ./zzz; ./zzz mark",
    "symlink": "ln -s /usr/bin/touch cat; ./cat mark",
    "proc root": "/proc/self/root/usr/bin/touch mark",
    "subshell": "x=$(touch mark); : <(touch mark) | cat",
    "background": "touch mark & wait",
    "wrappers": "env nice timeout 5 setsid -w touch mark",
    "xargs": "echo mark | xargs touch",
    "find": "find . -maxdepth 0 -exec touch mark ';'",
    "env -S": "env -S 'touch mark'",
    "here document": "sh <<< 'touch mark'",
    "shebang": "printf '#!/usr/bin/touch\\n' > cat; chmod +x cat; ./cat; cp cat mark2",
    "shebang env": "printf '#!/usr/bin/env -S touch mark\\n' > true; chmod +x true; ./true",
}


@pytest.mark.parametrize("name", WAYS)
def test_command_names(cage: Cage, name: str) -> None:
    cage.profile(PROFILE)
    guarded = ["mark"] if name != "shebang" else ["evil"]
    outcome = cage.escape(WAYS[name], (cage.COMMANDS, cage.EXEC), guarded=guarded, bare=name != "shebang")
    assert not (cage.tree / "mark").exists()
    assert outcome.stdout == b""


LOADER = """
import glob
loader = (glob.glob("/lib64/ld-linux-*.so*") + glob.glob("/lib/ld-linux-*.so*"))[0]
print(attempt(os.execv, loader, [loader, "/usr/bin/touch", "mark"]))
"""
BY_DESCRIPTOR = """
fd = os.open("/usr/bin/touch", os.O_RDONLY)
print(attempt(os.execve, fd, ["cat", "mark"], {}))
"""
EMPTY_PATH = """
fd = os.open("/usr/bin/touch", os.O_PATH)
argv = (ctypes.c_char_p * 3)(b"cat", b"mark", None)
print(sc(322, fd, c(""), argv, (ctypes.c_char_p * 1)(None), 0x1000))
"""
MEMORY_FILE = """
fd = os.memfd_create("cat", 0)
os.write(fd, open("/usr/bin/touch", "rb").read())
print(attempt(os.execve, fd, ["cat", "mark"], {}))
print(attempt(os.execve, f"/proc/self/fd/{fd}", ["cat", "mark"], {}))
"""
UNLINKED = """
import shutil
shutil.copy("/usr/bin/touch", "cat")
fd = os.open("cat", os.O_RDONLY)
os.unlink("cat")
print(attempt(os.execve, fd, ["cat", "mark"], {}))
"""


@pytest.mark.parametrize(
    "code",
    [LOADER, BY_DESCRIPTOR, EMPTY_PATH, MEMORY_FILE, UNLINKED],
    ids=["loader", "fexecve", "empty", "memfd", "unlinked"],
)
def test_without_a_name(cage: Cage, code: str) -> None:
    cage.profile(PROFILE)
    cage.escape(cage.script(code), (cage.COMMANDS, cage.EXEC), guarded=["mark"])


def test_allowed_commands_run(cage: Cage) -> None:
    cage.profile(PROFILE)
    outcome = cage.run("env nice true && echo README.md | xargs cat").ok()
    assert outcome.stdout == b"# example\n"
