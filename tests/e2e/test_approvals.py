"""``then = "ask"``: the act waits in its call until a person answers, and silence is a no."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import order

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """version = 1
default = { ask = "wait", ask_timeout = 30 }
"""


@pytest.fixture
def remote(govrun: Govrun, repo: Path) -> Path:
    path = repo / "remote.git"
    (repo / "govrun.toml").write_text(PROFILE)
    subprocess.run(["git", "init", "-q", "--bare", path], env=govrun.env, check=True)
    subprocess.run(["git", "remote", "add", "origin", path], cwd=repo, env=govrun.env, check=True)
    return path


def branches(remote: Path) -> set[str]:
    shown = subprocess.run(["git", "branch", "--format=%(refname:short)"], cwd=remote, capture_output=True, text=True)
    return set(shown.stdout.split())


def question(govrun: Govrun, known: set[str] = frozenset()) -> str:
    """The id of the question that waits."""
    for _ in range(400):
        for line in order(govrun, "ps", "--json").stdout.splitlines():
            for each in json.loads(line).get("questions", []):
                if each["id"] not in known:
                    return str(each["id"])
        time.sleep(0.05)
    raise AssertionError("nothing is asked")


def push(branch: str) -> str:
    return f"git push -q origin HEAD:refs/heads/{branch}; echo push $?"


def test_an_approved_push_goes_on_and_the_next_one_is_asked_again(govrun: Govrun, repo: Path, remote: Path) -> None:
    running = govrun.start("bash", "-c", f"{push('one')}; {push('two')}")
    first = question(govrun)
    assert branches(remote) == set()
    assert order(govrun, "approve", first).returncode == 0
    second = question(govrun, {first})
    assert branches(remote) == {"one"}
    assert order(govrun, "approve", first).returncode == 1  # it is answered
    denied = order(govrun, "deny", second, "--why", "not on a Friday")
    assert denied.returncode == 0, denied.stderr
    outcome = running.wait()
    assert outcome.stdout.decode().split() == ["push", "0", "push", "126"]
    assert branches(remote) == {"one"} and "not on a Friday" in outcome.stderr
    said = [each["op"]["call"] for each in outcome.journal if each["kind"] == "operator"]
    assert said == ["approve", "deny"]


def test_nobody_answers(govrun: Govrun, repo: Path, remote: Path) -> None:
    (repo / "govrun.toml").write_text(PROFILE.replace("30", "1"))
    began = time.monotonic()
    outcome = govrun("bash", "-c", push("one"))
    assert time.monotonic() - began >= 1
    assert outcome.stdout == b"push 126\n" and branches(remote) == set()
    assert "nobody answered in 1 s" in outcome.stderr


def test_without_a_terminal_it_is_refused_at_once(govrun: Govrun, repo: Path, remote: Path) -> None:
    """As the default pack comes: `ask` is `auto`."""
    (repo / "govrun.toml").unlink()
    outcome = govrun("bash", "-c", push("one"))
    assert outcome.stdout == b"push 126\n" and branches(remote) == set()
    assert "by ask-push (pack:default:" in outcome.stderr


def test_a_profile_answers_a_pack(govrun: Govrun, repo: Path, remote: Path) -> None:
    (repo / "govrun.toml").write_text('version = 1\n[[command]]\nid = "p"\nwhy = "a mirror"\nallow = ["vcs-remote"]\n')
    assert govrun("bash", "-c", push("one")).stdout == b"push 0\n"
    assert branches(remote) == {"one"}


def test_for_the_run(govrun: Govrun, repo: Path, remote: Path) -> None:
    running = govrun.start("bash", "-c", f"{push('one')}; {push('one')}; {push('two')}")
    first = question(govrun)
    assert order(govrun, "approve", first, "--for-run").returncode == 0
    second = question(govrun, {first})  # the same act passes, another one is asked
    assert order(govrun, "deny", second).returncode == 0
    assert running.wait().stdout.decode().split() == ["push", "0", "push", "0", "push", "126"]


def test_pause_resume_and_stop(govrun: Govrun, repo: Path) -> None:
    running = govrun.start("bash", "-c", "touch ready; while sleep 0.02; do date +%N > tick; done")
    while not (repo / "tick").exists():
        time.sleep(0.02)
    assert order(govrun, "pause").returncode == 0
    time.sleep(0.2)
    seen = (repo / "tick").read_text()
    time.sleep(0.3)
    assert (repo / "tick").read_text() == seen
    assert order(govrun, "resume").returncode == 0
    for _ in range(200):
        if (repo / "tick").read_text() not in (seen, ""):
            break
        time.sleep(0.02)
    else:
        raise AssertionError("it does not go on")
    assert order(govrun, "stop").returncode == 0
    outcome = running.wait()
    assert outcome.code == 122
    assert outcome.journal[-1]["op"]["reason"] == "operator"


def test_a_run_answers_for_nothing(govrun: Govrun, repo: Path, remote: Path) -> None:
    script = f"({push('one')}) & sleep 1; python3 -I -m supervisor approve 00 2>&1; wait"
    running = govrun.start("bash", "-c", script)
    found = question(govrun)
    assert order(govrun, "deny", found).returncode == 0
    outcome = running.wait()
    assert branches(remote) == set(), outcome.stderr


def execs(*paths: str, between: str = "pass") -> str:
    """One process that tries to become `git push` by each of these names."""
    words = ["git", "push", "-q", "origin", "HEAD:refs/heads/one"]
    tries = [f"try:\n os.execv({path!r}, {words!r})\nexcept OSError as error: print(error.errno)" for path in paths]
    return "import os\n" + f"\n{between}\n".join(tries)


@pytest.mark.needs("merged-usr")
@pytest.mark.parametrize(
    ("script", "asked", "refused"),
    [
        (execs("/usr/bin/git", "/bin/git", "/usr/bin/../bin/git"), 1, 3),
        # By the same name it is a new attempt; so it is after anything else.
        (execs("/usr/bin/git", "/usr/bin/git"), 2, 2),
        (execs("/usr/bin/git", "/bin/git", "/bin/git"), 2, 3),
        (execs("/usr/bin/git", "/bin/git", between="open('between', 'w').close()"), 2, 2),
        (execs("/usr/bin/git", "/bin/git", between="os.path.exists('/')"), 1, 2),
        (execs("/usr/bin/git", "/bin/git", between="os.getpid() and os.fork() and (os.wait(), os._exit(0))"), 2, 2),
    ],
    ids=["retry", "same name", "same retry", "something between", "nothing that is judged", "child"],
)
def test_a_no_holds_for_the_next_folder_of_path(
    govrun: Govrun, repo: Path, remote: Path, script: str, asked: int, refused: int
) -> None:
    (repo / "govrun.toml").write_text(PROFILE.replace("30", "1"))
    outcome = govrun("python3", "-I", "-c", script).ok()
    assert outcome.stdout == b"13\n" * refused and branches(remote) == set()
    assert len([each for each in outcome.records(kind="operator") if each["op"]["call"] == "unanswered"]) == asked
    told = [each["message"] for each in outcome.records(kind="exec", outcome="blocked")]
    assert len(told) == refused and all("nobody answered in 1 s" in each for each in told)


@pytest.mark.needs("merged-usr")
def test_a_shell_that_goes_on_to_the_next_folder(govrun: Govrun, repo: Path, remote: Path) -> None:
    (repo / "govrun.toml").write_text(PROFILE)
    running = govrun.start("dash", "-c", f"{push('one')}", env={"PATH": "/usr/bin:/bin"})
    assert order(govrun, "deny", question(govrun), "--why", "not now").returncode == 0
    outcome = running.wait()
    assert outcome.stdout == b"push 126\n" and branches(remote) == set()
    told = [each["message"] for each in outcome.records(kind="exec", outcome="blocked")]
    assert len(told) == 2 and all("not now" in each for each in told)


def test_an_approval_is_asked_for_after_a_no(govrun: Govrun, repo: Path, remote: Path) -> None:
    """What is remembered is a no of one process; the next one is asked again, and may be approved."""
    (repo / "govrun.toml").write_text(PROFILE)
    running = govrun.start("bash", "-c", f"{push('one')}; {push('one')}")
    first = question(govrun)
    assert order(govrun, "deny", first).returncode == 0
    assert order(govrun, "approve", question(govrun, {first})).returncode == 0
    assert running.wait().stdout.decode().split() == ["push", "126", "push", "0"] and branches(remote) == {"one"}
