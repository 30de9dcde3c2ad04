"""What this machine offers a run, and what it lacks."""

from __future__ import annotations

from typing import NamedTuple


class Gap(NamedTuple):
    """One thing that is missing. ``blocks``: no run can start without it. ``flag`` names the ``--accept`` word that
    lets a run start all the same, if there is one."""

    name: str
    what: str
    why: str
    fix: str
    blocks: bool
    flag: str = ""


class HostFacts(NamedTuple):
    """The first rows are what a start looks at; the rest is filled in for ``doctor`` and reads None or empty before.

    ``yama`` is kernel.yama.ptrace_scope, -1 without Yama. ``listener_errno`` is what loading a filter with a listener
    answered (0: it works). ``userns_errno`` the same for a user namespace. ``bpf_jit`` is net.core.bpf_jit_enable,
    -1 if it cannot be read. ``inside_run`` is the id of the run this process is already supervised by.
    ``landlock_errno`` is what asking for Landlock answered. ``refused_calls`` name the calls towards own children that
    fail, with their errno (``pidfd_getfd: EPERM``).
    """

    release: tuple[int, int]
    release_text: str
    machine: str
    machine_known: bool
    landlock_abi: int
    notify: bool
    wait_killable: bool
    sync_wake_up: bool
    yama: int
    root: bool
    inside_run: str = ""
    libseccomp: str | None = None
    bpf_jit: int | None = None
    listener_errno: int | None = None
    seccomp_filters: int | None = None
    userns_errno: int | None = None
    landlock_errno: int | None = None
    refused_calls: tuple[str, ...] = ()
    container: str = ""
    lsm: str = ""
    foreign_supervisor: str = ""

    @property
    def tier(self) -> str:
        """Which set of mechanisms a run uses here."""
        return "base"
