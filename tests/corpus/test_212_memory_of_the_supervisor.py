"""Escape 212: what a run may make the supervisor remember is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RESIDENT = """
def resident():
    with open(f"/proc/{supervisor()}/status") as source:
        return next(int(line.split()[1]) for line in source if line.startswith("VmRSS"))
"""
ARGUMENTS = (
    RESIDENT
    + """
import subprocess
before = resident()
for _ in range(120):
    subprocess.run(["/bin/true"] + ["x" * 120_000] * 15)
print(resident() - before)
"""
)
NAMES = (
    RESIDENT
    + """
folder = ""
for _ in range(14):
    folder += "d" * 250 + "/"
    os.mkdir(folder)
before = resident()
for index in range(12_000):
    attempt(os.unlink, folder + "%05d" % index + "n" * 240)
print(resident() - before)
"""
)
MOST = 40_000  # kB


def test_long_arguments(cage: Cage) -> None:
    assert int(cage.run(cage.script(ARGUMENTS)).ok().stdout) < MOST


def test_long_names(cage: Cage) -> None:
    cage.both("echo '*.o' > .gitignore; git add .gitignore; git commit -qm ignore")
    assert int(cage.run(cage.script(NAMES)).ok().stdout) < MOST
