"""What JavaScript and TypeScript sources load, as it resolves in real trees."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection.limits import Budget, Overdue
from supervisor.inspection.parsing import Parsers
from supervisor.inspection.projects import expanded
from supervisor.inspection.references import references
from supervisor.inspection.resolving import Resolver
from supervisor.inspection.script_configs import exported, relaxed_json

Ask = Callable[..., list[str]]
_KINDS = {"ts": "typescript", "tsx": "tsx", "js": "javascript", "vue": "component", "svelte": "component"}


@pytest.fixture
def ask(tmp_path: Path, parsers: Parsers) -> Ask:
    """(importer, source, files of the tree as ``path`` or ``path=text``) -> what it leads to: paths, ``+name`` for
    third parties, ``?name`` for what leads nowhere."""

    def told(importer: str, source: str, *files: str, pending: bool = False) -> list[str]:
        for each in files:
            name, _, text = each.partition("=")
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        kind = _KINDS[importer.rpartition(".")[2]]
        path = os.fsencode(tmp_path / importer)
        found, why = references(kind, path, source.encode(), parsers, Resolver(os.fsencode(tmp_path)))
        assert bool(why) is pending
        return [f"+{each.name}" if each.external else each.to or f"?{each.name}" for each in found]

    return told


TREE = ("src/db/client.ts", "src/db/index.ts", "src/web/page.tsx", "src/web/old.js")
PAGE = "src/web/page.tsx"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import { c } from '../db/client'", ["src/db/client.ts"]),
        ("import { c } from '../db/client.js'", ["src/db/client.ts"]),
        ("import { c } from '../db/client.ts'", ["src/db/client.ts"]),
        ("import '../db'", ["src/db/index.ts"]),
        ("import '../db/'", ["src/db/index.ts"]),
        ("import * as db from '../db/index'", ["src/db/index.ts"]),
        ("export { c } from '../db/client'", ["src/db/client.ts"]),
        ("export * from '../db/client'", ["src/db/client.ts"]),
        ("export * as db from '../db/client'", ["src/db/client.ts"]),
        ("import c = require('../db/client')", ["src/db/client.ts"]),
        ("const c = require('../db/client')", ["src/db/client.ts"]),
        ("const c = await import('../db/client')", ["src/db/client.ts"]),
        ("const c = await import(`../db/client`)", ["src/db/client.ts"]),
        ("const r = require; r('../db/client')", ["src/db/client.ts"]),
        ("jest.mock('../db/client')", ["src/db/client.ts"]),
        ("require.resolve('../db/client')", ["src/db/client.ts"]),
        ("import('../d' + 'b/client')", ["src/db/client.ts"]),
        ("import('../db/' + name)", ["src/db/index.ts"]),
        ("import(`../db/${name}`)", ["src/db/index.ts"]),
        ("import '..\\u002fdb/client'", ["src/db/client.ts"]),
        ("import '..//db/./../db/client'", ["src/db/client.ts"]),
        ("import '../%64b/client.ts'", ["src/db/client.ts"]),
        ("import './..\\\\db\\\\client.ts'", ["src/db/client.ts"]),
        ("import '../d\\nb/client.ts'", ["src/db/client.ts"]),
        ("import x from '../db/client?raw'", ["src/db/client.ts"]),
        ("import x from '!!loader!../db/client'", ["src/db/client.ts"]),
        ("import { later } from '../db/later'", ["src/db/later", "src/db/later.tsx"]),
        ("import { later } from '../db/later.js'", ["src/db/later.js"]),
        ("import '../nowhere/at/all'", ["src/nowhere/at/all", "src/nowhere/at/all.tsx"]),
        ("import '../../../outside'", ["?../../../outside"]),
        ("import { c, type D } from '../db/client'", ["src/db/client.ts"]),
        ("import type { C } from '../db/client'", []),
        ("import { type C, type D } from '../db/client'", []),
        ("import x, { type C } from '../db/client'", ["src/db/client.ts"]),
        ("export type { C } from '../db/client'", []),
        ("export { type C } from '../db/client'", []),
        ("import {} from '../db/client'", ["src/db/client.ts"]),
        ("type C = import('../db/client').C", []),
        ("import React from 'react'", ["+react"]),
        ("import x from '@scope/name/sub'", ["+@scope/name/sub"]),
        ("import fs from 'fs'; import p from 'node:path'; import q from 'fs/promises'", []),
        ("import x from 'https://example.org/x.js'", ["+https://example.org/x.js"]),
        ("import x from 'virtual:thing'", ["?virtual:thing"]),
        ("import x from 'data:text/javascript,1'", []),
        ("import x from '@/db/client'", ["src/db/client.ts"]),
        ("import x from '~/db/client'", ["src/db/client.ts"]),
        ("// import '../db'\n/* require('../db') */ const s = `import '../db'`", []),
        ("foo.bar('../db')", []),
    ],
)
def test_ways_to_load(ask: Ask, source: str, expected: list[str]) -> None:
    assert ask(PAGE, source, *TREE) == expected


def test_names_and_lines(parsers: Parsers, tmp_path: Path) -> None:
    (tmp_path / "b.ts").touch()
    source = b"import a from 'a'\n\nimport {\n  x\n} from './b'\n"
    resolver = Resolver(os.fsencode(tmp_path))
    found, _ = references("typescript", os.fsencode(tmp_path / "m.ts"), source, parsers, resolver)
    assert [(each.name, each.to, each.line, each.external) for each in found] == [
        ("a", "", 1, True),
        ("./b", "b.ts", 5, False),
    ]


def test_components(ask: Ask) -> None:
    source = "<script lang='ts'>\nimport x from '../db/client'\n</script>\n<script src='./old.js'></script>"
    assert ask("src/web/a.vue", source, *TREE) == ["src/db/client.ts", "src/web/old.js"]
    assert ask("src/web/page.tsx", "import A from './a.vue'", "src/web/a.vue") == ["src/web/a.vue"]
    assert ask("src/web/a.svelte", "<script>\nimport x from '$lib/y'\n</script>", "src/lib/y.js") == ["src/lib/y.js"]


def test_declarations_load_nothing(parsers: Parsers, tmp_path: Path) -> None:
    resolver = Resolver(os.fsencode(tmp_path))
    assert references("typescript", os.fsencode(tmp_path / "a.d.ts"), b"import 'x'", parsers, resolver) == ((), "")


# ------------------------------------------------------------------------------------------------------ tsconfig


def test_paths_and_base(ask: Ask) -> None:
    config = """{
      // comments, and "strings" in them /* too */
      "compilerOptions": {
        "baseUrl": "./src", /* "paths": {} */
        "paths": { "@db/*": ["nowhere/*", "db/*"], "exact": ["db/client.ts"], "*": ["types/*"], },
      },
    }"""
    files = (f"tsconfig.json={config}", *TREE)
    assert ask(PAGE, "import '@db/client'", *files) == ["src/db/client.ts"]
    assert ask(PAGE, "import 'exact'", *files) == ["src/db/client.ts"]
    assert ask(PAGE, "import 'db/client'", *files) == ["src/db/client.ts"]
    assert ask(PAGE, "import '@db/later'", *files) == ["src/nowhere/later", "src/nowhere/later.tsx"]
    assert ask(PAGE, "import 'react'", *files) == ["+react"]


def test_the_longest_pattern_counts(ask: Ask) -> None:
    config = '{"compilerOptions": {"paths": {"@a/*": ["./one/*"], "@a/b/*": ["./two/*"]}}}'
    assert ask("m.ts", "import '@a/b/c'", f"tsconfig.json={config}", "one/b/c.ts", "two/c.ts") == ["two/c.ts"]


def test_extended_configurations(ask: Ask) -> None:
    files = ('tsconfig.base.json={"compilerOptions": {"paths": {"@db": ["./src/db/index.ts"]}}}',
             'apps/a/tsconfig.json={"extends": "../../tsconfig.base"}',
             'apps/b/tsconfig.json={"files": [], "references": [{"path": "./tsconfig.app.json"}, {"path": "../a"}]}',
             'apps/b/tsconfig.app.json={"extends": ["../../none.json", "../../tsconfig.base.json"]}',
             *TREE)  # fmt: skip
    assert ask("apps/a/m.ts", "import '@db'", *files) == ["src/db/index.ts"]
    assert ask("apps/b/m.ts", "import '@db'", *files) == ["src/db/index.ts"]
    assert ask("apps/c/m.ts", "import '@db'", *files) == ["?@db"]


def test_circles_of_configurations_end(ask: Ask) -> None:
    one = '{"extends": "../b/tsconfig.json", "references": [{"path": "../b"}]}'
    other = '{"extends": ["../a/tsconfig.json", "./tsconfig.json"], "references": [{"path": "../a"}], %s}'
    paths = '"compilerOptions": {"paths": {"x": ["./x.ts"]}}'
    files = (f"a/tsconfig.json={one}", f"b/tsconfig.json={other % paths}", "b/x.ts")
    assert ask("a/m.ts", "import 'x'", *files) == ["b/x.ts"]


@pytest.mark.parametrize("text", ["", "[", "[]", '{"compilerOptions": 1}', '{"compilerOptions": {"paths": {"x": 1}}}',
                                  '{"extends": {"a": 1}, "references": [1, {"path": 2}]}', "[" * 100_000,
                                  '{"compilerOptions": {"baseUrl": "../../.."}}', "/*" * 100_000,
                                  '{"extends": "/etc/passwd"}'])  # fmt: skip
def test_broken_configurations(ask: Ask, text: str) -> None:
    assert ask(PAGE, "import x from 'x'; import y from '../db/client'", f"tsconfig.json={text}", *TREE) == [
        "src/db/client.ts", "+x"
    ]  # fmt: skip


def test_relaxed_json() -> None:
    assert relaxed_json(b'\xef\xbb\xbf{"a": "/* no */ // no ,]", /* yes */ "b": [1, 2, // yes\n],}') == {
        "a": "/* no */ // no ,]",
        "b": [1, 2],
    }
    assert relaxed_json(b'{"a": "unclosed') is None


# ---------------------------------------------------------------------------------------------------- workspaces

DB = ('packages/db/package.json={"name": "@acme/db", "main": "dist/index.js"}', "packages/db/src/index.ts",
      "packages/db/src/internal/pool.ts", "packages/ui/src/a.ts")  # fmt: skip
UI = "packages/ui/src/a.ts"


@pytest.mark.parametrize(
    "listing",
    [
        'package.json={"workspaces": ["packages/*"]}',
        'package.json={"workspaces": {"packages": ["packages/{ui,db}"]}}',
        'package.json={"workspaces": ["./packages/**"]}',
        "pnpm-workspace.yaml=packages:\n  # all\n  - 'packages/*'  # these\n  - \"!x\"\n\ncatalog:\n  a: 1\n",
        "pnpm-workspace.yaml=packages: [ 'packages/*' ]",
        'lerna.json={"packages": ["packages/*"]}',
    ],
)
def test_packages_of_a_workspace(ask: Ask, listing: str) -> None:
    assert ask(UI, "import '@acme/db'", listing, *DB) == ["packages/db/src/index.ts"]
    assert ask(UI, "import '@acme/db/src/internal/pool'", listing, *DB) == ["packages/db/src/internal/pool.ts"]
    assert ask(UI, "import '@acme/db/internal/pool'", listing, *DB) == ["packages/db/src/internal/pool.ts"]
    assert ask(UI, "import '@acme/db/%69nternal/pool'", listing, *DB)[-1] == "packages/db/src/internal/pool.ts"
    assert ask(UI, "import '@acme/db/later'", listing, *DB) == ["packages/db/later", "packages/db/later.ts"]
    assert ask(UI, "import '@acme/other'", listing, *DB) == ["+@acme/other"]


def test_a_package_that_no_workspace_lists_may_be_another(ask: Ask) -> None:
    assert ask(UI, "import '@acme/db'", *DB) == ["+@acme/db", "packages/db/src/index.ts"]


def test_exports(ask: Ask) -> None:
    manifest = """{"name": "@acme/db", "exports": {
      ".": {"types": "./src/index.d.ts", "import": "./src/index.ts", "require": "./cjs/index.cjs"},
      "./pool": "./src/internal/pool.ts", "./in/*": "./src/internal/*.ts", "./built/*": "./dist/esm/internal/*.js",
      "./only/": "./src/"}}"""
    files = ('package.json={"workspaces": ["packages/*"]}', *DB, f"packages/db/package.json={manifest}",
             "packages/db/cjs/index.cjs", "packages/db/src/index.d.ts")  # fmt: skip
    assert ask(UI, "import '@acme/db'", *files) == ["packages/db/cjs/index.cjs", "packages/db/src/index.ts"]
    for name in ("pool", "in/pool", "built/pool", "only/internal/pool"):
        assert ask(UI, f"import '@acme/db/{name}'", *files) == ["packages/db/src/internal/pool.ts"]


def test_exports_of_other_forms() -> None:
    assert exported("./a.js", ".") == ["./a.js"]
    assert exported({"import": "./a.js", "default": ["./b.js", {"x": "./c.js"}]}, ".") == ["./a.js", "./b.js", "./c.js"]
    assert exported({"./a/*": None, "./*": "./x/*"}, "./a/b") == []
    assert exported(None, ".") == []
    assert exported({"./*": "./x/*"}, ".") == []


def test_a_package_names_itself_and_what_it_imports(ask: Ask) -> None:
    manifest = """{"name": "@acme/ui", "exports": {"./own": "./src/b.ts"},
      "imports": {"#db/*": "./src/db/*.ts", "#lib": "@acme/db", "#dep": "lodash"}}"""
    files = (f"packages/ui/package.json={manifest}", "packages/ui/src/b.ts", "packages/ui/src/db/x.ts",
             'package.json={"workspaces": ["packages/*"]}', *DB)  # fmt: skip
    assert ask(UI, "import '@acme/ui/own'", *files) == ["packages/ui/src/b.ts"]
    assert ask(UI, "import '#db/x'", *files) == ["packages/ui/src/db/x.ts"]
    assert ask(UI, "import '#lib'", *files) == ["packages/db/src/index.ts"]
    assert ask(UI, "import '#dep'; import '#none'", *files) == ["+#dep", "?#none"]


def test_links_and_other_names_of_packages(ask: Ask, tmp_path: Path) -> None:
    manifest = '{"dependencies": {"store": "workspace:@acme/db@*", "there": "file:../db", "gone": "link:../../../x"}}'
    files = ('package.json={"workspaces": ["packages/*"]}', f"packages/ui/package.json={manifest}", *DB)
    assert ask(UI, "import 'store'", *files) == ["packages/db/src/index.ts"]
    assert ask(UI, "import 'there'", *files) == ["packages/db/src/index.ts"]
    assert ask(UI, "import 'gone'", *files) == ["+gone"]
    (tmp_path / "node_modules/@x").mkdir(parents=True)
    (tmp_path / "node_modules/@x/linked").symlink_to("../../packages/db")
    (tmp_path / "node_modules/real").mkdir()
    assert ask(UI, "import '@x/linked'; import 'real'", *files) == ["packages/db/src/index.ts", "+real"]


def test_a_decoy_beside_does_not_hide_what_is_meant(ask: Ask) -> None:
    files = (*DB, 'package.json={"workspaces": ["packages/*"]}', "packages/ui/stub.ts",
             'packages/ui/tsconfig.json={"compilerOptions": {"paths": {"@acme/db": ["./stub.ts"]}}}')  # fmt: skip
    assert "packages/db/src/index.ts" in ask(UI, "import '@acme/db'", *files)
    assert ask("src/m.ts", "import './db/'", "src/db.ts", "src/db/index.ts") == ["src/db/index.ts"]


def test_linked_folders(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "src/web").mkdir(parents=True)
    (tmp_path / "src/web/store").symlink_to("../db")
    (tmp_path / "src/web/out").symlink_to("/etc")
    assert ask(PAGE, "import './store/client'; import './store/new'", *TREE) == [
        "src/db/client.ts", "src/db/new", "src/db/new.tsx"
    ]  # fmt: skip
    assert ask(PAGE, "import './out/passwd'", *TREE) == ["src/web/out/passwd", "src/web/out/passwd.tsx"]


def test_case_is_kept(ask: Ask) -> None:
    assert ask(PAGE, "import '../DB/client'", *TREE) == ["src/DB/client", "src/DB/client.tsx"]


def test_half_written_files_tell_what_is_certain(ask: Ask) -> None:
    source = "import a from '../db/client'\nfunction f( {\nimport b from 'react'\nimport type { T } from '../db'\n"
    assert ask(PAGE, source, *TREE, pending=True) == ["src/db/client.ts", "+react"]


def test_large_files_end(parsers: Parsers, tmp_path: Path) -> None:
    resolver = Resolver(os.fsencode(tmp_path))
    many = "\n".join(f"import './a{number}'" for number in range(40_000)).encode()
    parsers.allow(Budget(0.05))
    with pytest.raises(Overdue):
        references("typescript", os.fsencode(tmp_path / "a.ts"), many, parsers, resolver)
    parsers.allow(None)
    code = b"const x = [1, 2, 3]; // a line of code\n" * 52_000
    found, _ = references("javascript", os.fsencode(tmp_path / "a.js"), code + b"import 'x'\n", parsers, resolver)
    assert found[0].line == 52_001


def test_patterns_of_workspaces_end(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"a{number}/b/c/d/e").mkdir(parents=True)
    resolver = Resolver(os.fsencode(tmp_path))
    assert len(expanded(resolver, "", "**/" * 50 + "e")) <= 2000
    assert len(expanded(resolver, "", "{a,b}" * 50)) <= 2000
    assert expanded(resolver, "a1/b", "../../a2/*") == ("a2/b",)
    assert expanded(resolver, "", "../*") == ()
    assert expanded(resolver, "", "a1/../../x") == ()


_SPECIFIERS = st.text(st.sampled_from(list("./@#%~ab\\!?*:\n\0\udcff")), max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_SPECIFIERS)
def test_any_specifier_is_read(parsers: Parsers, tmp_path: Path, specifier: str) -> None:
    from supervisor.inspection.script_modules import Specifiers

    (tmp_path / "a/b").mkdir(parents=True, exist_ok=True)
    led = Specifiers("a/b/m.ts", ".ts", Resolver(os.fsencode(tmp_path))).lead(specifier)
    assert led is None or all(not to.startswith(("/", "../")) for to in led.to)
