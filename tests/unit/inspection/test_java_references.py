"""What Java sources import and name, as files of the tree."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection import java_references
from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.reference_parts import JAVA, blanked
from supervisor.inspection.resolving import Resolver


@pytest.fixture
def tree(tmp_path, parsers):
    def ask(files, path, source):
        for name, text in {path: source, **files}.items():
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        root = os.fsencode(os.path.realpath(tmp_path))
        found, ask.pending = java_references.references(
            source.encode(), root + b"/" + path.encode(), parsers, Resolver(root)
        )
        ask.found = found
        return {each.to or "!" * each.external + each.name for each in found}

    return ask


MAIN = "src/main/java/com/acme/"
FILES = {
    MAIN + "db/Client.java": "package com.acme.db; public class Client { public static class Row {} }",
    MAIN + "util/Text.java": "package com.acme.util;",
    "src/test/java/com/acme/web/Helper.java": "package com.acme.web;",
}
HEAD = "package com.acme.web;\n"
CLIENT, TEXT = MAIN + "db/Client.java", MAIN + "util/Text.java"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import com.acme.db.Client;", {CLIENT}),
        ("import com.acme.db.Client.Row;", {CLIENT}),
        ("import static com.acme.db.Client.open;", {CLIENT}),
        ("import static com.acme.db.Client.*;", {CLIENT}),
        ("import com.acme.db.*;", {MAIN + "db"}),
        ("import com.acme.db.Hidden;", {MAIN + "db"}),
        ("import com.acme.web.Helper;", {"src/test/java/com/acme/web/Helper.java"}),
        ("import com . acme /* x */ .\n db . Client ;", {CLIENT}),
        ("import com.\\u0061cme.db.Client;", {CLIENT}),
        ("\\u0069mport com.acme.db.\\uuuu0043lient;", {CLIENT}),
        ("// here\\u000aimport com.acme.db.Client;", {CLIENT}),
        ("// here\rimport com.acme.db.Client;", {CLIENT}),
        ("// import com.acme.db.Client;", set()),
        ('class A { String s = "import com.acme.db.Client;"; }', set()),
        ('class A { String s = """\nimport com.acme.db.Client; \\""" "" com.acme.db.Client.x """; }', set()),
        ("class A { com.acme.db.Client c = com.acme.util.Text.of(1); }", {CLIENT, TEXT}),
        ("@com.acme.util.Text class A extends com.acme.db.Client<com.acme.db.Client.Row> {}", {CLIENT, TEXT}),
        ("class A { int a = this.com.acme; int b = com.x; void f() { com.go(); } }", set()),
        ("import java.util.List; import javax.sql.X; import org.w3c.dom.Y;", {"java.util", "javax.sql", "org.w3c.dom"}),
        ("import org.junit.api.Test; import static org.assertj.Asserts.*;", {"!org.junit.api", "!org.assertj"}),
        ("class A { void f() { org.slf4j.LoggerFactory.get(); io.MAX.x(); java.util.List.of(); } }", {"!org.slf4j"}),
        ("import com.other.Thing;", {"!com.other"}),
        ("import module java.base; import module org.foo;", {"java.base", "!org.foo"}),
        ("import com.acme.later.Thing;", {MAIN + "later/Thing.java", "src/test/java/com/acme/later/Thing.java"}),
    ],
)  # fmt: skip
def test_forms(tree, source, expected):
    assert tree(FILES, MAIN + "web/Page.java", HEAD + source) == expected


def test_lines_and_names(tree):
    tree(FILES, MAIN + "web/Page.java", HEAD + "\nimport com.acme.db.Client;\nimport java.util.*;\nimport org.x.Y;\n")
    assert [(each.to, each.name, each.line, each.external) for each in tree.found] == [
        (CLIENT, "com.acme.db.Client", 3, False),
        ("", "java.util", 4, False),
        ("", "org.x", 5, True),
    ]
    assert not tree.pending


def test_a_shared_prefix_is_nobodys_own(tree):
    source = "package com.google.mine.web;\nimport com.google.common.collect.Lists;\nimport com.google.mine.later.X;"
    assert tree({}, "src/com/google/mine/web/A.java", source) == {
        "!com.google.common.collect", "src/com/google/mine/later/X.java",
    }  # fmt: skip


@pytest.mark.parametrize(
    "build",
    [
        {"pom.xml": "<!-- <module>no</module> --><modules><module>core</module> <module>up</module></modules>",
         "up/pom.xml": "<modules><module>web</module></modules>"},
        {"settings.gradle": "rootProject.name = 'x'\ninclude 'core', // first\n  ':up:web'\n"},
        {"settings.gradle.kts": 'include(":core")\ninclude("web")\nproject(":web").projectDir = file("up/web")'},
        {},
    ],
)  # fmt: skip
def test_modules_of_a_build(tree, build):
    files = build | {"core/src/main/java/com/acme/core/Core.java": "package com.acme.core;"}
    source = "package com.acme.web;\nimport com.acme.core.Core;\nimport com.acme.core.Other;"
    assert tree(files, "up/web/src/main/java/com/acme/web/Page.java", source) == {
        "core/src/main/java/com/acme/core/Core.java", "core/src/main/java/com/acme/core",
    }  # fmt: skip


def test_a_build_that_changes_is_read_again(tmp_path, parsers):
    root = os.fsencode(os.path.realpath(tmp_path))
    for name in (
        "a/b/c/core/src/main/java/com/acme/core/Core.java",
        "web/src/main/java/com/acme/web/P.java",
        "pom.xml",
        "a/pom.xml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("<module>a</module><module>web</module>" if name == "pom.xml" else "")
    resolver = Resolver(root)
    source = b"package com.acme.web;\nimport com.acme.core.Core;"

    def told():
        resolver.begin()
        found, _ = java_references.references(
            source, root + b"/web/src/main/java/com/acme/web/P.java", parsers, resolver
        )
        return found[0].to

    assert told() == "web/src/main/java/com/acme/core/Core.java"
    (tmp_path / "a/pom.xml").write_text("<module>b/c/core</module>")
    assert told() == "a/b/c/core/src/main/java/com/acme/core/Core.java"


def test_a_package_that_is_not_where_it_says(tree):
    source = "package com.elsewhere;\nimport com.acme.db.Client;"
    assert tree(FILES, MAIN + "odd/Page.java", source) == {CLIENT}


def test_other_roots_by_convention(tree):
    files = {"java/com/acme/db/Client.java": ""}
    assert tree(files, "java/com/acme/web/A.java", HEAD + "import com.acme.db.Client;") == {
        "java/com/acme/db/Client.java"
    }
    assert tree({"lib/Kt.kt": ""}, "lib/B.java", "import static Kt.x;") == {"lib/Kt.kt"}


def test_modules_whose_packages_lie_in_their_folders(tree):
    """As on ``--module-source-path``, and in the sources of a JDK: no build, no folder ``src``."""
    files = {
        "x.base/com/acme/util/Text.java": "package com.acme.util;",
        "x.controls/com/acme/control/Button.java": "package com.acme.control;",
        "docs/readme": "",
    }
    button = "x.controls/com/acme/control/Button.java"
    source = "package com.acme.base;\nimport com.acme.control.Button;\n"
    assert tree(files, "x.base/com/acme/base/A.java", source) == {button}
    source = "package com.acme.base;\nimport com.acme.control.*;\nclass A { com.acme.util.Text t; }\n"
    assert tree(files, "x.base/com/acme/base/A.java", source) == {
        "x.controls/com/acme/control",
        "x.base/com/acme/util/Text.java",
    }


def test_names_of_the_platform_that_are_in_the_tree(tree):
    """Who writes a part of the platform has packages by its names; all others mean the platform's own."""
    files = {"a/com/sun/prism/Graphics.java": "", "b/com/sun/geom/Area.java": "", "b/java/util/List.java": ""}
    source = "package com.sun.prism;\nimport com.sun.geom.Area;\nimport com.sun.net.Server;\nimport java.util.List;\n"
    assert tree(files, "a/com/sun/prism/A.java", source) == {"b/com/sun/geom/Area.java", "com.sun.net", "java.util"}
    source = "package java.text;\nimport java.util.List;\nimport java.util.Map;\n"
    assert tree(files, "b/java/text/A.java", source) == {"b/java/util/List.java", "b/java/util"}


def test_half_written(tree):
    source = HEAD + "import com.acme.db.Client;\nimport com.acme.util.Te\nclass A { void f( { com.acme.util.Text.x("
    assert tree(FILES, MAIN + "web/Page.java", source) == {CLIENT, TEXT, MAIN + "util"}
    assert tree.pending


@pytest.mark.parametrize(
    "source",
    [
        "import " + "a." * 100_000 + "B;",
        "import a." * 50_000,
        "com.acme." * 50_000,
        "import com.acme" + " " * 200_000 + "x",
        "\\u" * 100_000,
        '"""' + '"\\' * 100_000,
        "/*" * 100_000,
        "package " * 50_000,
    ],
)
def test_hostile_sizes_come_to_an_end(tree, source):
    builds = {"settings.gradle": "include " + "'a'" * 20_000 + "\ninclude(" * 20_000}
    try:
        tree(FILES | builds, MAIN + "web/Page.java", HEAD + source)
    except Unreadable as error:
        assert "nested" in str(error) or "more than" in str(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="import stc.A;*\\u0061\"'/\n\r{}éx", max_size=200))
def test_any_text_is_read(parsers, tmp_path, text):
    root = os.fsencode(os.path.realpath(tmp_path))
    java_references.references(text.encode(), root + b"/src/A.java", parsers, Resolver(root))
    assert len(blanked(text.encode(), JAVA)) == len(text.encode())
