"""Whichever program of a pipeline starts last closes the chain. The programs only wait; the pipes are real."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator

import pytest

from supervisor.surfaces.pipes import Pipes

DOWNLOAD = (b"/usr/bin/curl", b"/usr/bin/tee", b"/usr/bin/gunzip", b"/bin/sh")


@pytest.fixture
def pipeline() -> Iterator[list[int]]:
    """Process ids of four programs, each of which reads from the one before."""
    started: list[subprocess.Popen[bytes]] = []
    previous = subprocess.DEVNULL
    for _ in DOWNLOAD:
        each = subprocess.Popen(["sleep", "60"], stdin=previous, stdout=subprocess.PIPE)
        started.append(each)
        assert each.stdout is not None
        previous = each.stdout.fileno()
    yield [each.pid for each in started]
    for each in started:
        each.kill()
        each.wait(10)
        assert each.stdout is not None
        each.stdout.close()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_last_one_closes_the_chain_in_every_order(pipeline: list[int], order: tuple[int, ...]) -> None:
    pipes = Pipes()
    seen = [pipes.starts(pipeline[each], DOWNLOAD[each], interprets=each == 3) for each in order]
    assert seen == [b"", b"", b"", b"curl"]


@pytest.mark.parametrize("missing", [0, 3])
def test_what_is_not_downloaded_or_not_run_is_no_chain(pipeline: list[int], missing: int) -> None:
    names = [b"/usr/bin/python3" if each == missing else name for each, name in enumerate(DOWNLOAD)]
    for order in itertools.permutations(range(4)):
        pipes = Pipes()
        interprets = missing != 3
        assert not any(pipes.starts(pipeline[each], names[each], interprets=each == 3 and interprets) for each in order)


def test_a_ring_of_pipes_ends() -> None:
    pipes = Pipes()
    assert pipes._passes_on(b"a", b"b") == b""
    assert pipes._passes_on(b"b", b"a") == b""
    assert pipes._passes_on(b"a", b"b") == b""


@pytest.fixture
def group() -> Iterator[dict[str, int]]:
    """``{ curl | cat; echo | tac; } | { head | sed; sh; }``: two write to the pipe in the middle, and two read it."""
    made = {name: os.pipe() for name in ("down", "other", "middle", "away")}
    ends = {"curl": ("", "down"), "cat": ("down", "middle"), "tac": ("other", "middle"), "head": ("middle", "away")}
    started = {}
    for name, (source, to) in {**ends, "sh": ("middle", "")}.items():
        stdin = made[source][0] if source else subprocess.DEVNULL
        stdout = made[to][1] if to else subprocess.DEVNULL
        started[name] = subprocess.Popen(["sleep", "60"], stdin=stdin, stdout=stdout)
    yield {name: each.pid for name, each in started.items()}
    for each in started.values():
        each.kill()
        each.wait(10)
    for fd in itertools.chain(*made.values()):
        os.close(fd)


@pytest.mark.parametrize("order", list(itertools.permutations(("curl", "cat", "tac", "head", "sh"))))
def test_who_else_uses_a_pipe_hides_nobody(group: dict[str, int], order: tuple[str, ...]) -> None:
    pipes = Pipes()
    seen = {name: pipes.starts(group[name], b"/bin/" + name.encode(), interprets=name == "sh") for name in order}
    assert {name for name, origin in seen.items() if origin == b"curl"} >= {max(("curl", "cat", "sh"), key=order.index)}
    assert seen["tac"] == seen["head"] == b""
