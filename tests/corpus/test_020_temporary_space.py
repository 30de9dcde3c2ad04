"""Escape 20: temporary folders are shared: what others put there is not the run's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm"])
def test_foreign_file_in_temporary_space(cage: Cage, place: str) -> None:
    with tempfile.NamedTemporaryFile(dir=place) as foreign:
        foreign.write(b"foreign")
        foreign.flush()
        script = f"echo x >> {foreign.name}; chmod 777 {foreign.name}; mv {foreign.name} {foreign.name}.gone"
        outcome = cage.run(script)
        found = Path(foreign.name)
        assert found.read_bytes() == b"foreign"
        assert found.stat().st_mode & 0o777 == 0o600
        cage.refused(outcome, cage.WRITE)


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm"])
def test_own_file_in_temporary_space(cage: Cage, place: str) -> None:
    """The other half: what the run makes there is its own."""
    script = (
        f"set -e; d=$(mktemp -d {place}/cage.XXXXXX); echo x > $d/f; mv $d/f $d/g; cat $d/g; rm -r $d; test ! -e $d"
    )
    outcome = cage.run(script).ok()
    assert outcome.stdout == b"x\n"
