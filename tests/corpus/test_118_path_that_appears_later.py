"""Escape 118: a path named by the policy does not exist at the start (OpenShell issue 664 left the rest unenforced)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


def test_hidden_folder_that_appears_later(cage: Cage) -> None:
    cage.profile('[scope]\nhide = ["~/later/**"]\nprotect = ["rules/**"]\n')
    script = """
touch ready; while [ ! -e go ]; do sleep 0.02; done
cat $HOME/later/key; echo x > $HOME/later/key; mkdir rules; echo x > rules/a; echo x >> "$OUT/victim"
"""
    words = cage.govrun.start("bash", "-c", script, env={"OUT": str(cage.outside)})
    _wait_for(cage.tree / "ready")
    (cage.home / "later").mkdir()
    (cage.home / "later/key").write_text("not-a-real-key\n")
    (cage.tree / "go").touch()
    outcome = words.wait(30)
    assert outcome.stdout == b""
    assert (cage.home / "later/key").read_text() == "not-a-real-key\n"
    assert not (cage.tree / "rules/a").exists()
    cage.refused(outcome, cage.PROTECT)
    cage.refused(outcome, cage.WRITE)
