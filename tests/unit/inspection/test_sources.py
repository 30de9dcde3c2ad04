"""What Python, JavaScript and TypeScript sources import."""

import pytest

from supervisor.vocabulary.content import Wanted

PYTHON = [
    ("import a.b as c, d", ["a.b", "d"]),
    ("from a.b import x, y as z", ["a.b"]),
    ("from . import x\nfrom .a import b\nfrom .. import c", []),
    ("from __future__ import annotations", []),
    ("def f():\n  import a\ntry:\n  import b\nexcept ImportError:\n  import c", ["a", "b", "c"]),
    ("import google \\\n  . cloud", ["google.cloud"]),
    ("import ｒequests", ["requests"]),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import a\nelse:\n  import b", ["b", "typing"]),
    ("if TYPE_CHECKING:\n  import a", ["a"]),
    ("import typing as t\nif t.TYPE_CHECKING:\n  import a", ["typing"]),
    ("if not TYPE_CHECKING:\n  import a", ["a"]),
    ("if TYPE_CHECKING or x:\n  import a", ["a"]),
    ("TYPE_CHECKING = False\nif TYPE_CHECKING:\n  import a", []),
    ("TYPE_CHECKING = True\nif TYPE_CHECKING:\n  import a", ["a"]),
    ("TYPE_CHECKING: bool = 1\nif TYPE_CHECKING:\n  import a", ["a"]),
    ("from x import y as TYPE_CHECKING\nif TYPE_CHECKING:\n  import a", ["a", "x"]),
    ("ＴYPE_CHECKING = 1\nif TYPE_CHECKING:\n  import a", ["a"]),
    ("importlib.import_module('a.b')", ["a.b"]),
    ("importlib.import_module('.b', 'a')", ["a"]),
    ("__import__('a')", ["a"]),
    ("builtins.__import__(name='a')", ["a"]),
    ("__import__('a' 'b')", ["ab"]),
    ("__import__('a' + (r'b' + f'c'))", ["abc"]),
    ("__import__('a' # note\n 'b')", ["ab"]),
    (r"__import__('\x61\142\u0063\N{LATIN SMALL LETTER D}')", ["abcd"]),
    ("__import__(f'a{b}')", []),
    ("__import__(b'a')", []),
    ("__import__(a)", []),
    ("from importlib import import_module as im\nim('a')", ["a", "importlib"]),
    ("import importlib as il\nil.import_module('a')", ["a", "importlib"]),
    ("load = importlib.import_module\nload('a')", ["a"]),
    ("pkgutil.resolve_name('a.b:c')", ["a.b"]),
    ("importlib.util.resolve_name('a', 'b')", []),
    ("from runpy import run_module\nrun_module(mod_name='a')", ["a", "runpy"]),
    ("importlib.util.find_spec('a')", []),
    ("'''\nimport a\n'''\n# import b", []),
    ("def f(:\n  x = 1\nimport a\n'''\nimport b\n'''\n", ["a"]),
    ("import a\rimport b\r", ["a", "b"]),
    ("\ufeffimport a", ["a"]),
]


@pytest.mark.parametrize(("source", "expected"), PYTHON)
def test_python(modules, source, expected):
    assert sorted(modules("python", source)) == sorted(expected)


def test_python_lines_and_pending(inspect):
    found = inspect("python", "x = 1\n\nimport a\nfrom b import (\n  c)\n")
    assert [(each.module, each.line, each.ecosystem) for each in found.imports] == [("a", 3, "pypi"), ("b", 4, "pypi")]
    assert not found.pending
    assert inspect("python", "import a\nx = (1,\n").pending


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# coding: latin-1\nimport a # é".encode("latin-1"), ["a"]),
        ("# coding: utf-7\nimport +AGE-".encode("ascii"), ["a"]),
        ("#!x\n# vim: fileencoding=cp1252\nimport a # é".encode("cp1252"), ["a"]),
        ("import a".encode("utf-16"), ["a"]),
    ],
)
def test_python_encodings(modules, content, expected):
    assert modules("python", content) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"# coding: rot13\nvzcbeg n",
        b"# coding: nothing\n",
        b"# coding: utf-7\n+AGE\xff",
        "import a".encode("utf-16")[:-1],
    ],
)
def test_python_in_an_encoding_that_nobody_knows_is_refused(inspect, content):
    assert "not " in inspect("python", content).refusal


def test_size(inspect):
    for kind, most in (("python", 2), ("package.json", 2), ("uv.lock", 64)):
        refusal = inspect(kind, b" " * ((most << 20) + 1)).refusal
        assert str((most << 20) + 1) in refusal
        assert str(most << 20) in refusal


SCRIPTS = [
    ("import a from 'x'", ["x"]),
    ("import 'x'; import * as q from \"@s/n/sub\"; export * from 'y'; export { a } from `z`", ["x", "@s/n/sub", "y"]),
    ("import './x'; import '/y'; import 'node:fs'; import 'https://z/a.js'; import '#own'; import '..'", []),
    ("require('x'); require.resolve('y'); import('z'); module.require('w')", ["x", "y", "z", "w"]),
    ("require('a' + 'b' /* c */ + (`c`)); require(`d`)", ["abc", "d"]),
    ("require(`a${b}`); require(c); path.resolve('q'); foo('r')", []),
    (r"require('\x61\u0062\u{63}\144\e'); import 'f\u0067'", ["abcde", "fg"]),
    ("require('a\\\nb')", ["ab"]),
    (r"r\u0065quire('a')", ["a"]),
    ("const r = createRequire(import.meta.url); r('x'); r.resolve('y'); createRequire(u)('z')", ["x", "y", "z"]),
    ("const q = require; q('x')", ["x"]),
    ("import.meta.resolve('x')", ["x"]),
    ("// import 'x'\n/* require('y') */ const a = \"require('z')\"", []),
    ("const a = <div>{require('x')}</div>", ["x"]),
    ("import a from 'npm:lodash@4/sub'", ["lodash/sub"]),
]


@pytest.mark.parametrize(("source", "expected"), SCRIPTS)
def test_javascript(modules, source, expected):
    assert sorted(modules("javascript", source)) == sorted(expected)


TYPED = [
    ("import type A from 'x'; export type { B } from 'y'; export type * from 'z'", []),
    ("import { type A, b } from 'x'", ["x"]),
    ("import x = require('y')", ["y"]),
    ("type T = import('x').Y; let u: import('z').W; let q = <Foo>require('w')", ["w"]),
    ("const m = await import('x'); import('y').then((z) => z)", ["x", "y"]),
    ("require('a' as string)", ["a"]),
]


@pytest.mark.parametrize(("source", "expected"), TYPED)
def test_typescript(modules, source, expected):
    assert sorted(set(modules("typescript", source))) == sorted(expected)


def test_tsx(modules):
    assert modules("tsx", "import a from 'x'; const q = <div>{require('y')}</div>") == ["x", "y"]


def test_broken_script_tells_what_is_there(inspect):
    found = inspect("typescript", "import a from 'x'\nfunction f( {\nconst b = require('y')\n")
    assert found.pending
    assert {"x", "y"} <= {each.module for each in found.imports}


def test_minified_megabyte(inspect):
    import time

    line = b"function a(b,c){var d=require('lodash');return b+c*d[0]?x(1):y(\"q\"+2)};" * 14000
    start = time.process_time()
    found = inspect("javascript", line)
    assert [each.module for each in found.imports] == ["lodash"]
    assert time.process_time() - start < 5  # a second on a quiet machine


def test_setup_script(named):
    source = (
        "from setuptools import setup\nNEEDS = [\n  'a>1',\n  'B_c' 'd',\n]\n"
        "setup(install_requires=NEEDS, tests_require=('t',),\n  extras_require={'x': ['q; python_version>\"3\"']})\n"
    )
    assert named("python", source, b"pkg/setup.py") == [
        ("a", ">1", 3, "install_requires", ""),
        ("b-cd", "", 4, "install_requires", ""),
        ("t", "", 6, "tests_require", ""),
        ("q", "", 7, "extras_require", ""),
    ]
    assert named("python", source, b"other.py") == []


def test_inline_script_metadata(named):
    source = '#!/x\n# /// script\n# requires-python = ">=3"\n# dependencies = [\n#   "a>=1",\n# ]\n# ///\n'
    assert named("python", source) == [("a", ">=1", 5, "script.dependencies", "")]


def test_notebook(inspect):
    text = (
        '{"cells": [\n {"cell_type": "markdown", "source": ["import no\\n"]},\n'
        ' {"cell_type": "code", "source": [\n  "%matplotlib inline\\n",\n  "import a\\n",\n  "import b",\n'
        '  "c\\n"\n ]},\n'
        ' {"source": "import d\\nimport e", "cell_type": "code"}\n]}'
    )
    found = inspect("notebook", text)
    assert [(each.module, each.line) for each in found.imports] == [("a", 5), ("bc", 6), ("d", 9), ("e", 9)]
    assert not found.pending
    cut = inspect("notebook", text[:-30])
    assert cut.pending
    assert {"a", "bc"} <= {each.module for each in cut.imports}


def test_an_edited_tree_says_the_same_as_a_fresh_one(parsers):
    from supervisor.inspection import reading

    base = "".join(f"import m{n}\ndef f{n}():\n    return {n}\n" for n in range(200))
    versions = [
        base,
        base.replace("import m77", "import requests"),
        base[:500] + '"""' + base[500:],
        base + "x = (",
        base + "x = (1)\nimport z\n",
        "",
        base,
    ]
    for text in versions:
        kept = reading.inspect("python", b"one", text.encode(), reading.Tools(parsers, Wanted()))
        assert kept == reading.inspect("python", b"", text.encode(), reading.Tools(parsers, Wanted()))
