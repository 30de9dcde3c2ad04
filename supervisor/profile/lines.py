"""On which line a TOML key or list element stands; ``tomllib`` does not say.

Runs before ``tomllib``, whose memory grows with the square of a dotted key's parts (128,000 parts: the OOM killer) and
which recurses per bracket: what is too deep is refused here. Otherwise it tracks structure and checks nothing; on text
that is not TOML its answer means nothing, and ``tomllib`` says what is wrong. Strings, comments and brackets are
stepped over by hand: compiling a regular expression would cost more than the scan of a usual profile.
"""

from __future__ import annotations

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
MOST_PARTS = 32
MOST_DEPTH = 32


class TooDeep(Exception):
    """Nesting that no profile needs. ``line`` is where it was met."""

    def __init__(self, line: int) -> None:
        super().__init__("is nested too deeply")
        self.line = line


class _Scan:
    """A cursor over the text. ``line`` is 1-based and follows ``pos``."""

    __slots__ = ("counts", "found", "line", "pos", "text")

    def __init__(self, text: str) -> None:
        self.text, self.pos, self.line = text, 0, 1
        self.found: dict[tuple[str | int, ...], int] = {}
        self.counts: dict[tuple[str | int, ...], int] = {}

    def peek(self) -> str:
        return self.text[self.pos] if self.pos < len(self.text) else ""

    def blank(self, newlines: bool) -> None:
        """Step over spaces and comments, over line ends too if ``newlines``."""
        text, end = self.text, len(self.text)
        while self.pos < end:
            c = text[self.pos]
            if c == "\n":
                if not newlines:
                    return
                self.line += 1
            elif c == "#":
                stop = text.find("\n", self.pos)
                self.pos = end if stop < 0 else stop
                continue
            elif c not in " \t\r":
                return
            self.pos += 1

    def string(self) -> str:
        """Step over a string of any of the four kinds; its text without escapes resolved."""
        text, quote = self.text, self.text[self.pos]
        triple = text.startswith(quote * 3, self.pos)
        close = quote * 3 if triple else quote
        start = self.pos + len(close)
        at = start
        while True:
            at = text.find(close, at)
            if at < 0:
                at = len(text)
                break
            if quote == "'" or not _escaped(text, start, at):
                break
            at += 1
        stop = at + len(close)
        if triple:
            while stop < len(text) and text[stop] == quote:  # up to two quotes may touch the closing three
                stop += 1
        self.line += text.count("\n", self.pos, stop)
        self.pos = stop
        return text[start:at]

    def key(self) -> tuple[str, ...]:
        """A dotted key; leaves the cursor behind it."""
        parts: list[str] = []
        while True:
            self.blank(newlines=False)
            c = self.peek()
            if c in ('"', "'") and c:
                raw = self.string()
                parts.append(_unescaped(raw) if c == '"' else raw)
            else:
                start = self.pos
                while self.peek() in _BARE and self.pos < len(self.text):
                    self.pos += 1
                parts.append(self.text[start : self.pos])
            self.blank(newlines=False)
            if self.peek() != ".":
                return tuple(parts)
            if len(parts) >= MOST_PARTS:
                raise TooDeep(self.line)
            self.pos += 1

    def value(self, path: tuple[str | int, ...]) -> None:
        """Step over a value and note where its elements and inner keys stand. Iterative: nesting may be deep."""
        stack: list[tuple[str, tuple[str | int, ...], int]] = []  # (closing bracket, path, next element)
        here = path
        while True:
            c = self.peek()
            if c == "":
                return
            if c in "[{":
                self.pos += 1
                stack.append(("]" if c == "[" else "}", here, 0))
                if len(stack) > MOST_DEPTH:
                    raise TooDeep(self.line)
            elif c in "\"'":
                self.string()
            elif c not in ",]}":
                self.scalar(bool(stack))
            entered = self.between(stack)
            if entered is None:
                return
            here = entered

    def scalar(self, nested: bool) -> None:
        stops = ",]}#\n" if nested else "#\n"
        while self.pos < len(self.text) and self.text[self.pos] not in stops:
            self.pos += 1

    def between(self, stack: list[tuple[str, tuple[str | int, ...], int]]) -> tuple[str | int, ...] | None:
        """Step over commas and closing brackets to the next value; its path, or None at the end of the outermost."""
        while stack:
            self.blank(newlines=True)
            c = self.peek()
            if c == "":
                return None
            if c in "]}":
                self.pos += 1
                stack.pop()
                continue
            if c == ",":
                self.pos += 1
                continue
            closing, path, index = stack[-1]
            if closing == "]":
                stack[-1] = (closing, path, index + 1)
                here: tuple[str | int, ...] = (*path, index)
            else:
                line = self.line
                here = (*path, *self.key())
                self.found.setdefault(here, line)
                self.pos += 1  # the equals sign
                self.blank(newlines=False)
            self.found.setdefault(here, self.line)
            return here
        return None

    def header(self) -> tuple[str | int, ...]:
        """``[a.b]`` or ``[[a.b]]``: the path of the table that begins here."""
        line, array = self.line, self.text.startswith("[[", self.pos)
        self.pos += 2 if array else 1
        path: tuple[str | int, ...] = ()
        names = self.key()
        for number, name in enumerate(names):
            path = (*path, name)
            last = number == len(names) - 1
            if last and array:
                self.counts[path] = self.counts.get(path, -1) + 1
                self.found.setdefault(path, line)
            if path in self.counts:
                path = (*path, self.counts[path])
        self.found.setdefault(path, line)
        stop = self.text.find("\n", self.pos)
        self.pos = len(self.text) if stop < 0 else stop
        return path


def _escaped(text: str, start: int, at: int) -> bool:
    back = at
    while back > start and text[back - 1] == "\\":
        back -= 1
    return (at - back) % 2 == 1


def _unescaped(raw: str) -> str:
    if "\\" not in raw:
        return raw
    import tomllib

    try:
        return str(tomllib.loads(f'k = "{raw}"')["k"])
    except ValueError:
        return raw


def line_index(text: str) -> dict[tuple[str | int, ...], int]:
    """Path → 1-based line of every table header, key and list element of the TOML ``text``. Raises ``TooDeep``.

    The n-th ``[[kind]]`` has the path ``("kind", n)``, its keys ``("kind", n, key)``; list elements end in their
    number.
    """
    scan = _Scan(text)
    table: tuple[str | int, ...] = ()
    while True:
        scan.blank(newlines=True)
        c = scan.peek()
        if c == "":
            return scan.found
        if c == "[":
            table = scan.header()
            continue
        line, before = scan.line, scan.pos
        path = (*table, *scan.key())
        scan.found.setdefault(path, line)
        scan.blank(newlines=False)
        scan.pos += 1  # the equals sign
        scan.blank(newlines=False)
        scan.value(path)
        if scan.pos <= before:  # the equals sign was stepped over, so this cannot be; never loop for ever
            return scan.found
