"""What Java and Kotlin sources use: imports, and names written out with their package (``org.acme.util.Text``)."""

from __future__ import annotations

import re

from supervisor.inspection.decoding import lossy, whole
from supervisor.vocabulary.content import Findings, Import

_UNICODE = re.compile(r"(\\\\)|\\u+([0-9a-fA-F]{4})")
# Comments and literals, which say nothing of packages.
_SILENT = re.compile(
    r'//[^\n]*|/\*.*?(?:\*/|\Z)|"""(?:[^"\\]|\\.|"(?!""))*(?:"""|\Z)|"(?:[^"\\\n]|\\[^\n])*"?|\'(?:[^\'\\\n]|\\[^\n])*\'?',
    re.DOTALL,
)
_GAP = r"[ \t\f\n]*"
_IMPORT = re.compile(
    rf"(?:\A|(?<=[;}}\n ]))import(?=[\s`]){_GAP}(?:static(?=\s){_GAP})?"
    rf"((?:`?\w+`?{_GAP}\.{_GAP}){{1,30}}(?:`?\w+`?|\*))"
)
# Two parts in small letters, then a class.
_NAME = re.compile(r"(?<![\w.$])(?:[a-z_]\w{0,100}[ \t\n]*\.[ \t\n]*){2,20}[A-Z]\w*")
_SPACE = re.compile(r"[\s`]+")
_OWN = ("java.", "kotlin.", "this.", "super.", "it.")


def inspect(content: bytes, *, kotlin: bool = False) -> Findings:
    text = lossy(content).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    if not kotlin and "\\u" in text:
        text = _UNICODE.sub(lambda found: found[1] or chr(int(found[2], 16)), text)
    text = _SILENT.sub(_blank, text)
    found: dict[Import, None] = {}
    for pattern, group in ((_IMPORT, 1), (_NAME, 0)):
        at, line = 0, 1
        for each in pattern.finditer(text):
            line += text.count("\n", at, each.start(group))
            at = each.start(group)
            name = _SPACE.sub("", each[group]).removesuffix(".*")
            if not name.startswith(_OWN):
                found[Import("maven", whole(name), line)] = None
    return Findings(imports=tuple(found))


def _blank(found: re.Match[str]) -> str:
    """Lines stay what they are."""
    return '""' + "\n" * found[0].count("\n") if found[0][0] in "\"'" else " " + "\n" * found[0].count("\n")
