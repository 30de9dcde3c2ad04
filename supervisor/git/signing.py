"""What git is told to sign with, and the public half of that key. Asked before a run starts, outside of it, by the
programs of the system and with the user's own settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from supervisor.git.layout import read_small

_KEYS = r"^(commit\.gpgsign|tag\.gpgsign|gpg\.format|gpg\.program|gpg\..+\.program|user\.(signingkey|name|email))$"
_TRUE = ("true", "yes", "on", "1")
_MOST_CONFIG = 1 << 20
_MOST_KEY = 16 << 10
_PATIENCE = 5.0  # seconds for each program
_PASSED = ("HOME", "XDG_CONFIG_HOME", "GNUPGHOME", "XDG_RUNTIME_DIR")
_ALGORITHMS = ("ssh-", "ecdsa-", "sk-")


class Wanted(NamedTuple):
    """``format`` as in gpg.format. ``key`` is user.signingkey, else (OpenPGP) the committer. ``program`` is what the
    user has git start instead of the usual signer, empty if nothing."""

    format: str
    key: str
    program: str


class Keyring(NamedTuple):
    """``public`` is the exported key, ``grips`` the keygrips that may sign, ``socket`` where the agent listens."""

    public: bytes
    grips: tuple[str, ...]
    socket: str


def wanted(tree: Path, git_dirs: Sequence[Path], environ: Mapping[str, str]) -> Wanted | None:
    """What commits or tags of ``tree`` are signed with; None where they are not. Costs a process only where a
    configuration file speaks of signing."""
    if not any(map(_speaks_of_signing, config_files(git_dirs, environ))):
        return None
    found = _configuration(tree, environ)
    if not any(found.get(key, "").lower() in _TRUE for key in ("commit.gpgsign", "tag.gpgsign")):
        return None
    kind = found.get("gpg.format", "openpgp").lower()
    committer = f"{found.get('user.name', '')} <{found.get('user.email', '')}>"
    key = found.get("user.signingkey") or ("" if kind == "ssh" else committer)
    usual = found.get("gpg.program", "") if kind == "openpgp" else ""
    return Wanted(kind, key, found.get(f"gpg.{kind}.program", usual))


def config_files(git_dirs: Sequence[Path], environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME") or "/nonexistent")
    given = environ.get("XDG_CONFIG_HOME", "")
    xdg = Path(given) if given.startswith("/") else home / ".config"
    within = [path / name for path in git_dirs for name in ("config", "config.worktree")]
    return [Path("/etc/gitconfig"), xdg / "git/config", home / ".gitconfig", *within]


def _speaks_of_signing(path: Path) -> bool:
    text = read_small(path, _MOST_CONFIG)
    if text is None:
        return path.exists()
    text = text.lower()
    return "gpgsign" in text or "[include" in text


def _configuration(tree: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The last value of each key; a key without one reads ``true``. Empty when git does not answer."""
    from supervisor.git.program import find_git

    told = ask([find_git(), "-C", str(tree), "config", "--null", "--get-regexp", _KEYS], environ)
    found: dict[str, str] = {}
    for entry in (told or b"").decode("utf-8", "surrogateescape").split("\0"):
        key, newline, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        found[f"{section.lower()}.{rest}"] = value if newline else "true"
    return found


def ask(argv: Sequence[str], environ: Mapping[str, str]) -> bytes | None:
    """Standard output; None when the program fails, takes too long or is not there."""
    import subprocess  # most starts ask for nothing

    from supervisor.git.program import FIXED_PATH

    kept = {name: environ[name] for name in _PASSED if name in environ}
    try:
        done = subprocess.run(
            argv,
            env=kept | {"PATH": FIXED_PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


# ------------------------------------------------------------------------------------------------------------ keys


def ssh_public(key: str, home: Path) -> tuple[str, bytes] | None:
    """(algorithm, public key in the wire form of RFC 4253, 6.6) of a user.signingkey: the key itself, or a file, its
    public one beside it first. None when neither can be read."""
    literal = key.removeprefix("key::")
    if literal != key or key.startswith(_ALGORITHMS):
        return _public_line(literal)
    path = str(home / key[2:]) if key.startswith("~/") else key
    for name in (path,) if path.endswith(".pub") else (path + ".pub", path):
        found = _public_line(read_small(Path(name), _MOST_KEY) or "") if name.startswith("/") else None
        if found is not None:
            return found
    return None


def _public_line(text: str) -> tuple[str, bytes] | None:
    words = text.split()
    if len(words) < 2 or not words[0].startswith(_ALGORITHMS):
        return None
    from base64 import b64decode

    try:
        blob = b64decode(words[1], validate=True)
    except ValueError:
        return None
    name = words[0].encode()
    return (words[0], blob) if blob.startswith(len(name).to_bytes(4, "big") + name) else None


def gpg_public(program: str, key: str, environ: Mapping[str, str]) -> Keyring | None:
    """The public key that ``gpg -u KEY`` would sign with, from the user's keyring. None when there is none, or when
    several fit: which of them a run may sign with is not for it to choose."""
    # After "--", since the key may come from the repository: --homedir=… would have gpg start a program of its choice.
    plain = [program, "--batch", "--no-tty"]
    listed = ask([*plain, "--with-colons", "--with-keygrip", "--list-keys", "--", key], environ)
    public = ask([*plain, "--export", "--", key], environ)
    folders = ask([program.replace("gpg", "gpgconf"), "--list-dirs", "agent-socket"], environ)
    grips = _signing_grips((listed or b"").decode("utf-8", "replace"), exact=key.endswith("!"))
    if not (public and folders and grips):
        return None
    return Keyring(public, grips, os.fsdecode(folders).strip())


def _signing_grips(listed: str, *, exact: bool) -> tuple[str, ...]:
    """Keygrips of the one key with the capability to sign that is neither revoked, expired nor invalid; none where
    there are several. gpg takes a subkey where there is one (gpg(1), ``doc/DETAILS`` for the fields), and then the
    primary key is not among them: it could certify other keys."""
    found: list[tuple[list[str], list[str]]] = []  # of each key: primary, subkeys
    into: list[str] | None = None
    for line in listed.splitlines():
        fields = line.split(":")
        if fields[0] == "pub":
            found.append(([], []))
        if fields[0] in ("pub", "sub") and len(fields) > 11 and found:
            usable = "s" in fields[11] and fields[1][:1] not in ("r", "e", "i", "d", "n")
            into = found[-1][fields[0] == "sub"] if usable else None
        elif fields[0] == "grp" and len(fields) > 9 and into is not None:
            into.append(fields[9])
    keys = [key for key in found if any(key)]
    if len(keys) != 1:
        return ()
    primary, sub = keys[0]
    return tuple(primary + sub) if exact or not sub else tuple(sub)
