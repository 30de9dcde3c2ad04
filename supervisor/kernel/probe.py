"""What the running kernel can do, found by asking it, not by its version where that can be avoided.

- ``start_facts`` is what every start pays for: a handful of system calls and one small file, no fork, no import.
- ``host`` also tries out, in children, what cannot be undone in the process that tries it.
- What facts mean, and what to do about them, is in ``kernel/gaps.py``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
from typing import Final

from supervisor.kernel import caps, landlock, seccomp
from supervisor.kernel.libc import prctl, syscall
from supervisor.vocabulary.host import HostFacts

# linux/seccomp.h
_RET_USER_NOTIF: Final = 0x7FC00000
_RET_ALLOW: Final = 0x7FFF0000
_NOTIF_SET_FLAGS: Final = 0x40082104
_SYNC_WAKE_UP: Final = 1
_NEWUSER: Final = 0x10000000
# The same number as in the system call table, repeated so that a start need not import that.
RESERVED_PRCTL: Final = 0x676F7672
_RUN_ID_SIZE: Final = 27


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
    from supervisor.kernel.trials import calls_refused, in_child

    trial = in_child(_try_listener) if os.uname().machine in seccomp.SECCOMP_NUMBERS else {"errno": errno.ENOSYS}
    facts = start_facts()
    return facts._replace(
        libseccomp=libseccomp_version(),
        bpf_jit=_number("/proc/sys/net/core/bpf_jit_enable", absent=-1),
        listener_errno=int(trial["errno"]),
        sync_wake_up=bool(trial.get("sync", facts.sync_wake_up)),
        seccomp_filters=_status_number("Seccomp_filters"),
        userns_errno=int(in_child(_try_user_namespace)["errno"]),
        landlock_errno=landlock.missing(),
        refused_calls=() if facts.inside_run else calls_refused(),  # a run would refuse them, and record it
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
