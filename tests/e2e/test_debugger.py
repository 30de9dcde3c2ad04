"""Debuggers: refused with the key that allows them, and with it at work on the run's own processes and no others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun
    from tests.e2e.conftest import Pair

pytestmark = pytest.mark.needs("yama")

DEBUG = "version = 1\n[scope]\ndebug = true\n"
KEY = "needs `debug = true` in [scope]"
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
static int twice(int x) { return x * 2; }
int main(void) { printf("%d\n", twice(21)); fflush(stdout); abort(); }
"""
# gdb keeps compiled Python beside its own files where it may, and asks for /proc/self/mem before it uses ptrace.
QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "DEBUGINFOD_URLS": ""}


def debugging(pair: Pair) -> None:
    for tree in (pair.tree, pair.twin_tree):
        (tree / "govrun.toml").write_text(DEBUG)
    pair.env.update(QUIET)


def lines(shown: bytes) -> list[bytes]:
    """What gdb printed, without process ids."""
    return [line for line in shown.splitlines() if not line.startswith((b"[New", b"[Inferior", b"[Thread"))]


ATTACHES = {
    "gdb": "gcc -g -o a.out a.c; gdb -batch -nx -ex run -ex bt ./a.out",
    "gdb attaches": "sleep 30 & gdb -batch -nx -p $! -ex bt; kill $!",
    "strace": "strace -o trace true",
    "strace attaches": "sleep 30 & timeout 2 strace -o trace -p $!; kill $!",
}


@pytest.mark.needs("gcc", "gdb", "strace")
@pytest.mark.parametrize("name", ATTACHES)
def test_refused_without_the_key(govrun: Govrun, repo: Path, name: str) -> None:
    (repo / "a.c").write_text(PROGRAM)
    outcome = govrun("bash", "-c", ATTACHES[name], env=QUIET)
    assert outcome.denied("govrun.processes")
    assert KEY in outcome.stderr
    assert b"42" not in outcome.stdout


@pytest.mark.needs("gcc", "gdb")
def test_breakpoints_and_backtrace(pair: Pair) -> None:
    debugging(pair)
    for tree in (pair.tree, pair.twin_tree):
        (tree / "a.c").write_text(PROGRAM)
    script = (
        "gcc -g -O0 -o a.out a.c; gdb -batch -nx -ex 'break twice' -ex run -ex bt -ex 'print x' -ex 'set var x = 4'"
        " -ex finish -ex continue -ex bt -ex kill ./a.out"
    )
    bare, outcome = pair.bare(script), pair.govrun("bash", "-ec", script, env=pair.env)
    assert b"$1 = 21" in bare.stdout and b"Value returned is $2 = 8" in bare.stdout and b"SIGABRT" in bare.stdout
    here = outcome.stdout.replace(bytes(pair.tree), b"@")
    assert lines(here) == lines(bare.stdout.replace(bytes(pair.twin_tree), b"@")), outcome.stderr
    assert outcome.code == bare.returncode == 0
    assert not outcome.denied("govrun.processes")


@pytest.mark.needs("gcc", "gdb")
def test_attach_to_a_process_of_the_run(pair: Pair) -> None:
    debugging(pair)
    for tree in (pair.tree, pair.twin_tree):
        (tree / "w.c").write_text(
            "#include <unistd.h>\n#include <sys/prctl.h>\nstatic int spins(void) { for (;;) usleep(1000); }\n"
            "int main(void) { prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); return spins(); }\n"
        )
    script = (
        "gcc -g -O0 -o w w.c; ./w & p=$!; sleep 0.3; gdb -batch -nx -p $p -ex bt -ex detach 2>/dev/null | "
        "grep -o '[a-z]* () at w.c:[34]'; kill $p; wait $p || echo $?"
    )
    bare, outcome = pair.bare(script), pair.govrun("bash", "-ec", script, env=pair.env)
    assert bare.stdout.splitlines()[-2:] == [b"main () at w.c:4", b"143"], bare.stderr
    assert outcome.stdout == bare.stdout, outcome.stderr
    assert not outcome.denied("govrun.processes")


@pytest.mark.needs("gcc", "make", "strace", "git")
def test_strace_follows_a_build(pair: Pair) -> None:
    """Everything in it is traced, so no exec is seen at its stop; who acts is known all the same."""
    debugging(pair)
    pair.both(
        "printf 'all: a.o\\n\\tgit add -A\\n\\tgit commit -qm built\\n%%.o: %%.c\\n\\tgcc -c $<\\n' > Makefile;"
        "echo 'int x;' > a.c; printf '*.o\\ntrace\\n' > .gitignore"
    )
    outcome = pair.same("strace -f -o trace -e trace=execve make -s; grep -c 'execve.* = 0' trace", skip=["trace"])
    started = outcome.records(kind="exec", phase="outcome")
    assert started and {each["outcome"] for each in started} <= {"succeeded", "failed"}, started
    assert pair.note()


@pytest.mark.needs("strace", "git")
def test_limits_hold_for_what_is_traced(govrun: Govrun, repo: Path) -> None:
    (repo / "govrun.toml").write_text(DEBUG + 'commands = ["bash", "strace", "git", "sh", "cat"]\n')
    script = (
        "git commit -q --allow-empty -m one; echo x > .git/hooks/pre-commit; echo x > $HOME/outside;"
        " git -c alias.x='!sh -c \"echo y > .git/hooks/pre-push\"' x; ls; cat README.md"
    )
    outcome = govrun("strace", "-f", "-o", "trace", "bash", "-c", script)
    assert outcome.stdout == b"# example\n", outcome.stderr
    assert not (govrun.home / "outside").exists()
    assert not (repo / ".git/hooks/pre-commit").exists() and not (repo / ".git/hooks/pre-push").exists()
    assert {each["invariant"] for each in outcome.denied()} >= {"scope.write", "scope.commands"}
    assert len(outcome.denied("git.internals")) >= 2, [each["invariant"] for each in outcome.denied()]


@pytest.mark.needs("gdb", "strace")
@pytest.mark.parametrize("words", ["gdb -batch -nx -p PID", "strace -o trace -p PID"])
def test_other_programs_of_the_user_stay_out(govrun: Govrun, repo: Path, words: str) -> None:
    (repo / "govrun.toml").write_text(DEBUG)
    with subprocess.Popen(["sleep", "60"]) as foreign:
        try:
            outcome = govrun("bash", "-c", words.replace("PID", str(foreign.pid)), env=QUIET)
        finally:
            foreign.kill()
    assert outcome.denied("govrun.processes")
    assert f"process {foreign.pid} does not belong to this run (ptrace)" in outcome.stderr


@pytest.mark.parametrize("key", [True, False])
def test_coverage_is_stated(govrun: Govrun, repo: Path, key: bool) -> None:
    (repo / "govrun.toml").write_text('version = 1\n[scope]\ncommands = ["true"]\n' + "debug = true\n" * key)
    told = json.loads(govrun.cli("explain", "--json").ok().stdout)
    coverage = {each["invariant"]: each["coverage"] for each in told["invariants"]}
    wanted = "observed" if key else "supervised"
    assert (coverage["govrun.exec"], coverage["scope.commands"]) == (wanted, wanted)
    assert coverage["govrun.processes"] in ("enforced", "supervised")
    banner = govrun("true").ok().stderr.splitlines()[0]
    assert ("debug: tracing inside the run is allowed, commands are observed" in banner) == key


def test_a_crash_is_reported_without_the_key(pair: Pair) -> None:
    """What a program tells of itself needs no tracing."""
    script = (
        "/usr/bin/python3 -X faulthandler -c 'import os; os.abort()' 2> said || echo $?; grep -c 'Fatal Python' said;"
        "/usr/bin/python3 -c 'import pdb; pdb.run(\"x = 1\")' <<< $'step\\nnext\\nquit' | tail -c 20"
    )
    pair.same(script, skip=["said"])
