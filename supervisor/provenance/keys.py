"""The key that signs what runs leave behind, and the keys that a verifier trusts.

Each installation has one Ed25519 key in its state folder, which no run can read, made when the first run is published.
The user may name an ssh key of that kind instead; it is read where it lies.
Who it belongs to is written in the form of ``allowed_signers`` (ssh-keygen(1)), with ``govrun`` as the namespace, so
that a key for commits and a key for runs are told apart.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor.vocabulary.errors import HostError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAMESPACE = "govrun"
KEY = "signing.key"
NAMED = "signing.path"  # holds the name of the file with the user's ssh key
_LONGEST = 4096  # linux/limits.h, PATH_MAX
_MOST_KEY = 16 << 10
_ALGORITHM = "ssh-ed25519"
_MOST_SIGNERS = 1 << 20
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_OPTION = re.compile(r'([a-z-]+)(?:="([^"]*)")?(?:,|$)', re.IGNORECASE)


class Trusted(NamedTuple):
    """One key that is believed: 32 bytes of Ed25519, whose it is, from when until when (seconds, ``None``: open)."""

    key: bytes
    principal: str
    after: float | None = None
    before: float | None = None


def own_key(state: Path) -> Ed25519PrivateKey:
    """The key that signs here: the user's ssh key if one was named (``use``), else that of this installation, made if
    there is none yet. Errors: ``HostError``; one that was named and cannot be read is not replaced by another."""
    named = in_use(state)
    return _of_ssh(named) if named is not None else _installed(state)


def _installed(state: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(_read(state) or _make(state))


def own_public(state: Path) -> bytes | None:
    """The public half, 32 bytes; None where no key was made yet. Errors: ``HostError``."""
    if in_use(state) is None and _read(state) is None:
        return None
    return own_key(state).public_key().public_bytes_raw()


def use(state: Path, path: Path | None) -> Ed25519PrivateKey:
    """Sign with the OpenSSH key in the file ``path`` from now on, None: with the installation's own again. Returns the
    key. Errors: ``HostError``, and nothing has changed."""
    named = state / NAMED
    try:
        if path is None:
            _installed(state)
            named.unlink(missing_ok=True)
        else:
            _of_ssh(path)
            ours = state / f".{NAMED}.{os.getpid()}"
            descriptor = os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(os.fsencode(path))
            os.replace(ours, named)
    except OSError as error:
        raise HostError("cannot set the key that signs runs", str(error), "look at the state folder") from error
    return own_key(state)


def in_use(state: Path) -> Path | None:
    """The file of the user's ssh key that signs here, None: the installation's own does. Errors: ``HostError``."""
    try:
        with open(os.open(state / NAMED, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            return Path(os.fsdecode(file.read(_LONGEST)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError("cannot read which key signs runs", str(error), f"look at {state / NAMED}") from error


def _of_ssh(path: Path) -> Ed25519PrivateKey:
    """An OpenSSH private key (PROTOCOL.key). One with a passphrase cannot sign while nobody is there to type it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    what, fix = f"cannot sign runs with {str(path)!r}", "govrun key --use FILE names another, --use own the usual one"
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            key = load_ssh_private_key(file.read(_MOST_KEY), None)
    except OSError as error:
        raise HostError(what, error.strerror or str(error), fix) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Without the optional module that would decrypt it, the library says that it lacks that.
        guarded = any(word in str(error) for word in ("ncrypted", "assword", "bcrypt"))
        why = "it has a passphrase" if guarded else "it is no private key of OpenSSH"
        raise HostError(what, why, fix) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise HostError(what, "it is not of the kind ed25519", fix)
    return key


def _read(state: Path) -> bytes | None:
    path = state / KEY
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            seed = file.read(33)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError("cannot read the key that signs runs", str(error), f"look at {path}") from error
    if len(seed) != 32:
        fix = "move it away: the next run makes another one, whose public half has to be given out anew"
        raise HostError("the key that signs runs is damaged", f"{path} has {len(seed)} bytes, not 32", fix)
    return seed


def _make(state: Path) -> bytes:
    """Whole or not at all, and one for all who make it at the same time."""
    path, ours = state / KEY, state / f".{KEY}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        descriptor = os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(descriptor)
            os.link(ours, path)
        except FileExistsError:
            pass  # another run was faster: its key is the key
        finally:
            os.unlink(ours)
    except OSError as error:
        raise HostError("cannot make the key that signs runs", str(error), "free space in the state folder") from error
    seed = _read(state)
    if seed is None:
        raise HostError("the key that signs runs is gone", str(path), "start again")
    return seed


def blob(key: bytes) -> bytes:
    """The public key in the wire form of RFC 8709, 4."""
    name = _ALGORITHM.encode()
    return len(name).to_bytes(4, "big") + name + len(key).to_bytes(4, "big") + key


def fingerprint(key: bytes) -> str:
    """As ``ssh-keygen -l`` shows it: ``SHA256:…``."""
    return "SHA256:" + b64encode(hashlib.sha256(blob(key)).digest()).decode().rstrip("=")


def signer_line(key: bytes, principal: str) -> str:
    """A line for somebody's ``allowed_signers``."""
    return f'{principal} namespaces="{NAMESPACE}" {_ALGORITHM} {b64encode(blob(key)).decode()}'


def allowed(path: Path) -> list[Trusted]:
    """The Ed25519 keys of a file of allowed signers that may sign runs. Errors: ``UsageError`` for a file that cannot
    be read, or a line that cannot be understood: whom it was to trust must not be guessed."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_SIGNERS + 1).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(
            f"cannot read {str(path)!r}", str(error), "name a file of allowed signers", exit_code=2
        ) from error
    if len(text) > _MOST_SIGNERS:
        raise UsageError(f"{str(path)!r} is no list of signers", "it is larger than 1 MiB", "name another", exit_code=2)
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = _WORD.findall(line)
        if not words or words[0].startswith("#"):
            continue
        try:
            trusted = _trusted(words)
        except ValueError as error:
            fix = "PRINCIPAL [OPTIONS] KEYTYPE KEY, see ssh-keygen(1), ALLOWED SIGNERS"
            raise UsageError(f"{path}:{number} is no allowed signer", str(error), fix, exit_code=2) from error
        found += [trusted] if trusted is not None else []
    return found


def _trusted(words: list[str]) -> Trusted | None:
    """None: a key of another kind or for other purposes. Raises ``ValueError``."""
    at = next((index for index, word in enumerate(words[1:], 1) if re.match(r"(?:ssh|ecdsa|sk)-", word)), 0)
    if at not in (1, 2) or len(words) <= at + 1:
        raise ValueError("it names no key")
    options = _options(words[1]) if at == 2 else {}
    spaces = options.get("namespaces")
    wanted = spaces is None or NAMESPACE in spaces.split(",")
    if words[at] != _ALGORITHM or not wanted or "cert-authority" in options:
        return None
    raw = b64decode(words[at + 1], validate=True)
    if raw != blob(raw[-32:]):
        raise ValueError("the key is no Ed25519 key")
    return Trusted(raw[-32:], words[0], _when(options.get("valid-after")), _when(options.get("valid-before")))


def _options(text: str) -> dict[str, str]:
    found, at = {}, 0
    while at < len(text):
        match = _OPTION.match(text, at)
        if match is None:
            raise ValueError(f"cannot read the options {text[:80]!r}")
        name = match[1].lower()
        if name not in ("namespaces", "valid-after", "valid-before", "cert-authority"):
            raise ValueError(f"unknown option {name!r}")
        found[name] = match[2] or ""
        at = match.end()
    return found


def _when(text: str | None) -> float | None:
    """YYYYMMDD[HHMM[SS]][Z], here always in UTC (ssh-keygen(1))."""
    if text is None:
        return None
    digits = text.removesuffix("Z")
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(digits))
    if form is None or not digits.isdecimal():
        raise ValueError(f"{text!r} is no time")
    return float(_epoch(time.strptime(digits, form)))


def _epoch(told: time.struct_time) -> int:
    import calendar

    return calendar.timegm(told)


def default_signers(environ: Mapping[str, str]) -> Path | None:
    """The verifier's own list, where there is one. Never from a repository."""
    base = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or "/nonexistent") / ".config"
    path = folder / "govrun" / "allowed_signers"
    return path if path.exists() else None
