"""What an agent may be asked on behalf of a run: a signature by the one key that git is configured with, or a login at
the hosts of its remotes.

ssh-agent: draft-ietf-sshm-ssh-agent for the messages, PROTOCOL.sshsig for what git has signed, RFC 4252, 7 for what a
login signs, PROTOCOL.agent of OpenSSH for how a session is bound to a host. gpg-agent: the commands
of its manual, as lines of the Assuan protocol. Whatever is not listed here is refused. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

FAILURE, SUCCESS, REQUEST_IDENTITIES, IDENTITIES, SIGN_REQUEST, EXTENSION = 5, 6, 11, 12, 13, 27
_BIND = b"session-bind@openssh.com"
_USERAUTH_REQUEST = 50  # SSH_MSG_USERAUTH_REQUEST (RFC 4252, 6)
NAMESPACE = b"git"
# GPG_ERR_FORBIDDEN and GPG_ERR_NO_SECKEY with the agent as their source (libgpg-error, err-codes.h)
FORBIDDEN = b"ERR 67109115 Forbidden <GPG Agent>"
NO_KEY = b"ERR 67108881 No secret key <GPG Agent>"
_GRIP = re.compile(rb"[0-9A-F]{40}")
_INFO = re.compile(rb"version|restricted|s2k_count|s2k_time|s2k_count_cal|cmd_has_option [A-Z]+ [a-z-]+")
# No terminal or display of the run's choice: where the agent asks for a passphrase is its own settings' business.
_OPTIONS = re.compile(rb"(?:agent-awareness|allow-pinentry-notify)(?:[ =].*)?")


class Malformed(ValueError):
    """Not the protocol."""


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The string at the start (RFC 4251, 5) and what follows it."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise Malformed
    return data[4 : 4 + size], data[4 + size :]


def packed(data: bytes) -> bytes:
    """A string in the form of RFC 4251, 5."""
    return len(data).to_bytes(4, "big") + data


def ssh_may_ask(message: bytes, key: bytes) -> bool:
    """Whether a request (type and content) is one for the keys, or for a signature by ``key`` in git's namespace.

    A signature in a namespace is over a text that begins with ``SSHSIG``, which nothing that logs in somewhere does:
    there the length of a session id comes first."""
    if message == bytes([REQUEST_IDENTITIES]):
        return True
    if message[:1] != bytes([SIGN_REQUEST]):
        return False
    try:
        asked, rest = _string(message[1:])
        data, flags = _string(rest)
        if asked != key or len(flags) != 4 or not data.startswith(b"SSHSIG"):
            return False
        namespace, rest = _string(data[6:])
        reserved, rest = _string(rest)
        algorithm, rest = _string(rest)
        digest, rest = _string(rest)
    except Malformed:
        return False
    sizes = {b"sha256": 32, b"sha512": 64}
    return namespace == NAMESPACE and not reserved and sizes.get(algorithm) == len(digest) and not rest


def binding(host_key: bytes, session: bytes, signature: bytes) -> bytes:
    """The request that binds a connection to the host whose key signed the session id."""
    return bytes([EXTENSION]) + packed(_BIND) + packed(host_key) + packed(session) + packed(signature) + b"\0"


def ssh_binding(message: bytes) -> tuple[bytes, bytes] | None:
    """(host key, session id) of a request to bind a session that is not forwarded, None for any other message. The
    agent verifies the host's signature."""
    if message[:1] != bytes([EXTENSION]):
        return None
    try:
        name, rest = _string(message[1:])
        host_key, rest = _string(rest)
        session, rest = _string(rest)
        _, rest = _string(rest)
    except Malformed:
        return None
    return (host_key, session) if name == _BIND and rest == b"\0" and session else None


def ssh_login(message: bytes) -> tuple[bytes, bytes, bytes] | None:
    """(session id, user, host key) of a request for the signature of a login, None for any other message. The host key
    is empty where the login does not name one.

    The signed data begin with the length of a session id, so that no text of another protocol passes for them."""
    if message[:1] != bytes([SIGN_REQUEST]):
        return None
    try:
        asked, rest = _string(message[1:])
        data, flags = _string(rest)
        session, rest = _string(data)
        if rest[:1] != bytes([_USERAUTH_REQUEST]):
            return None
        user, rest = _string(rest[1:])
        service, rest = _string(rest)
        method, rest = _string(rest)
        if rest[:1] != b"\1":
            return None
        _, rest = _string(rest[1:])
        key, rest = _string(rest)
        host_key, rest = _string(rest) if method == b"publickey-hostbound-v00@openssh.com" else (b"", rest)
    except Malformed:
        return None
    known = service == b"ssh-connection" and (method == b"publickey" or host_key) and key == asked
    return (session, user, host_key) if known and session and not rest and len(flags) == 4 else None


def _identities(answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, comment) of each in an answer to the request for keys. Raises ``Malformed``."""
    rest = answer[5:]
    for _ in range(int.from_bytes(answer[1:5], "big") if answer[:1] == bytes([IDENTITIES]) else 0):
        blob, rest = _string(rest)
        comment, rest = _string(rest)
        yield blob, comment


def ssh_keys(answer: bytes) -> tuple[bytes, ...]:
    """The keys in an answer to the request for them. Raises ``Malformed``."""
    return tuple(blob for blob, _ in _identities(answer))


def ssh_identities(answer: bytes, key: bytes) -> bytes:
    """The answer with none but ``key`` in it. Raises ``Malformed``."""
    kept = [packed(blob) + packed(comment) for blob, comment in _identities(answer) if blob == key]
    return bytes([IDENTITIES]) + len(kept).to_bytes(4, "big") + b"".join(kept)


def gpg_line(line: bytes, grips: Collection[bytes]) -> tuple[bytes, bytes]:
    """(line to hand to the agent, lines to answer with): one of them is empty."""
    word, _, rest = line.partition(b" ")
    word, rest = word.upper(), rest.strip()
    match word:
        case b"RESET" | b"NOP" | b"BYE" if not rest:
            return word, b""
        case b"OPTION":
            return (line, b"") if _OPTIONS.fullmatch(rest) else (b"", b"OK")
        case b"SETKEYDESC":
            return b"", b"OK"  # the text of the agent's question is not the run's to choose
        case b"GETINFO" if _INFO.fullmatch(rest):
            return line, b""
        case b"HAVEKEY" if re.fullmatch(rb"--list(?:=\d+)?", rest):
            return b"", b"D " + _escaped(b"".join(bytes.fromhex(grip.decode()) for grip in grips)) + b"\nOK"
        case b"HAVEKEY":
            asked = [grip for grip in rest.split() if grip in grips]
            return (b"HAVEKEY " + b" ".join(asked), b"") if asked else (b"", NO_KEY)
        case b"KEYINFO" | b"SIGKEY" | b"SETKEY" if _GRIP.fullmatch(rest):
            return (word + b" " + rest, b"") if rest in grips else (b"", NO_KEY)
        case b"SETHASH" if re.fullmatch(rb"(?:--hash=)?[a-z0-9]+ [0-9A-Fa-f]+", rest):
            return line, b""
        case b"PKSIGN" if re.fullmatch(rb"(?:-- )?[0-9A-F]*", rest):
            return line, b""
    return b"", FORBIDDEN


def _escaped(data: bytes) -> bytes:
    return data.replace(b"%", b"%25").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
