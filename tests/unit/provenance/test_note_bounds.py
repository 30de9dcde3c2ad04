"""A base on which thousands of runs begin keeps a note that can be read: the newest are named, the others recorded."""

from __future__ import annotations

from supervisor.provenance import note
from supervisor.provenance.note import Summary, bounded, merge, render


def lines(run: str, *, base: str = "b" * 40, tree: str = "b" * 40, over: bool = True) -> str:
    ended = {"root": "0" * 64, "end": "exit", "bundle": "1" * 64, "signature": "s" * 88} if over else {}
    return render(Summary(run, "PASSED" if over else "RUNNING", "generic", 0, 1, 9, {}, base, tree, **ended))  # type: ignore[arg-type]


def ulid(number: int) -> str:
    return f"01{number:024d}"


def test_the_oldest_that_only_began_there_go() -> None:
    text = "by hand\n" + lines(ulid(0), base="a" * 40) + lines(ulid(1), over=False)
    for number in range(2, 1500):
        text = merge(text, ulid(number), lines(ulid(number)))
    assert len(text) <= note._ROOM + 2000
    named = note.parse(text)
    assert text.startswith("by hand\n")
    assert {ulid(0), ulid(1), ulid(1499), ulid(1498)} <= named.keys()  # the one that made it, and the one that goes on
    assert ulid(2) not in named
    kept = sorted(named.keys() - {ulid(0), ulid(1)})
    assert kept == [ulid(n) for n in range(1500 - len(kept), 1500)]
    assert all(len(each) == 9 for run, each in named.items() if run not in (ulid(1),))


def test_what_fits_and_what_cannot_be_left_out_stays() -> None:
    small = lines(ulid(0)) + lines(ulid(1))
    assert bounded(small) == small
    made = "".join(lines(ulid(n), base="a" * 40) for n in range(1500))
    assert bounded(made) == made
