"""Remotes behind ssh: an approved push gets there, nothing else of a run logs in anywhere, no key file is read."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e.rule_kit import order
from tests.e2e.test_approvals import question

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

HOSTS = "scope.hosts"
HERE = Path(__file__).parent
pytestmark = pytest.mark.needs("ssh-agent", "userns", "notify", landlock=2)


class Place(NamedTuple):
    """``log`` has a line for every login and command of the server, ``bare`` is the repository there."""

    port: int
    log: Path
    bare: Path
    agent: Path

    @property
    def url(self) -> str:
        return f"ssh://{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1:{self.port}{self.bare}"

    def told(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def branches(self) -> set[str]:
        shown = subprocess.run(["git", "branch", "--format=%(refname:short)"], cwd=self.bare, capture_output=True)
        return set(shown.stdout.decode().split())


@pytest.fixture
def home(short_home: Path) -> Path:
    return short_home  # an ssh-agent listens in it


@pytest.fixture
def place(govrun: Govrun, home: Path, repo: Path, tmp_path: Path) -> Iterator[Place]:
    """A server, an agent whose key it lets in, known_hosts, and a remote ``origin``; the profile names the server."""
    there, keys, agent = tmp_path / "there", home / ".ssh", home / "agent.sock"
    keys.mkdir(mode=0o700)
    there.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / "id_ed25519"], check=True)
    shutil.copy(keys / "id_ed25519.pub", there / "authorized_keys")
    subprocess.run(["git", "init", "-q", "--bare", there / "a.git"], env=govrun.env, check=True)
    started = [
        subprocess.Popen([sys.executable, HERE / "ssh_server.py", there], stdout=subprocess.PIPE, env=govrun.env),
        subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.PIPE, env=govrun.env),
    ]
    try:
        told = [each.stdout.readline() for each in started if each.stdout is not None]
        made = Place(int(told[0]), there / "log", there / "a.git", agent)
        govrun.env["SSH_AUTH_SOCK"] = str(agent)
        subprocess.run(["ssh-add", "-q", keys / "id_ed25519"], env=govrun.env, check=True, capture_output=True)
        (keys / "known_hosts").write_text(f"[127.0.0.1]:{made.port} {(there / 'host_key.pub').read_text()}")
        subprocess.run(["git", "remote", "add", "origin", made.url], cwd=repo, env=govrun.env, check=True)
        profile(repo, made, '[[command]]\nid = "pushes"\nallow = ["vcs-remote"]\nwhy = "the team agreed"\n')
        yield made
    finally:
        for each in started:
            each.send_signal(signal.SIGTERM)
            each.communicate(timeout=10)


def profile(repo: Path, place: Place, rules: str = "", default: str = "") -> None:
    scope = f'[scope]\nhosts = ["127.0.0.1:{place.port}"]\n'
    (repo / "govrun.toml").write_text(f"version = 1\ndefault = {{ {default} }}\n{scope}{rules}")


def at_home(govrun: Govrun) -> list[str]:
    """What ssh takes for the user's home is written in passwd(5), whatever HOME says."""
    user = pwd.getpwuid(os.geteuid())
    text = f"{user.pw_name}:x:{user.pw_uid}:{user.pw_gid}::{govrun.home}:/bin/sh\n"
    (govrun.home / "passwd").write_text(text if user.pw_uid == 0 else f"root:x:0:0::/root:/bin/sh\n{text}")
    new = ["unshare", "-m"] if user.pw_uid == 0 else ["unshare", "--map-current-user", "-m", "--keep-caps"]
    script = 'mount --bind "$0" /etc/passwd && exec "$@"'
    dropped = [] if user.pw_uid == 0 else ["setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--"]
    return [*new, "sh", "-c", script, str(govrun.home / "passwd"), *dropped]


def run(govrun: Govrun, script: str, *options: str) -> Outcome:
    argv = [*at_home(govrun), *map(os.fsdecode, govrun.argv(*options, "--", "bash", "-c", script))]
    return govrun._spawn(argv, None, None, {}).wait()


def bare(govrun: Govrun, script: str) -> subprocess.CompletedProcess[bytes]:
    return govrun.bare(*at_home(govrun), "bash", "-c", script)


PUSH = "git push -q origin HEAD:refs/heads/topic"


def test_a_push_gets_there(govrun: Govrun, place: Place, repo: Path) -> None:
    outcome = run(govrun, f"{PUSH} && git fetch -q origin && git rev-parse origin/topic").ok()
    assert outcome.denied() == [], outcome.stderr
    assert place.branches() == {"topic"}
    assert [line.split()[0] for line in place.told()] == ["login", "git-receive-pack", "login", "git-upload-pack"]


def test_a_push_that_a_person_approves_gets_there_and_the_others_do_not(
    govrun: Govrun, place: Place, repo: Path
) -> None:
    profile(repo, place, default='ask = "wait", ask_timeout = 30')
    script = f"{PUSH}; echo $?; git push -q origin HEAD:refs/heads/second; echo $?"
    argv = [*at_home(govrun), *map(os.fsdecode, govrun.argv("--", "bash", "-c", script))]
    running = govrun._spawn(argv, None, None, {})
    first = question(govrun)
    assert place.told() == []  # nobody has even called
    assert order(govrun, "approve", first).returncode == 0
    second = question(govrun, {first})
    assert place.branches() == {"topic"}
    assert order(govrun, "deny", second).returncode == 0
    outcome = running.wait()
    assert outcome.stdout.split() == [b"0", b"126"], outcome.stderr
    assert place.branches() == {"topic"}
    assert [line.split()[0] for line in place.told()] == ["login", "git-receive-pack"]


def test_a_push_that_nobody_approves_does_not(govrun: Govrun, place: Place, repo: Path) -> None:
    assert bare(govrun, "git push -q origin HEAD:refs/heads/bare").returncode == 0
    seen = place.told()
    profile(repo, place)
    outcome = run(govrun, PUSH)
    assert outcome.code == 126
    assert place.branches() == {"bare"}
    assert place.told() == seen


LOGIN = "ssh -p $PORT $WHO@127.0.0.1"
ALONE = [
    "ssh-add -l",
    f"{LOGIN} true",
    f"""{LOGIN} "git-receive-pack '$BARE'" < /dev/null""",
    # With another program in place of the one that receives, for another repository, and told to git otherwise.
    "git push -q --receive-pack='touch mark; git-receive-pack' origin HEAD:topic",
    "git push -q ssh://$WHO@127.0.0.1:$PORT/elsewhere.git HEAD:topic",
    'git -c core.sshCommand="ssh -o Compression=no" push -q origin HEAD:topic',
    "cp /usr/bin/ssh mine; GIT_SSH=$PWD/mine GIT_SSH_VARIANT=ssh git push -q origin HEAD:topic",
    # Not by a push, but by another git, which says what it likes to the other side.
    """git -c protocol.ext.allow=always fetch "ext::ssh -p $PORT $WHO@127.0.0.1 git-receive-pack% '$BARE'" """,
    # What loads into ssh or git, or tells libcrypto to.
    "OPENSSL_CONF=$PWD/x.cnf git push -q origin HEAD:topic",
    "LD_BIND_NOW=1 git push -q origin HEAD:topic",
    # An archive is neither a push nor a fetch.
    "git archive --remote=origin HEAD",
]


@pytest.mark.parametrize("command", ALONE)
def test_nobody_else_logs_in(govrun: Govrun, place: Place, repo: Path, command: str) -> None:
    who = pwd.getpwuid(os.geteuid()).pw_name
    govrun.env.update(PORT=str(place.port), BARE=str(place.bare), WHO=who)
    outcome = run(govrun, command)
    assert outcome.code != 0
    assert outcome.denied(HOSTS), outcome.stderr
    assert "the agent is for git alone" in outcome.stderr
    assert place.told() == [], outcome.stderr
    assert place.branches() == set()


def test_a_hook_of_the_push_does_not_log_in(govrun: Govrun, place: Place, repo: Path) -> None:
    """It is a child of git too, and what it becomes has the arguments that git gives."""
    words = shlex.quote(f"git-receive-pack '{place.bare}'")
    hook = repo / ".git" / "hooks" / "pre-push"
    who = pwd.getpwuid(os.geteuid()).pw_name
    hook.write_text(f"#!/bin/sh\nexec ssh -p {place.port} {who}@127.0.0.1 {words}\n")
    hook.chmod(0o755)
    outcome = run(govrun, PUSH)
    assert outcome.denied(HOSTS), outcome.stderr
    assert place.told().count("login") == 1
    assert place.branches() == set()


def test_keys_stay_unread_and_a_later_remote_is_not_reached(govrun: Govrun, place: Place, repo: Path) -> None:
    other = place.url.replace("a.git", "b.git")
    script = f"cat ~/.ssh/id_ed25519; cat ~/.ssh/known_hosts; git remote add late {other}; git push -q late HEAD:topic"
    outcome = run(govrun, script)
    assert b"PRIVATE KEY" not in outcome.stdout and b"127.0.0.1" in outcome.stdout
    assert outcome.denied(HOSTS), outcome.stderr
    assert place.told() == []


def test_what_hides_known_hosts_itself_is_kept_to(govrun: Govrun, place: Place, repo: Path) -> None:
    text = (repo / "govrun.toml").read_text()
    (repo / "govrun.toml").write_text(text.replace("[scope]\n", '[scope]\nhide = ["~/.ssh/**"]\n'))
    outcome = run(govrun, f"cat ~/.ssh/known_hosts; {PUSH}; env")
    assert b"127.0.0.1" not in outcome.stdout and b"SSH_AUTH_SOCK" not in outcome.stdout
    assert "hide of govrun.toml:4 covers known_hosts" in outcome.stderr
    assert place.told() == []


def test_a_host_that_known_hosts_does_not_name_is_told(govrun: Govrun, place: Place) -> None:
    (govrun.home / ".ssh" / "known_hosts").write_text("")
    outcome = run(govrun, PUSH)
    assert outcome.code != 0
    assert "known_hosts names no key of 127.0.0.1; log in there once yourself" in outcome.stderr
    assert place.told() == []
