"""Escape 201: what is renamed onto .git/config is taken away from where it was, and its content becomes readable."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_hidden_file_as_configuration(cage: Cage) -> None:
    for home in (cage.home, cage.twin_home):
        (home / ".aws").mkdir()
        (home / ".aws/config").write_text("[default]\nregion = not-a-real-secret\n")
    script = "mv -f $HOME/.aws/config .git/config; cat .git/config"
    assert b"not-a-real-secret" in cage.bare(script).stdout
    outcome = cage.run(script)
    assert b"not-a-real-secret" not in outcome.stdout
    assert "not-a-real-secret" not in (cage.tree / ".git/config").read_text()
    assert (cage.home / ".aws/config").exists()
    cage.refused(outcome, cage.HIDE)


def test_protected_file_as_configuration(cage: Cage) -> None:
    cage.both("echo '# owners' > CODEOWNERS")
    cage.escape("mv -f CODEOWNERS .git/config", cage.PROTECT, guarded=["CODEOWNERS", ".git/config"])


def test_somebody_elses_temporary_file(cage: Cage) -> None:
    handle, name = tempfile.mkstemp(prefix="govrun-test-", dir="/var/tmp")
    os.close(handle)
    try:
        outcome = cage.run(f"mv -f {name} .git/config")
        assert Path(name).exists()
        cage.refused(outcome, cage.WRITE)
    finally:
        Path(name).unlink(missing_ok=True)
