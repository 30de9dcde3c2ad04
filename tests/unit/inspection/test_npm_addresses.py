"""npm packages by what they are taken from, and the sections and files that name them beside the usual ones."""

import json
import time

import pytest

from supervisor.commands import specs

LODASH = [
    "https://r.example/lodash/-/lodash-4.17.21.tgz",
    "github:lodash/lodash",
    "lodash/lodash",
    "lodash/lodash#4.17.21",
    "git+https://github.com/lodash/lodash.git",
    "git+ssh://git@github.com/lodash/lodash.git#v4",
    "git@github.com:lodash/lodash.git",
    "git://x/y/lodash",
    "https://github.com/lodash/lodash",
    "https://github.com/lodash/lodash/archive/refs/tags/4.17.21.tar.gz",
    "https://github.com/lodash/lodash/tarball/main",
    "https://codeload.github.com/lodash/lodash/tar.gz/4",
    "NPM:lodash@4",
    "npm:lodash",
    "npm:lodash@4",
    "file:lodash-4.17.21.tgz",
    "file:./vendor/lodash-4.17.21.tgz",
    "./lodash-4.17.21.tgz",
    "lodash-4.17.21.tgz",
    "link:../lodash",
    "portal:./lodash",
    "workspace:../lodash",
    "workspace:packages/lodash",
    "workspace:lodash@*",
    "file:../lodash",
    "patch:lodash@npm%3A4#~/.x.patch",
    "file:node_modules/lodash/",
    "https://r.example/%6codash/-/lodash-1.tgz",
    "gitlab:a/lodash",
    "~/lodash",
    "/abs/lodash",
    "http://x/lodash.tgz",
    "https://r.example/npm/-/lodash/-/lodash-4.tgz",
    "https://r/lodash@4.tgz",
]
OTHERS = [
    "^4",
    "*",
    "workspace:*",
    "workspace:^",
    "workspace:~1",
    "catalog:",
    "catalog:lodash",
    "file:x.tgz",
    "file:../lodash-es",
    "github:me/lodash-fork",
    "https://r.example/lodash/raw/x",
    "npm:lodash-es@4",
    "lodash-es-4.tgz",
    "latest",
    "file:./lodash/x",
    "exec:./lodash",
    "https://r.example/@types/lodash/-/lodash-4.tgz",
    "github:lodash/x",
]
DOCUMENTS = [
    {"imports": {"#x": "lodash"}},
    {"imports": {"#x": {"node": "lodash/fp", "default": "./x"}}},
    {"imports": {"#x": ["lodash"]}},
    {"pnpm": {"packageExtensions": {"a@1": {"dependencies": {"lodash": "4"}}}}},
    {"pnpm": {"overrides": {"a>b": "npm:lodash@4"}}},
    {"dependencies": {"lodash": "npm:^4"}},
    {"dependencies": {"lodash": "npm:4.17.21"}},
    {"dependencies": {"lodash": "github:x/fork"}},
    {"catalog": {"lodash": "4"}},
    {"workspaces": {"catalogs": {"x": {"lodash": "4"}}}},
    {"overrides": {"a": "https://r.example/lodash/-/lodash-4.tgz"}},
]
WORKSPACES = [
    "catalog:\n  lodash: 4\n",
    "catalog: {lodash: 4}\n",
    "catalog:\n  a: github:lodash/lodash\n",
    'catalogs:\n  x:\n    "lodash": ^4\n',
    "overrides:\n  a: npm:lodash@4\n",
    "overrides:\n  a>lodash@1: 4\n",
    "packageExtensions:\n  a:\n    dependencies:\n      lodash: 4\n",
]
ARGV = [
    "x@file:lodash-4.17.21.tgz",
    "x@npm:lodash",
    "x@NPM:lodash@4",
    "./lodash-4.17.21.tgz",
    "x@github:lodash/lodash",
    "x@lodash/lodash",
    "x@https://r.example/lodash/-/lodash-4.tgz",
    "@s/x@git+ssh://git@h/lodash.git",
    "lodash@file:x.tgz",
    "x@./lodash-4.tgz",
    "x@file:../lodash",
    "x@lodash-4.17.21.tgz",
]


@pytest.fixture
def brings(named):
    def ask(kind, text):
        return {name.lower() for name, *_ in named(kind, text)}

    return ask


@pytest.mark.parametrize("address", LODASH)
def test_addresses_that_tell_the_package(brings, address):
    assert "lodash" in brings("package.json", json.dumps({"dependencies": {"a": address}}))


@pytest.mark.parametrize("address", OTHERS)
def test_addresses_of_others(brings, address):
    assert "lodash" not in brings("package.json", json.dumps({"dependencies": {"a": address}}))


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_sections(brings, document):
    assert "lodash" in brings("package.json", json.dumps(document))


@pytest.mark.parametrize("text", WORKSPACES)
def test_workspaces(brings, text):
    assert "lodash" in brings("workspace", text)


def test_what_names_no_package(brings):
    assert not brings("package.json", '{"imports": {"#x": "./lodash", "#fs": "node:fs"}}')
    assert not brings("workspace", "packages:\n  - lodash\n")


def told(word):
    return {made.name for made in (specs.npm(word), specs.npm_address(word)) if made is not None}


@pytest.mark.parametrize("word", ARGV)
def test_install_words(word):
    assert "lodash" in told(word)


@pytest.mark.parametrize("word", ["x@1", "lodash-es", "x@npm:lodash-es", "@s/lodash", "x@file:a.tgz", "./l.tgz"])
def test_other_install_words(word):
    assert "lodash" not in told(word)


def test_an_address_is_no_package_outside_a_list():
    """What a repository is called tells what may not come, not what an allowed package is called."""
    from supervisor.invariants.dependency import judge_content
    from supervisor.vocabulary.content import Findings, Requirement
    from supervisor.vocabulary.events import ContentEvent
    from tests.property.world import ACTOR, target
    from tests.unit.invariants.test_dependency import rules

    found = Findings(
        requirements=(
            Requirement("npm", "a", "", 1, "dependencies", origin="github:me/fork"),
            Requirement("npm", "fork", "", 1, "dependencies address"),
        )
    )
    event = ContentEvent(ACTOR, target(b"/w/package.json"), found)
    assert not list(judge_content(rules({"allow_only": ("npm:a",)}), event, b"package.json"))
    assert list(judge_content(rules({"deny": ("npm:fork",)}), event, b"package.json"))


def test_locks_with_the_tarball_of_another_package(brings):
    url = "https://r.example/lodash/-/lodash-4.17.21.tgz"
    lock = {"packages": {"node_modules/a": {"version": "4.17.21", "resolved": url}}}
    assert brings("package-lock", json.dumps(lock)) == {"a", "lodash"}
    assert brings("yarn.lock", f'a@^1:\n  version "4.17.21"\n  resolved "{url}#abc"\n') == {"a", "lodash"}


@pytest.mark.parametrize("unit", ["{", '{"a":', '"a":"a/a/', '"a', "@a/", "/-/", "- ", "a:\n ", "{a: "])
@pytest.mark.parametrize("kind", ["package.json", "workspace", "yarn.lock", "pnpm-lock", "package-lock"])
def test_linear(inspect, kind, unit):
    start = time.process_time()
    inspect(kind, unit * (500_000 // len(unit)))
    assert time.process_time() - start < 4


def test_taking_out_many_entries_is_answered(inspect):
    """Beyond what a person writes, the whole file goes back."""
    from supervisor.inspection.remove import without

    for count, possible in ((300, True), (10_000, False)):
        listed = ",".join(f'"lodash":"{n}"' for n in range(count))
        others = ",".join(f'"a{n}":"1"' for n in range(20_000))
        text = f'{{"dependencies":{{{listed},{others}}}}}'.encode()
        drop = [each for each in inspect("package.json", text).requirements if each.name == "lodash"]
        start = time.process_time()
        rest = without("package.json", text, drop)
        assert time.process_time() - start < 4
        assert (rest == f'{{"dependencies":{{{others}}}}}'.encode()) is possible


def test_an_entry_goes_with_its_address(inspect):
    from supervisor.inspection.remove import without

    text = b'{\n "dependencies": {\n  "a": "github:lodash/lodash",\n  "b": "github:x/c"\n }\n}\n'
    found = inspect("package.json", text).requirements
    rest = b'{\n "dependencies": {\n  "b": "github:x/c"\n }\n}\n'
    assert without("package.json", text, [each for each in found if each.name == "lodash"]) == rest
    assert without("package.json", text, [each for each in found if each.name == "a"]) == rest


def test_an_override_that_takes_a_package_out(named):
    assert named("workspace", "overrides:\n  lodash: '-'\n  a: '1'\n")[0][0] == "a"
