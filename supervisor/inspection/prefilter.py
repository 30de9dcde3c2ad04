"""Which changed files need no inspection: those in whose bytes no forbidden name can be spelt.

Runs in the supervisor on every changed file, so it costs a few searches per file and never parses. Where a spelling
could hide a name (escapes, joined literals, other encodings, Unicode forms) the answer is True.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from supervisor.inspection import hiding
from supervisor.inspection.decoding import is_plain
from supervisor.inspection.kinds import SCRIPT, script_kind

_RUN = re.compile(rb"[^a-z0-9]+")
_FEW = 20  # needles up to which single searches are faster than one alternation

_DYNAMIC_PARTS = (b"_module", b"_import", b"resolve_name", b"find_", b"importorskip", b"# /// script")
_DYNAMIC = (
    *(b"import_module", b"__import__", b"resolve_name", b"run_module", b"load_module", b"find_spec", b"find_module"),
    *(b"find_loader", b"_gcd_import", b"importorskip"),
)
_SETUP = re.compile(rb"(?:install|setup|tests|extras)_require")
# A call with one plain literal: nothing is joined or escaped in it.
_PLAIN_CALL = (
    rb"""[ \t]*\([ \t\r\n]*(?:"[^"'\\\r\n]+"(?!")|'[^"'\\\r\n]+'(?!'))[ \t]*"""
    rb"""(?:,[ \t]*(?:__package__|__name__)[ \t]*)?\)"""
)
_DYNAMIC_PLAIN = {word: re.compile(re.escape(word) + _PLAIN_CALL) for word in _DYNAMIC}
_ASCII = bytes(range(128))
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]")

# Escapes of ASCII letters, digits and the signs between them.
_JSON_ESCAPE = re.compile(rb"\\u00[2-7]", re.IGNORECASE)
_TOML_ESCAPE = re.compile(rb"\\(?:u00[2-7]|U000000[2-7]|x[2-7]|[ \t]*\r?\n)")
_SCRIPT_ESCAPE = re.compile(rb"\\(?:x[2-7]|u00[2-7]|u\{0*[2-7][0-9a-f]\}|1[0-7][0-7]|0?[5-7][0-7])", re.IGNORECASE)
_CONTINUED = re.compile(rb"\\(?:\r\n|\n|\r|\xe2\x80[\xa8\xa9])")
_SCRIPT_SUM = re.compile(rb"""["'`][\s()]*\+[\s()+]*["'`]""")
_SCRIPT_NOTE = re.compile(rb"""["'`][\s()]*\+[\s()+]*/[/*]""")  # a comment after the ``+`` behind a literal
_SCRIPT_NOTED = re.compile(rb"""["'`][\s()]*/(?=[/*])""")
_SCRIPT_GAP = re.compile(rb"[\s()]*")
_NOTEBOOK_JOIN = re.compile(rb'"[^"\w\\]*"')
_NOTEBOOK_SPACE = re.compile(rb"\\[nrtf]")
_PERCENT = re.compile(rb"%[2-7][0-9a-f]", re.IGNORECASE)

_JSON = frozenset({"package.json", "package-lock", "bun.lock", "Pipfile.lock", "notebook", "installed"})
_TOML = frozenset(
    {
        "pyproject",
        "pipfile",
        "uv.lock",
        "poetry.lock",
        "pdm.lock",
        "pylock",
        "Cargo.toml",
        "Cargo.lock",
        "versions.toml",
    }
)
_YAML = frozenset({"environment.yml", "pnpm-lock", "yarn.lock", "workspace"})
_INI = frozenset({"setup.cfg", "tox.ini"})
_SCRIPT = frozenset({"javascript", "typescript", "tsx", "component"})


class _Needle:
    """One name: ``key`` is its longest part, ``confirm`` the parts with any signs between them (None for one part)."""

    __slots__ = ("confirm", "key")

    def __init__(self, parts: list[bytes]) -> None:
        self.key = max(parts, key=len)
        self.confirm = re.compile(rb"[^a-z0-9]*".join(parts)) if len(parts) > 1 else None

    def occurs(self, text: bytes) -> bool:
        return self.key in text and (self.confirm is None or self.confirm.search(text) is not None)


class Prefilter:
    """``needles``: canonical package names and import names, in UTF-8; None when everything must be inspected.

    Signs between letters and digits are not told apart and case is not either, so that one needle stands for all
    spellings of a name (``zope-interface``, ``zope.interface``, ``Zope_Interface``).
    """

    def __init__(self, needles: Collection[bytes] | None) -> None:
        self._all = needles is None
        self._beyond_ascii = False
        found: dict[bytes, _Needle] = {}
        for needle in needles or ():
            parts = [part for part in _RUN.split(needle.lower()) if part]
            if not needle.isascii():
                self._beyond_ascii = True
            elif not parts:
                self._all = True
            else:
                found.setdefault(b" ".join(parts), _Needle(parts))
        self._needles = tuple(found.values())
        self._keys = re.compile(b"|".join(sorted({each.key for each in self._needles}, reverse=True)))

    def may_concern(self, kind: str, content: bytes) -> bool:
        """False only when the inspector of ``kind`` can find none of the needles in ``content``."""
        if kind == SCRIPT:
            told = script_kind(content)
            return told is not None and self.may_concern(told, content)
        if self._all:
            return True
        if not self._needles and not self._beyond_ascii:
            return False
        beyond = not content.isascii()
        if beyond and self._beyond_ascii:
            return True
        lowered = content.lower()
        return self._occurs(lowered) or self._may_hide(kind, content, lowered, beyond)

    def _occurs(self, lowered: bytes) -> bool:
        if len(self._needles) > _FEW and self._keys.search(lowered) is None:
            return False
        return any(needle.occurs(lowered) for needle in self._needles)

    def _may_hide(self, kind: str, content: bytes, lowered: bytes, beyond: bool) -> bool:
        if b"\0" in content or content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return True
        if kind in ("python", "pth"):
            return not is_plain(content) or _python_hides(content, beyond)
        if kind in _SCRIPT:
            return self._script_hides(lowered)
        if kind in _JSON:
            if kind == "notebook":
                return b"\\u" in content or self._notebook_hides(content, beyond)
            if b"%" in content and _PERCENT.search(content) is not None:  # in addresses
                return True
            return b"\\u" in content and _JSON_ESCAPE.search(content) is not None
        if kind in _TOML:
            return b"\\" in content and _TOML_ESCAPE.search(content) is not None
        if kind in _YAML:
            return b"\\" in content
        if kind == "requirements":
            return self._requirements_hide(content, lowered)
        if kind in _INI:
            return b"%(" in content
        return hiding.may_hide(kind, lowered, self._occurs) is not False

    def _script_hides(self, lowered: bytes) -> bool:
        """Escapes, ``\\`` before an ordinary letter or a line end, and literals joined by ``+``."""
        plain = lowered
        if b"\\" in plain:
            if _SCRIPT_ESCAPE.search(plain) is not None:
                return True
            plain = _CONTINUED.sub(b"", plain).replace(b"\\", b"")
            if self._occurs(plain):
                return True
        if b"+" not in plain:
            return False
        if _SCRIPT_NOTE.search(plain) is not None or _noted_sum(plain):
            return True
        joined, count = _SCRIPT_SUM.subn(b"", plain)
        return count > 0 and self._occurs(joined)

    def _notebook_hides(self, content: bytes, beyond: bool) -> bool:
        # A cell's source is a list of strings that are simply put together.
        joined = _NOTEBOOK_JOIN.sub(b"", _NOTEBOOK_SPACE.sub(b" ", content))
        return self._occurs(joined.lower()) or _python_hides(joined, beyond)

    def _requirements_hide(self, content: bytes, lowered: bytes) -> bool:
        if not is_plain(content) or _PERCENT.search(content) is not None:
            return True
        return b"\\" in content and self._occurs(_CONTINUED.sub(b"", lowered))


def _noted_sum(text: bytes) -> bool:
    """True when comments stand between a literal and a ``+``. Each comment's end is looked for once: this runs on what
    a run wrote, and must stay linear."""
    walked: set[int] = set()
    known = {b"//": -1, b"/*": -1}  # where the comment of a literal that was looked at last ends
    for found in _SCRIPT_NOTED.finditer(text):
        at = found.end() - 1
        if at < known[text[at : at + 2]]:
            continue
        first = True
        while at not in walked and (opening := text[at : at + 2]) in known:
            walked.add(at)
            closing = b"\n" if opening == b"//" else b"*/"
            end = text.find(closing, at + 2)
            end = len(text) if end < 0 else end + len(closing)
            if first:
                known[opening], first = end, False
            gap = _SCRIPT_GAP.match(text, end)
            at = end if gap is None else gap.end()
        if text[at : at + 1] == b"+":
            return True
    return False


def _python_hides(content: bytes, beyond: bool) -> bool:
    if beyond and _normalizes_to_ascii(content):
        return True
    if b"_require" in content and _SETUP.search(content) is not None:
        return True
    if not any(part in content for part in _DYNAMIC_PARTS):
        return False
    if b"# /// script" in content:
        return True
    return any(
        word in content and content.count(word) > sum(1 for _ in _DYNAMIC_PLAIN[word].finditer(content))
        for word in _DYNAMIC
    )


def _normalizes_to_ascii(content: bytes) -> bool:
    """True when an identifier could become ASCII by NFKC (a full-width ``r``), or when it is no UTF-8."""
    import unicodedata

    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    others = set(content.translate(None, _ASCII).decode("utf-8"))
    return any(_ASCII_WORD.search(unicodedata.normalize("NFKC", each)) is not None for each in others)
