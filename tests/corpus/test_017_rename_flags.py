"""Escape 17: renameat2(2) with EXCHANGE or WHITEOUT touches the second name as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def _rename(old: str, new: str, flags: int) -> str:
    return f"print(sc(316, AT, c({old}), AT, c({new}), {flags}))"


def test_exchange_with_outside(cage: Cage) -> None:
    cage.escape(cage.script(_rename("'evil'", "VICTIM", 2)), cage.WRITE)


def test_exchange_from_outside(cage: Cage) -> None:
    cage.escape(cage.script(_rename("VICTIM", "'evil'", 2)), cage.WRITE)


def test_exchange_with_profile(cage: Cage) -> None:
    cage.profile("")
    cage.escape(cage.script(_rename("'evil'", "'govrun.toml'", 2)), cage.POLICY, guarded=["govrun.toml"])


@pytest.mark.needs("root")
def test_whiteout(cage: Cage) -> None:
    """A whiteout is a device node: without capabilities the kernel's own answer is EPERM, and nothing is judged."""
    cage.escape(cage.script(_rename("VICTIM", "OUT + '/moved'", 4)), None)


def test_exchange_hides_which_side_is_protected(cage: Cage) -> None:
    cage.both("mkdir rules plain; echo old > rules/one; echo new > plain/one")
    cage.profile('[scope]\nprotect = ["rules/**"]\n')
    cage.escape(cage.script(_rename("'plain'", "'rules'", 2)), cage.PROTECT, guarded=["rules"])
