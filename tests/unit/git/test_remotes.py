"""Which ssh destinations an address of git's means: what git itself hands to ssh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from supervisor.git import remotes

URLS = [
    *("git@h.example:a/b.git", "h.example:/srv/x", "h:~/x", "h:/~u/x", "[h:2222]:a/b", "u@[::1]:a", "[::1]:22:a"),
    *("[u@h:2222]:a", "u@[h:22]:a", "ssh://h.example/srv/a.git", "ssh://u@h:22/~/a", "ssh://u@[::1]:2222/a b"),
    *("ssh://[::1]/a", "git+ssh://h/a%20b", "ssh://h:/a", "ssh://h/it's!", "h:a'b!", "ssh://h:0022/x"),
    *("ssh://u:pw@h/x", "ssh://%75@h/x", "ssh://127.0.0.1:2022/srv/repo.git"),
]


@pytest.mark.parametrize("url", URLS)
def test_the_arguments_are_those_that_git_gives(tmp_path: Path, url: str) -> None:
    told = tmp_path / "told"
    (tmp_path / "ssh").write_text(f"#!/bin/sh\nfor each; do printf '%s\\0' \"$each\"; done > {told}\nexit 1\n")
    (tmp_path / "ssh").chmod(0o755)
    environment = {**os.environ, "GIT_SSH": str(tmp_path / "ssh"), "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(["git", "init", "-q", tmp_path], env=environment, check=True)
    subprocess.run(["git", "send-pack", url, "--all"], cwd=tmp_path, env=environment, capture_output=True)
    found = remotes.destination(url)
    assert found is not None
    assert list(found.words(push=True)) == told.read_text().split("\0")[:-1]


@pytest.mark.parametrize(
    "url",
    [
        *("", "/srv/x:y", "./a:b", "../a", "https://h/a", "file:///a", "git://h/a", "ext::sh", "foo::bar"),
        *(
            "ssh://h",
            "h:",
            "-oProxyCommand=x:a",
            "ssh://-oProxyCommand=x/a",
            "ssh://u@-h/a",
            "u@v@h:x",
            "h\n:x",
            "h x:y",
        ),
        *("ssh://h:22x/a", "[]:x", "h:a\0b", "[a]b:c"),
    ],
)
def test_what_is_no_destination(url: str) -> None:
    assert remotes.destination(url) is None


def test_remotes_after_instead_of(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        environment = {**os.environ, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *words], cwd=tmp_path, env=environment, check=True, capture_output=True)

    git("init", "-q", ".")
    git("remote", "add", "origin", "https://h.example/a.git")
    environ = {"HOME": str(tmp_path)}
    assert remotes.over_ssh(tmp_path, (tmp_path / ".git",), environ) == ((), ())
    git("config", "url.git@h.example:.pushInsteadOf", "https://h.example/")
    git("remote", "add", "team", "ssh://git@team.example:2222/b.git")
    found = remotes.over_ssh(tmp_path, (tmp_path / ".git",), environ)
    team = remotes.Destination("git@team.example", "2222", "/b.git")
    assert found.fetched == (team,)
    assert set(found.pushed) == {team, remotes.Destination("git@h.example", "", "a.git")}
    assert (team.host, team.user) == ("team.example", "git")
