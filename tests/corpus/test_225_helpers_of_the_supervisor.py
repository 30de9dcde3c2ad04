"""Escape 225: slow down, limit or signal the git that answers for the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

CODE = """
import resource
os.mkdir("build")
open("build/1", "w").close()
helpers = []
for name in os.listdir("/proc"):
    if name.isdecimal():
        try:
            words = open(f"/proc/{name}/cmdline", "rb").read()
            parent = int(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"cat-file" in words and parent == supervisor():
            helpers.append(int(name))
print(json.dumps([
    len(helpers),
    [attempt(os.setpriority, 0, pid, 19) for pid in helpers],
    [attempt(resource.prlimit, pid, resource.RLIMIT_AS, (1, 1)) for pid in helpers],
    [attempt(os.kill, pid, 0) for pid in helpers],
]))
"""


def test_they_are_not_the_runs(cage: Cage) -> None:
    cage.both("echo build/ > .gitignore; git add .gitignore; git commit -qm ignore")
    cage.profile('[scope]\nwrite = ["src/**", "probe.py"]\n')
    found, *answers = cage.probe(CODE)
    assert found == 1
    assert answers == [["EPERM"], ["EPERM"], ["EPERM"]]
