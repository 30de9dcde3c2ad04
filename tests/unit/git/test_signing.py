"""What git is told to sign with, from its configuration and from keys."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from supervisor.git import signing

BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32
LINE = f"ssh-ed25519 {b64encode(BLOB).decode()} ada@example.com"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path


def wanted(tree: Path, text: str) -> signing.Wanted | None:
    (tree / "home/.gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.com\n" + text)
    return signing.wanted(tree, (), {"HOME": str(tree / "home")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("[commit]\ngpgsign = false\n", None),
        ("[commit]\ngpgsign = maybe\n", None),
        ("[commit]\ngpgsign\n", ("openpgp", "Ada <ada@example.com>", "")),
        ("[tag]\nGPGSign = Yes\n[user]\nsigningkey = AB12\n", ("openpgp", "AB12", "")),
        ("[commit]\ngpgsign = true\n[gpg]\nprogram = gpg2\n", ("openpgp", "Ada <ada@example.com>", "gpg2")),
        ("[commit]\ngpgsign = true\n[gpg]\nformat = ssh\nprogram = gpg2\n", ("ssh", "", "")),
        ('[commit]\ngpgsign = 1\n[gpg]\nformat = ssh\n[gpg "ssh"]\nprogram = /v/sign\n', ("ssh", "", "/v/sign")),
        ("[commit]\ngpgsign = true\n[gpg]\nformat = x509\n", ("x509", "Ada <ada@example.com>", "")),
        ("[commit]\ngpgsign = true\n[commit]\ngpgsign = false\n", None),
        ("[include]\npath = more\n", ("openpgp", "Ada <ada@example.com>", "")),
    ],
)
def test_configuration(tree: Path, text: str, expected: tuple[str, str, str] | None) -> None:
    (tree / "home/more").write_text("[commit]\ngpgsign = true\n")
    assert wanted(tree, text) == expected


def test_without_a_word_of_signing_nothing_is_started(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "ask", lambda *_: pytest.fail("a process was started"))
    assert wanted(tree, "[alias]\nst = status\n") is None


@pytest.mark.parametrize("key", [LINE, "key::" + LINE, "~/k", "~/k.pub", "HOME/k"])
def test_public_keys_of_openssh(tree: Path, key: str) -> None:
    (tree / "home/k").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nobviously fake\n")
    (tree / "home/k.pub").write_text(LINE + "\n")
    assert signing.ssh_public(key.replace("HOME", str(tree / "home")), tree / "home") == ("ssh-ed25519", BLOB)


@pytest.mark.parametrize(
    "key", ["", "~/absent", "k.pub", "key::", "key::ssh-ed25519", "ssh-ed25519 !!", "ssh-rsa " + LINE.split()[1], "~/k"]
)
def test_what_is_none(tree: Path, key: str) -> None:
    (tree / "home/k").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nobviously fake\n")
    assert signing.ssh_public(key, tree / "home") is None


def listed(*keys: tuple[str, str, str]) -> str:
    """``gpg --with-colons`` for (kind, validity, capabilities); the keygrip is a letter each."""
    lines = []
    for letter, (kind, validity, capabilities) in zip("ABCDE", keys, strict=False):
        lines.append(
            f"{kind}:{validity}:255:22:0123456789ABCDEF:1:::::: {capabilities}:::::ed25519:::0:".replace(" ", "")
        )
        lines += [f"fpr:::::::::F{letter}:", f"grp:::::::::{letter * 40}:"]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("keys", "exact", "grips"),
    [
        ([("pub", "u", "scSC")], False, "A"),
        ([("pub", "u", "cSCE"), ("sub", "u", "e")], False, ""),
        ([("pub", "u", "scESC"), ("sub", "u", "e"), ("sub", "u", "s")], False, "C"),
        ([("pub", "u", "scESC"), ("sub", "u", "s")], True, "AB"),
        ([("pub", "u", "sc"), ("sub", "e", "s"), ("sub", "r", "s")], False, "A"),
        ([("pub", "r", "sc")], False, ""),
        ([("pub", "u", "sc"), ("pub", "u", "sc")], False, ""),
        ([("pub", "e", "sc"), ("sub", "u", "e"), ("pub", "u", "sc")], False, "C"),
        ([], False, ""),
    ],
)
def test_keygrips_that_sign(keys: list[tuple[str, str, str]], exact: bool, grips: str) -> None:
    assert signing._signing_grips(listed(*keys), exact=exact) == tuple(letter * 40 for letter in grips)
