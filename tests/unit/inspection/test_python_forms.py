"""Spellings of an import or a requirement that are easily overlooked, and what looks like one."""

import pytest

from supervisor.inspection.kinds import file_kind
from supervisor.inspection.prefilter import Prefilter


@pytest.fixture(scope="module")
def names(inspect):
    """The packages that a file at ``path`` asks for; the prefilter must not have left it out."""
    prefilter = Prefilter([b"requests"])

    def ask(path, content):
        content = content if isinstance(content, bytes) else content.encode()
        kind = file_kind(path.encode())
        assert kind is not None
        found = inspect(kind, content, path.encode())
        assert not found.refusal, found.refusal
        told = {each.module.partition(".")[0] for each in found.imports} | {each.name for each in found.requirements}
        assert "requests" not in told or prefilter.may_concern(kind, content)
        return told

    return ask


CALLS = [
    'importlib.import_module(".sessions", "requests")',
    'importlib.import_module(package="requests", name=".sessions")',
    'importlib.import_module(".x", "r\\x65quests")',
    '(importlib.import_module)("requests")',
    '(im:=importlib.import_module)("requests")',
    'im, x = importlib.import_module, 1; im("requests")',
    'a = __import__; b = a; b("requests")',
    '__builtins__["__import__"]("requests")',
    'importlib.import_module(*["requests"])',
    'importlib.import_module(f"requests.{x}")',
    'importlib.import_module("requests.%s" % x)',
    'getattr(importlib, "import_module")("requests")',
    'f = getattr(importlib, "import_module")\nf("requests")',
    'importlib.util.find_spec("requests").loader.load_module()',
    'import runpy; runpy.run_module("requests")',
    'runpy._run_module_as_main("requests")',
    'list(map(importlib.import_module, ["requests"]))',
    'def f(im=importlib.import_module):\n  im("requests")',
    'self.load = import_module; self.load("requests.x")',
    'from importlib import import_module as im\nim("re" "quests")',
    'import_module.__call__("requests")',
    '{"a": __import__}["a"]("requests")',
    '[im("requests") for im in [__import__]]',
    'ｉmport_module("requests")',
    'pytest.importorskip("requests")',
]


@pytest.mark.parametrize("source", CALLS)
def test_calls_that_import(names, source):
    assert "requests" in names("a.py", source)


@pytest.mark.parametrize(
    "source",
    [
        'print("requests")',
        'import_module("a")\nprint("requests")',
        'm = importlib.import_module("json")\nm.loads("requests")',
        'importlib.util.find_spec("requests") is None',
        'x = {"requests": import_module("y")}',
        'mock.patch("importlib.import_module", side_effect=ImportError("requests"))',
        '# import_module\nfoo("requests")',
        'import_module(f"requests{x}")',
    ],
)
def test_ordinary_strings(names, source):
    assert "requests" not in names("a.py", source)


GUARDED = "\nif TYPE_CHECKING:\n    import requests\n"
IMPORTED = "from typing import TYPE_CHECKING\n"


@pytest.mark.parametrize(
    "source",
    [
        GUARDED,
        "from mine import TYPE_CHECKING" + GUARDED,
        "from .typing import TYPE_CHECKING" + GUARDED,
        "import typing as TYPE_CHECKING" + GUARDED,
        "for TYPE_CHECKING in [1]: pass" + GUARDED,
        *(
            IMPORTED + each + GUARDED
            for each in (
                "def f(TYPE_CHECKING): pass",
                "print((TYPE_CHECKING := 1))",
                "TYPE_CHECKING |= 1",
                "TYPE_CHECKING, x = 1, 2",
                "(TYPE_CHECKING) = 1",
                "ＴYPE_CHECKING = 1",
                "with x as (TYPE_CHECKING): pass",
                "match 1:\n  case TYPE_CHECKING: pass",
                "del TYPE_CHECKING",
                "def f():\n  global TYPE_CHECKING",
                "from x import TYPE_CHECKING",
                "from x import y as TYPE_CHECKING",
                "from x import *",
                "class TYPE_CHECKING: pass",
                "import typing\ntyping.TYPE_CHECKING = 1",
            )
        ),
        "import typing\ntyping.TYPE_CHECKING = 1\nif typing.TYPE_CHECKING:\n  import requests",
        "import typing\nimport mine as typing\nif typing.TYPE_CHECKING:\n  import requests",
        IMPORTED + "if TYPE_CHECKING or x:\n  import requests",
        IMPORTED + "if not TYPE_CHECKING:\n  import requests",
        IMPORTED + "if TYPE_CHECKING:\n  pass\nelse:\n  import requests",
    ],
)
def test_what_guards_nothing(names, source):
    assert "requests" in names("a.py", source)


@pytest.mark.parametrize(
    "source",
    [
        "from typing import TYPE_CHECKING, List" + GUARDED,
        "from typing_extensions import (TYPE_CHECKING)" + GUARDED,
        "try:\n  from typing import TYPE_CHECKING\nexcept ImportError:\n  TYPE_CHECKING = False" + GUARDED,
        "TYPE_CHECKING = False" + GUARDED,
        "# TYPE_CHECKING\nfrom typing import TYPE_CHECKING\n'TYPE_CHECKING'" + GUARDED,
        IMPORTED + "if not TYPE_CHECKING and x: pass" + GUARDED,
        "import typing as t\nx: t.Any\nif t.TYPE_CHECKING:\n  import requests",
        "from typing import TYPE_CHECKING as TC\nif (TC):\n  import requests",
    ],
)
def test_what_only_type_checkers_read(names, source):
    assert "requests" not in names("a.py", source)


@pytest.mark.parametrize(
    "line",
    [
        "https://github.com/psf/requests/archive/main.zip",
        "https://github.com/psf/requests/archive/feature-2.zip",
        "https://github.com/psf/requests/archive/refs/tags/v2.31.0.zip",
        "https://github.com/psf/requests/tarball/main",
        "https://codeload.github.com/psf/requests/zip/refs/heads/main",
        "https://h/a/archive/requests-2.0.zip",
        "svn+https://h/requests/trunk",
        "-e svn+svn://h/requests/branches/b",
        "hg+https://h/requests",
        "git+https://h/requests.git@v1#sub",
    ],
)
def test_addresses(names, line):
    assert "requests" in names("requirements.txt", line + "\n")


@pytest.mark.parametrize(
    "text",
    [
        '[tool.rye]\ndev-dependencies=["requests"]\n',
        '[tool.pixi.pypi-dependencies]\nrequests="*"\n',
        '[tool.pixi.feature.x.target.linux-64.dependencies]\nrequests={version="*"}\n',
        '[tool.hatch.build.hooks.x]\ndependencies=["requests"]\n',
        '[tool.uv.extra-build-dependencies]\na=["requests"]\n',
        '[tool.uv.extra-build-dependencies]\na=[{requirement="requests"}]\n',
        '[[tool.uv.dependency-metadata]]\nname="x"\nrequires-dist=["requests"]\n',
        '[tool.flit.metadata]\nrequires=["requests"]\n',
        '[tool.flit.metadata.requires-extra]\nx=["requests"]\n',
        '[tool.poetry.requires-plugins]\nrequests="*"\n',
        '[tool.cibuildwheel]\nbefore-all="pip install -U requests"\n',
        '[tool.cibuildwheel.linux]\nbefore-test=["pip install requests"]\n',
        '[tool.cibuildwheel]\ntest-requires="pytest requests"\n',
        '[tool.cibuildwheel]\ntest-requires=["requests"]\n',
        '[tool.tox.env_run_base]\ndeps=["requests"]\n',
        '[tool.tox]\nlegacy_tox_ini="""\n[testenv]\ndeps =\n  requests\n"""\n',
    ],
)
def test_tables_of_tools(names, text):
    assert "requests" in names("pyproject.toml", text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("setup.cfg", "[options]\ninstall_requires=\n\frequests\n"),
        ("setup.cfg", "[DEFAULT]\ninstall_requires=requests\n[options]\nzip_safe=0\n"),
        ("setup.cfg", "[options]\ninstall_requires=%(x)s\nx=requests\n"),
        ("setup.cfg", "[options]\ninstall_requires=req%(x)s\n[DEFAULT]\nx=uests\n"),
        ("setup.cfg", "[options]\rinstall_requires=\r requests\r"),
        ("setup.cfg", "[testenv]\ndeps=requests\n"),
        ("tox.ini", "[testenv:x]\ndeps =\n  py312: requests\n"),
        ("tox.ini", "[tox]\nrequires = requests\n"),
        ("x.pth", "/a/b\nimport requests; x\n"),
        ("tool", "#!/usr/bin/env python3\nimport requests\n"),
        ("tool", "#!/usr/bin/env -S uv run --script\n# /// script\n# dependencies=['requests']\n# ///\n"),
        ("tool", "#!/usr/bin/env node\nrequire('requests')\n"),
        ("x.pyx", "cimport y\nimport requests\n"),
    ],
)
def test_other_files(names, path, text):
    assert "requests" in names(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("x.pth", "requests\n"),
        ("tool", "#!/bin/sh\nimport requests\n"),
        ("tool", "import requests\n"),
        ("setup.cfg", "[metadata]\nname=requests\n"),
    ],
)
def test_what_nothing_executes(names, path, text):
    assert "requests" not in names(path, text)


def test_a_script_is_told_by_its_first_line_alone():
    everything = Prefilter(None)
    assert not everything.may_concern("script", b"\x7fELF requests")
    assert not everything.may_concern("script", b"#!/bin/sh\nrequests")
    assert everything.may_concern("script", b"#!/usr/bin/python3\n")
    assert not Prefilter([b"requests"]).may_concern("script", b"#!/usr/bin/python3\nimport x")


@pytest.mark.parametrize(
    "source",
    [
        'setup(install_requires=["a"]+["requests"])',
        'setup(**{"install_requires":["requests"]})',
        'a=["requests"]\nb=a\nsetup(install_requires=b)',
        'a=[]\na.append("requests")\nsetup(install_requires=a)',
        'a=[]\na.extend(["requests"])\nsetup(install_requires=a)',
        'a=[]\na+=["requests"]\nsetup(install_requires=a)',
        'kw={}\nkw["install_requires"]=["requests"]\nsetup(**kw)',
        'setup(install_requires="a requests".split())',
        'setup(install_requires=["a"] if x else ["requests"])',
        'setup(extras_require=dict(a=["requests"]))',
        'e={}\ne["x"]=[f"requests=={V}"]\nsetup(extras_require=e)',
    ],
)
def test_setup_scripts(names, source):
    assert "requests" in names("setup.py", source)


def test_a_setup_script_that_reads_a_file(names):
    assert names("setup.py", 'setup(install_requires=read("requests"), name="requests")') == set()


def test_inline_metadata_ends_where_its_last_line_is(named):
    source = "# /// script\n# dependencies = ['a']\n# ///\n# x\n\n# /// script\n# dependencies = ['b']\n# ///\n"
    assert [each[0] for each in named("python", source)] == ["a", "b"]
    assert named("python", "# /// script\n# dependencies = ['a']\n\n# ///\n") == []


def test_lone_carriage_returns(inspect):
    found = inspect("python", b"# hello\rimport a\r\n\nimport b # x\r'''\rimport c\r'''\rimport d")
    assert [(each.module, each.line) for each in found.imports] == [("a", 2), ("b", 4), ("d", 8)]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.py", b"# \xe9\nimport requests\n"),
        ("a.py", b"# coding: utf-8\n# \xe9\nimport requests\n"),
        ("a.py", b"\xef\xbb\xbfimport requests # \xe9\n"),
        ("a.py", b"# \0\nimport requests\0\n"),
        ("a.js", b"// \xe9\nrequire('requests')"),
        ("a.js", b"/* \0 */ require('requests')"),
        ("requirements.txt", b"# \xe9\nrequests\n"),
        ("requirements.txt", b"# \0\nrequests\n"),
        ("setup.cfg", b"# \xe9\n[options]\ninstall_requires=requests\n"),
        ("package.json", b'{"a":"\xe9","dependencies":{"requests":"1"}}'),
        ("a.ipynb", b'{"cells":[{"cell_type":"code","source":["# \xe9 x\\rimport requests"]}]}'),
    ],
)
def test_text_in_no_encoding_is_judged_by_what_it_says(names, path, content):
    assert "requests" in names(path, content)
    assert "requests" not in names(path, content.replace(b"import requests", b"").replace(b"requests", b"a"))
