"""Programs that need what no run has: they fail in the kernel, which gives no reason, so the reason is told as they
start."""

from __future__ import annotations

# They live by a set-uid bit or by file capabilities.
_RAISE = frozenset(
    (
        *(b"sudo", b"su", b"doas", b"pkexec", b"runuser", b"newgrp", b"sg", b"ping", b"newuidmap", b"newgidmap"),
        *(b"fusermount", b"fusermount3", b"sudoedit"),
    )
)
_SEPARATE = frozenset(
    (
        b"bwrap",
        b"unshare",
        b"nsenter",
        b"chroot",
        b"mount",
        b"umount",
        b"podman",
        b"buildah",
        b"firejail",
        b"rootlesskit",
    )
)


def lacking(given: bytes, arguments: int) -> str:
    """What a program, by the path it is started by, will not get in a run; empty for all others. ``arguments``: how
    many words it is given, its name included."""
    name = given.rpartition(b"/")[2]
    if name in _RAISE:
        return f"{name.decode()} gains no rights in a run; what needs them is for a person to do outside"
    if name in _SEPARATE and (arguments > 1 or name not in (b"mount", b"unshare")):
        return (
            f"{name.decode()} gets no new namespaces, mounts or roots in a run, where paths keep their meaning; "
            "a sandbox of one's own has to be off, the run is one"
        )
    return ""
