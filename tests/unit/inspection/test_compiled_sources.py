"""What Go, Rust, Java, Kotlin and Ruby sources import."""

from __future__ import annotations

import pytest

GO = [
    ('package a\nimport "github.com/x/y"\n', ["github.com/x/y"]),
    ('package a\nimport ("fmt"; y "github.com/x/y"\n . `go.uber.org/zap`\n_ "a.b/c")\n',
     ["github.com/x/y", "go.uber.org/zap", "a.b/c"]),
    ('// import "no.no/no"\n/* import "no.no/a" */ package a // x\nimport "C"\nimport "git\\x68ub.com/x/\\u0079"\n',
     ["github.com/x/y"]),
    ('package a\nimport "a.b/c"\nvar x = `\nimport "no.no/no"\n`\n', ["a.b/c"]),
    ('package a;import"a.b/c";import("d.e/f");func main(){}', ["a.b/c", "d.e/f"]),
    ('package a\nimport /* x */ (\n// "no.no/no"\n/*\n*/ "a.b/c" // y\n)\n', ["a.b/c"]),
    ('\ufeffpackage a\nimport "./local"\nimport "embed"\n', []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GO)
def test_go(modules, inspect, text, expected):
    assert modules("go", text) == expected
    assert not inspect("go", text).pending


@pytest.mark.parametrize("text", ["", "// x\n"])
def test_go_without_anything(inspect, text):
    assert not inspect("go", text).imports


@pytest.mark.parametrize(
    "text", ['package a\nimport (\n"a.b/c"\n', "package a\nimport", "pack", 'package a\nimport "a.b']
)
def test_go_half_written(inspect, text):
    assert inspect("go", text).pending or not text.endswith("\n")
    assert not any("b" == each.module for each in inspect("go", text).imports)


def test_go_lines(inspect):
    found = inspect("go", 'package a\n\nimport (\n\t"a.b/c"\n\n\td `e.f/g`\n)\n')
    assert [(each.module, each.line, each.ecosystem) for each in found.imports] == [
        ("a.b/c", 4, "go"),
        ("e.f/g", 6, "go"),
    ]


RUST = [
    ("use serde::Deserialize;", ["serde"]),
    ("use ::serde::de::{self, Visitor};", ["serde"]),
    ("pub(crate) use {a::b, c::d as e, r#f};", ["a", "c", "f"]),
    ("use std::io; use crate::x; use self::y; use super::z;", []),
    ("extern crate openssl as tls;", ["openssl"]),
    ("fn f() { serde_json::to_string(&1); let x: openssl::ssl::Ssl; }", ["serde_json", "openssl"]),
    ("mod log; fn f() { log::info(); }", []),
    ("use a::log; fn f() { log::info(); }", ["a"]),
    ("use a::{b as log}; fn f() { log::info(); }", ["a"]),
    ("use super::*; fn f() { log::info(); }", []),
    ("use super::*; use log::info;", ["log"]),
    ('fn f() { println!("{}", openssl::version()); serde_json::json!({}); }', ["openssl", "serde_json"]),
    ("#[derive(serde::Serialize)]\nstruct A;\n#[tokio::main]\nfn main() {}", ["serde", "tokio"]),
    ("fn f() -> Vec<u8> { Vec::new() } impl<T: Foo> T { fn g() { T::h(); Self::i(); } }", []),
    ('// use no::x;\n/* use no::y; */ const A: &str = "use no::z;";', []),
    ("fn f() { ::openssl::init(); }", ["openssl"]),
    ("use tokio::{net::TcpStream, fs::{File, self}};", ["tokio"]),
    ("use log;", ["log"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RUST)
def test_rust(modules, inspect, text, expected):
    assert sorted(set(modules("rust", text))) == sorted(expected)
    assert not inspect("rust", text).pending


def test_rust_that_does_not_parse(inspect):
    found = inspect("rust", "fn f( {\nuse openssl::x;\n\npub use serde::y\n")
    assert found.pending
    assert {"openssl"} <= {each.module for each in found.imports}


JAVA = [
    ("import org.acme.Text;", ["org.acme.Text"]),
    ("import static org.acme.Text.of;", ["org.acme.Text.of", "org.acme.Text"]),
    ("import org.acme.*;", ["org.acme"]),
    ("package a; import\n org . acme /* x */ . Text ;", ["org.acme.Text"]),
    ("import org.ac\\u006de.Text;", ["org.acme.Text"]),
    ("\\u0069mport org.acme.Text;", ["org.acme.Text"]),
    ('// import no.no.No;\n/* import no.no.No; */ class A { String s = "import no.no.No;"; }', []),
    ("class A { Object o = new org.acme.util.Text(); }", ["org.acme.util.Text"]),
    ("class A { String s = \"\"\"\n no.no.no.No \"\"\"; char c = '\"'; org.acme.a.B b; }", ["org.acme.a.B"]),
    ("import java.util.List; class A { int x = this.foo.bar.Baz; }", []),
    ('class A { String s = "\\\\u0022"; }', []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), JAVA)
def test_java(modules, text, expected):
    assert list(dict.fromkeys(modules("java", text))) == expected


def test_kotlin(modules):
    text = (
        "import org.acme.Text as T\nimport `org`.`acme`.b.*\nval x = kotlin.io.Foo\nval y = okhttp3.internal.Util()\n"
    )
    assert modules("kotlin", text) == ["org.acme.Text", "org.acme.b", "okhttp3.internal.Util"]


RUBY = [
    ('require "nokogiri"\n', ["nokogiri"]),
    ("require('a/b'); require 'c'.freeze\n", ["a/b", "c"]),
    ('require "no" "kogiri"\nrequire "a" + \\\n  "b"\n', ["nokogiri", "ab"]),
    ('require "n\\x6fkogiri"\n', ["nokogiri"]),
    ('require_relative "no"\nrequire "./no"\nload "no"\n', []),
    ("autoload :Foo, 'foo'\ngem 'rails', '~> 7'\n", ["foo", "rails"]),
    ("# require 'no'\n=begin\nrequire 'no'\n=end\nx = \"require 'no'\"\n__END__\nrequire 'no'\n", []),
    ("begin; require 'a'; rescue LoadError; require %q(b); end\n", ["a", "b"]),
    ('require name\nrequire "#{x}/y"\n', []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RUBY)
def test_ruby(modules, text, expected):
    assert modules("ruby", text) == expected


def test_scripts(modules):
    assert modules("script", "#!/usr/bin/env ruby\nrequire 'nokogiri'\n") == ["nokogiri"]


@pytest.mark.parametrize("kind", ["go", "rust", "ruby", "java", "kotlin"])
def test_utf_16(inspect, kind):
    text = {"go": 'package a\nimport "a.b/c"\n', "rust": "use abc::d;\n", "ruby": 'require "abc"\n'}
    written = text.get(kind, "import a.b.C;\n").encode("utf-16")
    found = inspect(kind, written)
    assert found.imports or found.refusal
