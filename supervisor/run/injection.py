"""Where variables that make programs load something lead, as far as the run has made that.

Read at the call, for an answer that the process can understand, and again at the exec stop, from the new image: there
every word counts, since of two values of one name a loader and getenv(3) do not take the same one.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from supervisor.commands.wrappers import loaded
from supervisor.invariants.injection import FILES, FOLDERS
from supervisor.invariants.places import WRITABLE, locate
from supervisor.invariants.policy import CompiledPolicy
from supervisor.run import nodeoptions
from supervisor.surfaces.contents import told_by_kernel
from supervisor.surfaces.followed import UNTOLD, real
from supervisor.vocabulary.events import ExecEvent

if TYPE_CHECKING:
    from supervisor.run.authored import Authored
    from supervisor.run.prior import Prior

_MOST_ENVIRONMENT = 8 << 20  # the kernel takes 6 MiB of arguments and environment at most (execve(2))
_MOST_WORDS = 256
_MOST_ENTRIES = 1000  # of a folder that the run cannot change
_MOST_LOOKED = 8000  # names that are looked at for one program
_SPLIT: Final = re.compile(rb"[\s:;,=\"'()]+")
_FOLDER_LIST: Final = re.compile(rb"[:;]")
_FILE_LIST: Final = re.compile(rb"[\s:]+")
_LISTS: Final = (re.compile(rb"[ :]+"), re.compile(rb":"))  # other readings: a name may hold the rest
# Where a loader looks below a folder of libraries (ld.so(8)); before glibc 2.37 also by what the processor is.
_CAPABILITIES: Final = b"glibc-hwcaps"
_PROCESSORS: Final = frozenset((b"tls", b"x86_64", b"haswell", b"xeon_phi", b"avx512_1", b"aarch64", b"atomics"))
_SUFFIXES: Final = (b"", b".js", b".cjs", b".mjs", b".json", b".node", b".rb", b".pm", b".pl", b".py", b".so", b".sh")
_ORIGIN: Final = re.compile(rb"\$(?:ORIGIN(?![A-Za-z0-9_])|\{ORIGIN\})")
_EXPANDED: Final = re.compile(rb"[$`]|\A~")
_BY_A_SHELL: Final = re.compile(rb"[$`]|(?:\A|[\s\"'=:])~")
_SHELL_LINES: Final = ("GIT_", "PROMPT_", "LESSOPEN")
# A program that is looked for in PATH, and judged when it is executed.
_FROM_PATH: Final = re.compile(rb"\s*[\w+-][\w.+-]*(?=\s|\Z)")
_COMMANDS: Final = frozenset(("GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER", "GIT_SSH_COMMAND"))
# What these name is written, or is no file (java(1), node(1)). Everything else counts as what may be loaded.
_JAVA_WRITES: Final = re.compile(
    rb"-Xlog:.*|-Xloggc:.*|-XX:(?:HeapDumpPath|ErrorFile|LogFile|StartFlightRecording)[=:].*|-D(?!java\.|sun\.|jdk\.).*"
)
_NODE_WRITES: Final = re.compile(
    rb"--(?:redirect-warnings|report-filename|report-directory|diagnostic-dir|cpu-prof-dir|heap-prof-dir|title"
    rb"|trace-event-file-pattern|tls-keylog)=.*|--(?:max[a-z_-]+|stack-trace-limit)=[0-9]+"
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


class _Looks:
    """How many names may still be looked at for one program: they are the run's to choose, and its calls wait."""

    def __init__(self) -> None:
        self._left = _MOST_LOOKED

    def take(self, number: int = 1) -> bool:
        """Whether so many more may be."""
        self._left -= number
        return self._left >= 0

    def listed(self, folder: bytes, most: int = _MOST_LOOKED) -> list[os.DirEntry[bytes]] | None:
        """The first ``most`` entries of a folder; None: more than may be looked at. OSError."""
        with os.scandir(folder) as entries:
            found = list(islice(entries, min(most, max(0, self._left) + 1)))
        return found if self.take(1 + len(found)) else None


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
        given = tuple(dict.fromkeys(_words(pid) if event.stage == "stop" else environ().items()))
        looks = _Looks()
        found: dict[tuple[str, bytes], None] = {}
        for name, value in given:
            word = name.decode("latin-1")
            if self._start.get(name) == value or not policy.injection.asks(word):
                continue
            if policy.injection.drops(word) is not None:
                found[word, b""] = None
            elif authored is not None:
                where = _candidates(word, value, event, policy, looks)
                if word == "NODE_OPTIONS":
                    where = chain(where, _node(value, given, event, policy, looks))
                found |= {(word, at): None for at in where if not at or authored.is_mine(policy, at, prior)}
        if authored is not None and policy.injection.asks("PERL5OPT"):
            where = _perl(given, self._start, event, policy, looks)
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


def _candidates(name: str, value: bytes, event: ExecEvent, policy: CompiledPolicy, looks: _Looks) -> Iterator[bytes]:
    """Paths that a value may stand for, resolved. What is not there yet counts where only the run could make it."""
    if not value:
        return
    if name not in FILES and name not in FOLDERS:
        yield from _worded(name, value, event, policy, looks)
        return
    program = event.target.path
    if name.startswith("LD_") and not event.chain and not loaded(event.argv, program):
        value = _ORIGIN.sub(lambda _: os.path.dirname(program), value)
    likely = set((_FOLDER_LIST if name in FOLDERS else _FILE_LIST).split(value))
    words = likely.union([value], *(form.split(value) for form in _LISTS))
    escaped = name == "BASH_ENV" and b"\\" in value
    if escaped or len(words) > _MOST_WORDS or any(_EXPANDED.search(word) for word in words):
        yield UNTOLD
        return
    if not looks.take(len(words)):
        yield UNTOLD
        return
    for word in sorted(words):
        path = _path(word, event)
        if not path:
            yield UNTOLD
            return
        there = os.path.exists(path)
        if not there and word not in likely:
            continue
        if name in FOLDERS:
            yield from _inside(path, policy, looks, libraries=name == "LD_LIBRARY_PATH")
        elif word and (there or (b"/" in word and locate(policy, path).zone in WRITABLE)):
            yield path


def _worded(name: str, value: bytes, event: ExecEvent, policy: CompiledPolicy, looks: _Looks) -> Iterator[bytes]:
    """Options or a command line: split at every sign, and as a shell would."""
    if (name.startswith(_SHELL_LINES) or name.endswith("_ASKPASS")) and _BY_A_SHELL.search(value):
        yield UNTOLD
        return
    if name in _COMMANDS and (first := _FROM_PATH.match(value)):
        value = value[first.end() :]
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
    if name == "NODE_OPTIONS":
        quoted += nodeoptions.words(value)
    words = dict.fromkeys([*_SPLIT.split(value), *quoted])
    if len(words) > _MOST_WORDS or not looks.take(len(words)):
        yield UNTOLD
        return
    for word in words:
        yield from _optional(word, event, policy, looks)


def _perl(
    given: Iterable[tuple[bytes, bytes]],
    start: Mapping[bytes, bytes],
    event: ExecEvent,
    policy: CompiledPolicy,
    looks: _Looks,
) -> Iterator[bytes]:
    """The modules that PERL5OPT has every perl load, wherever it and PERL5LIB would have them found."""
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
        yield UNTOLD
        return
    for folder in {_path(word, event): None for word in named if word}:
        if not folder:
            yield UNTOLD
            return
        for at in _of_perl(folder, policy, looks):
            if not at or not looks.take(len(wanted)):
                yield UNTOLD
                return
            for each in wanted:
                path = os.path.join(at, each)
                if os.path.lexists(os.path.join(at, each.partition(b"/")[0])):
                    path = real(path)
                    if not path or os.path.lexists(path):
                        yield path


def _of_perl(folder: bytes, policy: CompiledPolicy, looks: _Looks) -> Iterator[bytes]:
    """Where perl looks for modules: a folder of PERL5LIB brings those of the version and the architecture below it
    (perlrun(1))."""
    level = [folder]
    for _ in range(2):
        yield from level
        below: list[bytes] = []
        for at in level:
            try:
                entries = looks.listed(at)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                if not (there := real(at)) or locate(policy, there).zone in WRITABLE:
                    yield UNTOLD
                continue
            if entries is None:
                yield UNTOLD
                return
            if any(entry.is_symlink() and not real(entry.path) for entry in entries):
                yield UNTOLD
                return
            below += [entry.path for entry in entries if _is_folder(entry)]
        level = below
    yield from level


def _optional(word: bytes, event: ExecEvent, policy: CompiledPolicy, looks: _Looks) -> Iterator[bytes]:
    """A word of an option or a command: a file, with the suffix left out or not; after -I a folder."""
    if not word:
        return
    for each in (word, word[2:]) if word.startswith(b"-") and len(word) > 2 else (word,):
        path = _path(each, event)
        if not path:
            yield UNTOLD
            return
        yield from _suffixed(os.path.join(event.cwd, each))
        if each is not word and word.startswith(b"-I"):
            yield from _inside(path, policy, looks)


def _suffixed(path: bytes) -> Iterator[bytes]:
    """The files that a name stands for, with the suffix left out or not."""
    for suffix in _SUFFIXES:
        if os.path.lexists(path + suffix) and (not (at := real(path + suffix)) or os.path.isfile(at)):
            yield at


def _node(
    value: bytes, given: Iterable[tuple[bytes, bytes]], event: ExecEvent, policy: CompiledPolicy, looks: _Looks
) -> Iterator[bytes]:
    """The modules that NODE_OPTIONS has node load: files, folders, and packages wherever they would be found. One that
    is not there yet counts as the run's where that could still make it."""
    if b"\\" in value:
        yield UNTOLD
        return
    above = nodeoptions.upwards(event.cwd)
    folders = [os.path.join(at, b"node_modules") for at in above]
    for name, each in given:
        if name == b"NODE_PATH":
            folders += [os.path.join(event.cwd, folder) for folder in each.split(b":") if folder]
        elif name == b"HOME":
            folders += [os.path.join(each, b".node_modules"), os.path.join(each, b".node_libraries")]
    for module in dict.fromkeys(nodeoptions.modules(value)):
        if module is None:
            yield UNTOLD
            return
        if nodeoptions.is_path(module):
            written = os.path.join(event.cwd, module)
            places = dict.fromkeys((written, os.path.normpath(written)))  # node takes away .. before it follows links
        else:
            name = nodeoptions.package(module)
            places = dict.fromkeys(at for folder in folders for at in _named(folder, module, name))
            if not name or nodeoptions.names_itself(event.cwd, name):
                yield UNTOLD
                return
        enough = len(places) <= _MOST_WORDS and looks.take(len(places) * len(_SUFFIXES))
        if not enough or not all(resolved := [real(path) for path in places]):
            yield UNTOLD
            return
        files = [at for path in places for at in _suffixed(path)]
        yield from files
        held = [at for at in resolved if os.path.isdir(at)]
        for at in held:
            if locate(policy, at).zone in WRITABLE:
                yield from _inside(at, policy, looks)
        if not files and not held:
            yield resolved[0]


def _named(folder: bytes, module: bytes, name: bytes) -> tuple[bytes, bytes]:
    return os.path.join(folder, module), os.path.join(folder, name)


def _inside(folder: bytes, policy: CompiledPolicy, looks: _Looks, *, libraries: bool = False) -> Iterator[bytes]:
    """What a folder holds, and what the run may have put into those below it; itself where there is none yet.
    ``libraries``: below it only where a loader looks. What cannot be listed may be searched all the same."""
    todo, seen = [(folder, libraries)], {folder}
    while todo:
        at, narrow = todo.pop()
        writable = locate(policy, at).zone in WRITABLE
        try:
            entries = looks.listed(at, _MOST_LOOKED if writable else _MOST_ENTRIES)
        except NotADirectoryError:
            yield at
            continue
        except OSError as error:
            if writable:
                yield at if isinstance(error, FileNotFoundError) else UNTOLD
            continue
        if entries is None:
            yield UNTOLD
            return
        for entry in entries:
            path = real(entry.path) if entry.is_symlink() else entry.path
            yield path
            if not path or path in seen or (narrow and entry.name not in _PROCESSORS | {_CAPABILITIES}):
                continue
            if _is_folder(entry) and locate(policy, path).zone in WRITABLE:
                seen.add(path)
                todo.append((path, narrow and entry.name != _CAPABILITIES))


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    """No error for a link that leads in a circle."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir(follow_symlinks=False)


def _path(word: bytes, event: ExecEvent) -> bytes:
    """Resolved, or ``UNTOLD``. An empty word of a list of folders is the working directory."""
    return real(os.path.join(event.cwd, word))
