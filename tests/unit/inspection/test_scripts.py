"""Every form of a call that loads a package by a literal, and what only looks like one."""

import re
import time

import pytest

LOADS = [
    'import(/* webpackChunkName: "lodash" */ "lodash")',
    'require(/* x */ "lodash")',
    'require( // x\n"lodash")',
    'require/*x*/("lodash")',
    'require.resolve(/*x*/"lodash")',
    'const q = /*x*/ require; q(/*x*/"lodash")',
    '(0,require)("lodash")',
    '(require)("lodash")',
    'require.call(null,"lodash")',
    'require.apply(null,["lodash"])',
    'require.bind(null,"lodash")()',
    'require.bind(null)("lodash")',
    'module["require"]("lodash")',
    'module[`require`]("lodash")',
    'module["re\\u0071uire"]("lodash")',
    'module.require("lodash")',
    'module?.require?.("lodash")',
    'const {require: r} = module; r("lodash")',
    'const {["require"]: r} = module; r("lodash")',
    'const {"require": r} = module; r("lodash")',
    'const {require: r = 1} = module; r("lodash")',
    'const r = require("module").createRequire(__filename); r("lodash")',
    'require("module").createRequire(__filename)("lodash")',
    'import {createRequire as c} from "module"; const r=c(import.meta.url); r("lodash")',
    'import {createRequire as c} from "module"; c(import.meta.url)("lodash")',
    'import m from "module"; m.createRequire(1)("lodash")',
    'const {createRequire: c} = await import("module"); c(1).resolve("lodash")',
    'require("lodash"||0)',
    'require(x ? "lodash" : "y")',
    'require(["lodash"][0])',
    'require(...["lodash"])',
    'require("lodash/" + x)',
    "require(`lodash/${x}`)",
    'require("./../node_modules/lodash")',
    'import x from "../node_modules/lodash/lodash.js"',
    'require("/a/node_modules/x/node_modules/lodash/i.js")',
    'const r = (require); r("lodash")',
    'let r; r = require; r("lodash")',
    'const a = require, b = a; b("lodash")',
    'function f(r = require) { return r("lodash") }',
    'jest.mock("lodash")',
    'vi.mock("lodash", () => ({}))',
    'jest.requireActual("lodash")',
    'await vi.importActual("lodash")',
    'mock.module("lodash", {})',
    'Module._load("lodash")',
    'require("\\u{00000000006c}odash")',
    'new require("lodash")',
    'require?.("lodash")',
    'r\\u0065quire("lodash")',
    'var r\\u0065q = require; r\\u{65}q("lodash")',
    'globalThis.require("lodash")',
    'process.mainModule.require("lodash")',
    'import.meta.resolve("lodash")',
    'require(["lodash"], function (_) {})',
    'export {default} from "lodash"',
    'if (a) { x(require("lodash")) }',
    'const f = async () => (await import("lodash")).default',
    'System.import("lodash")',
    '(a || require)("lodash")',
    '(r = require)("lodash")',
    'require(require.resolve("lodash"))',
    'class A { b = require("lodash") }',
    '`${require("lodash")}`',
    'const a = {b: require("lodash"), c: import("lodash")}',
    'require(String("lodash"))',
]
TYPED = [
    'require!("lodash")',
    '(require as any)("lodash")',
    '(require satisfies any)("lodash")',
    'const r: any = require; r("lodash")',
    'const r = require as any; r("lodash")',
    'const r = require!; r("lodash")',
    'require<any>("lodash")',
    'import x = require(/* c */ "lodash")',
    'export import x = require("lodash")',
    '(<any>require)("lodash")',
]
OTHER = [
    'console.log("lodash")',
    'require("./x").foo("lodash")',
    'require("x")("lodash")',
    'import("x").then(() => f("lodash"))',
    'f(require, "lodash")',
    'require("./" + "lodash")',
    'require(path.join(__dirname, "lodash"))',
    'import(new URL("lodash", import.meta.url))',
    'require(a + "lodash")',
    'require("lodash" + a)',
    '// require("lodash")',
    "const a = 'require(\"lodash\")'",
    'jest.fn("lodash")',
    'jest.mock("x", () => ({ a: "lodash" }))',
    'foo.mock("lodash")',
    '__webpack_require__("lodash")',
    'requirement("lodash")',
    'x.resolve("lodash")',
    'const require2 = (a) => a; require2("lodash")',
    "const {a: require} = b;",
    'a = {require: "lodash"}',
    'import x from "./lodash"',
    '/lodash/.test(require("x"))',
    'import x from "x" with {type: "lodash"}',
    'import("x", {with: {type: "lodash"}})',
    'expect(require.cache["lodash"]).toBe(1)',
    'delete require.cache[require.resolve("./a")]',
    'require.context("lodash")',
]


def packages(modules, kind, source):
    return {each.split("/")[0] for each in modules(kind, source)}


@pytest.mark.parametrize("kind", ["javascript", "typescript", "tsx"])
@pytest.mark.parametrize("source", LOADS)
def test_loads(modules, kind, source):
    assert "lodash" in packages(modules, kind, source)


@pytest.mark.parametrize("source", TYPED)
def test_loads_in_typescript(modules, source):
    assert "lodash" in packages(modules, "typescript", source)


@pytest.mark.parametrize("kind", ["javascript", "typescript", "tsx"])
@pytest.mark.parametrize("source", OTHER)
def test_other_strings(modules, kind, source):
    assert "lodash" not in packages(modules, kind, source)


def test_lines_of_calls(inspect):
    found = inspect("typescript", "import(\n  // note\n  'a');\nconst b = [\n  require(/* c */ 'd')]")
    assert [(each.module, each.line) for each in found.imports] == [("a", 1), ("d", 5)]


def test_comments_in_what_does_not_parse(modules):
    source = "function f( {\nconst a = require(/* x */ 'lodash')\nconst b = import(/* y */'z')\n"
    assert {"lodash", "z"} <= set(modules("javascript", source))


COMPONENT = """<template>
  <p title="import x from 'no'">require('no')</p>
</template>

<script context="module" lang='ts'>
import type { T } from "types";
import { a } from "lodash";
</script>
<SCRIPT data-a=">" setup>
const b = require("react")</SCRIPT ><script src="vue/x.js"></script>
<style>a { b: c }</style>
"""


def test_components(inspect):
    found = inspect("component", COMPONENT)
    assert [(each.module, each.line) for each in found.imports] == [("lodash", 7), ("react", 10), ("vue/x.js", 10)]
    assert not found.pending
    cut = inspect("component", COMPONENT[: COMPONENT.index("react") + 6])
    assert [(each.module, each.line) for each in cut.imports] == [("lodash", 7), ("react", 10)]
    assert cut.pending


@pytest.mark.parametrize("unit", ['<script a="', "<script>", "<script>{", "<script ", "<!--", "</script"])
def test_components_are_read_in_linear_time(inspect, unit):
    start = time.process_time()
    inspect("component", unit * (500_000 // len(unit)))
    assert time.process_time() - start < 5


# Each makes the tree deep, the parser slow, or both.
@pytest.mark.parametrize("unit", ["{", "`${", "[", "(", "!", "-", "async(", "try{", "do ", "`a`", "require(", 'a("b"+'])
def test_costly_sources_are_answered(inspect, unit):
    start = time.process_time()
    found = inspect("javascript", unit * (200_000 // len(unit)))
    assert time.process_time() - start < 4
    assert found.refusal == "" or re.match("it takes more than|it is nested|nested more|more than", found.refusal)


def test_brackets_that_are_never_closed(inspect):
    start = time.process_time()
    assert inspect("javascript", "(a," * 690_000).refusal == "it is nested too deeply to parse"
    assert time.process_time() - start < 2
    assert inspect("javascript", "f(g[{}]);" * 200_000).refusal == ""


def test_after_a_costly_source_the_next_one_is_read(inspect):
    assert inspect("javascript", '"' * 600_000).refusal.startswith("it takes more than")
    assert [each.module for each in inspect("javascript", "require('a')").imports] == ["a"]


def test_a_word_in_a_bundle_is_no_import(inspect):
    line = b'function a(b,c){var d=n(17);return b+c*d[0]?x(1):y("lodash"+2)};'
    found = inspect("javascript", line * ((2 << 20) // len(line)))
    assert (found.imports, found.refusal, found.pending) == ((), "", "")


def test_nesting_does_not_end_the_process():
    """A stack of the usual size is not enough for this; the worker gives itself a larger one."""
    from supervisor.inspection.worker import Inspector

    inspector = Inspector()
    try:
        inspector.start()
        pid = inspector.pid
        refusal = inspector.inspect("javascript", b"", b"{a:" * 87381 + b"{").refusal
        assert refusal in ("", "it takes too long to parse")
        assert inspector.pid == pid
    finally:
        inspector.close()
