"""The table is complete and free of contradictions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections import Counter

import pytest

from supervisor.kernel import filter as bpf
from supervisor.kernel import seccomp
from supervisor.kernel.argument_rules import RESERVED_PRCTL, by_argument
from supervisor.kernel.probe import RESERVED_PRCTL as PROBED_PRCTL
from supervisor.kernel.syscall_table import (
    ALLOW,
    COMMON_NUMBERS,
    DEBUGGING,
    NOTIFY,
    REFUSE,
    THREAD_SIGNALS,
)

NAMES = [
    *(name for part in (ALLOW, NOTIFY, REFUSE) for group in part for name in group.names),
    *DEBUGGING,
    *THREAD_SIGNALS,
    *by_argument("writes", debug=False),
]
# Numbers the headers know and nobody answers: the kernel's own trampolines, exempt from filters since 6.14, and
# calls newer than this table.
UNANSWERED = {"uretprobe", "uprobe", "listns", "rseq_slice_yield"}


def header_numbers() -> dict[str, int]:
    """Name to number from the compiler's view of <asm/unistd.h>."""
    try:
        macros = subprocess.run(
            ["cc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", macros)}


def test_a_name_is_in_one_list() -> None:
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []


def test_a_number_is_in_one_list() -> None:
    numbers = Counter(number for number in map(bpf.resolve, NAMES) if number is not None)
    assert [number for number, count in numbers.items() if count > 1] == []


def test_every_entry_has_a_reason() -> None:
    assert all(group.reason and group.names for part in (ALLOW, NOTIFY, REFUSE) for group in part)
    for rule in by_argument("writes", debug=False).values():
        assert rule.reason
        assert all(case.reason and case.tests for case in rule.cases)


@pytest.mark.needs("gcc")
def test_every_call_of_the_headers_is_decided() -> None:
    """What the headers of this machine name is answered on purpose, with the number that they give it."""
    header = header_numbers()
    assert len(header) > 250
    undecided = {name for name in header if name not in NAMES and not name.startswith(("syscalls", "arch_specific"))}
    assert undecided <= UNANSWERED
    wrong = {name: (bpf.resolve(name), number) for name, number in header.items() if name in NAMES}
    assert {name: pair for name, pair in wrong.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize("machine", ["X86_64", "AARCH64"])
def test_names_resolve_on_both_machines(machine: str) -> None:
    """No typo hides behind "this machine has no such call", and common numbers are where libseccomp knows them."""
    import pyseccomp

    arch = getattr(pyseccomp.Arch, machine)
    for name in NAMES:
        number = pyseccomp.resolve_syscall(arch, name)
        if name in COMMON_NUMBERS:
            assert number in (COMMON_NUMBERS[name], -1), name
        else:
            assert number != -1, name


def test_aarch64_lacks_only_old_calls() -> None:
    """Every modern twin has a number there: what is notified on x86-64 through openat is so on aarch64."""
    import pyseccomp

    needed = ["openat", "renameat", "renameat2", "unlinkat", "linkat", "symlinkat", "mkdirat", "mknodat", "fchmodat",
              "fchownat", "utimensat", "execve", "execveat", "connect", "bind", "sendto", "sendmsg", "kill", "clone",
              "ioctl", "fcntl", "prctl", "socket", "prlimit64", "umask", "truncate", "setxattr"]  # fmt: skip
    assert all(pyseccomp.resolve_syscall(pyseccomp.Arch.AARCH64, name) >= 0 for name in needed)
    assert set(needed) <= set(NAMES)


def test_seccomp_numbers() -> None:
    import pyseccomp

    assert pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, "seccomp") == seccomp.SECCOMP_NUMBERS["x86_64"]
    assert pyseccomp.resolve_syscall(pyseccomp.Arch.AARCH64, "seccomp") == seccomp.SECCOMP_NUMBERS["aarch64"]
    assert os.uname().machine == platform.machine()


def test_a_typo_is_an_error() -> None:
    from supervisor.vocabulary.errors import InternalError

    with pytest.raises(InternalError, match="opnat"):
        bpf.resolve("opnat")


def test_reserved_call_is_one_number() -> None:
    assert PROBED_PRCTL == RESERVED_PRCTL == int.from_bytes(b"govr", "big")
