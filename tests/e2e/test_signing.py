"""Signed commits: git's signer reaches the user's agent, nobody else does, and no key file is read."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

HOSTS = "scope.hosts"
# Asks the agent from within the signer itself: for its keys, and for a signature of what a login would be.
PRELOADED = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static unsigned char buf[65536];
static int ask(int s, const unsigned char *m, int n) {
    unsigned char head[4] = {n >> 24, n >> 16, n >> 8, n};
    if (write(s, head, 4) != 4 || write(s, m, n) != n || read(s, buf, 4) != 4) return -1;
    int want = buf[2] << 8 | buf[3], got = 0;
    while (got < want) { int r = read(s, buf + got, want - got); if (r <= 0) return -1; got += r; }
    return buf[0];
}
static int put(unsigned char *to, const void *data, int n) {
    to[0] = n >> 24; to[1] = n >> 16; to[2] = n >> 8; to[3] = n; memcpy(to + 4, data, n); return n + 4;
}
__attribute__((constructor)) static void start(void) {
    if (strcmp(program_invocation_short_name, "ssh-keygen")) return;
    struct sockaddr_un to = {AF_UNIX};
    strcpy(to.sun_path, getenv("SSH_AUTH_SOCK"));
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    FILE *out = fopen(getenv("TOLD"), "w");
    if (connect(s, (void *)&to, sizeof to)) { fprintf(out, "not connected\\n"); fclose(out); return; }
    unsigned char one = 11, message[4096] = {13};
    int type = ask(s, &one, 1), size = buf[5] << 24 | buf[6] << 16 | buf[7] << 8 | buf[8], n = 1;
    fprintf(out, "keys %d %d\\n", type, buf[4]);
    n += put(message + n, buf + 9, size);
    n += put(message + n, "\\0\\0\\0\\4abcd2....", 13);
    n += 4;
    fprintf(out, "login %d\\n", ask(s, message, n));
    one = 19;
    fprintf(out, "remove all %d\\n", ask(s, &one, 1));
    fclose(out);
}
"""


@pytest.fixture
def home(short_home: Path) -> Path:
    return short_home  # gpg-agent listens in it


def git(govrun: Govrun, *words: str) -> str:
    done = govrun.bare("git", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def configure(govrun: Govrun, **values: str) -> None:
    for key, value in values.items():
        git(govrun, "config", "--global", key.replace("__", "."), value)


@pytest.fixture
def ssh(govrun: Govrun, home: Path) -> Path:
    """Two keys, the first of which git is to sign with; no agent yet. The folder of the keys."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    for name in ("id_ed25519", "other"):
        made = govrun.bare("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name))
        assert made.returncode == 0, made.stderr
    (home / "allowed").write_text(f"ada@example.com {(folder / 'id_ed25519.pub').read_text()}")
    signing = {"gpg__format": "ssh", "user__signingkey": "~/.ssh/id_ed25519.pub", "commit__gpgsign": "true"}
    configure(govrun, **signing, gpg__ssh__allowedSignersFile=str(home / "allowed"))
    return folder


@pytest.fixture
def agent(govrun: Govrun, ssh: Path, home: Path) -> Iterator[Path]:
    """The socket of an ssh-agent that holds both keys."""
    path = home / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE, env=govrun.env)
    assert process.stdout is not None
    process.stdout.readline()
    govrun.env["SSH_AUTH_SOCK"] = str(path)
    added = govrun.bare("ssh-add", "-q", str(ssh / "id_ed25519"), str(ssh / "other"))
    assert added.returncode == 0, added.stderr
    yield path
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)


def signed(govrun: Govrun, what: str = "HEAD") -> str:
    return git(govrun, "log", "-1", "--format=%G?", what).strip()


@pytest.mark.needs("ssh-agent", "notify", landlock=2)
@pytest.mark.parametrize("key", ["path", "private", "literal"])
def test_commits_and_tags_are_signed_by_the_ssh_agent(govrun: Govrun, agent: Path, ssh: Path, key: str) -> None:
    public = (ssh / "id_ed25519.pub").read_text().strip()
    if key != "path":
        configure(govrun, user__signingkey=f"key::{public}" if key == "literal" else str(ssh / "id_ed25519"))
    # What the user's environment configures is withheld, and not to be counted on.
    govrun.env.update(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="color.ui", GIT_CONFIG_VALUE_0="false")
    script = "echo y > f && git add f && git commit -qm one && git commit -qS --allow-empty -m two && git tag -sm t v1"
    outcome = govrun("sh", "-c", script).ok()
    assert outcome.denied() == []
    assert [signed(govrun, each) for each in ("HEAD", "HEAD~1", "HEAD~2")] == ["G", "G", "N"]
    git(govrun, "verify-commit", "HEAD")
    git(govrun, "verify-tag", "v1")
    asked = [each for each in outcome.records(kind="net.connect") if each.get("op", {}).get("unix") == str(agent)]
    assert asked
    assert {each["actor"]["exe"] for each in asked} == {"/usr/bin/ssh-keygen"}
    assert git(govrun, "notes", "--ref", "govrun", "show", "HEAD")  # the note names the commit as it was signed


@pytest.mark.needs("ssh-agent", "notify", landlock=2)
@pytest.mark.parametrize(
    "command",
    [
        """python3 -c 'import os, socket; socket.socket(socket.AF_UNIX).connect(os.environ["SSH_AUTH_SOCK"])'""",
        "ssh-add -l",
        "ssh-add -D",
        "git -c alias.x='!ssh-add -l' x",
        # The signer, but not as git starts it.
        "echo x > p; ssh-keygen -Y sign -n git -U -f pub p",
        "echo x > p; git -c alias.x='!exec ssh-keygen -Y sign -n file -U -f pub p' x",
        # Another program in its place.
        "cp /usr/bin/ssh-keygen mine; git -c gpg.ssh.program=$PWD/mine commit --allow-empty -m x",
    ],
)
def test_nobody_else_reaches_the_agent(govrun: Govrun, agent: Path, ssh: Path, repo: Path, command: str) -> None:
    (repo / "pub").write_text((ssh / "id_ed25519.pub").read_text())
    outcome = govrun("sh", "-c", command)
    assert outcome.code != 0
    assert outcome.denied(HOSTS), outcome.stderr
    assert f"{agent}: the agent is for git alone" in outcome.stderr
    assert not (repo / "p.sig").exists()
    assert len(govrun.bare("ssh-add", "-l").stdout.splitlines()) == 2


@pytest.mark.needs("ssh-agent", "notify", landlock=2)
def test_another_key_of_the_agent_is_not_there(govrun: Govrun, agent: Path, ssh: Path) -> None:
    other = (ssh / "other.pub").read_text().strip()
    command = f"git -c user.signingkey={shlex.quote('key::' + other)} commit --allow-empty -m x"
    assert govrun.bare("sh", "-c", command).returncode == 0
    before = git(govrun, "rev-parse", "HEAD")
    # What the environment sets outranks the files; an option of git's outranks both.
    assert govrun("sh", "-c", command).code == 128
    assert git(govrun, "rev-parse", "HEAD") == before


@pytest.mark.needs("ssh-agent", "gcc", "notify", landlock=2)
def test_code_loaded_into_the_signer_gets_no_more_than_git(govrun: Govrun, agent: Path, repo: Path) -> None:
    (repo / "p.c").write_text(PRELOADED)
    script = "gcc -shared -fPIC -o p.so p.c && TOLD=$PWD/told LD_PRELOAD=$PWD/p.so git commit -q --allow-empty -m x"
    # Bare it gets everything: both keys (12 is the answer with keys), a signature (14), and can empty the agent (6).
    assert govrun.bare("sh", "-c", script).returncode == 0  # signed with the key file, since the agent has none left
    assert (repo / "told").read_text() == "keys 12 2\nlogin 14\nremove all 6\n"
    assert govrun.bare("ssh-add", "-q", str(govrun.home / ".ssh/id_ed25519")).returncode == 0
    assert govrun.bare("ssh-add", "-q", str(govrun.home / ".ssh/other")).returncode == 0
    govrun("sh", "-c", script).ok()
    assert (repo / "told").read_text() == "keys 12 1\nlogin 5\nremove all 5\n"
    assert len(govrun.bare("ssh-add", "-l").stdout.splitlines()) == 2
    assert signed(govrun) == "G"


@pytest.mark.needs("ssh-agent", "notify", landlock=2)
def test_key_files_stay_unread_and_the_run_is_told_what_to_do(govrun: Govrun, ssh: Path) -> None:
    """Without an agent, and without that key in it."""
    assert govrun.bare("git", "commit", "-q", "--allow-empty", "-m", "bare").returncode == 0
    outcome = govrun("sh", "-c", "git commit --allow-empty -m x; cat ~/.ssh/id_ed25519", options=["--quiet"])
    assert outcome.code == 1
    assert git(govrun, "log", "-1", "--format=%s").strip() == "bare"
    assert "commits of this run cannot be signed: no ssh-agent is running" in outcome.stderr
    assert "run ssh-add with that key first" in outcome.stderr
    assert b"PRIVATE KEY" not in outcome.stdout


@pytest.mark.needs("ssh-agent", "notify", landlock=2)
def test_an_agent_without_the_key_is_told(govrun: Govrun, agent: Path, ssh: Path) -> None:
    assert govrun.bare("ssh-add", "-q", "-d", str(ssh / "id_ed25519")).returncode == 0
    outcome = govrun("git", "commit", "--allow-empty", "-m", "x")
    assert outcome.code == 128
    assert "the ssh-agent does not hold the key of user.signingkey" in outcome.stderr


def test_who_does_not_sign_has_no_agent(govrun: Govrun, home: Path) -> None:
    govrun.env["SSH_AUTH_SOCK"] = str(home / "agent.sock")
    outcome = govrun("sh", "-c", "env; git commit -q --allow-empty -m x").ok()
    assert b"SSH_AUTH_SOCK" not in outcome.stdout
    assert b"GNUPGHOME" not in outcome.stdout
    assert "cannot be signed" not in outcome.stderr


# ---- OpenPGP ----------------------------------------------------------------------------------------------------


@pytest.fixture
def gpg(govrun: Govrun, home: Path) -> Iterator[str]:
    """The fingerprint of a key without a passphrase, in ~/.gnupg, with a gpg-agent running."""
    make = ["gpg", "--batch", "-q", "--pinentry-mode", "loopback", "--passphrase", ""]
    identity = "Ada Example <ada@example.com>"
    made = govrun.bare(*make, "--quick-gen-key", identity, "ed25519", "default", "never")
    assert made.returncode == 0, made.stderr
    listed = govrun.bare("gpg", "--batch", "--with-colons", "--list-keys").stdout.decode().splitlines()
    yield next(line.split(":")[9] for line in listed if line.startswith("fpr"))
    govrun.bare("gpgconf", "--kill", "gpg-agent")


@pytest.mark.needs("gpg", "notify", landlock=2)
@pytest.mark.timeout(120)
@pytest.mark.parametrize("key", ["committer", "named", "subkey"])
def test_commits_and_tags_are_signed_by_the_gpg_agent(govrun: Govrun, gpg: str, key: str) -> None:
    configure(govrun, commit__gpgsign="true")
    if key == "named":
        configure(govrun, user__signingkey=gpg)
    if key == "subkey":
        make = ["gpg", "--batch", "-q", "--pinentry-mode", "loopback", "--passphrase", ""]
        assert govrun.bare(*make, "--quick-add-key", gpg, "ed25519", "sign").returncode == 0
    outcome = govrun(
        "sh", "-c", "git commit -q --allow-empty -m one && git tag -sm t v1 && git verify-commit HEAD"
    ).ok()
    assert outcome.denied() == []
    assert signed(govrun) == "G"
    git(govrun, "verify-commit", "HEAD")
    git(govrun, "verify-tag", "v1")


@pytest.mark.needs("gpg", "notify", landlock=2)
@pytest.mark.timeout(120)
def test_the_gpg_agent_is_for_git_alone(govrun: Govrun, gpg: str, repo: Path) -> None:
    configure(govrun, commit__gpgsign="true")
    socket = govrun.bare("gpgconf", "--list-dirs", "agent-socket").stdout.decode().strip()
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({socket!r})"
    for command in (f'python3 -c "{connect}"', "echo x | gpg -bsa -o x.asc", "gpg-connect-agent 'KEYINFO --list' /bye"):
        outcome = govrun("sh", "-c", command)
        assert outcome.denied(HOSTS), outcome.stderr
        assert b"KEYINFO" not in outcome.stdout
    assert not (repo / "x.asc").exists()
    # A home of the run's own choice has no key, and the user's is not to be read.
    outcome = govrun(
        "sh", "-c", "cat ~/.gnupg/private-keys-v1.d/*; GNUPGHOME=$HOME/.gnupg git commit --allow-empty -m x"
    )
    assert outcome.code == 128
    assert outcome.stdout == b""


@pytest.mark.needs("gpg", "notify", landlock=2)
@pytest.mark.timeout(120)
def test_without_a_gpg_agent_the_run_is_told(govrun: Govrun, gpg: str) -> None:
    configure(govrun, commit__gpgsign="true")
    govrun.bare("gpgconf", "--kill", "gpg-agent")
    outcome = govrun("git", "commit", "--allow-empty", "-m", "x")
    assert outcome.code == 128
    assert "run gpgconf --launch gpg-agent first" in outcome.stderr


def test_another_signer_is_told(govrun: Govrun, home: Path) -> None:
    configure(govrun, commit__gpgsign="true", gpg__format="ssh", gpg__ssh__program="/opt/vault/sign")
    outcome = govrun("git", "commit", "--allow-empty", "-m", "x")
    assert outcome.code != 0
    assert "git is told to sign with /opt/vault/sign, which is not ssh-keygen of the system" in outcome.stderr
    assert os.environ.get("SSH_AUTH_SOCK", "none") not in outcome.stderr
