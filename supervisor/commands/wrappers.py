"""Programs that start another one, and which: an early answer where the other is an exec of its own, the only answer
where it is not (a loader, an interpreter with a script, busybox).

What cannot be told is left out: the exec that follows is judged on its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from supervisor.commands.toolfiles import lookup, names, packaged

_INTERPRETER = re.compile(
    r"(python|pypy|node|nodejs|ruby|perl|php|lua|luajit|deno|bun|java|tclsh|guile|Rscript|osascript|pwsh)"
    r"(?:[-.]?\d[\d.]{0,12})?[a-z]?"
)
_LOADER = re.compile(r"(?:ld-linux[\w.-]*|ld-musl-[\w.-]*|ld-[\d.]+|ld64?)\.so(?:\.\d)?")
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash", "busybox sh"))
_ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
_PLAIN_LINE = re.compile(r"[\w./:@%+,=~ -]*")


class Shape(NamedTuple):
    """``value``: options that take the next word. ``skip``: operands before the command. ``line``: options whose value
    is a command line; ``open``: words are added to the command, or its variables are not known. ``after``: the command
    begins after this word. ``assigns``: ``NAME=value`` may come before it."""

    value: frozenset[str] = frozenset()
    skip: int = 0
    line: frozenset[str] = frozenset()
    open: bool = False
    after: frozenset[str] = frozenset()
    assigns: bool = False


class Inner(NamedTuple):
    """What is started. ``direct``: by this very process, so that no exec of it follows. ``whole``: all its words and
    variables are known. ``variables``: set for it (None: taken
    away); ``bare``: it gets no others. ``folder``: where it starts."""

    argv: tuple[str, ...]
    direct: bool = False
    whole: bool = True
    variables: tuple[tuple[str, str | None], ...] = ()
    bare: bool = False
    folder: str = ""


def _shape(value: str = "", **more: object) -> Shape:
    return Shape(frozenset(value.split()), **more)  # type: ignore[arg-type]


_DASHES = frozenset(("--",))
WRAPPERS: Mapping[str, Shape] = {
    "env": _shape("-u --unset -C --chdir -S --split-string -a --argv0 --block-signal", assigns=True),
    "timeout": _shape("-k --kill-after -s --signal", skip=1),
    "nice": _shape("-n --adjustment"),
    "ionice": _shape("-c --class -n --classdata -t"),
    "nohup": _shape(),
    "setsid": _shape(),
    "stdbuf": _shape("-i --input -o --output -e --error"),
    "time": _shape("-f --format -o --output"),
    "chrt": _shape("-T --sched-runtime -P --sched-period -D --sched-deadline", skip=1),
    "taskset": _shape(skip=1),
    "flock": _shape(
        "-w --wait --timeout -E --conflict-exit-code -c --command", skip=1, line=frozenset(("-c", "--command"))
    ),
    "xargs": _shape("-a --arg-file -d --delimiter -E -I -L -n --max-args -P --max-procs -s --max-chars", open=True),
    "parallel": _shape("-j --jobs -a --arg-file -I --colsep -N -n -S --sshlogin --joblog --delay --retries", open=True),
    "sudo": _shape(
        "-u --user -g --group -h --host -p --prompt -C -D --chdir -R -T -U -r -t --close-from", assigns=True, open=True
    ),
    "doas": _shape("-u -C", open=True),
    "su": _shape("-c --command -g --group -G -s --shell -w", line=frozenset(("-c", "--command")), open=True),
    "runuser": _shape(
        "-u --user -c --command -g --group -G -s --shell -w", line=frozenset(("-c", "--command")), open=True
    ),
    "watch": _shape("-n --interval -q --equexit", line=frozenset(("",))),
    "script": _shape(
        "-c --command -E --echo -I --log-in -O --log-out -B --log-io -T --log-timing -m -o --output-limit",
        line=frozenset(("-c", "--command")),
    ),
    "strace": _shape("-a -b -e -E -I -o -O -p -P -s -S -u -U -X --trace --output", open=True),
    "ltrace": _shape("-a -A -D -e -F -l -n -o -p -s -u -w -x", open=True),
    "unshare": _shape("-R --root -w --wd -S --setuid -G --setgid --propagation --setgroups", open=True),
    "nsenter": _shape("-t --target -S --setuid -G --setgid", open=True),
    "chroot": _shape("--userspec --groups", skip=1, open=True),
    "setarch": _shape(skip=1),
    "linux64": _shape(),
    "prlimit": _shape("-p --pid -o --output"),
    "systemd-run": _shape(
        "-p --property -u --unit -E --setenv --uid --gid --slice -M -H --working-directory", open=True
    ),
    "systemd-inhibit": _shape("--what --who --why --mode"),
    "dbus-run-session": _shape("--config-file --dbus-daemon"),
    "xvfb-run": _shape("-n --server-num -e --error-file -f --auth-file -p --xauth-protocol -s --server-args -w --wait"),
    "caffeinate": _shape("-t -w"),
    "direnv": _shape(after=frozenset(("exec",)), skip=1, open=True),
    "op": _shape(after=frozenset(("run",)), value="--env-file --account --environment", open=True),
    "doppler": _shape(after=frozenset(("run",)), value="-p --project -c --config -t --token --scope", open=True),
    "aws-vault": _shape(
        after=frozenset(("exec",)), value="-d --duration -n --no-session -t --mfa-token --region", skip=1, open=True
    ),
    "chamber": _shape(after=frozenset(("exec",)), open=True),
    "dotenv": _shape("-f -e -p -c", after=frozenset(("run",)), open=True),
    "poetry": _shape("-C --directory -P --project", after=frozenset(("run",)), open=True),
    "bundle": _shape(after=frozenset(("exec",)), open=True),
    "rtk": _shape(open=True),
}
_RUNNERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "npx": (("",), "-p --package -c --call -w --workspace --prefix --registry --cache"),
    "bunx": (("",), "-p --package"),
    "pnpx": (("",), "--package"),
    "uvx": (
        ("",),
        "--from --with -p --python --index --index-url --default-index --extra-index-url --with-requirements",
    ),
    "pipx": (("run",), "--spec --python --pip-args --index-url --with --backend"),
    "pnpm": (("dlx", "exec"), "--package -C --dir --filter -F"),
    "yarn": (("dlx", "exec"), "-p --package --cwd"),
    "npm": (("exec", "x"), "-p --package -c --call -w --workspace --prefix --registry"),
    "uv": (("tool run",), "--from --with -p --python --index --index-url --default-index --directory --project"),
    "bun": (("x",), "-p --package"),
}
_PYTHON_VALUED = "WX"
_LOADER_VALUED = frozenset(
    (
        "--library-path",
        "--inhibit-rpath",
        "--audit",
        "--preload",
        "--argv0",
        "--glibc-hwcaps-prepend",
        "--glibc-hwcaps-mask",
    )
)
_NODE_VALUED = frozenset(
    ("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file")
)
_MODULES: Mapping[str, str] = {"awscli": "aws", "azure": "az", "ansible": "ansible", "twine": "twine"}


def inner(name: str, argv: Sequence[str]) -> Inner | None:
    """What a program of that base name starts with these words (the first is its own name); None when that cannot be
    told, or it starts nothing."""
    if name in WRAPPERS:
        return _wrapped(WRAPPERS[name], name, argv[1:])
    if name in _RUNNERS:
        return _run(name, argv[1:])
    if _LOADER.fullmatch(name):
        at = _after_options(argv, 1, _LOADER_VALUED)
        return Inner(tuple(argv[at:]), direct=True) if at < len(argv) else None
    if name in ("busybox", "toybox"):
        return Inner(tuple(argv[1:]), direct=True) if argv[1:] and not argv[1].startswith("-") else None
    if name == "find":
        return _found(argv)
    found = _INTERPRETER.fullmatch(name)
    return _interpreted(found[1], argv) if found is not None else None


def is_wrapper(name: str) -> bool:
    """Whether ``inner`` could say anything of a program of that name."""
    if name in WRAPPERS or name in _RUNNERS or name in ("find", "busybox", "toybox"):
        return True
    return _LOADER.fullmatch(name) is not None or _INTERPRETER.fullmatch(name) is not None


def _after_options(argv: Sequence[str], at: int, valued: frozenset[str]) -> int:
    """Where the first word is that is neither an option nor the value of one."""
    while at < len(argv) and argv[at].startswith("-") and len(argv[at]) > 1:
        word = argv[at]
        at += 1
        if word == "--":
            break
        if _takes_next(word, valued):
            at += 1
    return at


def _takes_next(word: str, valued: frozenset[str]) -> bool:
    if word in valued:
        return True
    if word.startswith("--"):
        return False
    for number, letter in enumerate(word[1:16], 2):
        if "-" + letter in valued:
            return number == len(word)
    return False


def _wrapped(shape: Shape, name: str, words: Sequence[str]) -> Inner | None:
    variables: list[tuple[str, str | None]] = []
    at, bare, folder = 0, False, ""
    if shape.after:
        at = _after_options(words, 0, shape.value)
        if at >= len(words) or words[at] not in shape.after:
            return None
        at += 1
    while at < len(words) and words[at].startswith("-") and len(words[at]) > 1:
        word = words[at]
        at += 1
        if word == "--":
            break
        option, value = _valued(word, words[at] if at < len(words) else "", shape.value)
        at += _takes_next(word, shape.value)
        if shape.line and option in shape.line:
            return _of_line(value, whole=not shape.open)
        if name == "env":
            if option in ("-S", "--split-string"):
                return _split(value, words[at:])
            bare = bare or option in ("-i", "--ignore-environment")
            folder = value if option in ("-C", "--chdir") else folder
            if option in ("-u", "--unset"):
                variables.append((value, None))
        if name == "sudo" and option in ("-D", "--chdir"):
            folder = value
    if name == "env" and at < len(words) and words[at] == "-":
        at, bare = at + 1, True
    at += shape.skip
    if at < len(words) and words[at] == "--":
        at += 1
    while shape.assigns and at < len(words) and _ASSIGNED.match(words[at]):
        key, _, value = words[at].partition("=")
        variables.append((key, value))
        at += 1
    rest = tuple(words[at:])
    if not rest or (shape.line and name != "flock"):
        return _of_line(" ".join(rest), whole=True) if name == "watch" and rest else None
    if name == "flock" and rest[0] in ("-c", "--command"):
        return _of_line(" ".join(rest[1:2]), whole=True)
    return Inner(rest, whole=not shape.open, variables=tuple(variables), bare=bare, folder=folder)


def _valued(word: str, following: str, valued: frozenset[str]) -> tuple[str, str]:
    """The last option that a word holds and its value."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else following if name in valued else ""
    for number, letter in enumerate(word[1:16], 2):
        if "-" + letter in valued:
            return "-" + letter, word[number:] or following
    return word, ""


def _of_line(line: str, *, whole: bool) -> Inner | None:
    """The words of a command line that a shell would read as they stand."""
    if _PLAIN_LINE.fullmatch(line) is None or not line.strip():
        return None
    words = tuple(line.split())
    return None if _ASSIGNED.match(words[0]) or words[0] in ("exec", "command", "eval") else Inner(words, whole=whole)


def _split(line: str, rest: Sequence[str]) -> Inner | None:
    found = _of_line(line.strip(), whole=True)
    if found is None:
        return None
    words = (*found.argv, *rest)
    return _wrapped(WRAPPERS["env"], "env", words)


def _found(argv: Sequence[str]) -> Inner | None:
    """``find … -exec COMMAND… ;``: the first of them."""
    for at, word in enumerate(argv):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            rest = argv[at + 1 :]
            end = next((n for n, each in enumerate(rest) if each == ";" or (each == "+" and n)), len(rest))
            return Inner(tuple(rest[:end]), whole=False) if end else None
    return None


def _run(name: str, words: Sequence[str]) -> Inner | None:
    """A program of a package, fetched where it is not there: ``npx TOOL``."""
    verbs, value = _RUNNERS[name]
    valued = frozenset(value.split())
    at = _after_options(words, 0, valued)
    verb = next(
        (each for each in verbs if each == "" or tuple(words[at : at + len(each.split())]) == tuple(each.split())), None
    )
    if verb is None:
        return None
    at += len(verb.split())
    at = _after_options(words, at, valued)
    if at >= len(words):
        return None
    program = re.sub(r"(?<=.)@[^/]*$|[<>=~!\[].*$", "", words[at][:256])
    found = lookup(program) or packaged(program)
    return Inner((found or program, *words[at + 1 :]))


def _interpreted(kind: str, argv: Sequence[str]) -> Inner | None:
    """The script, module or archive that an interpreter runs, when the catalogue lists it."""
    words = argv[1:]
    if kind in ("python", "pypy"):
        return _python(words)
    if kind == "java":
        at = next((n for n, word in enumerate(words) if word == "-jar"), -1)
        script = tuple(words[at + 1 :]) if at >= 0 else ()
    else:
        at = _after_options(words, 0, _NODE_VALUED)
        script = tuple(words[at:])
        if kind in ("deno", "bun") and script[:1] == ("run",):
            at = _after_options(script, 1, frozenset())
            script = script[at:]
    return Inner(script, direct=True) if script and lookup(script[0]) else None


def _python(words: Sequence[str]) -> Inner | None:
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-") or word == "-":
            return Inner(tuple(words[at:]), direct=True) if lookup(word) else None
        at += 1
        if word.startswith("--"):
            at += word == "--check-hash-based-pycs"
            continue
        for number, letter in enumerate(word[1:64], 2):
            if letter == "c":
                return None
            if letter == "m":
                module = word[number:] or "".join(words[at : at + 1])
                rest = words[at + (0 if word[number:] else 1) :]
                first = module.partition(".")[0]
                tool = _MODULES.get(first) or lookup(first.replace("_", "-")) or lookup(first)
                return Inner((tool, *rest), direct=True) if tool in names() else None
            if letter in _PYTHON_VALUED:
                at += 0 if word[number:] else 1
                break
    return None


# ------------------------------------------------------------------------------------------- programs from stdin

_TAKING = frozenset(("-o", "+o", "-O", "+O", "--rcfile", "--init-file", "-W", "-X", "-I", "-r", "--require", "-C"))
_GIVEN = frozenset(("-c", "-e", "-E", "-m", "-p", "--eval", "--print", "--command", "-f", "--version", "-V", "--help"))


def loaded(argv: Sequence[bytes], program: bytes) -> tuple[bytes, ...]:
    """The words of the program that a dynamic loader is to start, its path first; empty for anything but a loader. No
    exec of it follows."""
    name = program.decode("utf-8", "surrogateescape").rpartition("/")[2]
    if _LOADER.fullmatch(name) is None:
        return ()
    found = inner(name, [word.decode("utf-8", "surrogateescape") for word in argv])
    return tuple(word.encode("utf-8", "surrogateescape") for word in found.argv) if found is not None else ()


def interpreter(argv: Sequence[bytes], program: bytes) -> bool:
    """Whether the program is an interpreter that would read its program from standard input."""
    words = [word.decode("utf-8", "surrogateescape") for word in argv[:64]]
    name = program.decode("utf-8", "surrogateescape").rpartition("/")[2]
    for _ in range(4):
        if name in ("busybox", "toybox") or _LOADER.fullmatch(name):
            called = words[0].rpartition("/")[2] if words else ""
            if name in ("busybox", "toybox") and called not in (name, ""):
                name = called
                break
            found = inner(name, words)
            if found is None:
                return False
            words, name = list(found.argv), found.argv[0].rpartition("/")[2]
    shell = name in _SHELLS
    if not shell and (_INTERPRETER.fullmatch(name) is None or name in ("java", "bun", "php-fpm")):
        return False
    return _reads_stdin(words[1:], shell=shell)


def _reads_stdin(words: Sequence[str], *, shell: bool) -> bool:
    at = 0
    while at < len(words):
        word = words[at]
        if word in ("-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"):
            return True
        if not word.startswith(("-", "+")):
            return False
        at += 1
        if word == "--":
            return at >= len(words) or words[at] in ("-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0")
        if shell and not word.startswith("--"):
            if "s" in word[1:] and "c" not in word[1:]:
                return True
            if "c" in word[1:]:
                return False
        elif word in _GIVEN or (not word.startswith("--") and any("-" + letter in _GIVEN for letter in word[1:3])):
            return False
        at += word in _TAKING
    return True
