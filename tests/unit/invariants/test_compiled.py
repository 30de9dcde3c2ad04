"""Dependency rules about Cargo, Go, Maven and RubyGems: imports, manifests, arrivals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.arrival import arrivals, may_arrive
from supervisor.invariants.compiled_names import denied_imports, packages_of
from supervisor.invariants.dependency import judge_arrival, judge_content, needles, offending
from supervisor.invariants.packages import patterns
from supervisor.vocabulary.content import Findings, Import, Requirement
from supervisor.vocabulary.verdicts import Effect
from tests.unit.invariants.test_dependency import content, deny, locks, names, rules

LOG4J = "maven:org.apache.logging.log4j:log4j-core"
IMPORTS = [
    ("go:github.com/x/y", "go", "github.com/x/y", "github.com/x/y"),
    ("go:github.com/x/y", "go", "github.com/X/y/v2/sub", "github.com/x/y"),
    ("go:github.com/x/y", "go", "github.com/x/yy", ""),
    ("go:github.com/x/*", "go", "github.com/x/yy/z", "github.com/x/yy"),
    ("go:gopkg.in/yaml", "go", "gopkg.in/yaml.v3", "gopkg.in/yaml.v3"),
    ("go:github.com/x/y <2", "go", "github.com/x/y", ""),
    ("cargo:serde-json", "cargo", "serde_json", "serde-json"),
    ("cargo:serde_json", "cargo", "serde_json::value", "serde-json"),
    ("cargo:md-5", "cargo", "md5", "md-5"),
    ("cargo:serde", "cargo", "serde_json", ""),
    (LOG4J, "maven", "org.apache.logging.log4j.core.Logger", "org.apache.logging.log4j:log4j-core"),
    (LOG4J, "maven", "org.apache.logging.log4j.Logger", ""),
    ("maven:org.slf4j:*", "maven", "org.slf4j.Logger", "org.slf4j:slf4j-api"),
    ("*:log4j-core", "maven", "org.apache.logging.log4j.core.Logger", "org.apache.logging.log4j:log4j-core"),
    ("maven:org.jsoup:jsoup", "maven", "org.jsoup.Jsoup", "org.jsoup:jsoup"),
    ("maven:org.apache.tika:tika-parser", "maven", "org.apache.tika.parser.Parser", "org.apache.tika:tika-parser"),
    ("maven:com.evil:*", "maven", "com.evil.a.B", "com.evil:*"),
    ("maven:com.evil:*", "maven", "com.evils.a.B", ""),
    ("maven:org.apache:*", "maven", "org.apache.unknown.B", ""),
    ("maven:com.google.guava:guava", "maven", "com.google.common.collect.Lists", "com.google.guava:guava"),
    ("rubygems:activesupport", "rubygems", "active_support/core_ext", "activesupport"),
    ("rubygems:google-cloud-storage", "rubygems", "google/cloud/storage", "google-cloud-storage"),
    ("rubygems:nokogiri", "rubygems", "nokogiri", "nokogiri"),
    ("rubygems:nokogiri", "rubygems", "nokogiri.rb", "nokogiri"),
    ("rubygems:rest-client", "rubygems", "rest_client", "rest-client"),
    ("rubygems:nokogiri", "rubygems", "nokogirix", ""),
]  # fmt: skip


@pytest.mark.parametrize(("package", "ecosystem", "module", "name"), IMPORTS)
def test_imports(package: str, ecosystem: str, module: str, name: str) -> None:
    found = deny(package)
    event = content(Findings((Import(ecosystem, module, 3),)))
    told = [match.message for match in judge_content(found, event, b"a/b")]
    assert told == ([f"a/b imports {module} ({ecosystem}:{name}) at line 3"] if name else [])


@pytest.mark.parametrize(("package", "ecosystem", "module", "name"), [case for case in IMPORTS if case[3]])
def test_a_needle_stands_in_every_import_that_is_denied(package: str, ecosystem: str, module: str, name: str) -> None:
    from supervisor.inspection.prefilter import Prefilter

    assert Prefilter(needles(deny(package))).may_concern("go", module.encode())


def test_an_import_that_was_there_is_tolerated() -> None:
    one = Findings((Import("go", "github.com/x/y/a", 3),))
    other = Findings((Import("go", "github.com/x/y/b", 3),))
    assert not list(judge_content(deny("go:github.com/x/y"), content(other, one), b"a.go"))


PLACES = [
    ("go:github.com/x/y", b"/w/vendor/github.com/x/y", True),
    ("go:github.com/x/y", b"/vendor/github.com/x/y/z.go", True),
    ("go:github.com/x/y", b"/vendor/github.com/x", False),
    ("go:github.com/x/y", b"/vendor/github.com/x/yy/z.go", False),
    ("go:github.com/x/y", b"/h/go/pkg/mod/github.com/x/y@v1.2.3/a.go", True),
    ("go:github.com/x/y", b"/h/go/pkg/mod/github.com/x/y@v1.2.3", True),
    ("go:github.com/x/y", b"/h/go/pkg/mod/github.com/x/y/v2@v2.0.0", True),
    ("go:github.com/Sirupsen/logrus", b"/h/go/pkg/mod/github.com/!sirupsen/logrus@v1.0.0", True),
    ("go:github.com/x/y", b"/h/go/pkg/mod/cache/download/github.com/x/y/@v/v1.2.3.zip", True),
    ("go:github.com/x/y", b"/h/go/pkg/mod/cache/download/github.com/x/y/@v/v1.2.3.mod", False),
    ("go:github.com/x/y", b"/c/govrun/0123456789abcdef/go-mod/github.com/x/y@v1.2.3", True),
    ("go:github.com/x/y", b"/elsewhere/github.com/x/y@v1.2.3", True),
    ("go:github.com/x/y <1.2.3", b"/h/go/pkg/mod/github.com/x/y@v1.2.3", False),
    ("go:github.com/x/y <1.2.3", b"/h/go/pkg/mod/github.com/x/y@v1.2.2", True),
    ("cargo:openssl", b"/h/.cargo/registry/src/index-1/openssl-0.10.5/src/lib.rs", True),
    ("cargo:openssl", b"/h/.cargo/registry/cache/index-1/openssl-0.10.5.crate", True),
    ("cargo:openssl", b"/h/.cargo/registry/src/index-1/openssl-sys-0.9.1", False),
    ("cargo:openssl-sys", b"/h/.cargo/registry/src/index-1/openssl-sys-0.9.1", True),
    ("cargo:openssl <0.10", b"/h/.cargo/registry/src/index-1/openssl-0.10.5", False),
    ("cargo:openssl <0.11", b"/h/.cargo/registry/src/index-1/openssl-0.10.5", True),
    ("cargo:openssl", b"/vendor/openssl/Cargo.toml", True),
    ("cargo:openssl", b"/vendor/openssl-0.10.5/Cargo.toml", True),
    ("cargo:openssl", b"/third_party/openssl/.cargo-checksum.json", True),
    ("cargo:openssl", b"/crates/openssl/Cargo.toml", False),
    ("cargo:serde_json", b"/vendor/serde_json/Cargo.toml", True),
    ("rubygems:nokogiri", b"/var/lib/gems/3.1.0/gems/nokogiri-1.15.4-x86_64-linux/lib/n.rb", True),
    ("rubygems:nokogiri", b"/vendor/bundle/ruby/3.1.0/gems/nokogiri-1.15.4", True),
    ("rubygems:nokogiri", b"/vendor/cache/nokogiri-1.15.4.gem", True),
    ("rubygems:nokogiri", b"/g/specifications/nokogiri-1.15.4.gemspec", True),
    ("rubygems:nokogiri", b"/g/gems/nokogiri-happymapper-0.9.0", False),
    ("rubygems:nokogiri <1.15", b"/g/gems/nokogiri-1.15.4", False),
    ("rubygems:net-http2", b"/g/gems/net-http2-0.18.5", True),
    (LOG4J, b"/h/.m2/repository/org/apache/logging/log4j/log4j-core/2.14.1/log4j-core-2.14.1.jar", True),
    (LOG4J, b"/h/.m2/repository/org/apache/logging/log4j/log4j-core/2.14.1/log4j-core-2.14.1.pom", False),
    (LOG4J, b"/h/.m2/repository/org/apache/logging/log4j/log4j-api/2.14.1/log4j-api-2.14.1.jar", False),
    (LOG4J, b"/c/govrun/0123456789abcdef/maven/org/apache/logging/log4j/log4j-core/2/log4j-core-2.jar", True),
    (LOG4J, b"/x/repo/org/apache/logging/log4j/log4j-core/2.14.1/log4j-core-2.14.1.jar", True),
    (LOG4J, b"/h/.gradle/caches/modules-2/files-2.1/org.apache.logging.log4j/log4j-core/2.14.1/aa/l.jar", True),
    (LOG4J, b"/h/.m2/repository/org/apache/logging/log4j/log4j-core/2-SNAPSHOT/log4j-core-2-20200101.1-1.jar", True),
    ("*:log4j-core <2.17.1", b"/h/.m2/repository/org/apache/log/log4j-core/2.17.1/log4j-core-2.17.1.jar", False),
    ("*:log4j-core <2.17.1", b"/h/.m2/repository/org/apache/log/log4j-core/2.17.0/log4j-core-2.17.0.jar", True),
]  # fmt: skip


@pytest.mark.parametrize(("package", "path", "denied"), PLACES)
def test_arrivals(package: str, path: bytes, denied: bool) -> None:
    found = deny(package)
    assert bool(list(judge_arrival(found, path))) is denied
    assert found.may_arrive(path) or not denied


def test_what_a_lock_names_may_arrive() -> None:
    found = deny("go:github.com/x/y", "cargo:openssl", locked="go:github.com/x/y/v2 cargo:openssl")
    assert not list(judge_arrival(found, b"/vendor/github.com/x/y/v2/a.go"))
    assert not list(judge_arrival(found, b"/vendor/openssl/Cargo.toml"))
    assert list(judge_arrival(found._replace(locked=frozenset()), b"/vendor/openssl/Cargo.toml"))


def test_only_some_packages_are_allowed() -> None:
    found = rules({"allow_only": ["go:github.com/ok/*", "maven:org.ok:*", "cargo:serde"]})
    for path, denied in [
        (b"/h/go/pkg/mod/github.com/ok/a@v1.0.0", False),
        (b"/h/go/pkg/mod/github.com/other/a@v1.0.0", True),
        (b"/h/.m2/repository/org/ok/a/1/a-1.jar", False),
        (b"/h/.m2/repository/org/other/a/1/a-1.jar", True),
        (b"/else/where/a/1/a-1.jar", False),  # nobody knows where its group begins
        (b"/h/registry/src/i/serde-1.0.0", False),
        (b"/h/registry/src/i/serde_json-1.0.0", True),
        (b"/h/gems/gems/rails-7.0.0", False),
    ]:
        assert bool(list(judge_arrival(found, path))) is denied, path


def test_a_tool_may_bring_what_nobody_named_where_there_is_no_lock() -> None:
    path = b"/h/.cargo/registry/src/i/openssl-0.10.5"
    (match,) = judge_arrival(deny("cargo:openssl"), path, by_manager=True)
    assert match.effect is Effect.WARN
    (match,) = judge_arrival(deny("cargo:openssl", with_lock="cargo"), path, by_manager=True)
    assert match.effect is Effect.DENY


def test_a_requirement_names_a_module_of_any_major_version() -> None:
    event = content(names("go:github.com/x/y/v2 v2.0.1"))
    (match,) = judge_content(deny("go:github.com/x/y"), event, b"go.mod")
    assert match.message == "go.mod names github.com/x/y/v2 v2.0.1 at line 1 (dependencies): go:github.com/x/y"
    assert offending(deny("go:github.com/x/y"), event, b"go.mod") == event.now.requirements
    assert not offending(deny("go:github.com/x/y"), content(locks("go:github.com/x/y")), b"go.sum")


def test_where_it_comes_from() -> None:
    found = rules({"sources": ["https://good.example.com/"]})
    for ecosystem in ("cargo", "go", "rubygems"):
        good = Requirement(ecosystem, "x", origin="https://good.example.com/x")
        bad = Requirement(ecosystem, "x", origin="https://bad.example.com/x")
        local = Requirement(ecosystem, "x", origin="../x")
        for each, denied in ((good, False), (bad, True), (local, False)):
            assert bool(list(judge_content(found, content(Findings(requirements=(each,))), b"m"))) is denied


WORDS = st.sampled_from(
    ["vendor", "registry", "src", "cache", "gems", "pkg", "mod", "@v", "files-2.1", "github.com", "x"]
)
PARTS = st.lists(WORDS | st.text("a.-@v1!", max_size=12), max_size=9)


@given(PARTS)
def test_any_path(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    found = list(arrivals(path.encode()))
    assert all(each.name or each.module for each in found)
    assert may_arrive(path.encode()) or not found


@given(st.sampled_from(["go", "cargo", "rubygems", "hex"]), st.text(max_size=60))
def test_any_import(ecosystem: str, module: str) -> None:
    assert all(packages_of(ecosystem, module))
    denied = denied_imports(patterns([f"{ecosystem}:*"]), Import(ecosystem, module, 1))
    assert bool(denied) is bool(packages_of(ecosystem, module))


def test_what_cannot_be_read_is_no_matter_of_another_ecosystem() -> None:
    event = content(Findings(refusal="too large"))
    for path, ecosystem in ((b"a/x.rs", "cargo"), (b"go.mod", "go"), (b"A.java", "maven"), (b"Gemfile", "rubygems")):
        assert list(judge_content(deny(f"{ecosystem}:x"), event, path))
        assert list(judge_content(rules({"allow_only": [f"{ecosystem}:x*"]}), event, path))
        assert list(judge_content(rules({"sources": ["https://x/"]}), event, path))
        assert not list(judge_content(deny("pypi:x", "npm:y*"), event, path))
    assert list(judge_content(deny("cargo:x"), event, b"a.py"))
