"""Ordinary edits of real sources, made by chance that is the same each time: none of them breaks a boundary, and in
many of the states between them a file does not parse."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple


class Language(NamedTuple):
    """``imports`` matches a line that belongs to an import; ``local`` the name of a local variable, in group 1;
    ``allowed`` is what any file may import, and goes after the last line that ``after`` matches."""

    suffixes: tuple[str, ...]
    comment: str
    function: str
    imports: re.Pattern[str]
    local: re.Pattern[str]
    allowed: str
    after: re.Pattern[str]


PYTHON = Language(
    (".py",),
    "#",
    "def added_here(value):\n    total = value + 1\n    return total\n",
    re.compile(r"\bimport\b|^\s*from\b|^    \w+,?$|^\s*\)$", re.MULTILINE),
    re.compile(r"^ +([a-z_]{4,}) = ", re.MULTILINE),
    "import zlib\n",
    re.compile(r"^import \w+\n", re.MULTILINE),
)
SCRIPT = Language(
    (".js", ".ts"),
    "//",
    "function addedHere(value) {\n  const total = value + 1;\n  return total;\n}\n",
    re.compile(r"\brequire\b|\bimport\b|\bfrom\b|\bexport"),
    re.compile(r"^ +(?:const|let|var) ([a-zA-Z]{4,}) = ", re.MULTILINE),
    'import "node:zlib"\n',
    re.compile(r"^import [^\n]*from [^\n]*\n", re.MULTILINE),
)
GO = Language(
    (".go",),
    "//",
    "func addedHere(value int) int {\n\ttotal := value + 1\n\treturn total\n}\n",
    re.compile(r'^import\b|^\t(?:\w+ )?"[^"\n]+"$', re.MULTILINE),
    re.compile(r"^\t+([a-z]\w{3,}) := ", re.MULTILINE),
    '\t"compress/zlib"\n',
    re.compile(r'^\t"[^"\n]+"\n', re.MULTILINE),
)
RUST = Language(
    (".rs",),
    "//",
    "fn added_here(value: u64) -> u64 {\n    let total = value + 1;\n    total\n}\n",
    re.compile(r"\buse\b|\bmod\b|\bextern\b|::|^ +[\w, {}]+,?$", re.MULTILINE),
    re.compile(r"^ +let (?:mut )?([a-z_]{4,}) = ", re.MULTILINE),
    "use std::collections::BTreeMap;\n",
    re.compile(r"^use [^;{]*;\n", re.MULTILINE),
)
JAVA = Language(
    (".java",),
    "//",
    "// class ends here\n",
    re.compile(r"\bimport\b|\bpackage\b|\w\.\w+\.\w"),
    re.compile(r"^ +(?:final )?(?:int|String|double|boolean) ([a-z]\w{3,}) = ", re.MULTILINE),
    "import java.util.zip.Inflater;\n",
    re.compile(r"^import [\w.]+;\n", re.MULTILINE),
)


class Edit(NamedTuple):
    what: str
    path: str
    text: str


def edits(
    files: Sequence[tuple[str, str]], language: Language, forbidden: str, number: int, seed: str
) -> Iterator[Edit]:
    """``files``: paths and texts. ``forbidden``: a line that would break a rule, and is only ever spoken of. No file is
    edited twice while there are others."""
    chance = random.Random(seed)
    ahead = list(files)
    chance.shuffle(ahead)
    made, kinds = 0, sorted(_KINDS)
    while made < number:
        what = kinds[made % len(kinds)]
        tried = ((each, _KINDS[what](each[1], language, forbidden, chance)) for each in ahead)
        one, changed = next((each, text) for each, text in tried if text is not None and text != each[1])
        ahead.remove(one)
        ahead.append(one)
        made += 1
        yield Edit(what, one[0], changed)


_Maker = Callable[[str, Language, str, random.Random], str | None]


def _function(text: str, language: Language, _: str, __: random.Random) -> str:
    return text.rstrip("\n") + "\n\n\n" + language.function


def _comment(text: str, language: Language, _: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines) + 1), f"{language.comment} To do: is this still needed?\n")
    return "".join(lines)


def _spoken(text: str, language: Language, forbidden: str, _: random.Random) -> str:
    return f"{text}\n{language.comment} Do not write: {forbidden}\n"


def _rename(text: str, language: Language, _: str, chance: random.Random) -> str | None:
    names = sorted({found[1] for found in language.local.finditer(text) if not language.imports.search(found[0])})
    if not names:
        return None
    name = chance.choice(names)
    lines = text.splitlines(keepends=True)
    kept = [
        line if language.imports.search(line) else re.sub(rf"(?<![\w.'\"/]){name}(?![\w'\"/])", f"{name}_2", line)
        for line in lines
    ]
    return "".join(kept)


def _import(text: str, language: Language, _: str, __: random.Random) -> str | None:
    found = list(language.after.finditer(text))
    if not found:
        return None
    return text[: found[-1].end()] + language.allowed + text[found[-1].end() :]


def _import_again(text: str, language: Language, _: str, chance: random.Random) -> str | None:
    """What the file imports already, once more."""
    found = [each for each in language.after.finditer(text) if each[0].count("\n") == 1]
    return text[: found[-1].end()] + chance.choice(found)[0] + text[found[-1].end() :] if found else None


def _order(text: str, language: Language, _: str, __: random.Random) -> str | None:
    """The imports the other way round."""
    found = list(language.after.finditer(text))
    parts, at = [], 0
    for each, other in zip(found, reversed(found), strict=True):
        parts += [text[at : each.start()], other[0]]
        at = each.end()
    return "".join(parts) + text[at:] if len(found) > 1 else None


def _paragraphs(text: str, language: Language) -> tuple[list[str], int] | None:
    """And the first of those after the last import."""
    parts = text.split("\n\n")
    first = max((at for at, part in enumerate(parts) if language.imports.search(part)), default=-1) + 1
    return (parts, first) if len(parts) - first > 2 else None


def _move(text: str, language: Language, _: str, chance: random.Random) -> str | None:
    found = _paragraphs(text, language)
    if found is None:
        return None
    parts, first = found
    at = chance.randrange(first, len(parts) - 1)
    parts[at], parts[at + 1] = parts[at + 1], parts[at]
    return "\n\n".join(parts)


def _delete(text: str, language: Language, _: str, chance: random.Random) -> str | None:
    parts = text.split("\n\n")
    del parts[chance.randrange(len(parts))]
    return "\n\n".join(parts)


def _half(text: str, language: Language, _: str, chance: random.Random) -> str:
    """Written as far as somewhere."""
    return text[: chance.randrange(len(text))]


def _half_line(text: str, language: Language, _: str, chance: random.Random) -> str | None:
    """As far as somewhere within an import."""
    found = [each for each in language.after.finditer(text) if len(each[0]) > 2]
    if not found:
        return None
    each = chance.choice(found)
    return text[: chance.randrange(each.start() + 1, each.end())]


def _bracket(text: str, language: Language, _: str, chance: random.Random) -> str | None:
    places = [found.start() for found in re.finditer(r"[()\[\]{}\"'`]", text)]
    if not places:
        return None
    at = chance.choice(places)
    return text[:at] + text[at + 1 :]


def _conflict(text: str, language: Language, _: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    at = chance.randrange(len(lines) + 1)
    here = lines[at : at + 3]
    lines[at : at + 3] = ["<<<<<<< HEAD\n", *here, "=======\n", *reversed(here), ">>>>>>> other\n"]
    return "".join(lines)


def _ends(text: str, language: Language, _: str, __: random.Random) -> str:
    return text.replace("\n", "\r\n")


def _spaces(text: str, language: Language, _: str, __: random.Random) -> str:
    return "".join(f"{line.rstrip()}  \n" for line in text.splitlines())


def _twice(text: str, language: Language, _: str, __: random.Random) -> str:
    """An editor's slip: everything is there two times."""
    return text + "\n" + text


_KINDS: dict[str, _Maker] = {
    "add a function": _function,
    "add a comment": _comment,
    "speak of what is forbidden": _spoken,
    "rename a local": _rename,
    "add an import": _import,
    "import again": _import_again,
    "turn the imports round": _order,
    "move a paragraph": _move,
    "delete a paragraph": _delete,
    "half a file": _half,
    "half an import": _half_line,
    "lose a bracket": _bracket,
    "leave a conflict": _conflict,
    "end lines otherwise": _ends,
    "add spaces": _spaces,
    "paste it twice": _twice,
}
