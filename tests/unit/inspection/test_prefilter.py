"""The prefilter never says no where an inspector finds a needle, and costs little."""

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection.prefilter import Prefilter

ONE = Prefilter([b"requests", b"zope-interface", b"google.cloud", b"@scope/name"])

TRUE = [
    ("python", b"import requests"),
    ("python", b"from google . \\\n cloud import x"),
    ("python", "import ｒequests".encode()),
    ("python", b"# coding: utf-7\nimport +AHI-equests"),
    ("python", "import requests".encode("utf-16")),
    ("python", b"__import__('req' 'uests')"),
    ("python", b"__import__('r\\x65quests')"),
    ("python", b"im = import_module"),
    ("python", b"__import__(\n'''requests''')"),
    ("python", b"setup(install_requires=['req' 'uests'])"),
    ("python", b"# /// script\n# dependencies = ['re\\u0071uests']\n# ///"),
    ("python", b"import \xff"),
    ("javascript", b"require('req' + 'uests')"),
    ("javascript", b"require('re\\quests')"),
    ("javascript", b"require('r\\x65quests')"),
    ("javascript", b"import('r\\u{65}quests')"),
    ("javascript", b"require('r\\145quests')"),
    ("javascript", b"require('req\\\nuests')"),
    ("javascript", b"require('req' /* + */ + // x\n ('uests'))"),
    ("javascript", b"require('@scope\\/name')"),
    ("component", b"<script>require('r\\x65quests')</script>"),
    ("workspace", b'catalog: {"r\\x65quests": 1}'),
    ("package.json", b'{"dependencies": {"a": "https://r/%72equests/-/requests-1.tgz"}}'),
    ("package.json", b'{"dependencies": {"a": "https://r/%72equest%73/-/a.tgz"}}'),
    ("package.json", b'{"dependencies": {"r\\u0065quests": "1"}}'),
    ("package.json", b'{"dependencies": {"@scope\\/name": 1}}'),
    ("pyproject", b'dependencies = ["Zope_.Interface"]'),
    ("pyproject", b'dependencies = ["r\\u0065quests"]'),
    ("pyproject", b'dependencies = ["""req\\\n   uests"""]'),
    ("requirements", b"ZOPE.INTERFACE==1"),
    ("requirements", b"req\\\nuests"),
    ("requirements", b"https://h/r%65quests-1-py3-none-any.whl"),
    ("requirements", "requests".encode("utf-16")),
    ("environment.yml", b'- "r\\x65quests"'),
    ("notebook", b'{"cells": [{"source": ["import req", "uests"]}]}'),
    ("notebook", b'{"source": "import \\uff52equests"}'),
    ("notebook", b'{"source": "from google.\\\\\\n  cloud import x"}'),
    ("setup.cfg", b"install_requires = Requests"),
    ("yarn.lock", b"requests@1:"),
    ("another", b""),
]
FALSE = [
    ("python", b"import request\n# \xc3\xa9\nprint('\\x41')"),
    ("python", b"import_module('x.y')\n__import__(\"a\")"),
    (
        "javascript",
        b"const a = 'x' + 'y' + \"\\n\"; /\\d+\\s/.test(b); require('requester')".replace(b"requester", b"req"),
    ),
    ("package.json", b'{"dependencies": {"a": "\\n"}}'),
    ("pyproject", b'[project]\ndependencies = ["zope", "interface"]'.replace(b'", "', b'x", "')),
    ("requirements", b"a==1 \\\n  --hash=x"),
    ("yarn.lock", b"a@1:\n"),
    ("setup.cfg", b"\\u0072"),
    ("notebook", b'{"a": "\\n"}'),
]


@pytest.mark.parametrize(("kind", "content"), TRUE)
def test_may_concern(kind, content):
    assert ONE.may_concern(kind, content)


@pytest.mark.parametrize(("kind", "content"), FALSE)
def test_does_not_concern(kind, content):
    assert not ONE.may_concern(kind, content)


def test_no_needles_and_all():
    assert not Prefilter([]).may_concern("python", b"import a")
    assert Prefilter(None).may_concern("python", b"")
    assert Prefilter([b"-"]).may_concern("python", b"")
    assert Prefilter(["é".encode()]).may_concern("python", "import é".encode())
    assert not Prefilter(["é".encode()]).may_concern("python", b"import a")
    many = Prefilter([b"name%d" % n for n in range(60)])
    assert many.may_concern("python", b"import name59")
    assert not many.may_concern("python", b"import nam")


PIECES = {
    "python": [
        "import ",
        "from ",
        "requests",
        "ｒ",
        "equests",
        " as q",
        "\n",
        "\r",
        "'",
        '"',
        "req",
        "uests",
        " ",
        "+",
        "(",
        ")",
        "__import__(",
        "import_module",
        "importlib.",
        "\\x72",
        "\\\n",
        "\\N{LATIN SMALL LETTER R}",
        "#",
        ".",
        ",",
        "f",
        "if TYPE_CHECKING:\n  ",
        "# coding: utf-7\n",
        "+AHI-",
        "é",
        "\t",
        "=",
        "'requests'",
        "'''",
        "lambda: ",
    ],
    "javascript": [
        "import ",
        "from ",
        "requests",
        "'",
        '"',
        "`",
        "req",
        "uests",
        "\\q",
        "re",
        "\n",
        "+",
        "(",
        ")",
        "require(",
        "import(",
        "\\x72",
        "\\u0072",
        "\\u{72}",
        "\\162",
        "\\\n",
        "/*",
        "*/",
        "//",
        ";",
        "const r = ",
        "createRequire(",
        "r(",
        "=",
        " ",
        "export * from ",
        "'requests'",
        "}",
        "{",
        "${",
    ],
    "package.json": [
        '{"dependencies": {',
        '"requests"',
        '"',
        ":",
        ",",
        "req",
        "uests",
        "\\u0072",
        "equests",
        "\\/",
        "}",
        "{",
        "[",
        "]",
        " ",
        "\n",
        '"npm:',
        "@1",
        '"overrides"',
        "\\",
        "1",
        "é",
    ],
    "pyproject": [
        "[project]\n",
        "dependencies = [",
        '"',
        "'",
        '"""',
        "req",
        "uests",
        "requests",
        "\\u0072",
        "\\\n",
        "]",
        ",",
        "\n",
        "equests",
        ">=1",
        "[tool.poetry.dependencies]\n",
        "=",
        "{",
        "}",
        ".",
        " ",
        "#",
        "\\x72",
        "é",
    ],
    "requirements": [
        "requests",
        "req",
        "uests",
        "\\\n",
        "\n",
        "#",
        " ",
        "==1",
        "-e ",
        "git+https://h/",
        "#egg=",
        "%72",
        "equests",
        ".git",
        "@",
        ";",
        "https://h/",
        "-1-py3-none-any.whl",
        "Re",
        "Quests",
        "\\",
        "# coding: utf-7\n",
        "+AHI-",
    ],
    "environment.yml": [
        "dependencies:\n",
        "- ",
        "requests",
        "req",
        "uests",
        '"',
        "'",
        "\\x72",
        "equests",
        "\n",
        "  ",
        "- pip:\n",
        "&a ",
        "*a",
        "\\\n",
        "[",
        "]",
        ",",
        ":",
        "#",
        ">=1",
        "!!str ",
    ],
    "pnpm-lock": [
        "lockfileVersion: 5\n",
        "packages:\n",
        "  ",
        "requests",
        "@1.0.0",
        "/",
        ":",
        "\n",
        '"',
        "'",
        "\\x72",
        "equests",
        "req",
        "uests",
        "{",
        "}",
        "name: ",
        "\\\n",
        "? ",
    ],
    "uv.lock": [
        "[[package]]\n",
        'name = "',
        '"\n',
        "requests",
        "req",
        "uests",
        "\\u0072",
        "equests",
        "'",
        "=",
        "version = ",
        "\n",
        "package = [{",
        "}]",
        "name=",
        '"""',
        "\\\n",
    ],
    "package-lock": [
        '{"packages": {',
        '"node_modules/',
        "requests",
        '"',
        ":",
        "{",
        "}",
        ",",
        '"version"',
        "\\u0072",
        "equests",
        "\\/",
        "req",
        "uests",
        "\n",
        '"name"',
        '"dependencies": {',
    ],
    "notebook": [
        '{"cells": [{"cell_type": "code", "source": [',
        '"',
        "import ",
        "requests",
        "req",
        "uests",
        ",",
        "\\n",
        "\\u0072",
        "equests",
        "]",
        "}",
        "ｒ",
        "__import__(",
        "'",
        "+",
        "\\\\x72",
        " ",
        "\\\\\\n",
        '\\"',
    ],
    "yarn.lock": [
        "requests",
        "@^1",
        ":",
        "\n",
        "  ",
        "version ",
        '"',
        "npm:",
        "req",
        "uests",
        "resolution: ",
        ",",
        "\\u0072",
        "equests",
    ],
}


@pytest.mark.parametrize("kind", PIECES)
def test_never_no_where_a_needle_is_found(inspect, kind):
    prefilter = Prefilter([b"requests"])

    @given(st.lists(st.sampled_from(PIECES[kind]), max_size=14))
    @settings(max_examples=250, suppress_health_check=list(HealthCheck), deadline=None)
    def holds(pieces):
        content = "".join(pieces).encode()
        found = inspect(kind, content)
        names = {each.module.partition(".")[0] for each in found.imports} | {each.name for each in found.requirements}
        if "requests" in names:
            assert prefilter.may_concern(kind, content)

    holds()


def test_cost_and_rate_on_the_standard_library():
    paths = sorted(Path(json.__file__).parents[1].glob("*.py"))
    contents = [path.read_bytes() for path in paths]
    prefilter = Prefilter([b"left-pad", b"flask-admin", b"pycrypto", b"leftish"])
    start = time.process_time()
    concerned = sum(prefilter.may_concern("python", each) for each in contents)
    spent = time.process_time() - start
    lines = sum(each.count(b"\n") for each in contents)
    assert concerned / len(contents) < 0.2
    assert spent / lines * 1000 < 0.002  # 0.2 ms on a quiet machine


LETTERS = {
    "python": [
        "\\x{0:02x}",
        "\\u{0:04x}",
        "\\{0:o}",
        "' '{1}",
        "' + '{1}",
        "'+('{1}",
        "' # c\n '{1}",
        "{2}",
        "\\\n{1}",
    ],
    "javascript": [
        "\\x{0:02x}",
        "\\u{{{0:x}}}",
        "\\{0:o}",
        "\\{1}",
        "\\\n{1}",
        "' + '{1}",
        "' /*x*/ + '{1}",
        "' // c\n + '{1}",
        "'+//c\n'{1}",
        "'+('{1}",
    ],
    "package.json": ["\\u{0:04x}"],
    "pyproject": ["\\u{0:04x}", "\\U{0:08x}", "\\\n  {1}"],
    "requirements": ["\\\n{1}", "%{0:02x}", "\\\r\n{1}"],
    "environment.yml": ["\\x{0:02x}", "\\u{0:04x}", "\\\n   {1}"],
    "notebook": ["\\u{0:04x}", '", "{1}', "{2}", "\\\\x{0:02x}", "' + '{1}"],
}
HOLDERS = {
    "python": ["__import__('%s')", "importlib.import_module(name='%s')", "import %s"],
    "javascript": ["require('%s')", "import '%s'", "import('%s')", "const r = createRequire(u); r('%s')"],
    "package.json": ['{"dependencies": {"%s": "1"}}', '{"dependencies": {"a": "npm:%s@1"}}'],
    "pyproject": [
        '[project]\ndependencies = ["%s"]\n',
        'tool.poetry.dependencies = {"%s" = "1"}',
        'project.dependencies = ["""%s"""]',
    ],
    "requirements": ["%s\n", "https://h/%s-1-py3-none-any.whl\n"],
    "environment.yml": ['dependencies:\n- "%s"\n'],
    "notebook": [
        '{"cells": [{"cell_type": "code", "source": ["import %s"]}]}',
        '{"cells": [{"cell_type": "code", "source": "__import__(\'%s\')"}]}',
    ],
}


@pytest.mark.parametrize("kind", LETTERS)
def test_hidden_spellings(inspect, kind):
    prefilter = Prefilter([b"requests"])
    chance = random.Random(kind)
    hidden = 0
    for _ in range(400):
        spelt = "".join(
            each
            if chance.random() < 0.8
            else chance.choice(LETTERS[kind]).format(ord(each), each, chr(ord(each) + 0xFEE0))
            for each in "requests"
        )
        content = chance.choice(HOLDERS[kind]).replace("%s", spelt).encode()
        found = inspect(kind, content)
        names = {each.module for each in found.imports} | {each.name for each in found.requirements}
        if "requests" in names:
            hidden += b"requests" not in content
            assert prefilter.may_concern(kind, content), content
    assert hidden > 30


@pytest.mark.parametrize(
    "piece",
    [b"(", b"'", b"' ", b"'//", b"+", b"'+", b"zope", b"\\", b"'\n//", b'"\\', b"/*", b"import_module(", b"# coding"],
)
@pytest.mark.parametrize("kind", ["python", "javascript", "notebook", "requirements", "pyproject"])
def test_stays_linear(kind, piece):
    start = time.process_time()
    ONE.may_concern(kind, (piece * 500_000)[:500_000])
    assert time.process_time() - start < 2
