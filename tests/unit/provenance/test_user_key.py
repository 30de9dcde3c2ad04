"""The user's own ssh key signs runs, if it is named; it is never replaced by another in silence."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from supervisor.provenance.answers import Answer
from supervisor.provenance.keys import NAMED, Trusted, allowed, in_use, own_key, own_public, use
from supervisor.vocabulary.errors import HostError
from tests.unit.provenance.test_publish import END, World, moved, publish
from tests.unit.provenance.test_verifying import a_run, at, verifier, world

__all__ = ["world"]


def made(place: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    key = place / f"id_{kind}"
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "me", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return key


def public(key: Path) -> bytes:
    line = key.with_suffix(".pub").read_text()
    signers = key.parent / "signers"
    signers.write_text(f"me {line}")
    return allowed(signers)[0].key


def test_it_signs_and_others_verify_by_it(world: World, tmp_path: Path) -> None:
    key = made(tmp_path)
    world.state.mkdir(exist_ok=True)
    assert in_use(world.state) is None
    use(world.state, key)
    assert in_use(world.state) == key
    assert own_public(world.state) == public(key)
    assert stat.S_IMODE((world.state / NAMED).stat().st_mode) == 0o600
    run, (commit,) = a_run(world)
    (found,) = at(world, commit, [Trusted(public(key), "me")])
    assert (found.run, found.answer, found.signer) == (run, Answer.VERIFIED, "me")
    other = use(world.state, None).public_key().public_bytes_raw()
    assert other == own_public(world.state) != public(key)
    with verifier(world, [Trusted(other, "installation")]) as each:
        assert each.run(run).answer is Answer.UNVERIFIABLE


@pytest.mark.parametrize(
    ("kind", "passphrase", "why"),
    [("ecdsa", "", "not of the kind ed25519"), ("ed25519", "secret", "it has a passphrase")],
)
def test_what_cannot_sign_is_refused_and_changes_nothing(tmp_path: Path, kind: str, passphrase: str, why: str) -> None:
    before = own_key(tmp_path).public_key().public_bytes_raw()
    with pytest.raises(HostError) as refused:
        use(tmp_path, made(tmp_path, kind, passphrase))
    assert why in refused.value.why
    assert own_public(tmp_path) == before


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"ssh-ed25519 AAAA me\n"])
def test_rubbish(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(HostError, match="cannot sign runs with"):
        use(tmp_path, tmp_path / "key")


def test_a_key_that_is_gone_is_not_replaced(world: World, tmp_path: Path) -> None:
    key = made(tmp_path)
    world.state.mkdir(exist_ok=True)
    use(world.state, key)
    key.unlink()
    with pytest.raises(HostError):
        own_key(world.state)
    folder = world.run()
    commit = world.commit("one")
    assert publish(folder, moved(commit), END) == 1
    assert "cannot sign runs with" in (folder / "notes.jsonl").read_text()
    assert f"{folder.name} 0 govrun/1 PASSED" in world.note(commit)  # what needs no signature is said
    assert " 8 sig " not in world.note(commit)


def test_going_back_to_a_key_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    own_key(tmp_path)
    key = made(tmp_path)
    use(tmp_path, key)
    (tmp_path / "signing.key").write_bytes(b"short")
    with pytest.raises(HostError):
        use(tmp_path, None)
    assert own_public(tmp_path) == public(key)
