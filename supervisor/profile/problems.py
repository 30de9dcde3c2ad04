"""Collects everything that is wrong with the files of a profile, so that a user sees all of it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Never

from supervisor.vocabulary.errors import ProfileError

Path = tuple[str | int, ...]

MOST_SHOWN = 50


def plain(text: str) -> str:
    """``text`` safe for a terminal: control, bidi and lone surrogate characters are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(text: str, limit: int = 80) -> str:
    """``text`` in double quotes, shortened, safe for a terminal."""
    return f'"{plain(text[:limit])}…"' if len(text) > limit else f'"{plain(text)}"'


def nearest(word: str, valid: Iterable[str]) -> str:
    """The words `` (did you mean "hosts"?)`` when some valid word is close, else nothing."""
    import difflib

    close = difflib.get_close_matches(word[:64], list(valid), n=1, cutoff=0.6 if len(word) > 4 else 0.5)
    return f' (did you mean "{close[0]}"?)' if close else ""


def type_word(value: object) -> str:
    """How users call the type of ``value``."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date" if hasattr(value, "isoformat") else "nothing"


class Problems:
    """Errors and warnings in the order found."""

    __slots__ = ("errors", "warnings")

    def __init__(self) -> None:
        self.errors: dict[tuple[str, int, str], None] = {}
        self.warnings: dict[str, None] = {}

    def error(self, name: str, line: int, text: str) -> None:
        """One error; ``line`` 0 when the file as a whole is meant."""
        self.errors[plain(name), line, text] = None

    def warn(self, where: str, text: str) -> None:
        self.warnings[f"{plain(where)}: {text}"] = None

    def raise_if_any(self) -> None:
        """Raise ``ProfileError`` with one line per error, grouped by file, in line order."""
        if not self.errors:
            return
        files = {name: number for number, name in enumerate(dict.fromkeys(name for name, _, _ in self.errors))}
        ordered = sorted(self.errors, key=lambda e: (files[e[0]], e[1]))
        lines = [f"{name}:{line}: {text}" if line else f"{name}: {text}" for name, line, text in ordered]
        if len(lines) > MOST_SHOWN:
            lines[MOST_SHOWN:] = [f"and {len(lines) - MOST_SHOWN} more"]
        count = len(ordered)
        where = ordered[0][0] if len(files) == 1 else "the profile"
        todo = "correct the lines" if any(line for _, line, _ in ordered) else "put right what is named"
        raise ProfileError(
            f"{where} has {count} error{'s' if count != 1 else ''}",
            "\n".join(lines),
            f"{todo} above; nothing was started",
        )


class Source:
    """One file under inspection: the name users see, where its keys stand, and who collects problems."""

    __slots__ = ("lines", "name", "problems")

    def __init__(self, name: str, lines: Mapping[Path, int], problems: Problems) -> None:
        self.name, self.lines, self.problems = name, lines, problems

    def line(self, path: Path) -> int:
        """Line of the key at ``path``, or of the closest table around it."""
        while path:
            found = self.lines.get(path)
            if found is not None:
                return found
            path = path[:-1]
        return 1


class Spot:
    """A place in a file: ``path`` leads there, ``label`` is how messages call it."""

    __slots__ = ("label", "path", "source")

    def __init__(self, source: Source, path: Path = (), label: str = "") -> None:
        self.source, self.path, self.label = source, path, label

    def called(self, label: str) -> Spot:
        return Spot(self.source, self.path, label)

    def to(self, part: str | int) -> Spot:
        label = self.label if isinstance(part, int) or not self.label else f"{self.label}.{part}"
        return Spot(self.source, (*self.path, part), label or str(part))

    @property
    def where(self) -> str:
        return f"{self.source.name}:{self.source.line(self.path)}"

    def bad(self, text: str) -> Never | None:  # noqa: RUF020 - mypy: a value, so ``return spot.bad(…)`` may end a check
        """Report an error here; the answer is always None."""
        self.source.problems.error(self.source.name, self.source.line(self.path), text)
        return None

    def warn(self, text: str) -> None:
        self.source.problems.warn(self.where, text)

    def wrong(self, wanted: str, value: object) -> Never | None:  # noqa: RUF020
        return self.bad(f'"{self.label}" must be {wanted}, not {type_word(value)}')

    def unknown(self, key: object, where: str, valid: Iterable[str]) -> Never | None:  # noqa: RUF020
        word = key if isinstance(key, str) else type_word(key)
        return self.bad(f"unknown key {shown(word)} in {where}{nearest(word, valid)}")
