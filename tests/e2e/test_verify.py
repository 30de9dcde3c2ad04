"""``govrun verify``: somebody with a clone and the key of who ran it can tell whether the record stands up."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import git

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("notify", landlock=2)
FETCHED = ["refs/notes/govrun:refs/notes/govrun", "refs/govrun/*:refs/govrun/*"]
WORK = "echo x > f && git add f && git commit -qm one; echo y > ~/out; true"


@pytest.fixture
def clone(govrun: Govrun, repo: Path, tmp_path: Path) -> Path:
    """A clone of a repository in which a run made a commit, with notes and records fetched."""
    govrun("sh", "-c", WORK).ok()
    tree = tmp_path / "clone"
    git(govrun, tmp_path, "clone", "-q", str(repo), str(tree))
    git(govrun, tree, "fetch", "-q", "origin", *FETCHED)
    return tree


@pytest.fixture
def stranger(govrun: Govrun, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody else, whose installation has no key and trusts nobody."""
    home = tmp_path / "stranger"
    home.mkdir()
    shutil.copy(govrun.home / ".gitconfig", home)
    return {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}


def test_a_clone_verifies_with_the_key(govrun: Govrun, clone: Path, stranger: dict[str, str], tmp_path: Path) -> None:
    signers = tmp_path / "signers"
    line = govrun.cli("key").ok().stdout.decode()
    assert 'namespaces="govrun" ssh-ed25519 AAAA' in line
    signers.write_text(line)
    outcome = govrun.cli("verify", "HEAD", "--allowed-signers", signers, cwd=clone, env=stranger).ok()
    assert b" verified (native) PASSED: " in outcome.stdout
    told = json.loads(govrun.cli("verify", "--json", "--allowed-signers", signers, cwd=clone, env=stranger).stdout)
    assert (told["answer"], told["how"], told["status"]) == ("verified", "native", "PASSED")
    by_run = govrun.cli("verify", told["run"], "--allowed-signers", signers, cwd=clone, env=stranger).ok()
    assert b"verified" in by_run.stdout
    # Where it was made, its own key is believed; so is the reader's own list.
    govrun.cli("verify", cwd=clone).ok()
    listed = Path(stranger["HOME"]) / ".config/govrun/allowed_signers"
    listed.parent.mkdir(parents=True)
    listed.write_text(line)
    govrun.cli("verify", cwd=clone, env=stranger).ok()


def test_the_five_answers(govrun: Govrun, clone: Path, stranger: dict[str, str]) -> None:
    assert govrun.cli("verify", cwd=clone).code == 0
    untrusted = govrun.cli("verify", cwd=clone, env=stranger)
    assert untrusted.code == 2 and b"whom nobody here trusts" in untrusted.stdout
    missing = govrun.cli("verify", "HEAD~1", cwd=clone)
    assert missing.code == 3 and b"missing: no note of a run is on this commit" in missing.stdout
    git(govrun, clone, "commit", "-q", "--allow-empty", "-m", "by hand")
    (clone / "g").write_text("x")
    git(govrun, clone, "add", "g")
    git(govrun, clone, "commit", "-q", "-m", "other content")
    git(govrun, clone, "notes", "--ref=govrun", "copy", "HEAD~2", "HEAD")
    git(govrun, clone, "notes", "--ref=govrun", "copy", "HEAD~2", "HEAD~1")
    carried = govrun.cli("verify", cwd=clone)
    assert carried.code == 4 and b"carried" in carried.stdout
    equal = govrun.cli("verify", "HEAD~1", cwd=clone).ok()
    assert b"verified (tree-equal)" in equal.stdout
    text = git(govrun, clone, "notes", "--ref=govrun", "show", "HEAD~2").replace("reverts=0", "reverts=1")
    git(govrun, clone, "notes", "--ref=govrun", "add", "-f", "-m", text, "HEAD~2")
    refuted = govrun.cli("verify", "HEAD~2", cwd=clone)
    assert refuted.code == 1 and b"line 3 of its note says" in refuted.stdout


def test_after_rewrites(govrun: Govrun, repo: Path) -> None:
    """git carries no note through these; the record is found by what the commit holds."""
    git(govrun, repo, "switch", "-qc", "topic")
    govrun(
        "sh", "-c", "echo x > f && git add f && git commit -qm one; echo y > g && git add g && git commit -qm two"
    ).ok()
    topic = git(govrun, repo, "rev-parse", "topic").strip()
    git(govrun, repo, "switch", "-q", "main")
    git(govrun, repo, "merge", "-q", "--squash", "topic")
    git(govrun, repo, "commit", "-qm", "squashed")
    assert b"verified (tree-equal)" in govrun.cli("verify").ok().stdout
    # As a forge does it: another author, another committer, one parent.
    made = git(govrun, repo, "commit-tree", "-m", "by a button", "-p", "HEAD~1", f"{topic}^{{tree}}").strip()
    found = govrun.cli("verify", made).ok().stdout
    assert b"verified (tree-equal) PASSED" in found and b"no note names it here" in found
    git(govrun, repo, "switch", "-q", "topic")
    git(govrun, repo, "commit", "-q", "--amend", "-m", "said better")
    assert b"verified (tree-equal)" in govrun.cli("verify").ok().stdout
    # On another base the content is another one, and nothing is said of that.
    git(govrun, repo, "switch", "-qc", "other", "main~1")
    git(govrun, repo, "commit", "-q", "--allow-empty", "-m", "between")
    (repo / "h").write_text("z")
    git(govrun, repo, "add", "h")
    git(govrun, repo, "commit", "-qm", "more")
    git(govrun, repo, "cherry-pick", topic + "~1")
    assert govrun.cli("verify").code == 3
    git(govrun, repo, "notes", "--ref=govrun", "copy", topic + "~1", "HEAD")
    assert govrun.cli("verify").code == 4


def test_a_run_cannot_reach_the_key(govrun: Govrun, repo: Path) -> None:
    govrun("true").ok()
    key = govrun.state / "signing.key"
    assert len(key.read_bytes()) == 32
    outcome = govrun("sh", "-c", f'cat {key}; cp {key} k; python3 -c \'print(open("{key}", "rb").read())\'')
    assert outcome.code != 0 and key.read_bytes() not in outcome.stdout and not (repo / "k").exists()


def test_a_run_is_named_by_the_beginning_of_its_id_or_as_the_latest(govrun: Govrun, repo: Path) -> None:
    first, last = (govrun("sh", "-c", f"echo {name} > {name}; git add . && git commit -qm {name}").run for name in "ab")
    elsewhere = repo.parent / "elsewhere"
    git(govrun, repo, "worktree", "add", "-q", str(elsewhere))
    other = govrun("sh", "-c", "echo c > c; git add . && git commit -qm c", cwd=elsewhere).run
    for word, run in ((first[:20], first), (last.lower()[:24], last), ("latest", last)):
        assert govrun.cli("verify", word).ok().stdout.decode().startswith(f"{run} verified PASSED"), word
    assert last.encode() in govrun.cli("packet", "latest", "1").ok().stdout
    assert other.encode() in govrun.cli("verify", "latest", cwd=elsewhere).ok().stdout
    for word, why in ((first[:7], "cannot find the commit"), (first[:20] + "!", "cannot find the commit")):
        outcome = govrun.cli("verify", word)
        assert outcome.code == 2 and why in outcome.stderr
    # What is a revision is never taken for a run.
    git(govrun, repo, "tag", last[:20], "HEAD~2")
    git(govrun, repo, "tag", "latest", "HEAD~2")
    assert [govrun.cli("verify", word).code for word in (last[:20], "latest")] == [3, 3]


def test_inside_a_run_it_says_where_to_ask(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    govrun("sh", "-c", WORK).ok()
    (repo / "signers").write_bytes(govrun.cli("key").ok().stdout)
    own = [str(word) for word in govrun.argv()]
    for words, fix in ((["verify"], "--allowed-signers"), (["key"], "do it outside")):
        outcome = govrun(*own, *words)
        assert outcome.code == 2 and "govrun: this is a run" in outcome.stderr and fix in outcome.stderr
        assert "signing.key" not in outcome.stderr
    assert b"verified (native)" in govrun(*own, "verify", "--allowed-signers", "signers").ok().stdout


def test_a_list_that_names_no_key_is_an_error(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    govrun("sh", "-c", WORK).ok()
    empty = tmp_path / "empty"
    for text in ("", "# nobody\n", "ada ssh-rsa AAAA\n", 'ada namespaces="git" ssh-ed25519 AAAA\n'):
        empty.write_text(text)
        outcome = govrun.cli("verify", "--allowed-signers", empty)
        assert outcome.code == 2 and "empty' names no key" in outcome.stderr, text
        assert outcome.stdout == b""


def test_what_is_no_revision_and_no_list(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    assert govrun.cli("verify", "nowhere").code == 2
    assert govrun.cli("verify", "--allowed-signers", tmp_path / "none").code == 2
    (tmp_path / "bad").write_text("ada\n")
    outcome = govrun.cli("verify", "--allowed-signers", tmp_path / "bad")
    assert outcome.code == 2 and "bad:1 is no allowed signer" in outcome.stderr
    outside = govrun.cli("verify", cwd=tmp_path)
    assert outside.code == 2 and "this is no repository" in outside.stderr


def test_an_act_is_handed_on_with_its_proof(
    govrun: Govrun, clone: Path, stranger: dict[str, str], tmp_path: Path
) -> None:
    signers, packet, nowhere = tmp_path / "signers", tmp_path / "packet.json", tmp_path / "nowhere"
    signers.write_bytes(govrun.cli("key").ok().stdout)
    nowhere.mkdir()
    records = [json.loads(line) for line in govrun.cli("log", "--json").ok().stdout.splitlines()]
    (refused,) = (each for each in records if each.get("outcome") == "blocked")
    written = govrun.cli("packet", refused["run"][:20], str(refused["seq"]), cwd=clone, env=stranger).ok().stdout
    packet.write_bytes(written)
    asked = ["verify", "--packet", packet, "--allowed-signers", signers]
    told = govrun.cli(*asked, cwd=nowhere, env=stranger).ok().stdout.decode()
    assert "verified PASSED" in told and "scope.write" in told and "blocked" in told
    assert govrun.cli("verify", "--packet", packet, cwd=nowhere, env=stranger).code == 2
    packet.write_bytes(written.replace(b"blocked", b"allowed"))
    assert govrun.cli(*asked, cwd=nowhere, env=stranger).code == 1
    for words in (["packet", "latest", "9999"], ["packet", "nothing", "1"], ["verify", "--packet", tmp_path / "none"]):
        outcome = govrun.cli(*words, cwd=clone, env=stranger)
        assert outcome.code == 2 and "why:" in outcome.stderr and "fix:" in outcome.stderr


def test_a_file_that_is_too_large_is_no_packet(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    """Reading one costs up to thirty times its size."""
    packet = tmp_path / "packet.json"
    packet.write_bytes(b'{"kind":"govrun.packet/1","events":[' + b" " * (4 << 20) + b"]}")
    outcome = govrun.cli("verify", "--packet", packet)
    assert outcome.code == 2 and "is no packet" in outcome.stderr and "larger than 4 MiB" in outcome.stderr


def test_no_secret_reaches_a_clone(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    """Neither what lay there untracked, nor what was written and taken back, nor what a command line held."""
    untracked, taken_back, spoken = "untracked-9f31c0ffee", "taken-back-9f31c0ffee", "spoken-9f31c0ffee"
    (repo / "govrun.toml").write_text(
        'version = 1\n[[dependency]]\nid = "none"\ndeny = ["pypi:requests"]\nwhy = "one client"\n'
    )
    (repo / "notes.local").write_text(untracked)
    script = (
        f"echo 'import requests  # {taken_back}' > bad.py; ls > /dev/null; echo changed >> notes.local; "
        f"sh -c 'true {spoken}'; echo x > f; git add f; git commit -qm one"
    )
    outcome = govrun("sh", "-c", script).ok()
    assert outcome.run_dir is not None
    held = b"".join(path.read_bytes() for path in outcome.run_dir.rglob("*") if path.is_file())
    assert taken_back.encode() in held and spoken.encode() in held  # the state folder keeps what the clone must not
    clone = tmp_path / "clone"
    git(govrun, tmp_path, "clone", "-q", "--mirror", str(repo), str(clone))
    names = git(govrun, clone, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    whole = subprocess.run(
        ["git", "cat-file", "--batch"], input="\n".join(names).encode(), cwd=clone, env=govrun.env, capture_output=True,
        check=True,
    ).stdout  # fmt: skip
    assert outcome.run.encode() in whole
    for word in (untracked, taken_back, spoken):
        assert word.encode() not in whole


def test_the_users_ssh_key_signs_if_it_is_named(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    line = govrun.cli("key", "--use", str(key)).ok().stdout.decode()
    assert key.with_suffix(".pub").read_text().split()[1] in line
    run = govrun("sh", "-c", "echo x > y").ok().run
    (tmp_path / "signers").write_text(line)
    assert govrun.cli("verify", run, "--allowed-signers", str(tmp_path / "signers")).code == 0
    refused = govrun.cli("key", "--use", str(tmp_path / "signers"))
    assert refused.code != 0 and "it is no private key of OpenSSH" in refused.stderr
    assert govrun.cli("key").ok().stdout.decode() == line
    assert govrun.cli("key", "--use", "own").ok().stdout.decode() != line
    assert govrun.cli("verify", run, "--allowed-signers", str(tmp_path / "signers")).code == 0
