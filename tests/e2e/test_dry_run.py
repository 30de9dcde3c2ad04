"""`govrun --dry-run -- COMMAND`: the plan of a run. Nothing starts, nothing is written; what a start would refuse it
refuses with the same words and the same code."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_bad_input import EPERM, LANDLOCK, SECCOMP, WITHOUT

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

MARK = ("touch", "mark")


def dry(govrun: Govrun, *command: str, options: tuple[str, ...] = (), **more: Any) -> Outcome:
    return govrun(*command, options=["--dry-run", *options], **more)


def document(govrun: Govrun, *command: str, options: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dry(govrun, *command, options=("--json", *options), **more).ok().stdout)
    return found


def everything(*folders: Path) -> dict[str, tuple[int, int, int]]:
    """Every name below, folders' own times included."""
    found = {}
    for folder in folders:
        for base, names, files in os.walk(folder):
            for path in (base, *(os.path.join(base, name) for name in (*names, *files))):
                info = os.lstat(path)
                found[path] = (info.st_ino, info.st_size, info.st_mtime_ns)
    return found


def test_nothing_is_written(govrun: Govrun, repo: Path, home: Path) -> None:
    before = everything(repo, home)
    told = dry(govrun, *MARK).ok()
    made = document(govrun, *MARK, options=("--agent", "claude"))["would_make"]
    assert made and len(made) == len(set(made))
    assert everything(repo, home) == before
    assert told.run_dir is None and not govrun.state.exists()
    text = told.stdout.decode()
    assert text.startswith("nothing was started, and nothing was written\n")
    assert text.endswith("nothing known would refuse this start\n")
    govrun("true").ok()  # with a state folder and a kept filter it is no different
    before = everything(repo, home)
    dry(govrun, *MARK).ok()
    assert everything(repo, home) == before


@pytest.mark.needs("userns")
def test_read_only_home(govrun: Govrun, repo: Path, home: Path, tmp_path: Path) -> None:
    """A home folder that takes no write: a plan where the state lies elsewhere, else what the start says."""
    line = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv())
    mount = f"mount --bind {home} {home} && mount -o remount,bind,ro {home} && cd {repo} && {line}"
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    before = everything(home, repo)
    done = govrun.bare("unshare", "-rm", "bash", "-c", f"{mount} --dry-run -- touch mark", env=elsewhere)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "state").exists() and not (tmp_path / "cache").exists()
    planned, real = (
        govrun.bare("unshare", "-rm", "bash", "-c", f"{mount} {option} -- touch mark") for option in ("--dry-run", "")
    )
    assert planned.returncode == real.returncode == 125, (planned.stderr, real.stderr)
    assert planned.stderr.splitlines()[0] == real.stderr.splitlines()[0]
    assert everything(home, repo) == before


def test_what_it_tells(govrun: Govrun, repo: Path, home: Path) -> None:
    (repo / "govrun.toml").write_text(
        'version = 1\n[scope]\nwrite = ["src/**"]\nprotect = ["src/app.py"]\nhosts = ["127.0.0.1:5432"]\n'
        'timeout = "5m"\nfiles = 200\n[[infra]]\nid = "layered"\nwhy = "one way"\napi = [{ host = "a.example" }]\n'
    )
    (home / ".ssh").mkdir()
    env = {"AWS_SECRET_ACCESS_KEY": "not-a-secret", "EDITOR": "not-a-value"}
    found = document(govrun, "git", "status", env=env, cwd=repo / "src")
    text = dry(govrun, "git", "status", env=env, cwd=repo / "src").ok().stdout.decode()
    blob = govrun.bare("git", "hash-object", "govrun.toml").stdout.decode().strip()
    base = govrun.bare("git", "rev-parse", "HEAD").stdout.decode().strip()
    assert found["command"] == ["git", "status"] and found["program"] == "/usr/bin/git"
    assert found["directory"] == str(repo / "src")
    assert found["tree"] == {"path": str(repo), "mode": "inplace", "branch": "refs/heads/main", "base": base}
    assert {each["name"]: each["blob"] for each in found["profile"]}["govrun.toml"] == blob
    assert [entry["value"] for layer in found["write"] for entry in layer] == ["src/**"]
    assert "src/app.py" in [entry["value"] for entry in found["protect"]]
    assert str(home / ".ssh") in found["hidden"] and str(govrun.state) in found["hidden"]
    assert [entry["value"] for layer in found["hosts"] for entry in layer] == ["127.0.0.1:5432"]
    assert found["limits"] == {"timeout": 300.0, "files": 200}
    assert "AWS_SECRET_ACCESS_KEY" in found["environment"]["withheld"] and "EDITOR" in found["environment"]["given"]
    coverage = {each["id"]: each["coverage"] for each in found["invariants"]}
    assert coverage["layered"] == "unenforceable" and coverage["scope.hide"] == "enforced"
    assert found["kernel"]["landlock_rules"]["agent"] > 10 and found["kernel"]["filter_instructions"] > 100
    for word in ("git status", str(repo / "src"), f"main at {base[:12]}", blob[:12], "src/**", "127.0.0.1:5432",
                 "300 s of wall clock", "200 open files", "unenforceable layered", str(found["kernel"]["landlock_abi"]),
                 "AWS_SECRET_ACCESS_KEY", "EDITOR"):  # fmt: skip
        assert word in text, word
    assert "not-a-secret" not in text and "not-a-value" not in text


def test_environment_is_what_the_command_gets(govrun: Govrun) -> None:
    script = "import os; print('\\n'.join(os.environ))"
    real = govrun("/usr/bin/python3", "-c", script).ok().stdout.decode().split()
    planned = document(govrun, "/usr/bin/python3", "-c", script)["environment"]["given"]
    assert sorted({*real} - {"LC_CTYPE"}) == planned  # which that Python adds itself


def test_rules_are_those_of_the_run(govrun: Govrun, repo: Path) -> None:
    """The invariants of the plan are the ones the banner counts, and the policy is the recorded one."""
    found = document(govrun, *MARK)
    outcome = govrun(*MARK).ok()
    assert f"{len(found['invariants'])} invariants:" in outcome.stderr
    assert {each["policy_blob"] for each in outcome.records(kind="run.start")} == {found["policy"]}


def test_which_agent_and_why(govrun: Govrun, repo: Path) -> None:
    assert "no pack names this command" in document(govrun, "true")["agent"]["why"]
    named = document(govrun, "true", options=("--agent", "mini-swe-agent"))["agent"]
    assert named == {"name": "mini-swe-agent", "why": "named by --agent"}
    program = repo / "mini"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert document(govrun, "./mini")["agent"] == {"name": "mini-swe-agent", "why": "the command runs 'mini'"}


@pytest.mark.parametrize(
    ("agent", "hosts", "warned"),
    [
        ("codex", None, ""),
        ("codex", ["127.0.0.1:5432"], "api.openai.com:443"),
        ("codex", [], "api.openai.com:443"),
        ("codex", ["10.0.0.0/8", "example.com:443"], "api.openai.com:443"),
        ("codex", ["api.openai.com:443"], ""),
        ("codex", ["*.openai.com:443", "127.0.0.1:5432"], ""),
        ("codex", ["*:443"], ""),
        ("pi", ["127.0.0.1:5432", "[::1]:1", "unix:/run/x.sock", "10.0.0.0/8"], "its provider"),
        ("pi", ["api.example.com:443"], ""),
        ("generic", ["127.0.0.1:5432"], ""),
    ],
)
def test_hosts_that_leave_the_model_out(
    govrun: Govrun, repo: Path, agent: str, hosts: list[str] | None, warned: str
) -> None:
    if hosts is not None:
        (repo / "govrun.toml").write_text(f"version = 1\n[scope]\nhosts = {json.dumps(hosts)}\n")
    notes = document(govrun, "true", options=("--agent", agent))["notes"]
    found = [note for note in notes if "reach its model" in note]
    assert len(found) == bool(warned) and all(warned in note and "govrun.toml:3" in note for note in found), notes
    assert ("reach its model" in dry(govrun, "true", options=("--agent", agent)).ok().stdout.decode()) == bool(warned)


def test_without_a_repository(govrun: Govrun, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    assert "no notes will be written" in dry(govrun, "true", cwd=plain).ok().stdout.decode()
    assert document(govrun, "true", cwd=plain)["tree"]["branch"] is None


@pytest.mark.parametrize(
    ("profile", "options", "command"),
    [
        ("version = 1\n[scope]\nwirte = []\n", (), MARK),
        ('version = 1\n[scope]\nhosts = ["300.1.2.3:1"]\n', (), MARK),
        ("", (), ("no-such-program",)),
        ("", (), ("./README.md",)),
        ("", ("--agent", "nobody"), MARK),
        ("", ("--require", "enforced"), MARK),
        ("", ("--root", "none"), MARK),
    ],
)
def test_same_error_as_the_start(
    govrun: Govrun, repo: Path, profile: str, options: tuple[str, ...], command: tuple[str, ...]
) -> None:
    if profile:
        (repo / "govrun.toml").write_text(profile)
    planned, real = dry(govrun, *command, options=options), govrun(*command, options=list(options))
    assert planned.code == real.code != 0
    assert planned.stderr == real.stderr
    assert planned.stdout == b""


@pytest.mark.parametrize(
    ("call", "error", "first"),
    [(LANDLOCK, EPERM, ""), (SECCOMP, EPERM, "1"), (SECCOMP, 16, "1"), (438, EPERM, ""), (446, EPERM, "")],
)
def test_same_end_where_the_kernel_refuses(govrun: Govrun, call: int, error: int, first: str) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        line = [os.fsdecode(word) for word in govrun.argv(*words)]
        return govrun.bare("/usr/bin/python3", "-I", "-c", WITHOUT, str(call), str(error), first, *line)

    planned, real = run("--dry-run", "--", *MARK), run("--", *MARK)
    assert planned.returncode == real.returncode == 125, (planned.stderr, real.stderr)
    assert planned.stdout == b"" and b"fix: " in planned.stderr
