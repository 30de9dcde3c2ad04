"""The prefilter lets no forbidden name pass unseen in the files of Cargo, Go, Maven, Gradle and Ruby."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection.prefilter import Prefilter
from supervisor.invariants.dependency import compile_dependencies, judge_content, needles
from supervisor.profile.model import Rule
from supervisor.vocabulary.content import NOTHING_FOUND
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Invariant
from tests.property.world import ACTOR, target

DENIED = (
    "cargo:openssl-sys", "go:github.com/x/y", "maven:org.acme:log4j-core", "maven:org.acme:log4j", "rubygems:noko-giri",
    "maven:commons-io:commons-io",
)  # fmt: skip
RULE = Rule("dependency", "r", fields={"deny": DENIED}, source="govrun.toml:1")
RULES = compile_dependencies([RULE], {"r": Invariant("r", "dependency", "revert")})
PREFILTER = Prefilter(needles(RULES))


def denied(inspect, kind, text):
    event = ContentEvent(ACTOR, target(b"x"), inspect(kind, text), NOTHING_FOUND)
    return [match.message for match in judge_content(RULES, event, b"a/x")]


HIDDEN = [
    ("go", 'package a\nimport "git\\x68ub.com/x/y"\n'),
    ("go", 'package a\nimport "\\u0067ithub.com/x/y"\n'),
    ("go", 'package a\nimport "\\147ithub.com/X/y"\n'),
    ("go.mod", 'require "git\\x68ub.com/x/y" v1.0.0\n'),
    ("go.sum", "github.com/X/y v1.0.0 h1:a=\n"),
    ("rust", "use openssl_sys::x;"),
    ("rust", "use r#openssl_sys::x;"),
    ("Cargo.toml", '[dependencies]\nx = { package = "open\\u0073sl-sys", version = "1" }\n'),
    ("Cargo.toml", "[dependencies]\nopenssl_sys = '1'\n"),
    ("Cargo.lock", '[[package]]\nname = "openssl-sys"\nversion = "1.0.0"\n'),
    ("java", "import org.acm\\u0065.log4j.core.X;"),
    ("java", "import org.acm\\uuu0065.log4j.core.X;"),
    ("java", "import org./* this */acme.log4j.X;"),
    ("java", "import org.apache.commons.io.X;"),
    ("kotlin", "import org.`acme`.log4j.X\n"),
    ("pom.xml", "<p><d><groupId>org.acme</groupId><artifactId>log4&#106;-core</artifactId></d></p>"),
    ("pom.xml", "<p><d><groupId>org.acme</groupId><artifactId>log4j<!-- of them -->-core</artifactId></d></p>"),
    ("pom.xml", "<p><d><groupId>org.acme</groupId><artifactId><![CDATA[log4j]]>-co<![CDATA[re]]></artifactId></d></p>"),
    ("pom.xml", "<p><d><groupId>org.acme</groupId><artifactId>log<?x y?>4j-core</artifactId></d></p>"),
    ("pom.xml", "<p><d><groupId>org.acme</groupId><x:artifactId a='>'>log4<x/>j-core</x:artifactId></d></p>"),
    ("pom.xml", ("<project><properties><a>log4j-</a></properties><d><groupId>org.acme</groupId>"
     "<artifactId>${a}core</artifactId></d></project>")),
    ("pom.xml", "<!DOCTYPE a><p/>"),
    ("pom.xml", "<?xml version='1.0' encoding='UTF-7'?><p>+ADw-</p>"),
    ("gradle", "implementation 'org.acme:log4' + 'j-core:1'\n"),
    ("gradle", "implementation 'org.acme:log4' + /* x */ 'j-core:1'\n"),
    ("gradle", "implementation 'org.acme:log4' /* x */ + 'j-core:1'\n"),
    ("gradle", "def a = 'log4j'\nimplementation \"org.acme:$a-core:1\"\n"),
    ("gradle", "def a = 'core'\nimplementation \"org.acme:log4j-${a}:1\"\n"),
    ("gradle", "implementation 'org.acme:l\\u006fg4j-core:1'\n"),
    ("gradle", 'implementation "org.acme:lo\\g4j-core:1"\n'),
    ("gradle", "implementation group: 'org.acme', name: 'log4j-core'\n"),
    ("versions.toml", '[libraries]\na = { group = "org.acme", name = "log4j\\u002dcore" }\n'),
    ("Gemfile", "gem 'no' 'ko-giri'\n"),
    ("Gemfile", "gem 'no' + 'ko-giri'\n"),
    ("Gemfile", "gem 'no' \\\n 'ko-giri'\n"),
    ("Gemfile", "gem 'no' + # x\n 'ko-giri'\n"),
    ("Gemfile", "gem 'no' + %q(ko-giri)\n"),
    ("Gemfile", "gem 'no' %q(ko-giri)\n"),
    ("Gemfile", "gem 'no' \\# x\n 'ko-giri'\n"),
    ("Gemfile", "gem 'no' + \\\n\\\n'ko-giri'\n"),
    ("Gemfile", 'gem "n\\x6fko-giri"\n'),
    ("Gemfile", 'gem "n\\157ko-giri"\n'),
    ("Gemfile", 'gem "n\\u{6f}ko-giri"\n'),
    ("Gemfile", 'gem "nok\\o-giri"\n'),
    ("ruby", "require 'noko/giri'\n"),
    ("ruby", "require 'no' + 'ko/giri'\n"),
    ("gemspec", "s.add_dependency(%q<noko-giri>)\n"),
    ("Gemfile.lock", "GEM\n  specs:\n    noko-giri (1.0)\n"),
    ("gradle.lockfile", "org.acme:log4j-core:1=a\n"),
    ("modules.txt", "# github.com/x/y/v2 v2.0.0\n"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), HIDDEN)
def test_hidden_names_are_read(inspect, kind, text):
    assert denied(inspect, kind, text)
    assert PREFILTER.may_concern(kind, text.encode())


PASSED_OVER = [
    ("go", 'package a\nimport "fmt"\nvar x = "\\x1b[0m\\n"\n'),
    ("go", 'package a\nimport "github.com/x/z"\n'),
    ("rust", 'use openssl::x; const A: &str = "\\u{41}";'),
    ("java", 'import org.other.Text; class A { String s = "\\n"; }'),
    ("pom.xml", "<?xml version='1.0' encoding='UTF-8'?><p><d><groupId>g</groupId><artifactId>a</artifactId></d></p>"),
    ("gradle", "implementation \"a:b:$v\"\nprintln 'a' + 'b'\n"),
    ("Gemfile", "gem 'rails', '~> 7'\n"),
    ("go.mod", "require github.com/a/b v1.0.0\n"),
    ("Cargo.toml", '[dependencies]\nserde = "1"\n'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), PASSED_OVER)
def test_ordinary_texts_are_passed_over(inspect, kind, text):
    assert not denied(inspect, kind, text)
    assert not PREFILTER.may_concern(kind, text.encode())


KINDS = sorted({kind for kind, _ in HIDDEN})
BY_KIND = {kind: [text for each, text in HIDDEN if each == kind] for kind in KINDS}
SIGNS = st.sampled_from(
    ["\\", "'", '"', "+", " ", "\n", "/*", "*/", "//", "#", "$", "{", "}", "<", ">", "&", "-", "x6f", "%q(", ")"]
)


@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_hides_a_name(inspect, kind):
    @given(st.sampled_from(BY_KIND[kind]), st.lists(st.tuples(st.integers(0, 200), SIGNS), max_size=4))
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def holds(text, damage):
        for at, sign in damage:
            text = text[: at % len(text)] + sign + text[at % len(text) :]
        # What cannot be read at all hides nothing: no tool reads it either.
        if any("cannot be inspected" not in each for each in denied(inspect, kind, text)):
            assert PREFILTER.may_concern(kind, text.encode())

    holds()
