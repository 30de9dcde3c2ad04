"""What of a journal line may leave the state folder: who did what to which name and what came of it, but no content.

The state folder keeps the whole line. In the repository a command line is only its shape (program, first words, names
of options) with a keyed digest of the whole, a difference only its hunk headers, and credentials in addresses are gone.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Sequence
from typing import cast

from supervisor.journal.codec import NotARecordError, decode, encode

OMITTED = "…"
_WORDS = 32
_LEADING = 2
_HUNKS = 50
_PROGRAM = 200
_DIGEST = 32
_PLAIN = re.compile(r"[a-z][a-z-]{0,23}")
_OPTION = re.compile(r"-[A-Za-z]|--[a-z][a-z0-9-]{0,39}")
_WITH_VALUE = re.compile(r"(--[a-z][a-z0-9-]{0,39}=)")
# RFC 3986 §3.2.1: what stands before the @ of an authority.
_USERINFO = re.compile(rb'://(?:[^/@\s"\\]|\\u[0-9a-f]{4})+@')
_CONTENT = ("diff", "stdin", "body")
_ARGV, _ACTOR, _ACTOR_END = b'"argv":', b'"actor":{', b'},"action":'
# An unescaped quote ends a JSON string: none of these can stand inside of one.
_TOUCHED = re.compile(rb'"(?:argv|diff|stdin|body)":')
_KEPT = 256


class Projector:
    """Turns lines of one journal into what is published. ``key``: secret bytes of the run, so that a digest of a short
    command cannot be guessed by trying."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._actors: dict[bytes, bytes] = {}

    def line(self, raw: bytes) -> bytes:
        """The published form of one line, both without newline. A line that is no record is left out: ``{}``."""
        line = raw
        if b"://" in line:
            line = _USERINFO.sub(rb"://\\u2026@", line)
        found = _TOUCHED.findall(line)
        if not found:
            return line
        return (self._actor_only(line) if found == [_ARGV] else None) or self._slowly(line)

    def _actor_only(self, line: bytes) -> bytes | None:
        """Most lines differ from the one before in everything but the actor."""
        begin = line.find(_ACTOR)
        end = line.find(_ACTOR_END, begin)
        if begin < 0 or end < 0 or line.find(_ARGV, begin, end) < 0:
            return None
        actor = line[begin : end + 1]
        known = self._actors.get(actor)
        if known is None:
            if len(self._actors) >= _KEPT:
                self._actors.clear()
            found = json.loads(b"{" + actor + b"}")
            known = self._actors[actor] = encode(cast("dict[str, object]", self._part(found)))[1:-1].encode("ascii")
        return line[:begin] + known + line[end + 1 :]

    def _slowly(self, line: bytes) -> bytes:
        try:
            record = decode(line)
        except (ValueError, NotARecordError):
            return b"{}"
        return encode(cast("dict[str, object]", self._part(record))).encode("ascii")

    def _part(self, value: object) -> object:
        if isinstance(value, list):
            return [self._part(each) for each in value]
        if not isinstance(value, dict):
            return value
        out: dict[str, object] = {}
        for name, each in value.items():
            if name == "argv" and isinstance(each, list):
                out["argv"] = shape(each)
                if "exe" not in value:  # an actor is known by its program; what was run is told by its digest
                    out["argv_hmac"] = self.digest(each)
            elif name in _CONTENT and isinstance(each, str):
                out["hunks"] = [text[:80].rpartition("@@")[0] + "@@" for text in each.splitlines() if _is_hunk(text)][
                    :_HUNKS
                ]
                out[f"{name}_hmac"] = self.digest(each)
            else:
                out[name] = self._part(each)
        return out

    def digest(self, value: object) -> str:
        """HMAC-SHA-256 (RFC 2104) of a value as the journal writes it, 32 hexadecimal digits."""
        return hmac.new(self._key, encode({"": value}).encode("ascii"), "sha256").hexdigest()[:_DIGEST]


def _is_hunk(text: str) -> bool:
    return text.startswith("@@ -") and " @@" in text


def shape(argv: Sequence[object]) -> list[str]:
    """Program, up to two words that follow it, and names of options; ``…`` for everything else: values, paths,
    scripts, whatever may carry a secret."""
    words = [str(word) for word in argv]
    if not words:
        return []
    # A program is given its own name by whoever starts it: what follows a space is no part of one, or cannot be told.
    program, space, _ = words[0].partition(" ")
    out, leading = [program[:_PROGRAM] + (f" {OMITTED}" if space else "")], True
    for position, word in enumerate(words[1:], 1):
        if leading and position <= _LEADING and _PLAIN.fullmatch(word):
            told = word
        else:
            leading = False
            found = _WITH_VALUE.match(word)
            told = word if _OPTION.fullmatch(word) else found.group(1) + OMITTED if found else OMITTED
        if told != OMITTED or out[-1] != OMITTED:
            out.append(told)
    return out if len(out) <= _WORDS else [*out[:_WORDS], OMITTED]
