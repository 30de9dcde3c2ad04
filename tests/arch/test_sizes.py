"""Sizes, and what no module may have: mutable state of its own, printing or ending the process outside cli."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "supervisor").rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 450, 60
DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MAKERS = {"list", "dict", "set", "bytearray", "defaultdict", "OrderedDict", "Counter", "deque", "WeakValueDictionary"}
CHANGES = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
READ_ONLY = ("Mapping", "Sequence", "Set", "Final[Mapping", "Final[Sequence", "Final[Set", "Collection")


def names() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in MODULES]


def changed_names(tree: ast.Module) -> set[str]:
    """Names whose content a module changes: by item, by augmented assignment, or by a method that changes."""
    changed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            changed.add(ast.unparse(node.value))
        elif isinstance(node, ast.AugAssign):
            changed.add(ast.unparse(node.target))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            changed.add(ast.unparse(node.func.value))
    return changed


def mutable_state(tree: ast.Module) -> Iterator[str]:
    """Module-level containers that code could change, and `global`.

    A constant is a container that is annotated read-only (mypy then refuses code that changes it), or whose name is
    spelt as one and which its module does not change.
    """
    changed = changed_names(tree)
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = ast.unparse(node.target), node.value
            if ast.unparse(node.annotation).startswith(READ_ONLY):
                continue
        elif isinstance(node, ast.Assign):
            target, value = ", ".join(ast.unparse(each) for each in node.targets), node.value
        else:
            continue
        called = isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in MAKERS
        constant = target.isupper() and target not in changed and not called
        if (isinstance(value, DISPLAYS) or called) and target != "__all__" and not constant:
            yield f"line {node.lineno}: {target}"
    for inner in ast.walk(tree):
        if isinstance(inner, ast.Global):
            yield f"line {inner.lineno}: global {', '.join(inner.names)}"


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def talks(tree: ast.Module) -> Iterator[str]:
    """Printing and ending the process. A module that is a process of its own may end it under `__name__`."""
    guarded = {id(inner) for node in tree.body if is_main_guard(node) for inner in ast.walk(node)}
    # Before a fork buffers are emptied, or both sides write them.
    guarded |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "flush"}
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.exit", "exit", "quit"):
            yield f"line {node.lineno}: {ast.unparse(node.func)}"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=names())
def test_module(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MODULE_LINES
    assert list(long_functions(tree)) == []
    assert list(mutable_state(tree)) == []
    inside_cli = path.is_relative_to(ROOT / "supervisor" / "cli") or path.name == "__main__.py"
    assert inside_cli or list(talks(tree)) == []


def test_the_checks_find_what_they_look_for() -> None:
    bad = "cache = {}\nseen: list[str] = []\nTABLE: Mapping[str, int] = {}\nqueue = collections.deque()\n"
    assert len(list(mutable_state(ast.parse(bad)))) == 3
    assert list(mutable_state(ast.parse("KINDS = {1: 'a'}\n"))) == []
    for change in ("KINDS[2] = 'b'", "del KINDS[1]", "KINDS.update(x)", "KINDS |= x"):
        assert len(list(mutable_state(ast.parse(f"KINDS = {{1: 'a'}}\ndef f(x):\n    {change}\n")))) == 1
    assert len(list(mutable_state(ast.parse("def f():\n    global x\n    x = 1\n")))) == 1
    assert len(list(talks(ast.parse("print(1)\nsys.stderr.write('x')\nsys.exit(1)\n")))) == 3
    assert len(list(long_functions(ast.parse("def f():\n" + "    pass\n" * 61)))) == 1
