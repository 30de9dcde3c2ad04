"""``[scope] push`` and ``pull_requests``: what may be pushed where, and which requests may be opened."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import git, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

pytestmark = pytest.mark.needs("landlock", "notify", "git")
PROFILE = """version = 1
[scope]
write = ["**", "~/remote.git/**", "~/other.git/**"]
hosts = ["127.0.0.1:*"]
push  = ["origin agent/*", "origin +agent/wip/*", "refs/tags/agent-*"]
pull_requests = { base = ["main", "release/*"], draft = true }
adr   = "0003"
[[command]]
id    = "pushing"
why   = "scope.push says what"
allow = ["vcs-remote"]
"""
REFUSED = {
    "the branch that is checked out": "git push -q",
    "by name": "git push -q origin main",
    "by HEAD": "git push -q origin HEAD",
    "onto it": "git push -q origin agent/x:main",
    "onto it, in full": "git push -q origin agent/x:refs/heads/main",
    "one of two": "git push -q origin agent/x main",
    "another remote": "git push -q other agent/x",
    "another address": "git push -q ~/other.git agent/x",
    "a tag": "git push -q origin v1",
    "tags": "git push -q origin agent/x --tags",
    "all": "git push -q --all origin",
    "mirror": "git push -q --mirror origin",
    "forced": "git push -q -f origin agent/x",
    "forced by plus": "git push -q origin +agent/x",
    "forced with lease": "git push -q --force-with-lease origin agent/x",
    "forced, cut short": "git push -q --force-w origin agent/x",
    "deleted": "git push -q origin --delete agent/there",
    "deleted by colon": "git push -q origin :agent/there",
    "main deleted": "git push -q origin :main",
    "pruned": "git push -q --prune origin 'refs/heads/agent/*:refs/heads/agent/*'",
    "matching": "git push -q origin :",
    "a wider pattern": "git push -q origin 'refs/heads/*:refs/heads/*'",
    "through -C": "cd src; git -C .. push -q origin main",
    "through an alias": "git config alias.up push; git up -q origin main",
    "another push.default": "git -c push.default=matching push -q origin",
    "a configured refspec": "git config remote.origin.push agent/x:main; git push -q origin",
    "a configured address": "git config remote.origin.url ~/other.git; git push -q origin agent/x",
    "a configured push address": "git config remote.origin.pushurl ~/other.git; git push -q origin agent/x",
    "another address by variable": "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=$HOME/other.git git push -q origin agent/x",
    "followed tags": "git push -q --follow-tags origin agent/x",
    "send-pack": "git send-pack --quiet ~/remote.git agent/x:refs/heads/main",
    "send-pack of all": "git send-pack --quiet --all ~/remote.git",
    "python": "python3 -c \"import subprocess; subprocess.run(['git', 'push', '-q', 'origin', 'main'])\"",
}
PUSHED = {
    "by name": "git push -q origin agent/x",
    "in full": "git push -q origin refs/heads/agent/x",
    "from elsewhere": "git push -q origin HEAD:refs/heads/agent/y",
    "checked out": "git switch -q agent/x; git push -q origin HEAD",
    "by default": "git switch -q agent/x; git push -q origin",
    "upstream, and again": "git push -q -u origin agent/x; git push -q origin agent/x:agent/z",
    "forced where it may be": "git push -q -f origin agent/x:agent/wip/x; git push -q origin +main:agent/wip/x",
    "deleted where it may be": "git push -q origin agent/x:agent/wip/x; git push -q origin :refs/heads/agent/wip/x; git push -q origin agent/x",
    "a pattern": "git push -q origin 'refs/heads/agent/*:refs/heads/agent/more/*'",
    "a tag anywhere": "git tag agent-1; git push -q other agent-1; git push -q origin agent/x",
}


def heads(govrun: Govrun) -> dict[str, str]:
    """The refs of both remotes."""
    return {
        name: git(govrun, govrun.home / name, "for-each-ref", "--format=%(refname) %(objectname)")
        for name in ("remote.git", "other.git")
    }


@pytest.fixture
def tree(govrun: Govrun, repo: Path) -> Path:
    tree_of(govrun, repo, PROFILE, {"src/a": "1\n"})
    git(govrun, repo, "branch", "agent/there")
    for name, remote in (("remote", "origin"), ("other", "other")):
        git(govrun, repo, "clone", "-q", "--bare", ".", str(govrun.home / f"{name}.git"))
        git(govrun, repo, "remote", "add", remote, str(govrun.home / f"{name}.git"))
        git(govrun, govrun.home / f"{name}.git", "config", "http.receivepack", "true")
        git(govrun, govrun.home / f"{name}.git", "config", "receive.denyDeleteCurrent", "ignore")
    git(govrun, repo, "config", "push.autoSetupRemote", "true")
    git(govrun, repo, "fetch", "-q", "--all")
    git(govrun, repo, "branch", "-q", "-u", "origin/main")
    (repo / "src/a").write_text("2\n")
    git(govrun, repo, "commit", "-qam", "two")
    git(govrun, repo, "tag", "-am", "v1", "v1")
    git(govrun, repo, "branch", "agent/x")
    return repo


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_else_is_pushed(govrun: Govrun, tree: Path, name: str) -> None:
    before = heads(govrun)
    outcome = govrun("bash", "-c", REFUSED[name])
    assert heads(govrun) == before, outcome.stderr
    found = outcome.denied("scope.push")
    assert found and found[0]["kind"] == "exec" and found[0]["adr"] == "0003", outcome.stderr


def test_each_would_be_a_push(govrun: Govrun, tree: Path) -> None:
    """Without the rule something is pushed."""
    (tree / "govrun.toml").write_text(PROFILE.replace("push ", "# push "))
    config = (tree / ".git/config").read_text()
    remotes = [govrun.home / name for name in ("remote.git", "other.git")]
    for each in remotes:
        shutil.copytree(each, f"{each}.start")
    for name, script in REFUSED.items():
        for each in remotes:
            shutil.rmtree(each)
            shutil.copytree(f"{each}.start", each)
        (tree / ".git/config").write_text(config)
        git(govrun, tree, "fetch", "-q", "--all", "--prune")
        before = branches(govrun)
        outcome = govrun("bash", "-c", script)
        assert not outcome.denied("scope.push")
        assert branches(govrun) != before, (name, outcome.stderr)


def branches(govrun: Govrun) -> list[str]:
    return [line for shown in heads(govrun).values() for line in shown.splitlines() if "refs/govrun" not in line]


@pytest.mark.parametrize("name", PUSHED)
def test_what_may_be_pushed_is(govrun: Govrun, tree: Path, name: str) -> None:
    before = heads(govrun)
    outcome = govrun("bash", "-ec", PUSHED[name]).ok()
    assert heads(govrun) != before and not outcome.denied(), outcome.stderr


def test_the_reason_is_whole(govrun: Govrun, tree: Path) -> None:
    outcome = govrun("git", "push", "origin", "main")
    told = next(line for line in outcome.stderr.splitlines() if "denied by scope.push" in line)
    for word in ("git push", "refs/heads/main", "origin agent/*", "ADR 0003", "git push origin agent/topic"):
        assert word in told
    assert "scope.push<-0003=1" in note(govrun, tree)


SERVER = """
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT=sys.argv[1], GIT_HTTP_EXPORT_ALL="1", REMOTE_USER="x", PATH_INFO=path,
            QUERY_STRING=query, REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type", ""), REMOTE_ADDR="127.0.0.1",
            CONTENT_LENGTH=str(len(body)), GIT_PROTOCOL=self.headers.get("Git-Protocol", ""))
        if self.headers.get("Content-Encoding"): env["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
        head, _, rest = out.partition(b"\\r\\n\\r\\n")
        lines = [line.split(b": ", 1) for line in head.split(b"\\r\\n")]
        self.send_response(int(dict(lines).get(b"Status", b"200")[:3]))
        for key, value in lines:
            if key != b"Status": self.send_header(key.decode(), value.decode())
        self.end_headers(); self.wfile.write(rest)
    do_POST = do_GET
    def log_message(self, *words): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def by_http(govrun: Govrun, tree: Path) -> Iterator[Path]:
    env = govrun.env | {"PATH": os.environ["PATH"]}
    with subprocess.Popen([sys.executable, "-c", SERVER, str(govrun.home)], stdout=subprocess.PIPE, env=env) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        git(govrun, tree, "remote", "set-url", "origin", f"http://127.0.0.1:{port}/remote.git")
        yield tree
        server.terminate()


def test_over_http(govrun: Govrun, by_http: Path) -> None:
    """What git starts to carry out a push that was allowed says nothing of refs, and is part of it."""
    before = heads(govrun)
    outcome = govrun("bash", "-c", "git push -q origin agent/x && git fetch -q origin")
    assert outcome.code == 0 and heads(govrun) != before, outcome.stderr
    assert not outcome.denied()
    before = heads(govrun)
    outcome = govrun(
        "bash", "-c", "git push -q origin main; git send-pack -q --stateless-rpc --stdin ~/remote.git < /dev/null"
    )
    assert heads(govrun) == before and len(outcome.denied("scope.push")) == 2, outcome.stderr


# -------------------------------------------------------------------------------------------------- pull requests

OPENED = {
    "gh": [
        "gh pr create --draft --base main -t x -b y",
        "gh pr create -d -B release/1 --fill",
        "gh pr edit 1 --base main",
        "gh pr ready 1 --undo",
        "gh pr view 1",
        "gh pr comment 1 -b x",
        "gh api repos/a/b/pulls",
        "gh pr edit 1 --title x",
    ],
    "glab": [
        "glab mr create --draft -b main -f -y",
        "glab mr create --wip --target-branch main",
        "glab mr list",
        "glab mr note 1 -m x",
    ],
    "hub": ["hub pull-request -d -b main -m x", "hub pull-request --draft --base a:main"],
}
NOT_OPENED = {
    "gh": [
        "gh pr create --draft",
        "gh pr create --base main",
        "gh pr create -d -B topic",
        "gh pr new -d",
        "gh pr ready 1",
        "gh pr merge 1 --squash",
        "gh pr edit 1 -B topic",
        "gh pr revert 1 -d",
        "gh -R a/b pr create -B main",
        "gh api -X POST repos/a/b/pulls -f base=main",
        "gh api repos/a/b/pulls/1/merge -X PUT",
        "gh api graphql -f query='mutation { x }'",
        "GH_REPO=a/b gh pr merge --auto 1",
    ],
    "glab": [
        "glab mr create --draft",
        "glab mr create -b main",
        "glab mr merge 1",
        "glab mr update 1 --target-branch x",
        "glab mr update 1 --ready",
        "glab mr for 3 --draft",
        "glab api -X POST projects/1/merge_requests",
    ],
    "hub": ["hub pull-request -b main", "hub pull-request -d", "hub pull-request -d -b a:topic"],
}


def called(govrun: Govrun, tree: Path, tool: str, script: str) -> tuple[Outcome, bool]:
    """The tool leaves a mark and does nothing else."""
    folder = govrun.home.parent / "tools"
    folder.mkdir(exist_ok=True)
    (folder / tool).write_text('#!/bin/sh\ntouch "$MARK"\n')
    (folder / tool).chmod(0o755)
    mark = tree / "mark"
    mark.unlink(missing_ok=True)
    outcome = govrun("bash", "-c", script, env={"PATH": f"{folder}:{os.environ['PATH']}", "MARK": str(mark)})
    return outcome, mark.exists()


@pytest.mark.parametrize(("tool", "script"), [(tool, each) for tool, scripts in NOT_OPENED.items() for each in scripts])
def test_no_other_request_is_opened(govrun: Govrun, tree: Path, tool: str, script: str) -> None:
    outcome, marked = called(govrun, tree, tool, script)
    assert not marked, outcome.stderr
    found = outcome.denied("scope.pull_requests")
    assert found and found[0]["adr"] == "0003", outcome.stderr
    assert "gh pr create --draft --base main" in outcome.stderr


@pytest.mark.parametrize(("tool", "script"), [(tool, each) for tool, scripts in OPENED.items() for each in scripts])
def test_requests_that_are_as_asked(govrun: Govrun, tree: Path, tool: str, script: str) -> None:
    outcome, marked = called(govrun, tree, tool, script)
    assert marked and not outcome.denied(), outcome.stderr


def test_a_push_that_opens_one(govrun: Govrun, tree: Path) -> None:
    before = heads(govrun)
    outcome = govrun("bash", "-c", "git push -o merge_request.create -o merge_request.target=main origin agent/x")
    assert outcome.denied("scope.pull_requests") and heads(govrun) == before, outcome.stderr
