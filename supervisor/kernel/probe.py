"""What the running kernel can do, found by asking it, not by its version where that can be avoided.

- ``start_facts`` is what every start pays for: a handful of system calls and one small file, no fork, no import.
- ``host`` also tries out, in children, what cannot be undone in the process that tries it.
- ``gaps`` turns facts into sentences; it asks the kernel nothing.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import struct
from collections.abc import Callable
from typing import Any, Final

from supervisor.kernel import caps, landlock, seccomp
from supervisor.kernel.libc import prctl, syscall
from supervisor.vocabulary.host import Gap, HostFacts

# linux/seccomp.h
_RET_USER_NOTIF: Final = 0x7FC00000
_RET_ALLOW: Final = 0x7FFF0000
_NOTIF_SET_FLAGS: Final = 0x40082104
_SYNC_WAKE_UP: Final = 1
_NEWUSER: Final = 0x10000000
# The same number as in the system call table, repeated so that a start need not import that.
RESERVED_PRCTL: Final = 0x676F7672
_RUN_ID_SIZE: Final = 27
MINIMUM_LANDLOCK: Final = 3  # TRUNCATE: without it a read that is continued could be turned into a truncation


def start_facts() -> HostFacts:
    """What a start needs to know, in well under a millisecond. Never raises for a missing feature."""
    uname = os.uname()
    found = re.match(r"(\d+)\.(\d+)", uname.release)
    release = (int(found[1]), int(found[2])) if found else (0, 0)
    known = uname.machine in seccomp.SECCOMP_NUMBERS and struct.calcsize("P") == 8
    return HostFacts(
        release=release,
        release_text=uname.release,
        machine=uname.machine,
        machine_known=known,
        landlock_abi=landlock.abi(),
        notify=known and _action_available(_RET_USER_NOTIF),
        wait_killable=known and _flags_known(seccomp.LISTENER),
        # No way to ask without a listener; 6.6 brought it, and setting it later is allowed to fail.
        sync_wake_up=release >= (6, 6),
        yama=_number("/proc/sys/kernel/yama/ptrace_scope", absent=-1),
        root=os.geteuid() == 0,
        inside_run=run_id(),
    )


def host() -> HostFacts:
    """Everything ``doctor`` reports. Forks a few short-lived children."""
    trial = _in_child(_try_listener) if os.uname().machine in seccomp.SECCOMP_NUMBERS else {"errno": errno.ENOSYS}
    facts = start_facts()
    return facts._replace(
        libseccomp=libseccomp_version(),
        bpf_jit=_number("/proc/sys/net/core/bpf_jit_enable", absent=-1),
        listener_errno=int(trial["errno"]),
        sync_wake_up=bool(trial.get("sync", facts.sync_wake_up)),
        seccomp_filters=_status_number("Seccomp_filters"),
        userns_errno=int(_in_child(_try_user_namespace)["errno"]),
        container=_container(),
        lsm=_text("/sys/kernel/security/lsm"),
        foreign_supervisor=_foreign_supervisor(),
    )


def run_id() -> str:
    """The id of the run that supervises this process, '' outside of one.

    The reserved prctl is answered by a supervisor alone; the kernel says EINVAL. Nothing in the environment is trusted.
    """
    buffer = ctypes.create_string_buffer(_RUN_ID_SIZE)
    try:
        prctl(RESERVED_PRCTL, ctypes.addressof(buffer), _RUN_ID_SIZE)
    except OSError:
        return ""
    # Some other sandbox may answer 0 to calls it does not know: only a ULID in the buffer counts.
    text = buffer.value.decode("ascii", "replace")
    return text if re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", text) else ""


def libseccomp_version() -> str:
    """``2.5.4``, or '' when the library cannot be loaded."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
        library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint)
        version = library.seccomp_version()
        return f"{version[0]}.{version[1]}.{version[2]}" if version else ""
    except (OSError, AttributeError):
        return ""


def _action_available(action: int) -> bool:
    buffer = ctypes.create_string_buffer(struct.pack("=I", action), 4)
    try:
        syscall(seccomp.seccomp_number(), seccomp.GET_ACTION_AVAIL, 0, ctypes.addressof(buffer), name="seccomp")
    except OSError:
        return False
    return True


def _flags_known(flags: int) -> bool:
    # The kernel looks at the flags before the program: EFAULT for a null program means that it knows them all.
    try:
        syscall(seccomp.seccomp_number(), seccomp.SET_MODE_FILTER, flags, 0, name="seccomp")
    except OSError as error:
        return error.errno == errno.EFAULT
    return False


def _try_listener() -> dict[str, int]:
    caps.no_new_privs()
    try:
        listener = seccomp.load(seccomp.INSTRUCTION.pack(0x06, 0, 0, _RET_ALLOW), seccomp.LISTENER)
    except OSError as error:
        return {"errno": error.errno or errno.EIO}
    import fcntl

    try:
        fcntl.ioctl(listener, _NOTIF_SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:
        return {"errno": 0, "sync": 0}
    return {"errno": 0, "sync": 1}


def _try_user_namespace() -> dict[str, int]:
    from supervisor.kernel.libc import libc

    return {"errno": ctypes.get_errno() if libc.unshare(_NEWUSER) < 0 else 0}


def _in_child(trial: Callable[[], dict[str, int]]) -> dict[str, Any]:
    """Run ``trial`` in a child and return what it found; a child that dies or says nothing counts as EIO."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(trial()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        return {"errno": errno.EIO}
    return answer


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""


def _number(path: str, *, absent: int) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(64))
    except FileNotFoundError:
        return absent
    except (OSError, ValueError):
        # There, but not readable: for Yama the strictest value is the safe reading, for the rest "unknown".
        return 3 if "yama" in path else absent


def _status_number(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", _text("/proc/self/status"), re.MULTILINE)
    return int(found[1]) if found else 0


def _container() -> str:
    """A guess at the kind of container, '' for none. Never more than a hint in a report."""
    for path, kind in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if os.path.exists(path):
            return kind
    for kind in ("docker", "kubepods", "containerd", "lxc", "libpod"):
        if kind in _text("/proc/1/cgroup"):
            return kind
    return os.environ.get("container", "") or _text("/run/systemd/container")  # noqa: SIM112 (systemd's spelling)


def _foreign_supervisor() -> str:
    """The version of the supervisord distribution if it shares our environment: it ships a package of our name."""
    from importlib import metadata

    try:
        return metadata.version("supervisor")
    except metadata.PackageNotFoundError:
        return ""


def gaps(facts: HostFacts) -> tuple[Gap, ...]:
    """What is missing, the blocking ones first. Facts that were not looked at are no gaps."""
    found = [*_kernel_gaps(facts), *_setting_gaps(facts), *_minor_gaps(facts)]
    return tuple(sorted(found, key=lambda gap: not gap.blocks))


def _kernel_gaps(facts: HostFacts) -> list[Gap]:
    found: list[Gap] = []
    newer = f"this is Linux {facts.release_text}; use 6.2 or newer"
    if not facts.machine_known:
        found.append(Gap("machine", f"no system call table for {facts.machine} with this Python",
                         "the filter has to know every system call by number",
                         "run govrun on x86_64 or aarch64 with a 64-bit Python", True))  # fmt: skip
        return found
    if not facts.notify:
        found.append(Gap("notify", "the kernel cannot put system calls to a supervisor",
                         "seccomp has no user notification here (CONFIG_SECCOMP_FILTER, Linux 5.0, or a sandbox "
                         "that emulates the kernel)", newer, True))  # fmt: skip
    elif not facts.wait_killable:
        found.append(Gap("wait-killable", "a signal can make a supervised call happen twice",
                         "seccomp lacks WAIT_KILLABLE_RECV", newer, True))  # fmt: skip
    if facts.landlock_abi == 0:
        found.append(Gap("landlock", "the kernel offers no Landlock",
                         "it keeps writes inside the scope even if govrun fails"
                         + (f"; active security modules: {facts.lsm}" if facts.lsm else ""),
                         "add landlock to the lsm= kernel parameter and reboot (CONFIG_SECURITY_LANDLOCK=y)\n"
                         "in a container: allow landlock_create_ruleset, landlock_add_rule and "
                         "landlock_restrict_self in its seccomp profile", True))  # fmt: skip
    elif facts.landlock_abi < MINIMUM_LANDLOCK:
        found.append(Gap("landlock", f"Landlock is too old: ABI {facts.landlock_abi}",
                         "below ABI 3 it does not see truncation", newer, True))  # fmt: skip
    return found


def _setting_gaps(facts: HostFacts) -> list[Gap]:
    found: list[Gap] = []
    if facts.yama >= 2:
        found.append(Gap("yama", "programs cannot be looked at when they start",
                         f"kernel.yama.ptrace_scope = {facts.yama} forbids tracing one's own children",
                         "sudo sysctl -w kernel.yama.ptrace_scope=1" + (
                             "\n3 cannot be lowered again before a reboot: change it in /etc/sysctl.d first"
                             if facts.yama == 3 else "   (until reboot)"), True, "yama"))  # fmt: skip
    if facts.inside_run:
        found.append(Gap("inside-run", f"this is inside the run {facts.inside_run}",
                         "the command is supervised already", "nothing to do: a nested govrun starts its command "
                         "under the supervision that is there", False))  # fmt: skip
    elif facts.listener_errno == errno.EBUSY:
        found.append(Gap("listener", "another supervisor is in force",
                         "a seccomp filter with a listener is loaded already, and the kernel allows one",
                         "start govrun outside of that sandbox", True))  # fmt: skip
    elif facts.listener_errno:
        name = errno.errorcode.get(facts.listener_errno, str(facts.listener_errno))
        found.append(Gap("listener", f"a filter with a listener cannot be loaded: {name}",
                         "the kernel or the container around this process refuses it",
                         "Docker: --security-opt seccomp=unconfined, or a profile that allows seccomp(2)",
                         True))  # fmt: skip
    if facts.libseccomp is not None and _version(facts.libseccomp) < (2, 5):
        found.append(Gap("libseccomp", f"libseccomp {facts.libseccomp or 'is missing'}",
                         "the system call filter is built with it; 2.5 or newer is needed",
                         "Debian, Ubuntu: apt install libseccomp2\nFedora, RHEL: dnf install libseccomp\n"
                         "Alpine: apk add libseccomp", True))  # fmt: skip
    return found


def _minor_gaps(facts: HostFacts) -> list[Gap]:
    found: list[Gap] = []
    if facts.notify and not facts.sync_wake_up:
        found.append(Gap("sync-wake-up", "supervised calls take about 80 us instead of 10",
                         "seccomp cannot wake the supervisor on the same CPU", "use Linux 6.6 or newer",
                         False))  # fmt: skip
    if facts.landlock_abi and facts.landlock_abi < 6:
        found.append(Gap("scopes", "signals between threads and abstract sockets are not bounded by the kernel",
                         f"Landlock ABI {facts.landlock_abi} has no scopes; govrun judges each call instead",
                         "use Linux 6.12 or newer", False))  # fmt: skip
    if facts.bpf_jit == 0:
        found.append(Gap("bpf-jit", "every system call is slower than it need be",
                         "net.core.bpf_jit_enable = 0: the filter is interpreted",
                         "sudo sysctl -w net.core.bpf_jit_enable=1", False))  # fmt: skip
    if facts.foreign_supervisor:
        found.append(Gap("supervisord", f"supervisor {facts.foreign_supervisor} is installed beside govrun",
                         "both ship a Python package called supervisor and overwrite each other's files",
                         "install govrun with pipx, or in a venv of its own", False))  # fmt: skip
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
