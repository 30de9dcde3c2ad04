"""What import contracts cannot see: built-ins that reach the world from packages that must not."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "supervisor"
PURE = sorted([PACKAGE / "decide.py", *(PACKAGE / "invariants").rglob("*.py"), *(PACKAGE / "vocabulary").rglob("*.py")])
REACHING = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint", "globals", "id", "hash"}


def reaching(tree: ast.Module) -> Iterator[str]:
    """Calls of built-ins that read the world, change it, or answer differently in another process."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REACHING:
            yield f"line {node.lineno}: {node.func.id}"


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_reaches_nothing(path: Path) -> None:
    assert list(reaching(ast.parse(path.read_text()))) == []


def test_the_check_finds_what_it_looks_for() -> None:
    assert len(list(reaching(ast.parse("open('x')\n__import__('os')\nhash(b'')\nre.compile('x')\n")))) == 3
