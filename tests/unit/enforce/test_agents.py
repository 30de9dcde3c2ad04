"""What a signing agent may be asked for a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.enforce import agents
from supervisor.enforce.agents import FORBIDDEN, NO_KEY, gpg_line, packed, ssh_may_ask

KEY, OTHER = b"\0\0\0\x0bssh-ed25519key", b"\0\0\0\x0bssh-ed25519other"
GRIP, ELSE = b"1" * 40, b"2" * 40


def request(
    key: bytes = KEY,
    namespace: bytes = b"git",
    reserved: bytes = b"",
    algorithm: bytes = b"sha512",
    digest: bytes = b"d" * 64,
    magic: bytes = b"SSHSIG",
    more: bytes = b"",
) -> bytes:
    data = magic + packed(namespace) + packed(reserved) + packed(algorithm) + packed(digest) + more
    return b"\x0d" + packed(key) + packed(data) + b"\0\0\0\0"


def test_a_signature_by_the_key_in_gits_namespace_is_let_through() -> None:
    assert ssh_may_ask(request(), KEY)
    assert ssh_may_ask(request(algorithm=b"sha256", digest=b"d" * 32), KEY)
    assert ssh_may_ask(b"\x0b", KEY)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        request(key=OTHER),
        request(namespace=b"file"),
        request(namespace=b"git\0"),
        request(namespace=b""),
        request(reserved=b"x"),
        request(algorithm=b"none", digest=b"anything"),
        request(digest=b"d" * 32),
        request(magic=b""),
        request(magic=b"SSHSIg"),
        request(more=b"x"),
        request() + b"x",
        request()[:-1],
        request()[:-5],
        b"\x0d" + packed(KEY) + packed(packed(b"session") + b"2" + packed(b"ada")) + b"\0\0\0\0",
        b"\x0b more",
        *(bytes([number]) for number in range(256) if number != 11),
        *(bytes([number]) + request()[1:] for number in range(256) if number != 13),
    ],
)
def test_everything_else_is_not(message: bytes) -> None:
    assert not ssh_may_ask(message, KEY)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(rest: bytes) -> None:
    assert not ssh_may_ask(b"\x0d" + packed(OTHER) + rest, KEY)
    try:
        agents.ssh_identities(b"\x0c" + rest, KEY)
    except agents.Malformed:
        pass
    forward, answer = gpg_line(rest.replace(b"\n", b""), (GRIP,))
    assert bool(forward) != bool(answer)


def test_of_the_keys_one_is_shown() -> None:
    keys = [packed(OTHER) + packed(b"other"), packed(KEY) + packed(b"mine")]
    answer = b"\x0c\0\0\0\2" + b"".join(keys)
    assert agents.ssh_keys(answer) == (OTHER, KEY)
    assert agents.ssh_identities(answer, KEY) == b"\x0c\0\0\0\1" + keys[1]
    assert agents.ssh_identities(b"\x05", KEY) == b"\x0c\0\0\0\0"


@pytest.mark.parametrize(
    ("line", "forward", "answer"),
    [
        (b"RESET", b"RESET", b""),
        (b"GETINFO version", b"GETINFO version", b""),
        (b"GETINFO getenv HOME", b"", FORBIDDEN),
        (b"OPTION agent-awareness=2.1.0", b"OPTION agent-awareness=2.1.0", b""),
        (b"OPTION ttyname=/dev/pts/9", b"", b"OK"),
        (b"OPTION putenv=LD_PRELOAD=/x", b"", b"OK"),
        (b"OPTION pinentry-mode=loopback", b"", b"OK"),
        (b"HAVEKEY " + ELSE + b" " + GRIP, b"HAVEKEY " + GRIP, b""),
        (b"HAVEKEY " + ELSE, b"", NO_KEY),
        (b"HAVEKEY --list=1000", b"", b"D " + b"\x11" * 20 + b"\nOK"),
        (b"KEYINFO " + GRIP, b"KEYINFO " + GRIP, b""),
        (b"KEYINFO --list", b"", FORBIDDEN),
        (b"sigkey " + GRIP, b"SIGKEY " + GRIP, b""),
        (b"SIGKEY " + ELSE, b"", NO_KEY),
        (b"SETKEYDESC Please+enter", b"", b"OK"),
        (b"SETHASH 10 00FF", b"SETHASH 10 00FF", b""),
        (b"SETHASH --inquire", b"", FORBIDDEN),
        (b"PKSIGN", b"PKSIGN", b""),
        (b"PKSIGN -- ABCDEF0123", b"PKSIGN -- ABCDEF0123", b""),
        (b"PKDECRYPT", b"", FORBIDDEN),
        (b"EXPORT_KEY " + GRIP, b"", FORBIDDEN),
        (b"DELETE_KEY " + GRIP, b"", FORBIDDEN),
        (b"PRESET_PASSPHRASE " + GRIP, b"", FORBIDDEN),
        (b"GENKEY", b"", FORBIDDEN),
        (b"SCD GETINFO version", b"", FORBIDDEN),
        (b"KILLAGENT", b"", FORBIDDEN),
        (b"PUTVAL x y", b"", FORBIDDEN),
        (b"D data", b"", FORBIDDEN),
        (b"", b"", FORBIDDEN),
    ],
)
def test_lines_for_gpg_agent(line: bytes, forward: bytes, answer: bytes) -> None:
    assert gpg_line(line, (GRIP,)) == (forward, answer)
