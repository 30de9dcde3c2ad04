"""Escape 341: a forbidden npm package is named in a form that a quick look does not know."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RULE = """
[[dependency]]
id = "no-lodash"
why = "the platform has it"
deny = ["npm:lodash"]
"""
FILES = {
    "comment": ("w.ts", 'import(/* webpackChunkName: "lodash" */ "lodash")'),
    "sequence": ("w.js", '(0,require)("lodash")'),
    "component": ("w.vue", '<script>\nimport _ from "lodash"\n</script>'),
    "path": ("w.mjs", 'import _ from "./../node_modules/lodash/lodash.js"'),
    "address": ("package.json", '{"dependencies": {"a": "github:lodash/lodash"}}'),
    "inner name": ("package.json", '{"imports": {"#x": "lodash"}}'),
    "catalog": ("pnpm-workspace.yaml", "catalog:\n  lodash: 4"),
}


def committed(tree: Path, name: str) -> bool:
    shown = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=tree, capture_output=True, text=True)
    return "lodash" in shown.stdout


@pytest.mark.parametrize("form", FILES)
def test_named_in_another_form(cage: Cage, form: str) -> None:
    name, text = FILES[form]
    cage.profile(RULE)
    cage.both("git add -A && git commit -qm rule")
    words = f"cat > {name} <<'END'\n{text}\nEND\ngit add -A; git commit -qm x; true"
    bare = cage.bare(words, timeout=60)
    assert committed(cage.twin_tree, name), bare.stderr
    outcome = cage.run(words, timeout=60)
    assert not committed(cage.tree, name), outcome.stderr[-2000:]
    left = cage.tree / name
    assert not left.exists() or "lodash" not in left.read_text()


def test_a_file_beside_the_packages(cage: Cage) -> None:
    """``require("lodash")`` takes ``node_modules/lodash.js`` too."""
    cage.profile(RULE)
    cage.both("git add -A && git commit -qm rule")
    words = "mkdir -p node_modules/chart.js; echo 'module.exports = 1' > node_modules/lodash.js; true"
    cage.bare(words, timeout=60)
    assert (cage.twin_tree / "node_modules/lodash.js").exists()
    outcome = cage.run(words, timeout=60)
    assert not (cage.tree / "node_modules/lodash.js").exists(), outcome.stderr[-2000:]
    assert (cage.tree / "node_modules/chart.js").is_dir()
