"""What the tests of the kinds of rule share: a tree with decisions, and what a refusal has to leave behind."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record, Running


def git(govrun: Govrun, tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, env=govrun.env, capture_output=True, text=True, check=True)
    return done.stdout


def tree_of(govrun: Govrun, repo: Path, profile: str, files: Mapping[str, str]) -> Path:
    """``repo`` with these files, a decision 0003 and the profile, all committed."""
    decision = "---\nstatus: accepted\n---\n# Decided\n\nSo it is.\n"
    for name, text in {**files, "docs/adr/0003-decided.md": decision, "govrun.toml": profile}.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "tree")
    return repo


def order(govrun: Govrun, *words: str) -> subprocess.CompletedProcess[str]:
    """An operator's command, while the run goes on."""
    argv = govrun.argv(*words)
    return subprocess.run(argv, cwd=govrun.cwd, env=govrun.env, capture_output=True, text=True, timeout=30)


def until(found: Callable[[], Any], running: Running) -> Any:
    """What ``found`` gives once it gives something, while the run goes on."""
    end = time.monotonic() + 60
    while not (value := found()):
        assert running.process.poll() is None, running.wait().stderr
        assert time.monotonic() < end, running.journal()[-3:]
        time.sleep(0.02)
    return value


def paused(govrun: Govrun, running: Running) -> dict[str, Any]:
    """The run as `govrun ps` lists it, once it is paused."""

    def listed() -> dict[str, Any] | None:
        lines = [json.loads(line) for line in order(govrun, "ps", "--json").stdout.splitlines()]
        return next((each for each in lines if each["state"] == "paused"), None)

    return dict(until(listed, running))


def supervisor_of(running: Running) -> psutil.Process:
    """The guard's one child."""
    children = psutil.Process(running.process.pid).children()
    (found,) = [each for each in children if each.status() != psutil.STATUS_ZOMBIE]
    return found


def command_line(process: psutil.Process) -> list[str]:
    """Nothing where it has gone meanwhile, as most of a run's processes do at any moment."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def note(govrun: Govrun, tree: Path, commit: str = "HEAD") -> str:
    shown = govrun.bare("git", "notes", "--ref=govrun", "show", commit, cwd=tree)
    return shown.stdout.decode()


def reverted(outcome: Outcome) -> list[Record]:
    return outcome.records(phase="outcome", outcome="reverted")


def clean(outcome: Outcome) -> Outcome:
    """A harmless run: it ends well and nothing was refused, taken back or warned of."""
    outcome.ok()
    spoken = [each for each in outcome.journal if each.get("verdict") in ("warn", "ask", "deny", "revert", "pause")]
    assert not spoken, spoken
    return outcome


def taken_back(outcome: Outcome, rule: str, path: str) -> Record:
    """The record of the verdict by which ``path`` was taken back, or not let in: told to the agent, with the decision
    behind it."""
    names = ("path", "to")
    found = [each for each in outcome.denied(rule) if any(str(each["op"].get(n)).endswith(f"/{path}") for n in names)]
    assert found, (outcome.stderr, [each for each in outcome.journal if each.get("invariant")])
    assert reverted(outcome) or found[0]["outcome"] == "blocked", outcome.stderr
    assert rule in outcome.stderr and path in outcome.stderr
    assert found[0]["adr"] == "0003" and len(found[0]["adr_blob"]) == 40, found[0]
    return found[0]
