"""What Go sources import, as folders of the tree."""

import os

import pytest

from supervisor.inspection import go_references
from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.resolving import Resolver


@pytest.fixture
def tree(tmp_path, parsers):
    """(files, importer, source) -> ([(to, name, external)], pending)."""

    def ask(files, path, source):
        for name, text in {path: source, **files}.items():
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text if isinstance(text, bytes) else text.encode())
        root = os.fsencode(os.path.realpath(tmp_path))
        content = source if isinstance(source, bytes) else source.encode()
        found, pending = go_references.references(content, root + b"/" + path.encode(), parsers, Resolver(root))
        ask.lines = [each.line for each in found]
        return [(each.to, each.name, each.external) for each in found], pending

    return ask


MOD = {"go.mod": "module example.com/shop // here\n\ngo 1.22\n\nrequire github.com/lib/pq v1.0.0\n"}


def test_packages_of_the_module_are_folders_whether_or_not_they_exist(tree):
    source = 'package web\n\nimport (\n\t"fmt"\n\tdb "example.com/shop/internal/db"\n\t. "example.com/shop/x"\n)\n'
    found, pending = tree(MOD | {"internal/db/db.go": "package db"}, "web/web.go", source)
    assert found == [
        ("", "fmt", False),
        ("internal/db", "example.com/shop/internal/db", False),
        ("x", "example.com/shop/x", False),
    ]
    assert tree.lines == [4, 5, 6]
    assert not pending


def test_third_parties_cgo_and_prefixes_that_only_look_alike(tree):
    source = 'package a\nimport "C"\nimport _ "github.com/lib/pq"\nimport "example.com/shopping/x"\nimport `net/http`\n'
    assert tree(MOD, "a/a.go", source)[0] == [
        ("", "github.com/lib/pq", True),
        ("", "example.com/shopping/x", True),
        ("", "net/http", False),
    ]


def test_the_root_package_has_a_file_for_a_name(tree):
    found, _ = tree(
        MOD | {"b.go": "package shop", "a_test.go": "package shop"},
        "web/w.go",
        'package web\nimport "example.com/shop"',
    )
    assert found == [("b.go", "example.com/shop", False)]


def test_vendored_packages_lie_in_the_tree_and_are_foreign(tree):
    files = MOD | {"vendor/github.com/lib/pq/pq.go": "package pq"}
    assert tree(files, "a/a.go", 'package a\nimport "github.com/lib/pq"')[0] == [
        ("vendor/github.com/lib/pq", "github.com/lib/pq", True)
    ]


def test_workspaces_and_replaced_modules(tree):
    files = {
        "go.work": "go 1.22\nuse (\n\t./api\n\t./lib // shared\n)\nreplace other.org/w => ./w\n",
        "api/go.mod": 'module "example.com/api"\nreplace (\n  example.com/old v1.0.0 => ../old\n'
        "  plain => gh.com/x v1\n  out.org/o => ../../o\n)\n",
        "lib/go.mod": "module example.com/lib\n",
    }
    names = ("example.com/lib/x", "example.com/old/y", "plain/z", "out.org/o/q", "other.org/w", "example.com/api/v")
    source = "package a\nimport (\n" + "\n".join(f'"{name}"' for name in names) + "\n)"
    assert tree(files, "api/in/a.go", source)[0] == [
        ("lib/x", "example.com/lib/x", False),
        ("old/y", "example.com/old/y", False),
        ("", "plain/z", True),
        ("", "out.org/o/q", True),
        ("w", "other.org/w", False),
        ("api/v", "example.com/api/v", False),
    ]


def test_the_nearest_module_counts(tree):
    files = {"go.mod": "module example.com/a", "tools/go.mod": "module (\n example.com/tools\n)"}
    assert tree(files, "tools/x/x.go", 'package x\nimport "example.com/tools/y"\nimport "example.com/a/z"')[0] == [
        ("tools/y", "example.com/tools/y", False),
        ("", "example.com/a/z", True),
    ]


def test_without_a_module_below_src(tree):
    files = {"src/corp/db/db.go": "package db"}
    assert tree(files, "src/corp/web/w.go", 'package web\nimport "corp/db"\nimport "strings"')[0] == [
        ("src/corp/db", "corp/db", False),
        ("", "strings", False),
    ]


@pytest.mark.parametrize(
    "source",
    [
        'package a\nimport "example.com/shop/d\\x62"',
        'package a\nimport "example.com/shop/\\u0064b"',
        'package a\nimport /* "x" */ _ /**/ "example.com/shop/db"',
        'package a\nimport ( // (\n/*)*/ "example.com/shop/db" )',
        'package a; import ("fmt"; x "example.com/shop/db")',
        "package a\nimport `example.com/shop/d\rb`",
        b'\xef\xbb\xbfpackage a\nimport "example.com/shop/db"',
        '//go:build never\n\npackage a\nimport "example.com/shop/db"',
    ],
)
def test_spellings(tree, source):
    assert "db" in {to for to, _, _ in tree(MOD, "a/a.go", source)[0]}


def test_what_is_no_import(tree):
    source = 'package a\n// import "example.com/shop/a1"\n/*\nimport "example.com/shop/a2"\n*/\n'
    source += 'var s = `\nimport "example.com/shop/a3"\n`\nvar t = "import \\"example.com/shop/a4\\""\n//go:embed x\n'
    assert tree(MOD, "a/a.go", source) == ([], "")


def test_an_own_package_is_no_reference(tree):
    assert tree(MOD, "a/a_test.go", 'package a_test\nimport "example.com/shop/a"')[0] == []


def test_half_written(tree):
    found, pending = tree(
        MOD, "a/a.go", 'package a\nimport (\n\tf "fm\n\t"example.com/shop/db"\nfunc f() { g("example.com/shop/no")'
    )
    assert [to for to, _, _ in found] == ["db"]
    assert pending


def test_a_module_file_that_grows_is_read_again(tmp_path, parsers):
    root = os.fsencode(os.path.realpath(tmp_path))
    (tmp_path / "go.mod").write_text("module a.b/one\n")
    resolver = Resolver(root)
    source = b'package x\nimport "a.b/two/y"'

    def told():
        resolver.begin()
        return go_references.references(source, root + b"/x/x.go", parsers, resolver)[0][0]

    assert told().external
    (tmp_path / "go.mod").write_text("module a.b/two\n")
    assert told().to == "y"


def test_hostile_sizes(tree):
    assert tree({"go.mod": "module (\n" * 50_000}, "a/a.go", "package a\nimport " + " " * 200_000 + "x")[1]
    with pytest.raises(Unreadable):
        tree(MOD, "a/a.go", "package a\n" + "import (\n" * 20_000)
    with pytest.raises(Unreadable, match="more than"):
        tree(MOD, "a/a.go", "package a\nimport (\n" + "\n".join(f'"a.b/{n}"' for n in range(20_001)) + "\n)")


def test_a_path_outside_of_the_tree_is_refused(parsers, tmp_path):
    with pytest.raises(Unreadable):
        go_references.references(b"package a", b"/elsewhere/a.go", parsers, Resolver(os.fsencode(tmp_path)))
