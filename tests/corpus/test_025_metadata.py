"""Escape 25: Landlock does not know chmod, chown, utime or xattr (landrun issue 58, landlock(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


BY_NAME = [
    'chmod 777 "$OUT/victim"',
    'chmod -R u=rwx "$OUT/sub"',
    'touch -d 2001-01-01 "$OUT/victim"',
    'touch -h -d 2001-01-01 "$OUT/victim"',
    'setfattr -n user.mark -v 1 "$OUT/victim"',
    'ln -s "$OUT/victim" l; chmod 777 l; touch -d 2001-01-01 l',
]
BY_DESCRIPTOR = {
    "fchmod": "os.fchmod(fd, 0o777)",
    "futimens": "os.utime(fd, (1, 1))",
    "fsetxattr": "os.setxattr(fd, 'user.mark', b'1')",
    "magic link": "os.chmod(f'/proc/self/fd/{fd}', 0o777)",
    "utimensat empty": "sc(280, fd, None, (ctypes.c_long * 4)(1, 0, 1, 0), 0)",
    "fchmodat2 empty": "sc(452, fd, c(''), 0o777, 0x1000)",
}


@pytest.mark.parametrize("script", BY_NAME)
def test_by_name(cage: Cage, script: str) -> None:
    cage.escape(script, cage.WRITE)


@pytest.mark.parametrize("how", BY_DESCRIPTOR)
def test_by_descriptor(cage: Cage, how: str) -> None:
    """A descriptor opened for reading is enough for these calls; no path is ever given."""
    code = f"fd = os.open(VICTIM, os.O_RDONLY)\ntry:\n    {BY_DESCRIPTOR[how]}\nexcept OSError as e:\n    print(e)"
    cage.escape(cage.script(code), cage.WRITE)


@pytest.mark.needs("root")
def test_owner(cage: Cage) -> None:
    cage.escape('chown 12345 "$OUT/victim"; chown -h 12345:12345 "$OUT/other"', cage.WRITE)


def test_removed_attribute(cage: Cage) -> None:
    cage.both('setfattr -n user.mark -v 1 "$OUT/victim"')
    cage.escape('setfattr -x user.mark "$OUT/victim"', cage.WRITE)
