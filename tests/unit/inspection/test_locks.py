"""Every package of a lock with its version; fast paths say what a parser says."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

CASES = {
    "uv": (
        "uv.lock",
        (
            'version = 1\n\n[[package]]\nname = "Foo.Bar"\nversion = "1"\nsource = { git = "https://x" }\n'
            '[[package]]\nname = "b"\nversion = "2"\nsource = { registry = "https://r" }\n'
            '[package.optional-dependencies]\nx = [{ name = "q" }]\n'
        ),
        [("foo-bar", "1", 4, "https://x"), ("b", "2", 8, "")],
    ),
    "poetry": (
        "poetry.lock",
        (
            '[[package]]\nname = "a"\nversion = "1"\n[package.dependencies]\nz = "*"\n'
            '[package.source]\ntype = "git"\nurl = "https://g"\n'
        ),
        [("a", "1", 2, "https://g")],
    ),
    "pdm, CRLF": ("pdm.lock", '[[package]]\r\nname = "a"\r\nversion = "1"\r\n', [("a", "1", 2, "")]),
    "pylock": ("pylock", 'lock-version = "1.0"\n[[packages]]\nname = "a"\nversion = "1"\n', [("a", "1", 3, "")]),
    "inline": ("uv.lock", 'package = [{name="evil", version="1"}]\n', [("evil", "1", 0, "")]),
    "no spaces": ("uv.lock", '[[package]]\nname="evil"\nversion="1"\n', [("evil", "1", 0, "")]),
    "quoted": ("uv.lock", '[["package"]]\nname="evil"\nversion="1"\n', [("evil", "1", 0, "")]),
    "escaped": ("uv.lock", '[["p\\u0061ckage"]]\n"n\\u0061me"="evil"\nversion="1"\n', [("evil", "1", 0, "")]),
    "turned": (
        "uv.lock",
        '[[package]]\nname = "a"\nversion = "1"\n[[package]]\nversion = "2"\nname = "b"\n',
        [("a", "1", 2, ""), ("b", "2", 0, "")],
    ),
    "npm 3": (
        "package-lock",
        (
            '{"packages":{"":{"name":"root","dependencies":{"x":"1"}},"node_modules/a":{"version":"1"},\n'
            '"node_modules/a/node_modules/@s/b":{"version":"2","resolved":"git+ssh://x"},"node_modules/al":'
            '{"name":"lodash","version":"4","resolved":"https://r.example/lodash/-/lodash-4.tgz"},\n'
            '"node_modules/a":{"version":"9"}}}'
        ),
        [("a", "1", 1, ""), ("@s/b", "2", 2, "git+ssh://x"), ("lodash", "4", 2, ""), ("a", "9", 1, "")],
    ),
    "npm 1": (
        "package-lock",
        '{"dependencies":{"c":{"version":"1","dependencies":\n{"d":{"version":"npm:e@3"}}}}}',
        [("c", "1", 1, ""), ("e", "3", 2, "npm:e@3")],
    ),
    "yarn": (
        "yarn.lock",
        (
            '# yarn lockfile v1\n\n\n"@s/a@^1", "@s/a@^1.2":\n  version "1.3"\n'
            '  resolved "https://r.example/@s/a/-/a-1.3.tgz#x"\n\nfoo@npm:lodash@^4:\n  version "4.1"\n\n'
            'b@github:x/y:\n  version "1"\n  dependencies:\n    zz "^1"\n'
        ),
        [("@s/a", "1.3", 4, ""), ("lodash", "4.1", 8, "npm:lodash@^4"), ("b", "1", 11, "github:x/y")],
    ),
    "berry": (
        "yarn.lock",
        (
            '__metadata:\n  version: 6\n\n"a@npm:^1, a@npm:^2":\n  version: 1.2\n'
            '  resolution: "a@npm:1.2"\n\n"al@npm:lodash@^4":\n  version: 4.1\n  resolution: "lodash@npm:4.1"\n'
        ),
        [("a", "1.2", 4, ""), ("lodash", "4.1", 8, "npm:lodash@^4")],
    ),
    "pnpm 9": (
        "pnpm-lock",
        (
            "lockfileVersion: '9.0'\n\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1\n\n"
            "packages:\n\n  '@babel/core@7.0.0':\n    resolution: {integrity: x}\n\n  c@https://h/x.tgz:\n"
            "    version: 3.0.0\n\nsnapshots:\n\n  a@1.0.0(b@2.0.0): {}\n"
        ),
        [("@babel/core", "7.0.0", 11, ""), ("c", "3.0.0", 14, "https://h/x.tgz"), ("a", "1.0.0", 19, "")],
    ),
    "pnpm 5": (
        "pnpm-lock",
        (
            "lockfileVersion: 5.4\npackages:\n\n  /@babel/core/7.0.0_react@18.0.0:\n    dev: true\n"
            "  /a/1.0.0:\n    dev: true\n  github.com/x/y/abc:\n    name: y\n    version: 1.0.0\n"
        ),
        [("@babel/core", "7.0.0", 4, ""), ("a", "1.0.0", 6, ""), ("y", "1.0.0", 8, "github.com/x/y/abc")],
    ),
    "pnpm, flow": (
        "pnpm-lock",
        "lockfileVersion: 5.4\npackages: {lodash@1.0.0: {}, /m/2.0.0: {name: q}}\n",
        [("lodash", "1.0.0", 2, ""), ("q", "2.0.0", 2, "")],
    ),
    "pnpm, indented": (
        "pnpm-lock",
        "lockfileVersion: 5\npackages:\n    lodash@1.0.0: {}\n",
        [("lodash", "1.0.0", 3, "")],
    ),
    "pnpm, escaped": ("pnpm-lock", 'lockfileVersion: 5\n"p\\u0061ckages":\n  a@1.0.0: {}\n', [("a", "1.0.0", 3, "")]),
    "bun": (
        "bun.lock",
        (
            '{"lockfileVersion":1,"packages":{\n"a":["a@1.0.0","",{},"sha"],\n"al":["lodash@4","",{}],\n'
            '"b/@s/c":["@s/c@2.0.0",""],"g":["g@github:x/y#1",{}],\n},}'
        ),
        [("a", "1.0.0", 2, ""), ("lodash", "4", 3, ""), ("@s/c", "2.0.0", 4, ""), ("g", "", 4, "github:x/y#1")],
    ),
    "Pipfile": (
        "Pipfile.lock",
        (
            '{"_meta":{"hash":{}},"default":{"Foo_Bar":{"version":"==1.0"},\n'
            '"g":{"git":"https://g"}},"develop":{"x":{"version":"==2"}}}'
        ),
        [("foo-bar", "1.0", 1, ""), ("g", "", 2, "https://g"), ("x", "2", 2, "")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_lock(inspect, case):
    kind, text, expected = CASES[case]
    found = inspect(kind, text)
    assert (found.pending, found.refusal) == ("", "")
    assert [(each.name, each.versions, each.line, each.origin) for each in found.requirements] == expected
    assert all(each.locked for each in found.requirements)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("package-lock", '{"packages":{"node_modules/a":{"version":"1"},\n "node_modules/lodash": { "version": "2'),
        ("uv.lock", '[[package]]\nname = "lodash"\nversion = "1"\n\n[[package]]\n'),
        ("uv.lock", '[[package]]\nname = "lodash"\nversion = "1"\n[[package]]\nname = "b'),
        ("pnpm-lock", "lockfileVersion: 5\npackages:\n  lodash@1.0.0:\n    resolution: {"),
        ("yarn.lock", "a@1:\n  version 1\n\nlodash@^1:\n"),
        ("bun.lock", '{"packages":{"a":["lodash@1.0.0","",{'),
    ],
)
def test_half_written_locks(inspect, kind, text):
    found = inspect(kind, text)
    assert found.pending
    assert "lodash" in {each.name for each in found.requirements}


NAMES = st.text(st.sampled_from("ab-_.9Z"), min_size=1, max_size=6)
QUOTES = st.sampled_from(['"%s"', "'%s'"])


@given(st.lists(st.tuples(NAMES, QUOTES, st.sampled_from([" = ", "=", "  ="]), st.booleans()), max_size=5))
@settings(max_examples=150)
def test_toml_locks_miss_nothing(packages):
    from supervisor.inspection.locks import toml_lock
    from supervisor.inspection.requirement_lines import canonical

    text = "version = 1\n"
    for name, quote, equals, turned in packages:
        lines = ["name" + equals + quote % name, 'version = "1"']
        text += "\n".join(["[[package]]", *(reversed(lines) if turned else lines), ""])
    expected = [canonical(each["name"]) for each in tomllib.loads(text).get("package", [])]
    assert [each.name for each in toml_lock(text).requirements] == expected


@given(
    st.dictionaries(st.sampled_from(["a", "@s/b", 'q"\\', "é"]), st.sampled_from(["1", "2.0"]), max_size=4),
    st.booleans(),
)
def test_json_locks_miss_nothing(packages, ascii_only):
    from supervisor.inspection.locks import package_lock

    data = {"packages": {f"node_modules/x/node_modules/{name}": {"version": each} for name, each in packages.items()}}
    found = package_lock(json.dumps(data, ensure_ascii=ascii_only)).requirements
    assert [(each.name, each.versions) for each in found] == list(packages.items())
