"""Compilers and their build tools: bare and governed with the same result, offline, with caches of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Pair

pytestmark = pytest.mark.timeout(300)

CARGO = {
    "Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n'
    '[dependencies]\npart = { path = "part" }\n',
    "part/Cargo.toml": '[package]\nname = "part"\nversion = "0.1.0"\nedition = "2021"\n',
    "part/src/lib.rs": "pub fn twice(n: u64) -> u64 { 2 * n }\n",
    "src/main.rs": 'fn main() { println!("{} {}", part::twice(21), env!("MADE")); }\n'
    "#[test]\nfn works() { assert_eq!(part::twice(2), 4); }\n",
    # A build script runs as a program of its own, and tells cargo what to do.
    "build.rs": "use std::{env, fs, path::Path};\nfn main() {\n"
    'fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("made"), "x").unwrap();\n'
    'println!("cargo:rustc-env=MADE=built");\nprintln!("cargo:rerun-if-changed=build.rs"); }\n',
    ".cargo/config.toml": "[net]\noffline = true\n",
    ".gitignore": "target\n",
}
GO = {
    "go.mod": "module example.com/app\n\ngo 1.19\n\nrequire example.com/dep v1.0.0\n",
    "main.go": 'package main\n\nimport (\n\t"fmt"\n\n\t"example.com/dep"\n)\n\n'
    "func main() { fmt.Println(twice(21), dep.Name) }\n\nfunc twice(n int) int { return 2 * n }\n",
    "main_test.go": 'package main\n\nimport "testing"\n\nfunc TestTwice(t *testing.T) {\n\tif twice(2) != 4 {\n'
    "\t\tt.Fatal()\n\t}\n}\n",
    "vendor/example.com/dep/dep.go": 'package dep\n\nconst Name = "dep"\n',
    "vendor/modules.txt": "# example.com/dep v1.0.0\n## explicit\nexample.com/dep\n",
    ".gitignore": "/app\n",
}
CMAKE = {
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.20)\nproject(p C CXX)\nenable_testing()\n"
    "add_library(part part.c)\n"
    "add_executable(app main.cpp)\ntarget_link_libraries(app part)\nadd_test(NAME runs COMMAND app)\n"
    "install(TARGETS app DESTINATION bin)\n",
    "part.c": "int part(int x) { return 2 * x; }\n",
    "main.cpp": '#include <cstdio>\nextern "C" int part(int);\nint main() { std::printf("%d\\n", part(21)); }\n',
    ".gitignore": "build*\n/out\n",
}
AUTOTOOLS = {
    "configure.ac": "AC_INIT([app], [1.0])\nAM_INIT_AUTOMAKE([foreign subdir-objects])\nAC_PROG_CC\n"
    "AC_CHECK_HEADERS([unistd.h])\n"
    "AC_CONFIG_HEADERS([config.h])\nAC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n",
    "Makefile.am": "bin_PROGRAMS = app\napp_SOURCES = main.c\nTESTS = app\n",
    "main.c": '#include "config.h"\n#include <stdio.h>\nint main(void) {\n'
    'printf("%s %d\\n", PACKAGE, HAVE_UNISTD_H); return 0; }\n',
}
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>com.example</groupId><artifactId>app</artifactId><version>1</version>
<properties><maven.compiler.source>11</maven.compiler.source><maven.compiler.target>11</maven.compiler.target>
<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties><build><plugins>
<plugin><artifactId>maven-compiler-plugin</artifactId><version>3.10.1</version></plugin>
<plugin><artifactId>maven-resources-plugin</artifactId><version>3.3.0</version></plugin>
</plugins></build></project>
"""
MAVEN = {
    "pom.xml": POM,
    # Debian's repository stands in for one on the network.
    "settings.xml": "<settings><mirrors><mirror><id>debian</id><mirrorOf>*</mirrorOf>"
    "<url>file:///usr/share/maven-repo</url></mirror></mirrors></settings>\n",
    "src/main/java/app/App.java": "package app;\npublic class App {\n"
    "  public static void main(String[] words) { System.out.println(21 * 2); }\n}\n",
    ".gitignore": "target\n",
}
# What it takes to compile, in the versions of bookworm: the packages' and those that the life cycle names.
MAVEN_PLUGINS = [
    Path("/usr/share/maven-repo/org/apache/maven/plugins", name)
    for name in ("maven-compiler-plugin/3.10.1", "maven-resources-plugin/3.3.0", "maven-surefire-plugin")
]


def project(pair: Pair, files: dict[str, str]) -> None:
    """The same committed sources in both trees."""
    for tree in (pair.tree, pair.twin_tree):
        for name, text in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
    pair.both("git add -A; git commit -qm sources")


def cache(pair: Pair, name: str) -> Path:
    """A cache that belongs to the governed tree; the user's own places stay as they were."""
    (found,) = (pair.home / ".cache/govrun").glob("*/" + name)
    left = {path.name for path in pair.home.iterdir()} - {".cache", ".local", ".gitconfig"}
    assert not left, left
    assert [path.name for path in (pair.home / ".cache").iterdir()] == ["govrun"]
    return found


@pytest.mark.needs("cargo", "gcc")
def test_cargo(pair: Pair) -> None:
    """Fingerprints and metadata hold absolute names and times, so `target` is compared by what it prints."""
    project(pair, CARGO)
    script = (
        "cargo build -q; ./target/debug/app; cargo test -q 2>&1 | grep -c 'test result: ok. 1 passed';"
        "cargo build 2>&1 | grep -c Compiling || true; sed -i 's/2 \\* n/3 * n/' part/src/lib.rs;"
        "cargo build 2>&1 | grep -c Compiling; cargo run -q; cargo metadata --format-version 1 -q | grep -c packages;"
        "cargo clean -q; ls; git checkout -q .; git add Cargo.lock; git commit -qm lock; git status --porcelain"
    )
    shown = pair.same(script, skip=["target"]).stdout.splitlines()
    assert shown[:5] == [b"42 built", b"1", b"0", b"2", b"63 built"]
    cache(pair, "cargo")
    assert pair.note()


@pytest.mark.needs("go")
def test_go(pair: Pair) -> None:
    project(pair, GO)
    pair.env |= {"GOFLAGS": "-mod=vendor", "GOPROXY": "off"}
    script = (
        "go build -o app .; ./app; go test . | cut -f1,2; go test . | grep -c cached; gofmt -l *.go;"
        "sed -i 's/2 \\* n/3 * n/' main.go; go run .; go test . > failed || tail -n 1 failed; git checkout -q .;"
        "rm failed; git status --porcelain"
    )
    shown = pair.same(script, skip=["app"]).stdout.splitlines()  # holds the digest of its absolute name
    assert shown[:4] == [b"42 dep", b"ok  \texample.com/app", b"1", b"63 dep"]
    assert any(cache(pair, "go-build").iterdir())


@pytest.mark.needs("go")
def test_go_installs_beside_the_repository(pair: Pair) -> None:
    """What the user runs from ~/go/bin is not the run's to change; settings of go are the user's too."""
    project(pair, GO)
    pair.env |= {"GOFLAGS": "-mod=vendor", "GOPROXY": "off"}
    outcome = pair.govrun("bash", "-ec", 'go install .; "$(go env GOBIN)/app"; go env -w CGO_ENABLED=0', env=pair.env)
    assert outcome.stdout == b"42 dep\n", outcome.stderr
    assert (cache(pair, "go-bin") / "app").exists()
    assert outcome.denied("scope.write") and ".config is outside the write scope" in outcome.stderr


@pytest.mark.skipif(not all(path.exists() for path in MAVEN_PLUGINS), reason="needs Debian's Maven plugins")
@pytest.mark.needs("mvn")
def test_maven(pair: Pair) -> None:
    """Fetches into a repository of the tree, then builds from that without the network."""
    project(pair, MAVEN)
    # hsperfdata: every Java machine tidies up after those of other programs in /tmp, which is refused and told.
    pair.env |= {"MAVEN_OPTS": "-XX:-UsePerfData"}
    run = "java -XX:-UsePerfData -cp target/classes app.App"
    script = (
        f"mvn -q -B -s settings.xml compile > log; {run}; sed -i s/21/20/ src/main/java/app/App.java;"
        f"mvn -q -B -o -s settings.xml compile > log; {run}"
    )
    # Bare it would fill the repository of whoever runs the tests: Java asks the password database for the home folder.
    bare = script.replace("mvn ", f"mvn -Dmaven.repo.local={pair.twin_home}/m2 ")
    assert pair.bare(bare).stdout == b"42\n40\n"
    outcome = pair.govrun("bash", "-ec", script, env=pair.env, timeout=200).ok()
    assert outcome.stdout == b"42\n40\n", outcome.stderr
    assert not outcome.denied(), outcome.stderr
    assert (cache(pair, "maven") / "org/apache/maven").is_dir()


@pytest.mark.needs("cmake", "ninja", "ccache", "gcc", "g++")
def test_cmake_ninja_ctest_ccache(pair: Pair) -> None:
    project(pair, CMAKE)
    script = (
        "cmake -S . -B build -G Ninja -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache > log;"
        "ninja -C build >> log; build/app; (cd build; ctest | grep -c '100% tests passed');"
        "ninja -C build -t clean >> log; ninja -C build | tail -n 1; ninja -C build | tail -n 1; touch part.c;"
        "ninja -C build | tail -n 1;"
        "cmake --install build --prefix out | sed 's/.*: .*out/out/'; out/bin/app; ccache -s | grep -c Hits;"
        "cmake -S . -B build2 > log; make -s -C build2 -j4 > log; build2/app; rm log; git status --porcelain"
    )
    shown = pair.same(script, skip=["build", "build2", ".ninja_deps", ".ninja_log"]).stdout
    assert shown.startswith(b"42\n1\n") and b"no work to do" in shown
    assert any(cache(pair, "ccache").iterdir())


@pytest.mark.needs("make", "gcc")
def test_make_with_a_jobserver(pair: Pair) -> None:
    """Sub-makes share one pipe (or FIFO) of tokens, inherited by number."""
    for tree in (pair.tree, pair.twin_tree):
        (tree / "Makefile").write_text(
            "SUBS = a b c\nall: $(SUBS)\n.PHONY: all $(SUBS)\n$(SUBS):\n\t+@$(MAKE) -s -f sub.mk NAME=$@\n"
        )
        (tree / "sub.mk").write_text(
            "PARTS = 1 2 3 4 5 6\nlib$(NAME).a: $(PARTS:%=$(NAME)%.o)\n\tar rcD $@ $^\n"
            "$(NAME)%.o: part.c\n\tgcc -c -DNAME=f_$(NAME)$* -o $@ $<\n"
        )
        (tree / "part.c").write_text("int NAME(void) { return 1; }\n")
    pair.same(
        "make -j4 2>&1; make -j4 -q -f sub.mk NAME=a; ls *.a | wc -l; nm liba.a | grep -c ' T '; touch part.c; make -j8"
    )


@pytest.mark.needs("autoconf", "make", "gcc")
def test_autotools(pair: Pair) -> None:
    """`configure` runs hundreds of short programs and writes through here-documents."""
    project(pair, AUTOTOOLS)
    script = (
        "autoreconf -i > log 2>&1; mkdir b; cd b; ../configure --prefix=$PWD/i >> ../log; make -s check > check.log;"
        "grep -c '^PASS: app' check.log; make -s install > /dev/null; i/bin/app; make -s distclean > /dev/null; ls"
    )
    assert pair.same(script, skip=["log", "autom4te.cache", "i"]).stdout == b"1\napp 1\ncheck.log\ni\n"


SCRIPTED = {
    "perl": "perl -MFile::Temp=tempfile -e '($h, $n) = tempfile(DIR => q(.)); print $h 42; close $h;"
    "rename $n, q(made)';"
    "perl -i.bak -pe 's/4/5/' made; cat made made.bak; prove -v t.t | tail -n 1",
    "ruby": "ruby -rfileutils -e 'FileUtils.mkdir_p %q(a/b); File.write %q(a/b/c), 42; FileUtils.mv %q(a/b), %q(d)';"
    "printf 'gem %%q(json)\\n' > Gemfile; bundle config set --local path vendor; bundle install --local --quiet;"
    "bundle exec ruby -rjson -e 'puts JSON.parse %q([42])'; ls",
    "php": 'php -r \'file_put_contents("a", 42); rename("a", "b"); echo file_get_contents("b");\'; '
    "php -S 127.0.0.1:0 -t . > log 2>&1 & sleep 0.5; kill $!; rm log; php -l src/x.php | head -n 1",
}


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.skipif(not Path(f"/usr/bin/{name}").exists(), reason=f"needs {name}"))
    for name in SCRIPTED
])  # fmt: skip
def test_scripting_languages(pair: Pair, name: str) -> None:
    pair.both("printf 'print qq(1..1\\\\nok 1\\\\n);' > t.t; printf '<?php echo 1;' > src/x.php")
    pair.same(SCRIPTED[name], skip=[".bundle"])
    assert {path.name for path in pair.home.iterdir()} <= {".cache", ".local", ".gitconfig"}
