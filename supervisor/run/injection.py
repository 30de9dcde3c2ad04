"""Where variables that make programs load something lead, as far as the run has made that.

Read at the call, for an answer that the process can understand, and again at the exec stop, from the new image: there
every word counts, since of two values of one name a loader and getenv(3) do not take the same one.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final

from supervisor.commands.wrappers import loaded
from supervisor.invariants.injection import FILES, FOLDERS
from supervisor.invariants.places import WRITABLE, locate
from supervisor.invariants.policy import CompiledPolicy
from supervisor.surfaces.contents import told_by_kernel
from supervisor.vocabulary.events import ExecEvent

if TYPE_CHECKING:
    from supervisor.run.authored import Authored
    from supervisor.run.prior import Prior

_MOST_ENVIRONMENT = 8 << 20  # the kernel takes 6 MiB of arguments and environment at most (execve(2))
_MOST_WORDS = 256
_MOST_ENTRIES = 1000  # of a folder
_SPLIT: Final = re.compile(rb"[\s:;,=\"'()]+")
_FOLDER_LIST: Final = re.compile(rb"[:;]")
_FILE_LIST: Final = re.compile(rb"[\s:]+")
_LISTS: Final = (re.compile(rb"[ :]+"), re.compile(rb":"))  # other readings: a name may hold the rest
_UNTOLD: Final = b""  # no path: where the value leads cannot be told
_SUFFIXES: Final = (b"", b".js", b".cjs", b".mjs", b".rb", b".pm", b".pl", b".py", b".so", b".sh")
_ORIGIN: Final = re.compile(rb"\$(?:ORIGIN(?![A-Za-z0-9_])|\{ORIGIN\})")
_EXPANDED: Final = re.compile(rb"[$`]|\A~")
_BY_A_SHELL: Final = re.compile(rb"[$`]|(?:\A|[\s\"'=:])~")
_SHELL_LINES: Final = ("GIT_", "PROMPT_", "LESSOPEN")
# What these name is written, or is no file (java(1), node(1)). Everything else counts as what may be loaded.
_JAVA_WRITES: Final = re.compile(
    rb"-Xlog:.*|-Xloggc:.*|-XX:(?:HeapDumpPath|ErrorFile|LogFile|StartFlightRecording)[=:].*|-D(?!java\.|sun\.|jdk\.).*"
)
_NODE_WRITES: Final = re.compile(
    rb"--(?:redirect-warnings|report-filename|report-directory|diagnostic-dir|cpu-prof-dir|heap-prof-dir|title"
    rb"|trace-event-file-pattern|tls-keylog)=.*"
)
_WRITES: Final = {
    "NODE_OPTIONS": _NODE_WRITES,
    "JAVA_TOOL_OPTIONS": _JAVA_WRITES,
    "JDK_JAVA_OPTIONS": _JAVA_WRITES,
    "_JAVA_OPTIONS": _JAVA_WRITES,
}
_TAKES_THE_NEXT: Final = re.compile(
    rb"-(?:cp|classpath|p|r|-(?:[a-z-]+-path|require|import|[a-z-]*loader|[a-z]+-module|add-[a-z]+))"
)
# -M, -m, and -d:Name of perlrun(1), also without the hyphen and after other letters.
_MODULES: Final = re.compile(rb"([Mmd])[t:-]*([A-Za-z_][\w:']*)")


class Injection:
    """``start``: the environment that the run began with: what is as it was then is the user's."""

    def __init__(self, start: Mapping[str, str]) -> None:
        self._start = {os.fsencode(name): os.fsencode(value) for name, value in start.items()}

    def of(
        self,
        policy: CompiledPolicy,
        event: ExecEvent,
        pid: int,
        environ: Callable[[], Mapping[bytes, bytes]],
        authored: Authored | None,
        prior: Callable[[], Prior | None],
    ) -> ExecEvent:
        """The event with what such variables bring in. OSError: the process is gone, or has a larger environment than
        can be read."""
        given = tuple(_words(pid) if event.stage == "stop" else environ().items())
        found: dict[tuple[str, bytes], None] = {}
        for name, value in given:
            word = name.decode("latin-1")
            if self._start.get(name) == value or not policy.injection.asks(word):
                continue
            if policy.injection.drops(word) is not None:
                found[word, b""] = None
            elif authored is not None:
                where = _candidates(word, value, event, policy)
                found |= {(word, at): None for at in where if not at or authored.is_mine(policy, at, prior)}
        if authored is not None and policy.injection.asks("PERL5OPT"):
            where = _perl(given, self._start, event)
            found |= {("PERL5OPT", at): None for at in where if not at or authored.is_mine(policy, at, prior)}
        return event._replace(injected=tuple(found)) if found else event


def _words(pid: int) -> Iterable[tuple[bytes, bytes]]:
    raw = told_by_kernel(f"/proc/{pid}/environ", _MOST_ENVIRONMENT)
    if len(raw) >= _MOST_ENVIRONMENT:
        raise OSError("its environment is too large to be read")
    for word in raw.split(b"\0"):
        name, equals, value = word.partition(b"=")
        if equals:
            yield name, value


def _candidates(name: str, value: bytes, event: ExecEvent, policy: CompiledPolicy) -> Iterator[bytes]:
    """Paths that a value may stand for, resolved. What is not there yet counts where only the run could make it."""
    if not value:
        return
    if name not in FILES and name not in FOLDERS:
        yield from _worded(name, value, event, policy)
        return
    program = event.target.path
    if name.startswith("LD_") and not event.chain and not loaded(event.argv, program):
        value = _ORIGIN.sub(lambda _: os.path.dirname(program), value)
    likely = set((_FOLDER_LIST if name in FOLDERS else _FILE_LIST).split(value))
    words = likely.union([value], *(form.split(value) for form in _LISTS))
    escaped = name == "BASH_ENV" and b"\\" in value
    if escaped or len(words) > _MOST_WORDS or any(_EXPANDED.search(word) for word in words):
        yield _UNTOLD
        return
    for word in sorted(words):
        path = _path(word, event)
        there = os.path.exists(path)
        if not there and word not in likely:
            continue
        if name in FOLDERS:
            yield from _inside(path, policy)
        elif word and (there or (b"/" in word and locate(policy, path).zone in WRITABLE)):
            yield path


def _worded(name: str, value: bytes, event: ExecEvent, policy: CompiledPolicy) -> Iterator[bytes]:
    """Options or a command line: split at every sign, and as a shell would."""
    if (name.startswith(_SHELL_LINES) or name.endswith("_ASKPASS")) and _BY_A_SHELL.search(value):
        yield _UNTOLD
        return
    writes = _WRITES.get(name)
    if writes is not None:
        options = value.split()
        free = (
            writes.fullmatch(word) and not {34, 39} & set(word) and not _TAKES_THE_NEXT.fullmatch(before)
            for before, word in zip([b"", *options], options, strict=False)
        )
        value = b" ".join(word for word, is_free in zip(options, free, strict=True) if not is_free)
    try:
        quoted = [word.encode("latin-1") for word in shlex.split(value.decode("latin-1"))]
    except ValueError:
        quoted = []  # no shell would take it
    words = dict.fromkeys([*_SPLIT.split(value), *quoted])
    if len(words) > _MOST_WORDS:
        yield _UNTOLD
        return
    for word in words:
        yield from _optional(word, event, policy)


def _perl(given: Iterable[tuple[bytes, bytes]], start: Mapping[bytes, bytes], event: ExecEvent) -> Iterator[bytes]:
    """The modules that PERL5OPT has every perl load, wherever it and PERL5LIB would have them found. A folder of
    PERL5LIB brings those of the version and the architecture below it (perlrun(1))."""
    options = [value for name, value in given if name == b"PERL5OPT"]
    folders = [(name, value) for name, value in given if name in (b"PERL5LIB", b"PERLLIB")]
    if all(start.get(b"PERL5OPT") == each for each in options) and all(start.get(n) == each for n, each in folders):
        return
    wanted = {
        (b"Devel/" if letter == b"d" else b"") + each.replace(b"::", b"/").replace(b"'", b"/") + b".pm"
        for value in options
        for letter, each in _MODULES.findall(value)
    }
    if not wanted:
        return
    named = [word for _, value in folders for word in value.split(b":")]
    named += [part for value in options for word in value.split() for part in (word[2:], word.rpartition(b"=")[2])]
    if len(named) + len(wanted) > _MOST_WORDS:
        yield _UNTOLD
        return
    for folder in dict.fromkeys(_path(word, event) for word in named if word):
        for pattern in (b"", b"*", b"*/*"):
            for each in wanted:
                below = glob.iglob(os.path.join(glob.escape(folder), pattern, each))
                yield from (os.path.realpath(path) for path in islice(below, _MOST_WORDS))


def _optional(word: bytes, event: ExecEvent, policy: CompiledPolicy) -> Iterator[bytes]:
    """A word of an option or a command: a file, with the suffix left out or not; after -I a folder."""
    if not word:
        return
    for each in (word, word[2:]) if word.startswith(b"-") and len(word) > 2 else (word,):
        path = _path(each, event)
        yield from (there for suffix in _SUFFIXES if os.path.isfile(there := path + suffix))
        if each is not word and word.startswith(b"-I"):
            yield from _inside(path, policy)


def _inside(folder: bytes, policy: CompiledPolicy) -> Iterator[bytes]:
    """The files of a folder; itself where they cannot be listed or are too many, and where there is none yet."""
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= _MOST_ENTRIES:
                    yield folder
                    return
                yield os.path.realpath(entry.path)
    except NotADirectoryError:
        yield folder
    except OSError:
        if locate(policy, folder).zone in WRITABLE:
            yield folder


def _path(word: bytes, event: ExecEvent) -> bytes:
    """An empty word of a list of folders is the working directory."""
    return os.path.realpath(os.path.join(event.cwd, word))
