"""Facts about a host -> what is missing, why, and the command or setting that mends it. Asks the kernel nothing."""

from __future__ import annotations

import errno
import re
from typing import Final

from supervisor.vocabulary.host import Gap, HostFacts

MINIMUM_LANDLOCK: Final = 3  # TRUNCATE: without it a read that is continued could be turned into a truncation
MINIMUM_SECCOMP: Final = (2, 5)
_CONTAINER: Final = (
    "Docker, Podman: add --security-opt seccomp=unconfined, or a profile that allows the call\n"
    "Kubernetes: securityContext.seccompProfile of type Unconfined, or a Localhost profile that allows it"
)


def gaps(facts: HostFacts) -> tuple[Gap, ...]:
    """What is missing, the blocking ones first. Facts that were not looked at are no gaps."""
    found = [*_kernel(facts), *_landlock(facts), *_settings(facts), *_calls(facts), *_libseccomp(facts), *_minor(facts)]
    return tuple(sorted(found, key=lambda gap: not gap.blocks))


def _newer(facts: HostFacts) -> str:
    text = f"this is Linux {facts.release_text}; use 6.2 or newer"
    return text + "\na container runs on its host's kernel: update that" if facts.container else text


def _kernel(facts: HostFacts) -> list[Gap]:
    found: list[Gap] = []
    if not facts.machine_known:
        found.append(Gap("machine", f"no system call table for {facts.machine} with this Python",
                         "the filter has to know every system call by number",
                         "run govrun on x86_64 or aarch64 with a 64-bit Python", True))  # fmt: skip
    elif not facts.notify:
        found.append(Gap("notify", "the kernel cannot put system calls to a supervisor",
                         "seccomp has no user notification here (CONFIG_SECCOMP_FILTER, Linux 5.0, or a sandbox "
                         "that emulates the kernel, such as gVisor)", _newer(facts), True))  # fmt: skip
    elif not facts.wait_killable:
        found.append(Gap("wait-killable", "a signal can make a supervised call happen twice",
                         "seccomp lacks WAIT_KILLABLE_RECV (Linux 5.19)", _newer(facts), True))  # fmt: skip
    return found


def _landlock(facts: HostFacts) -> list[Gap]:
    if not facts.machine_known or facts.landlock_abi >= MINIMUM_LANDLOCK:
        return []
    if facts.landlock_abi:
        return [Gap("landlock", f"Landlock is too old: ABI {facts.landlock_abi}, {MINIMUM_LANDLOCK} is needed",
                    f"below ABI {MINIMUM_LANDLOCK} it does not see truncation", _newer(facts), True)]  # fmt: skip
    active = f"; active security modules: {facts.lsm}" if facts.lsm else ""
    why = f"it keeps writes inside the scope even if govrun fails{active}"
    boot = "landlock," + (facts.lsm or "$(cat /sys/kernel/security/lsm)")
    switch_on = (
        f"boot with lsm={boot}\n"
        'GRUB: add it to GRUB_CMDLINE_LINUX in /etc/default/grub, then "sudo update-grub" and reboot'
    )
    allow = f"allow landlock_create_ruleset, landlock_add_rule and landlock_restrict_self\n{_CONTAINER}"
    if facts.landlock_errno == errno.EOPNOTSUPP:
        return [Gap("landlock", "Landlock is built in, but was not switched on at boot", why, switch_on, True)]
    if facts.landlock_errno == errno.ENOSYS:
        fix = f"use a kernel with CONFIG_SECURITY_LANDLOCK=y\n{_newer(facts)}"
        return [Gap("landlock", "the kernel offers no Landlock", why, fix, True)]
    if facts.landlock_errno:
        name = errno.errorcode.get(facts.landlock_errno, str(facts.landlock_errno))
        return [Gap("landlock", f"a sandbox around this process refuses Landlock: {name}", why, allow, True)]
    return [Gap("landlock", "the kernel offers no Landlock", why, f"{switch_on}\nin a container: {allow}", True)]


def _settings(facts: HostFacts) -> list[Gap]:
    found: list[Gap] = []
    if facts.yama >= 2:
        rest = "   (until reboot)\nto keep it: echo kernel.yama.ptrace_scope=1 | sudo tee /etc/sysctl.d/90-govrun.conf"
        if facts.yama == 3:
            rest = "\n3 cannot be lowered again before a reboot: change it in /etc/sysctl.d first"
        found.append(Gap("yama", "programs cannot be looked at when they start",
                         f"kernel.yama.ptrace_scope = {facts.yama} forbids tracing one's own children",
                         f"sudo sysctl -w kernel.yama.ptrace_scope=1{rest}", True, "yama"))  # fmt: skip
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
                         "the kernel or the container around this process refuses seccomp(2)", _CONTAINER,
                         True))  # fmt: skip
    return found


def _calls(facts: HostFacts) -> list[Gap]:
    """A refused ptrace is told as Yama's doing where Yama forbids it."""
    refused = [call for call in facts.refused_calls if not (facts.yama >= 2 and call.startswith("ptrace:"))]
    if not refused or facts.inside_run:
        return []
    why = "a supervisor needs it towards its own children"
    if any(call.startswith("pidfd_getfd:") for call in refused):
        why += "; Docker's own seccomp profile refuses pidfd_getfd without the capability SYS_PTRACE"
    fix = (
        "Docker, Podman: add --cap-add SYS_PTRACE (govrun gives it up before the agent starts), or a seccomp "
        "profile that allows the call\nKubernetes: securityContext.capabilities.add: [SYS_PTRACE]"
    )
    return [Gap("calls", f"the sandbox around this process refuses {', '.join(refused)}", why, fix, True)]


def _libseccomp(facts: HostFacts) -> list[Gap]:
    if facts.libseccomp is None or _version(facts.libseccomp) >= MINIMUM_SECCOMP:
        return []
    return [Gap("libseccomp", f"libseccomp {facts.libseccomp or 'is missing'}",
                "the system call filter is built with it; 2.5 or newer is needed",
                "Debian, Ubuntu: apt install libseccomp2\nFedora, RHEL: dnf install libseccomp\n"
                "Arch: pacman -S libseccomp\nAlpine: apk add libseccomp", True)]  # fmt: skip


def _minor(facts: HostFacts) -> list[Gap]:
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
    if facts.userns_errno:
        name = errno.errorcode.get(facts.userns_errno, str(facts.userns_errno))
        found.append(Gap("userns", f"no user namespaces: {name}",
                         "a later tier will use them; runs of this version lose nothing",
                         "Ubuntu: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0\n"
                         "Debian before 11: sudo sysctl -w kernel.unprivileged_userns_clone=1\n"
                         "else: sudo sysctl -w user.max_user_namespaces=15000; containers refuse them by their "
                         "seccomp profile", False))  # fmt: skip
    if facts.foreign_supervisor:
        found.append(Gap("supervisord", f"supervisor {facts.foreign_supervisor} is installed beside govrun",
                         "both ship a Python package called supervisor and overwrite each other's files",
                         "install govrun with pipx, or in a venv of its own", False))  # fmt: skip
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
