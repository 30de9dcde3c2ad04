"""The seccomp filter: table to program, program to kernel.

libseccomp builds the part that every call runs through (architecture, x32, a binary tree over numbers). Argument rules
are appended as straight-line blocks instead of libseccomp's rules, which cannot say "all but these" or "first match
wins" and need several comparisons where one JSET does.

- Default ENOSYS; a foreign architecture and x32 numbers kill the process.
- The program is a pure function of the table and ``FilterSpec``, so it is cached; a start does not load libseccomp.
- Never TSYNC: the caller has one thread, and the flag could return a thread id where a descriptor is expected.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from supervisor import __version__
from supervisor.kernel.seccomp import INSTRUCTION, LISTENER, load, seccomp_number
from supervisor.vocabulary.errors import HostError, InternalError

if TYPE_CHECKING:
    from supervisor.kernel.syscall_table import Case, Check, Opens


class FilterSpec(NamedTuple):
    """What varies between runs.

    ``opens`` says which opens are put to the supervisor: "writes", "folders" (those with O_DIRECTORY too) or "all".
    ``abi`` is the Landlock ABI that will be in force (signals between threads are asked about below 6).
    ``ipc``: System V objects can be had.
    """

    debug: bool
    opens: Opens
    abi: int
    ipc: bool = True


_MAX_INSTRUCTIONS: Final = 4096  # BPF_MAXINSNS

_LD_ABS: Final = 0x20
_AND_K: Final = 0x54
_JA: Final = 0x05
_JEQ: Final = 0x15
_JSET: Final = 0x45
_RET: Final = 0x06
# Return values SECCOMP_RET_TRACE | n stand for "continue at block n" until the blocks are appended.
_TRACE: Final = 0x7FF00000
_MAGIC: Final = b"govrun-bpf-1\n"

Instruction = tuple[int, int, int, int]


def build(spec: FilterSpec) -> bytes:
    """The program, an array of ``struct sock_filter``. Imports pyseccomp. Errors: ``HostError`` without libseccomp."""
    from supervisor.kernel.argument_rules import by_argument
    from supervisor.kernel.syscall_table import NOTIFIED, by_name

    seccomp_number()
    rules = sorted(by_argument(spec.opens, debug=spec.debug).items())
    table = by_name(spec.debug, spec.abi, ipc=spec.ipc)
    table |= {name: _TRACE | index for index, (name, _) in enumerate(rules, 1)}
    program = _export(table)
    blocks = [_block(rule.cases, rule.otherwise) for _, rule in rules]
    linked = _link(program, blocks)
    if not any(code == _RET and value == NOTIFIED for code, _, _, value in linked):
        raise InternalError("the filter that was built asks about nothing")
    return b"".join(INSTRUCTION.pack(*instruction) for instruction in linked)


def _pyseccomp() -> Any:
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise HostError(
            "libseccomp is missing",
            f"the system call filter is built with it: {error}",
            "Debian, Ubuntu: apt install libseccomp2\nFedora, RHEL: dnf install libseccomp\n"
            "Alpine: apk add libseccomp\nthen, if pyseccomp itself is missing: reinstall govrun",
        ) from error
    return pyseccomp


def resolve(name: str) -> int | None:
    """The number of a call on this machine, None if this machine never had it. Errors: ``InternalError`` for a name
    that libseccomp knows nowhere (a typo in the table must not drop a rule)."""
    from supervisor.kernel.syscall_table import COMMON_NUMBERS

    if name in COMMON_NUMBERS:
        return COMMON_NUMBERS[name]
    sec = _pyseccomp()
    number: int = sec.resolve_syscall(sec.Arch.NATIVE, name)
    if number == -1:  # __NR_SCMP_ERROR; calls of other architectures get numbers below it
        raise InternalError(f"the system call table names an unknown call: {name}")
    return number if number >= 0 else None


def _export(table: Mapping[str, int]) -> list[Instruction]:
    import tempfile

    sec = _pyseccomp()
    default = 0x00050000 | errno.ENOSYS
    try:
        built = sec.SyscallFilter(default)
        built.set_attr(sec.Attr.ACT_BADARCH, sec.KILL_PROCESS)
        built.set_attr(sec.Attr.CTL_OPTIMIZE, 2)
        for name, action in sorted(table.items()):
            number = resolve(name)
            if number is not None and action != default:
                built.add_rule_exactly(action, number)
        with tempfile.TemporaryFile() as file:
            built.export_bpf(file)
            file.seek(0)
            return list(INSTRUCTION.iter_unpack(file.read()))
    except OSError as error:
        raise HostError(
            "libseccomp could not build the filter",
            str(error),
            "libseccomp 2.5 or newer is needed; see `govrun doctor`",
        ) from error


def _block(cases: Iterable[Case], otherwise: int) -> list[Instruction]:
    """Straight-line code for one rule. Within a case every failing test jumps to the next case."""
    out: list[Instruction] = []
    for case in cases:
        body: list[list[Instruction]] = []
        # Built backwards: how far a failing test has to jump depends on what follows it.
        tail = 1
        for check in reversed(case.tests):
            code = _code(check, tail)
            tail += len(code)
            body.insert(0, code)
        out += [instruction for code in body for instruction in code]
        out.append((_RET, 0, 0, case.action))
    out.append((_RET, 0, 0, otherwise))
    return out


def _code(check: Check, tail: int) -> list[Instruction]:
    """Falls through when the test holds, else skips ``tail`` further instructions.

    struct seccomp_data: nr, arch, instruction pointer, then six 64-bit arguments from offset 16 (little-endian).
    """
    low, values, mask = 16 + 8 * check.arg, check.values, check.mask
    if check.any_bit:
        return [(_LD_ABS, 0, 0, low), (_JSET, 0, _near(tail), mask)]
    if check.wide:
        high = values[0] >> 32
        return [
            (_LD_ABS, 0, 0, low + 4),
            (_JEQ, 0, _near(tail + 2), high),
            (_LD_ABS, 0, 0, low),
            (_JEQ, 0, _near(tail), values[0] & 0xFFFFFFFF),
        ]
    out: list[Instruction] = [(_LD_ABS, 0, 0, low)]
    if mask != 0xFFFFFFFF:
        out.append((_AND_K, 0, 0, mask))
    for left, value in zip(range(len(values) - 1, -1, -1), values, strict=True):
        out.append((_JEQ, left, 0, value) if left else (_JEQ, 0, _near(tail), value))
    return out


def _near(distance: int) -> int:
    if distance > 255:
        raise InternalError("an argument rule is too long for a conditional jump")
    return distance


def _link(program: list[Instruction], blocks: list[list[Instruction]]) -> list[Instruction]:
    """Turn each placeholder into a jump to its block behind the program (BPF jumps go forward only)."""
    starts: list[int] = []
    end = len(program)
    for block in blocks:
        starts.append(end)
        end += len(block)
    linked: list[Instruction] = []
    used: set[int] = set()
    for position, (code, true, false, value) in enumerate(program):
        if code == _RET and value & 0xFFFF0000 == _TRACE:
            index = value & 0xFFFF
            used.add(index)
            linked.append((_JA, 0, 0, starts[index - 1] - position - 1))
        else:
            linked.append((code, true, false, value))
    if len(used) != len(blocks) or end > _MAX_INSTRUCTIONS:
        raise InternalError(f"the filter lost a rule or is too long: {len(used)} of {len(blocks)}, {end} instructions")
    return linked + [instruction for block in blocks for instruction in block]


def cache_key(spec: FilterSpec) -> str:
    """Names the program: spec, kernel release, machine, govrun version, and the sources that decide its contents."""
    uname = os.uname()
    digest = hashlib.sha256(repr((tuple(spec), uname.release, uname.machine, __version__)).encode())
    here = Path(__file__)
    for source in (here, here.with_name("syscall_table.py"), here.with_name("argument_rules.py")):
        # Read, not imported: hashing the text costs 30 us, importing the table a millisecond.
        digest.update(source.read_bytes())
    return digest.hexdigest()


def cached(
    spec: FilterSpec, cache_dir: Path, make: Callable[[FilterSpec], bytes] = build, *, keep: bool = True
) -> bytes:
    """``build(spec)`` from a private cache directory, where what was built is kept unless ``keep`` is false. A file
    that is damaged, foreign or readable by others is not used but rebuilt; a cache that cannot be written is no error,
    since the program is then simply built again."""
    try:
        key = cache_key(spec)
    except OSError:  # sources not on disk as files
        return make(spec)
    path = cache_dir / f"filter-{key}.bpf"
    program = _read_cached(path, key)
    if program is None:
        program = make(spec)
    else:
        keep = False
    if keep:
        with contextlib.suppress(OSError):
            _write_cached(path, key, program)
    return program


def _read_cached(path: Path, key: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        state = os.fstat(fd)
        if state.st_uid != os.geteuid() or state.st_mode & 0o177077 != 0o100000:  # plain, and nobody else's
            return None
        # One read: regular files give all there is, and a shorter answer fails the seal.
        data = os.read(fd, len(_MAGIC) + 64 + _MAX_INSTRUCTIONS * INSTRUCTION.size + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    head, seal, program = data[: len(_MAGIC)], data[len(_MAGIC) : len(_MAGIC) + 64], data[len(_MAGIC) + 64 :]
    intact = head == _MAGIC and seal == _seal(key, program)
    if not intact or not program or len(program) % INSTRUCTION.size or len(program) > _MAX_INSTRUCTIONS * 8:
        return None
    return program


def _seal(key: str, program: bytes) -> bytes:
    return hashlib.sha256(key.encode() + program).hexdigest().encode()


def _write_cached(path: Path, key: str, program: bytes) -> None:
    import tempfile

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp creates with 0600; the rename makes readers see all of it or nothing.
    fd, temporary = tempfile.mkstemp(prefix=".filter-", dir=path.parent)
    try:
        with open(fd, "wb") as file:
            file.write(_MAGIC + _seal(key, program) + program)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


__all__ = ["INSTRUCTION", "LISTENER", "FilterSpec", "build", "cache_key", "cached", "load", "resolve", "seccomp_number"]
