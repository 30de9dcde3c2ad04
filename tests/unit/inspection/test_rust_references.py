"""What Rust sources use, as files of the tree."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection import rust_references
from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.reference_parts import RUST, blanked
from supervisor.inspection.resolving import Resolver


@pytest.fixture
def tree(tmp_path, parsers):
    """(files, importer, source) -> {(to, external)}."""

    def ask(files, path, source):
        for name, text in {path: source, **files}.items():
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        root = os.fsencode(os.path.realpath(tmp_path))
        found, ask.pending = rust_references.references(
            source.encode(), root + b"/" + path.encode(), parsers, Resolver(root)
        )
        ask.found = found
        return {each.to or "!" * each.external + each.name for each in found}

    return ask


CRATE = {
    "Cargo.toml": '[package]\nname = "my-shop"\nedition = "2021"\n[dependencies]\nserde = "1"\nserde_json = "1"\n'
    '[target."cfg(unix)".dev-dependencies]\nlibc = "0.2"\n',
    "src/lib.rs": "pub mod db; mod web; mod util;",
    "src/db/mod.rs": "pub mod pool; pub struct Db;",
    "src/db/pool.rs": "",
    "src/util.rs": "",
    "src/web.rs": "",
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("use crate::db::Db;", {"src/db/mod.rs"}),
        ("use crate::db::pool::Pool as P;", {"src/db/pool.rs"}),
        ("use crate::{db::{self, pool::*}, util::x};", {"src/db/mod.rs", "src/db/pool.rs", "src/util.rs"}),
        ("use super::db::pool;", {"src/db/pool.rs"}),
        ("use super::super::db;", set()),  # above the crate
        ("pub(crate) use self::inner::X; mod inner { pub use super::super::util::y; }", {"src/util.rs"}),
        ("pub(in crate::db) fn f() {}", set()),
        ("fn f() { for x in crate::db::all() {} }", {"src/db/mod.rs"}),
        ("fn f(a: &crate::db::pool::Pool<u8>) -> super::util::Y { }", {"src/db/pool.rs", "src/util.rs"}),
        ("fn f() { <crate::db::Db as crate::util::T>::go() }", {"src/db/mod.rs", "src/util.rs"}),
        ('fn f() { println!("{}", vec![crate::db::pool::N]) }', {"src/db/pool.rs"}),
        ("macro_rules! m { () => { $crate::db::pool::x() } }", {"src/db/pool.rs"}),
        ("use crate::db as d; fn f() { d::pool::open() }", {"src/db/mod.rs", "src/db/pool.rs"}),
        ("use crate::db; use db::pool::Pool;", {"src/db/mod.rs", "src/db/pool.rs"}),
        ("use r#crate::x;", {"src/lib.rs"}),
        ("use crate /* x */ ::\n// ::util\n db /* ; */ :: pool;", {"src/db/pool.rs"}),
        ('// use crate::db;\n/* /* */ use crate::db; */ const S: &str = "use crate::db;";', set()),
        ('const S: &str = r#""; use crate::db; "#; const C: char = \'"\'; use crate::util;', {"src/util.rs"}),
        ("fn f<'a>(x: &'a str) { let q = '\\''; crate::util::y() }", {"src/util.rs"}),
        ("use std::io; use core::fmt; extern crate alloc;", {"std", "core", "alloc"}),
        ("use serde::{Deserialize, de::X};", {"!serde"}),
        ("extern crate libc as l; fn f() { l::kill() }", {"!libc"}),
        ("fn f() { serde_json::to_string(&1) }", {"!serde_json"}),
        ("#[derive(serde::Serialize)] struct A;", {"!serde"}),
        ("use reqwest::Client;", {"!reqwest"}),
        ("use ::reqwest::Client;", {"!reqwest"}),
        ("enum Kind { A } use Kind::*; use Other::B;", set()),
        ("fn f() { Vec::<u8>::new(); Self::x(); a::b() }", set()),
        ("use crate::db::pool::{A, B, C};\nfn f() { crate::db::pool::x() }", {"src/db/pool.rs"}),
        ("#[cfg(test)] mod tests { use super::*; use crate::util; }", {"src/util.rs"}),
        ("impl<'a> X<'a> { fn f() -> impl T + use<'a> { crate::util::z() } }", {"src/util.rs"}),
        ("use crate::Top;", {"src/lib.rs"}),
    ],
)
def test_forms(tree, source, expected):
    assert tree(CRATE, "src/web.rs", source) == expected


def test_lines_and_names(tree):
    tree(CRATE, "src/web.rs", "\nuse crate::{\n  db,\n  util::x,\n};\n")
    assert [(each.to, each.name, each.line) for each in tree.found] == [
        ("src/db/mod.rs", "crate::db", 3),
        ("src/util.rs", "crate::util::x", 4),
    ]
    assert not tree.pending


def test_declared_modules(tree):
    source = '#[path = "odd/place.rs"] mod a; mod db; mod gone; mod in_here { mod deep; #[path = "p.rs"] mod q; }\n'
    source += '#[cfg_attr(unix, path = "u.rs")] mod os;'
    assert tree(CRATE | {"src/in_here/deep.rs": "", "src/os.rs": ""}, "src/lib.rs", source) == {
        "src/odd/place.rs", "src/db/mod.rs", "src/gone.rs", "src/gone/mod.rs", "src/in_here/deep.rs",
        "src/in_here/p.rs", "src/u.rs",
        "src/os.rs",
    }  # fmt: skip
    assert tree(CRATE | {"src/util/in.rs": ""}, "src/util.rs", "mod r#in;") == {"src/util/in.rs"}
    assert tree(CRATE, "src/db/mod.rs", "mod pool;") == {"src/db/pool.rs"}
    assert tree(CRATE, "src/util.rs", 'include!("gen.rs"); let path = "x"; mod z;') == {
        "src/gen.rs", "src/util/z.rs", "src/util/z/mod.rs",
    }  # fmt: skip


def test_a_module_placed_elsewhere_is_found_by_its_name(tree):
    files = CRATE | {"src/lib.rs": '#[path = "db/pool.rs"]\npub mod harmless;\nmod web;'}
    assert tree(files, "src/web.rs", "use crate::harmless::open;") == {"src/db/pool.rs"}


def test_what_is_not_there_yet_has_the_paths_that_it_may_get(tree):
    assert tree(CRATE, "src/web.rs", "use crate::later::X;") == {"src/lib.rs", "src/later.rs", "src/later/mod.rs"}
    files = CRATE | {"src/lib.rs": "mod web; mod later { pub struct X; }"}
    assert tree(files, "src/web.rs", "use crate::later::X;") == {"src/lib.rs"}


WORKSPACE = {
    "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n[workspace.package]\nedition = "2021"\n'
    '[workspace.dependencies]\nbase-core = { path = "crates/base" }\ntokio = "1"\n'
    '[patch.crates-io]\nleft = { path = "third/left" }\n',
    "crates/base/Cargo.toml": '[package]\nname = "base-core"\nedition.workspace = true\n',
    "crates/base/src/lib.rs": "pub mod a;",
    "crates/base/src/a.rs": "",
    "crates/odd/Cargo.toml": '[package]\nname = "odd"\n[lib]\nname = "named_so"\npath = "code/root.rs"\n',
    "crates/odd/code/root.rs": "pub mod m;",
    "crates/odd/code/m.rs": "",
    "third/left/Cargo.toml": '[package]\nname = "left"\n',
    "third/left/src/lib.rs": "",
    "crates/app/Cargo.toml": '[package]\nname = "app"\nedition.workspace = true\n[dependencies]\n'
    "base-core.workspace = true\n"
    'tokio.workspace = true\nleft = "1"\nrenamed = { package = "odd", path = "../odd" }\n'
    '[[bin]]\nname="x"\npath="exe/go.rs"\n',
    "crates/app/src/lib.rs": "",
}


def test_crates_of_a_workspace(tree):
    source = "use base_core::a::X; use renamed::m::Y; use left::Z; use tokio::fs; fn f() { named_so::m::w() }"
    assert tree(WORKSPACE, "crates/app/src/lib.rs", source) == {
        "crates/base/src/a.rs", "crates/odd/code/m.rs", "third/left/src/lib.rs", "!tokio",
    }  # fmt: skip
    # Not among the dependencies (yet), but in the workspace.
    assert tree(WORKSPACE, "crates/base/src/a.rs", "use named_so::m::Y;") == {"crates/odd/code/m.rs"}
    assert tree(WORKSPACE, "crates/odd/code/m.rs", "use crate::Top;") == {"crates/odd/code/root.rs"}


def test_targets_beside_the_library(tree):
    files = CRATE | {
        "tests/common/mod.rs": "",
        "src/bin/tool/main.rs": "mod part;",
        "src/bin/tool/part.rs": "",
        "exe/help.rs": "",
    }
    assert tree(files, "tests/all.rs", "mod common; use my_shop::db::pool; use crate::common::x;") == {
        "tests/common/mod.rs", "src/db/pool.rs",
    }  # fmt: skip
    assert tree(files, "src/bin/tool/main.rs", "mod part; use crate::part::y;") == {"src/bin/tool/part.rs"}
    assert tree(files, "src/bin/tool/part.rs", "use crate::main_thing; use my_shop::util;") == {
        "src/bin/tool/main.rs", "src/util.rs",
    }  # fmt: skip
    assert tree(files, "build.rs", "use std::env;") == {"std"}


def test_edition_2015(tree):
    files = CRATE | {"Cargo.toml": '[package]\nname = "old"\n'}
    assert tree(files, "src/web.rs", "use db::pool::X; use util; use other::Y;") == {
        "src/db/pool.rs", "src/util.rs", "!other",
    }  # fmt: skip


def test_names_that_a_glob_brings_in(tree):
    files = CRATE | {"src/web/a.rs": "", "src/web/b.rs": ""}
    assert tree(files, "src/web/a.rs", "use super::*; use b::X;") == {"src/web.rs", "src/web/b.rs"}


def test_a_name_of_another_block_hides_no_third_party(tree):
    source = "mod a { use crate::util as serde; } fn f() { serde::de::x() }"
    assert tree(CRATE, "src/web.rs", source) == {"src/util.rs", "!serde"}


def test_half_written(tree):
    assert tree(CRATE, "src/web.rs", "use crate::db::pool\nfn f( { use crate::util::{x, \n") == {
        "src/db/pool.rs",
        "src/util.rs",
    }
    assert tree.pending
    assert tree(CRATE | {"Cargo.toml": "[package\n"}, "src/web.rs", "use crate::db; use serde::X;") == {
        "src/db/mod.rs",
        "!serde",
    }


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("use cra", set()), ("use crate", set()), ("use crate::", set()), ("use crate::ut ", set()),
        ("use super", set()), ("use crate::db::po", {"src/db/mod.rs"}),
        ("use crate::db::{pool, ot", {"src/db/pool.rs"}),
        ("use crate::util;", {"src/util.rs"}), ("use crate as c;", {"src/lib.rs"}),
    ],
)  # fmt: skip
def test_a_name_that_is_cut_off_leads_nowhere_yet(tree, end, expected):
    assert tree(CRATE, "src/web.rs", f"fn f() {{}}\n{end}") == expected


def test_a_manifest_that_cannot_be_read_is_told(tree):
    for text in ("[package\n", "x = " + "[" * 5000, "#" * (1 << 20) + "\n[package]\nname = 'a'\n"):
        assert tree(CRATE | {"Cargo.toml": text}, "src/web.rs", "use crate::db; use serde::X;") == {
            "src/db/mod.rs",
            "!serde",
        }
        assert tree.pending == "Cargo.toml cannot be read"


def test_without_a_manifest(tree):
    assert tree({"src/main.rs": "mod a;", "src/a.rs": "", "src/b.rs": ""}, "src/a.rs", "use crate::b::X;") == {
        "src/b.rs"
    }


@pytest.mark.parametrize(
    "source",
    [
        "use " + "a::" * 100_000 + "b;",
        "use crate::{" * 60 + "x",
        "mod a {" * 60,
        "/*" * 100_000,
        "r#" * 100_000,
        'path = "x"\n' * 20_000 + "mod a;",
        '"\\' * 100_000,
        "use crate::x::*; " * 2_000 + "use y::z; " * 2_000,
        "crate" + " " * 100_000 + "::x",
        "mod " + " " * 100_000,
        'include!(r"' * 20_000,
    ],
)
def test_hostile_sizes_come_to_an_end(tree, source):
    try:
        tree(CRATE, "src/web.rs", source)
    except Unreadable as error:
        assert "nested" in str(error) or "more than" in str(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="us crate:{},*;'\"#r/\\n\n[]()pathmod=é", max_size=200))
def test_any_text_is_read(parsers, tmp_path, text):
    root = os.fsencode(os.path.realpath(tmp_path))
    rust_references.references(text.encode(), root + b"/src/a.rs", parsers, Resolver(root))
    assert len(blanked(text.encode(), RUST)) == len(text.encode())
