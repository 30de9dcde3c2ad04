"""Escape 209: use up the supervisor's descriptors, so that every call of everybody fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def _limited(cage: Cage, script: str) -> bytes:
    words = [str(word) for word in cage.govrun.argv("--", "bash", "-c", script)]
    done = cage.govrun.bare("bash", "-c", 'ulimit -n 128; exec "$@"', "bash", *words, env={"OUT": str(cage.outside)})
    return done.stdout + done.stderr


def test_many_processes_one_after_another(cage: Cage) -> None:
    told = _limited(cage, "for i in $(seq 200); do /bin/true || exit 1; done; echo x > late && echo through")
    assert b"through" in told, told


REFUSED = """
for _ in range(300):
    attempt(open, "/proc/self/status", "r+")
    attempt(os.listdir, "/proc/self")
    attempt(os.rename, "/proc/self/status", "x")
    attempt(os.chmod, "/proc/self/status", 0o777)
    attempt(os.open, "/dev/fd/99", os.O_WRONLY)
    attempt(os.link, "/proc/self/status", "README.md")
open("late", "w").close()
print("through")
"""


def test_refusals_close_what_they_opened(cage: Cage) -> None:
    assert b"through" in _limited(cage, cage.script(REFUSED))


WAITERS = """
os.mkfifo("p")
waiting = []
for _ in range(200):
    pid = os.fork()
    if pid == 0:
        attempt(os.open, "p", os.O_WRONLY)
        os._exit(0)
    waiting.append(pid)
answer = attempt(open, "late", "w")
for pid in waiting:
    os.kill(pid, signal.SIGKILL)
print("through" if answer == "ok" else answer)
"""


def test_many_that_wait(cage: Cage) -> None:
    """Opens that wait for a reader are held; they must not take what others need."""
    assert b"through" in _limited(cage, cage.script(WAITERS))
