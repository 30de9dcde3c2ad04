"""Every error that is raised anywhere tells what failed, why, and what to do; none says so by an empty text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.vocabulary import errors

SOURCE = Path(errors.__file__).parents[1]
# What has to be given; the last two fill in the rest themselves.
ALL = ("what", "why", "fix")
CLASSES = {"UsageError": ALL, "HostError": ALL, "ProfileError": ALL, "StopRun": ALL[:2], "InternalError": ALL[:1]}


def made(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
            yield node


def incomplete(call: ast.Call) -> list[str]:
    """Which of the three parts is left out, or is an empty text."""
    parts = dict(zip(("what", "why", "fix"), call.args, strict=False))
    parts |= {word.arg: word.value for word in call.keywords if word.arg in ("what", "why", "fix")}
    assert isinstance(call.func, ast.Name)
    return [name for name in CLASSES[call.func.id] if name not in parts or _is_empty(parts[name])]


def _is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_error_is_complete(path: Path) -> None:
    found = {call.lineno: missing for call in made(ast.parse(path.read_text())) if (missing := incomplete(call))}
    assert found == {}


def test_the_check_can_fail() -> None:
    whole, half, empty = (next(made(ast.parse(text))) for text in (
        "UsageError('a', str(e), f'{b}')", "HostError('a', 'b', exit_code=2)", "StopRun('a', '', fix='c')",
    ))  # fmt: skip
    assert (incomplete(whole), incomplete(half), incomplete(empty)) == ([], ["fix"], ["why"])


def test_lines_and_exit_codes() -> None:
    told = errors.UsageError("a", "b\nc", "d\ne", exit_code=2)
    assert told.lines() == ["govrun: a", "  why: b", "  why: c", "  fix: d", "  fix: e"]
    assert told.exit_code == 2
    codes = {name: getattr(errors, name)("a").exit_code for name in CLASSES}
    assert codes == dict.fromkeys(CLASSES, 125) | {"StopRun": 121}
    bug = errors.InternalError("a")
    assert bug.why and "doctor --json" in bug.fix
    assert "govrun log latest" in errors.StopRun("a", "b").fix
