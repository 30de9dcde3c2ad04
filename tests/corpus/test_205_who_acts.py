"""Escape 205: act as git: a fork whose parent has become git, and code loaded into git."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

FORK = """
import shutil, time
read, write = os.pipe()
parent = os.getpid()
if os.fork():
    os.dup2(read, 0)  # git waits for a question that never comes
    os.set_inheritable(0, True)
    os.execv("/usr/bin/git", ["git", "cat-file", "--batch"])
while os.readlink(f"/proc/{parent}/exe") == os.readlink("/proc/self/exe"):
    time.sleep(0.01)
shutil.rmtree(".git/objects", ignore_errors=True)
for name in (".git/index", ".git/refs/heads/main", ".git/packed-refs"):
    attempt(os.unlink, name)
attempt(open, ".git/refs/notes/govrun.lock", "w")
open("trace", "w").write("x")
"""


def test_forked_before_git(cage: Cage) -> None:
    """The child of a process that executes git later runs its own code, not git's."""
    cage.both("git notes --ref govrun add -m real HEAD")
    outcome = cage.run(cage.script(FORK) + "; true", timeout=30)
    assert cage.govrun.bare("git", "fsck", "--full").returncode == 0
    assert cage.govrun.bare("git", "log", "--oneline").stdout.endswith(b" base\n")
    assert cage.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD").stdout.startswith(b"real\n")
    assert not (cage.tree / ".git/refs/notes/govrun.lock").exists()
    assert (cage.tree / ".git/index").exists()
    cage.refused(outcome, cage.GIT)
    acts = [each for each in outcome.journal if str(each.get("op", {}).get("path", "")).endswith("/trace")]
    assert acts
    assert all("git" not in str(each.get("actor", {}).get("exe", "")) for each in acts if "actor" in each)


PRELOAD = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void act(void) {
    unlink(".git/packed-refs");
    unlink(".git/refs/notes/govrun");
    rename(".git/packed-refs", ".git/gone");
    int fd = open(".git/refs/notes/govrun.lock", O_WRONLY | O_CREAT, 0644);
    if (fd >= 0) close(fd);
}
"""


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("packed", [False, True])
def test_code_loaded_into_git(cage: Cage, packed: bool) -> None:
    """git's name alone is no reason to let the record go."""
    cage.both("git notes --ref govrun add -m real HEAD" + ("; git pack-refs --all" if packed else ""))
    (cage.tree / "p.c").write_text(PRELOAD)
    cage.both(f"cd {cage.tree} && gcc -shared -fPIC -o p.so p.c -include stdio.h")
    cage.run('LD_PRELOAD="$PWD/p.so" /usr/bin/git --version >/dev/null; true')
    assert cage.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD").stdout.startswith(b"real\n")
    assert not (cage.tree / ".git/refs/notes/govrun.lock").exists()
