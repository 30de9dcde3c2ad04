"""The filter as a program: a small BPF interpreter runs it against calls, nothing is loaded."""

from __future__ import annotations

import errno
import os
import platform
import random
import struct

import pytest

from supervisor.kernel import filter as bpf
from supervisor.kernel.argument_rules import RESERVED_PRCTL, by_argument
from supervisor.kernel.syscall_table import (
    ALLOWED,
    KILL_PROCESS,
    NOTIFIED,
    Check,
    Rule,
    by_name,
    refused,
)
from supervisor.vocabulary.errors import InternalError

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[platform.machine()]
I386 = 0x40000003
X32 = 0x40000000
SPEC = bpf.FilterSpec(debug=False, opens="writes", abi=7)
PROGRAMS = {
    spec: bpf.build(spec)
    for spec in (
        SPEC,
        SPEC._replace(debug=True),
        SPEC._replace(opens="all"),
        SPEC._replace(opens="folders"),
        SPEC._replace(abi=5),
    )
}


def interpret(program: bytes, number: int, args: tuple[int, ...] = (), arch: int = ARCH) -> int:
    """Run a seccomp program (Documentation/networking/filter.rst); only the instructions seccomp allows."""
    padded = [arg & 0xFFFFFFFFFFFFFFFF for arg in (*args, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0x7F0000001000, *padded)
    code = list(bpf.INSTRUCTION.iter_unpack(program))
    acc = at = 0
    while True:
        op, yes, no, k = code[at]
        at += 1
        match op:
            case 0x20:
                assert k % 4 == 0
                (acc,) = struct.unpack_from("=I", data, k)
            case 0x54:
                acc &= k
            case 0x05:
                at += k
            case 0x06:
                return int(k)
            case 0x15:
                at += yes if acc == k else no
            case 0x25:
                at += yes if acc > k else no
            case 0x35:
                at += yes if acc >= k else no
            case 0x45:
                at += yes if acc & k else no
            case _:
                raise AssertionError(f"instruction {op:#x}")


def answer(name: str, *args: int, spec: bpf.FilterSpec = SPEC) -> int:
    number = bpf.resolve(name)
    if number is None:
        pytest.skip(f"{platform.machine()} has no {name}")
    return interpret(PROGRAMS[spec], number, args)


def holds(check: Check, args: tuple[int, ...]) -> bool:
    """The documented meaning of a test, written without the assembler."""
    value = args[check.arg] & 0xFFFFFFFFFFFFFFFF
    if check.wide:
        return value == check.values[0]
    low = value & 0xFFFFFFFF & check.mask
    return low != 0 if check.any_bit else low in check.values


def meaning(rule: Rule, args: tuple[int, ...]) -> int:
    for case in rule.cases:
        if all(holds(check, args) for check in case.tests):
            return case.action
    return rule.otherwise


O_PATH, O_CREAT, O_TRUNC, O_APPEND = 0o10000000, os.O_CREAT, os.O_TRUNC, os.O_APPEND
HIGH = 1 << 40  # a bit the kernel does not read in an int argument
EPERM, EINVAL = refused(errno.EPERM), refused(errno.EINVAL)
EPROTO, EAF = refused(errno.EPROTONOSUPPORT), refused(errno.EAFNOSUPPORT)
EOPNOT, ENOSYS = refused(errno.EOPNOTSUPP), refused(errno.ENOSYS)

CALLS = [
    ("openat", (0, 0, os.O_RDONLY), ALLOWED),
    ("openat", (0, 0, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | O_APPEND), ALLOWED),
    ("openat", (0, 0, os.O_WRONLY), NOTIFIED),
    ("openat", (0, 0, os.O_RDWR), NOTIFIED),
    ("openat", (0, 0, 3), NOTIFIED),
    ("openat", (0, 0, O_CREAT), NOTIFIED),
    ("openat", (0, 0, O_TRUNC), NOTIFIED),
    ("openat", (0, 0, O_TRUNC | HIGH), NOTIFIED),
    ("openat", (0, 0, os.O_TMPFILE | os.O_RDWR), NOTIFIED),
    ("openat", (0, 0, O_PATH | O_CREAT | os.O_RDWR), ALLOWED),
    ("openat", (0, 0, (O_PATH << 32) | os.O_WRONLY), NOTIFIED),
    ("open", (0, os.O_WRONLY), NOTIFIED),
    ("open", (0, 0), ALLOWED),
    ("creat", (0, 0), NOTIFIED),
    ("openat2", (0, 0, 0, 24), NOTIFIED),
    ("truncate", (0, 0), NOTIFIED),
    ("ftruncate", (3, 0), ALLOWED),
    ("clone", (0x3D0F00,), ALLOWED),
    ("clone", (0x01200011,), ALLOWED),
    ("clone", (0x10000011,), EPERM),
    ("clone", (0x00020000 | HIGH,), EPERM),
    ("clone3", (), ENOSYS),
    ("unshare", (0x600,), ALLOWED),
    ("unshare", (0x10000000,), EPERM),
    ("unshare", (0x80,), EPERM),
    ("setns", (3, 0), EPERM),
    ("fcntl", (3, 3), ALLOWED),
    ("fcntl", (3, 1030, 0), ALLOWED),
    ("fcntl", (3, 8, 0), ALLOWED),
    ("fcntl", (3, 8, HIGH), ALLOWED),
    ("fcntl", (3, 8, 4711), NOTIFIED),
    ("fcntl", (3, 8 | HIGH, -4711), NOTIFIED),
    ("fcntl", (3, 15, 0x7FFF0000), NOTIFIED),
    ("fcntl", (3, 10, 9), EINVAL),
    ("fcntl", (3, 1024, 0), EINVAL),
    ("fcntl", (3, 1024 | HIGH, 0), EINVAL),
    ("fcntl", (3, 1026, 0), EINVAL),
    ("fcntl", (3, 99999, 0), EINVAL),
    ("ioctl", (0, 0x5401), ALLOWED),
    ("ioctl", (0, 0x5412), EPERM),
    ("ioctl", (0, 0x5412 | HIGH), EPERM),
    ("ioctl", (0, 0x541C), EPERM),
    ("ioctl", (0, 0x8901), EPERM),
    ("ioctl", (0, 0x8902), EPERM),
    ("ioctl", (3, 0x80086601), ALLOWED),
    ("ioctl", (3, 0x40086602), EOPNOT),
    ("ioctl", (3, 0x401C5820), EOPNOT),
    ("ioctl", (3, 0x6609), EOPNOT),
    ("ioctl", (3, 0x40806685), EOPNOT),
    ("ioctl", (3, 0x40049409), ALLOWED),
    ("ioctl", (3, 0x5000940F), EOPNOT),
    ("ioctl", (3, 0x40047211), EOPNOT),
    ("prctl", (38, 1), ALLOWED),
    ("prctl", (4, 0), refused(0)),
    ("prctl", (4, 1), ALLOWED),
    ("prctl", (35, 1), EPERM),
    ("prctl", (22, 2), ALLOWED),
    ("prctl", (RESERVED_PRCTL, 0, 27), NOTIFIED),
    ("personality", (0xFFFFFFFF,), ALLOWED),
    ("personality", (0x40000,), ALLOWED),
    ("personality", (0x400000,), EPERM),
    ("socket", (1, 1, 0), ALLOWED),
    ("socket", (1, 2 | 0o2000000, 0), ALLOWED),
    ("socket", (2, 1, 0), ALLOWED),
    ("socket", (2, 1 | 0o2004000, 6), ALLOWED),
    ("socket", (10, 1, 0), ALLOWED),
    ("socket", (2, 2, 17), ALLOWED),
    ("socket", (2, 2, 1), ALLOWED),
    ("socket", (2, 1, 262), EPROTO),
    ("socket", (2, 1, 262 | HIGH), EPROTO),
    ("socket", (2, 1, 256), EPROTO),
    ("socket", (2, 1, 132), EPROTO),
    ("socket", (2, 5, 0), EPROTO),
    ("socket", (2, 3, 1), EPERM),
    ("socket", (2, 10, 0), EPERM),
    ("socket", (2 | HIGH, 3 | HIGH, 255), EPERM),
    ("socket", (16, 3, 0), ALLOWED),
    ("socket", (16, 3, 9), EPROTO),
    ("socket", (17, 3, 0), EAF),
    ("socket", (38, 5, 0), EAF),
    ("socket", (40, 1, 0), EAF),
    ("socketpair", (1, 1, 0, 0), ALLOWED),
    ("socketpair", (2, 1, 0, 0), EAF),
    ("setsockopt", (3, 6, 30, 0, 4), refused(errno.ENOPROTOOPT)),
    ("setsockopt", (3, 6, 1, 0, 4), ALLOWED),
    ("setsockopt", (3, 1, 30, 0, 4), ALLOWED),
    ("sendto", (3, 0, 0, 0, 0, 0), ALLOWED),
    ("sendto", (3, 0, 0, 0, 0x1000, 16), NOTIFIED),
    ("sendto", (3, 0, 0, 0, 1 << 32, 16), NOTIFIED),
    ("sendto", (3, 0, 0, 0x20000000, 0x1000, 16), EOPNOT),
    ("sendmsg", (3, 0, 0), NOTIFIED),
    ("sendmsg", (3, 0, 0x20000000), EOPNOT),
    ("sendmmsg", (3, 0, 1, 0), NOTIFIED),
    ("sendmmsg", (3, 0, 1, 0x20000000), EOPNOT),
    ("prlimit64", (0, 7), ALLOWED),
    ("prlimit64", (HIGH, 7), ALLOWED),
    ("prlimit64", (1, 7), NOTIFIED),
    ("sched_setaffinity", (0, 8), ALLOWED),
    ("sched_setaffinity", (99, 8), NOTIFIED),
    ("sched_setattr", (99,), refused(errno.ENOSYS)),
    ("sched_setscheduler", (0, 5), refused(0)),
    ("sched_setscheduler", (0, 0), ALLOWED),
    ("setpriority", (0, 0, 5), ALLOWED),
    ("setpriority", (0, 99, 5), NOTIFIED),
    ("setpriority", (1, 0, 5), NOTIFIED),
    ("setpriority", (2, 0, 5), NOTIFIED),
    ("ioprio_set", (1, 0, 0), ALLOWED),
    ("ioprio_set", (1, 9, 0), NOTIFIED),
    ("ioprio_set", (2, 0, 0), NOTIFIED),
    ("move_pages", (0,), ALLOWED),
    ("move_pages", (5,), EPERM),
    ("io_uring_setup", (), ENOSYS),
    ("mount", (), EPERM),
    ("seccomp", (1, 8, 0), ALLOWED),
    ("mmap", (0, 4096, 3, 1, 3, 0), ALLOWED),
    ("ptrace", (0,), NOTIFIED),
    ("kill", (1, 9), NOTIFIED),
    ("fchmodat2", (), NOTIFIED),
    ("file_setattr", (), EOPNOT),
]


@pytest.mark.parametrize(("name", "args", "expected"), CALLS, ids=lambda value: str(value)[:40])
def test_call(name: str, args: tuple[int, ...], expected: int) -> None:
    assert hex(answer(name, *args)) == hex(expected)


@pytest.mark.parametrize("spec", PROGRAMS, ids=str)
def test_every_named_call_gets_its_answer(spec: bpf.FilterSpec) -> None:
    for name, action in by_name(spec.debug, spec.abi).items():
        number = bpf.resolve(name)
        if number is not None:
            assert interpret(PROGRAMS[spec], number, (1, 2, 3, 4, 5, 6)) == action, name


@pytest.mark.parametrize("spec", PROGRAMS, ids=str)
def test_blocks_mean_what_the_rules_say(spec: bpf.FilterSpec) -> None:
    """Every rule against combinations of the values it names, their neighbours, and bits the kernel ignores."""
    dice = random.Random(5)
    for name, rule in by_argument(spec.opens, debug=spec.debug).items():
        number = bpf.resolve(name)
        if number is None:
            continue
        near: list[list[int]] = [[0, 1, HIGH, (1 << 64) - 1] for _ in range(6)]
        for case in rule.cases:
            for check in case.tests:
                for value in check.values:
                    near[check.arg] += [value, value + 1, value ^ 1, value | HIGH, value | 0x80000000]
                if check.mask != 0xFFFFFFFF:
                    near[check.arg] += [check.mask, check.mask & -check.mask, ~check.mask]
        reached = set()
        for _ in range(1500):
            args = tuple(dice.choice(column) & 0xFFFFFFFFFFFFFFFF for column in near)
            expected = meaning(rule, args)
            reached.add(expected)
            assert interpret(PROGRAMS[spec], number, args) == expected, (name, [hex(arg) for arg in args])
        assert reached == {case.action for case in rule.cases} | {rule.otherwise}, name


def test_unknown_numbers_do_not_exist() -> None:
    known = {bpf.resolve(name) for name in [*by_name(False, 7), *by_argument("writes", debug=False)]}
    for number in [*range(700), 4095, 100000, X32 - 1]:
        if number not in known:
            assert interpret(PROGRAMS[SPEC], number) == ENOSYS, number


@pytest.mark.parametrize("number", [0, 1, 2, 59, 257, 512, 545])
def test_foreign_calls_kill(number: int) -> None:
    assert interpret(PROGRAMS[SPEC], number, arch=I386) == KILL_PROCESS
    if platform.machine() == "x86_64":
        assert interpret(PROGRAMS[SPEC], number | X32) == KILL_PROCESS


def test_specs_differ_where_they_should() -> None:
    reads = SPEC._replace(opens="all")
    assert answer("openat", 0, 0, 0, spec=reads) == NOTIFIED
    assert answer("openat", 0, 0, O_PATH, spec=reads) == ALLOWED
    folders = SPEC._replace(opens="folders")
    assert answer("openat", 0, 0, 0, spec=folders) == ALLOWED
    assert answer("openat", 0, 0, os.O_DIRECTORY, spec=folders) == NOTIFIED
    assert answer("openat", 0, 0, os.O_DIRECTORY | O_PATH, spec=folders) == ALLOWED
    debug = SPEC._replace(debug=True)
    for name in ("process_vm_readv", "process_vm_writev"):
        assert (answer(name), answer(name, spec=debug)) == (NOTIFIED, ALLOWED)
    for name in ("process_madvise", "pidfd_getfd"):
        assert answer(name) == answer(name, spec=debug) == NOTIFIED
    for request in (0, 16, 0x4206):  # TRACEME, ATTACH, SEIZE
        assert answer("ptrace", request) == answer("ptrace", request, spec=debug) == NOTIFIED
    for request in (1, 7, 17, 24, 0x4200):
        assert (answer("ptrace", request), answer("ptrace", request, spec=debug)) == (NOTIFIED, ALLOWED)
    for name in ("tkill", "tgkill"):
        assert (answer(name), answer(name, spec=SPEC._replace(abi=5))) == (ALLOWED, NOTIFIED)


@pytest.mark.parametrize("opens", [True, "", "reads", None])
def test_an_unknown_choice_of_opens_builds_nothing(opens: object) -> None:
    with pytest.raises(InternalError, match="opens"):
        bpf.build(SPEC._replace(opens=opens))


def test_program_is_one_the_kernel_takes() -> None:
    """Jumps go forward and stay inside, the last instruction returns (bpf_check_classic, net/core/filter.c)."""
    code = list(bpf.INSTRUCTION.iter_unpack(PROGRAMS[SPEC]))
    assert len(code) < 4096
    assert code[-1][0] == 0x06
    for at, (op, yes, no, k) in enumerate(code):
        if op != 0x06:
            assert at + 1 + (k if op == 0x05 else max(yes, no)) < len(code), at
        assert not (op == 0x06 and k & 0xFFFF0000 == 0x7FF00000), "a placeholder was left"
