"""What Cargo's, Go's, Maven's, Gradle's and Ruby's manifests and locks ask for, and what is left when entries go."""

from __future__ import annotations

import pytest

from supervisor.inspection.remove import without

CARGO = """\
[package]
name = "app"
version = "0.1.0"

[dependencies]
serde = { version = "1.0", features = ["derive"] }
Tls_Lib = { package = "openssl", version = ">=0.10, <0.11" }
local = { path = "crates/local" }
forked = { git = "https://example.com/forked.git", branch = "main" }
pinned = "=1.2.3"
any = "*"
shared.workspace = true

[dependencies.rand]
version = "0.8"
registry = "mine"

[dev-dependencies]
criterion = "0.5"

[target.'cfg(unix)'.dependencies]
nix = "0.27"

[workspace.dependencies]
log = "0.4"

[patch.crates-io]
time = { path = "../time" }

[replace]
"foo:0.1.0" = { git = "https://example.com/foo.git" }
"""


def test_cargo(named):
    assert named("Cargo.toml", CARGO) == [
        ("serde", "^1.0", 6, "dependencies", ""),
        ("openssl", ">=0.10, <0.11", 7, "dependencies", ""),
        ("local", "", 8, "dependencies", "./crates/local"),
        ("forked", "", 9, "dependencies", "https://example.com/forked.git"),
        ("pinned", "=1.2.3", 10, "dependencies", ""),
        ("any", "", 11, "dependencies", ""),
        ("shared", "", 12, "dependencies", ""),
        ("rand", "^0.8", 14, "dependencies", "mine"),
        ("criterion", "^0.5", 19, "dev-dependencies", ""),
        ("nix", "^0.27", 22, "target.cfg(unix).dependencies", ""),
        ("log", "^0.4", 25, "workspace.dependencies", ""),
        ("time", "", 28, "patch.crates-io", "../time"),
        ("foo", "", 31, "replace", "https://example.com/foo.git"),
    ]


def test_cargo_escapes_and_quotes(named):
    text = '[ "depend\\u0065ncies" ]\n"open\\u0073sl" = """0.10"""\n'
    assert named("Cargo.toml", text) == [("openssl", "^0.10", 2, "dependencies", "")]


def drop(inspect, kind, text, *names):
    found = [each for each in inspect(kind, text).requirements if each.name in names]
    assert {each.name for each in found} == set(names)
    result = without(kind, text.encode(), found)
    return None if result is None else result.decode()


def test_cargo_entries_go_singly(inspect):
    left = drop(inspect, "Cargo.toml", CARGO, "openssl", "rand", "nix")
    lines = CARGO.splitlines(keepends=True)
    gone = {7, 14, 15, 16, 22}
    assert left.split() == "".join(line for number, line in enumerate(lines, 1) if number not in gone).split()


GO_MOD = """\
module example.com/app // the app

go 1.21

require github.com/X/y/v2 v2.0.1
require (
\tgopkg.in/yaml.v3 v3.0.1 // indirect
\t"go.uber.org/z\\x61p" v0.17.0 // about indirect things
\tgithub.com/a/b v0.0.0-20191109021931-daa7c04131f5
)
replace github.com/a/b => ../b
replace (
\tgithub.com/c/d v1.0.0 => github.com/evil/d v1.0.1
)
exclude github.com/e/f v1.0.0
retract v1.0.0
"""


def test_go_mod(inspect, named):
    assert named("go.mod", GO_MOD) == [
        ("github.com/x/y/v2", "v2.0.1", 5, "require", ""),
        ("gopkg.in/yaml.v3", "v3.0.1", 7, "require, indirect", ""),
        ("go.uber.org/zap", "v0.17.0", 8, "require", ""),
        ("github.com/a/b", "v0.0.0-20191109021931-daa7c04131f5", 9, "require", ""),
        ("github.com/a/b", "", 11, "replace", "../b"),
        ("github.com/evil/d", "v1.0.1", 13, "replace", "github.com/evil/d"),
    ]
    locked = [each.name for each in inspect("go.mod", GO_MOD).requirements if each.locked]
    assert locked == ["gopkg.in/yaml.v3"]


def test_go_mod_entries_go_singly(inspect):
    left = drop(inspect, "go.mod", GO_MOD, "github.com/x/y/v2", "go.uber.org/zap")
    lines = GO_MOD.splitlines(keepends=True)
    assert left == "".join(lines[:4] + lines[5:7] + lines[8:])


@pytest.mark.parametrize("text", ["require (\n\ta.b/c v1.0.0\n", 'require "a.b/c v1.0.0\n'])
def test_go_mod_half_written(inspect, text):
    assert inspect("go.mod", text).pending


POM = """\
<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <parent>
    <groupId>org.parent</groupId><artifactId>parent</artifactId><version>7</version>
  </parent>
  <groupId>org.own</groupId>
  <artifactId>own</artifactId>
  <properties><log4j.version>2.14.1</log4j.version><which>log4j-${part}</which><part>core</part></properties>
  <dependencyManagement><dependencies>
    <dependency><groupId>g.m</groupId><artifactId>managed</artifactId><version>1</version></dependency>
  </dependencies></dependencyManagement>
  <dependencies>
    <!-- <dependency><groupId>no</groupId><artifactId>no</artifactId></dependency> -->
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>${which}</artifactId>
      <version>${log4j.version}</version>
      <exclusions><exclusion><groupId>x</groupId><artifactId>y</artifactId></exclusion></exclusions>
    </dependency>
    <dependency><groupId>${project.groupId}</groupId><artifactId>sib&#108;<![CDATA[ing]]></artifactId></dependency>
    <dependency><groupId>s</groupId><artifactId>sys</artifactId><scope>system</scope><systemPath>/x.jar</systemPath>
    </dependency>
  </dependencies>
  <build><plugins><plugin><artifactId>maven-x-plugin</artifactId><configuration>&oslash;</configuration>
    <dependencies><dependency><groupId>g</groupId><artifactId>of-plugin</artifactId></dependency></dependencies>
  </plugin></plugins></build>
</project>
"""


def test_pom(named):
    assert named("pom.xml", POM) == [
        ("org.parent:parent", "7", 3, "parent".removesuffix("parent"), ""),
        ("g.m:managed", "1", 10, "dependencyManagement.dependencies", ""),
        ("org.apache.logging.log4j:log4j-core", "2.14.1", 14, "dependencies", ""),
        ("org.own:sibling", "", 20, "dependencies", ""),
        ("s:sys", "", 21, "dependencies", "/x.jar"),
        ("org.apache.maven.plugins:maven-x-plugin", "", 24, "build.plugins", ""),
        ("g:of-plugin", "", 25, "build.plugins.plugin.dependencies", ""),
    ]


def test_pom_entries_go_singly(inspect):
    left = drop(inspect, "pom.xml", POM, "org.apache.logging.log4j:log4j-core", "org.own:sibling")
    lines = POM.splitlines(keepends=True)
    assert left == "".join(lines[:13] + lines[20:])
    assert drop(inspect, "pom.xml", POM, "org.parent:parent") is None
    # A plugin's own dependency goes with it, and that was not asked for.
    assert drop(inspect, "pom.xml", POM, "org.apache.maven.plugins:maven-x-plugin") is None


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE p [<!ENTITY a "log4j-core">]><project><dependencies/></project>',
        '<project><!ENTITY a "b"></project>',
        "<?xml version='1.0' encoding='IBM037'?><project/>",
        "<a>" * 300 + "</a>" * 300,
        "<project>\0</project>",
        '<project><dependency x="' + "y" * 3000 + '"></dependency></project>',
    ],
)
def test_pom_that_nobody_can_trust(inspect, text):
    assert inspect("pom.xml", text).refusal


def test_pom_half_written(inspect):
    whole = POM.encode()
    for end in range(len(whole)):
        found = inspect("pom.xml", whole[:end])
        assert not found.refusal, end
    found = inspect("pom.xml", POM.partition("</dependencies>\n  <build>")[0])
    assert found.pending
    assert "org.apache.logging.log4j:log4j-core" in {each.name for each in found.requirements}


def test_xml_without_end(inspect):
    for text in ('<a "' * 200_000, "<!--" * 300_000, "<![CDATA[" * 200_000, "<a " * 300_000, "&#1;" * 300_000):
        found = inspect("pom.xml", text)
        assert not found.refusal.startswith("the inspector failed")


GRADLE = """\
plugins { id 'org.springframework.boot' version '3.1.0'; id("java") }
def v = '2.14.1'
ext.grp = "org.apache.logging.log4j"
/* implementation 'no:no:1' */
dependencies {
    implementation "org.apache.logging.log4j:log4j-core:$v"   // 'no:no:2'
    implementation("$grp:log4j-api:${v}") { exclude group: 'x', module: 'y' }
    testImplementation group: 'junit', name: 'junit', version: '4.13'
    api(name = "guava", group = "com.google.guava")
    compileOnly project(':lib')
    runtimeOnly 'a.b:' + 'c:' + '1.0@aar'
    api("u\\u002ev:w:[1,2)")
}
repositories { maven { url 'https://repo.example.com:8080/x' } }
"""


def test_gradle(named):
    found = named("gradle", GRADLE)
    assert [each[:4] for each in found] == [
        ("org.springframework.boot:org.springframework.boot.gradle.plugin", "3.1.0", 1, "plugins"),
        ("org.apache.logging.log4j:log4j-core", "2.14.1", 6, "implementation"),
        ("org.apache.logging.log4j:log4j-api", "2.14.1", 7, "implementation"),
        ("junit:junit", "4.13", 8, "script"),
        ("com.google.guava:guava", "", 9, "script"),
        ("a.b:c", "1.0", 11, "runtimeOnly"),
        ("u.v:w", "[1,2)", 12, "api"),
    ]


def test_catalog(named):
    text = (
        '[versions]\nlog = "2.14.1"\n[libraries]\na = "g:a:1"\nb = { module = "g:b", version.ref = "log" }\n'
        'c = { group = "g", name = "c", version = { strictly = "[1,2)" } }\n[plugins]\n'
        'p = "org.x.y:1"\nq = { id = "org.z.w", version = "2" }\n'
    )
    assert [each[:3] for each in named("versions.toml", text)] == [
        ("g:a", "1", 4),
        ("g:b", "2.14.1", 5),
        ("g:c", "[1,2)", 6),
        ("org.x.y:org.x.y.gradle.plugin", "1", 8),
        ("org.z.w:org.z.w.gradle.plugin", "2", 9),
    ]


GEMFILE = """\
source "https://gems.example.com"
gem "rails", "~> 7.0", ">= 7.0.4"   # gem "no"
gem('nokogiri')
gem %q(pg), group: :test
gem "no" + "go",
    git: "https://example.com/nogo.git", branch: "main"
gem "own", :path => "engines/own"
gem "x\\x79z", require: "abc", github: "me/xyz"
=begin
gem "not"
=end
group(:a) { gem "inner" if RUBY_VERSION > "2" }
__END__
gem "never"
"""


def test_gemfile(named):
    assert named("Gemfile", GEMFILE) == [
        ("", "", 1, "source", "https://gems.example.com"),
        ("rails", "~> 7.0, >= 7.0.4", 2, "gem", ""),
        ("nokogiri", "", 3, "gem", ""),
        ("pg", "", 4, "gem", ""),
        ("nogo", "", 5, "gem", "https://example.com/nogo.git"),
        ("own", "", 7, "gem", "./engines/own"),
        ("xyz", "", 8, "gem", "github:me/xyz"),
        ("inner", "", 12, "gem", ""),
    ]


def test_gemspec(named):
    text = (
        's.add_dependency "rack", ">= 2", "< 4"\n'
        "s.add_development_dependency(%q<rake>.freeze, [\"~> 13.0\"])\n  spec.add_runtime_dependency 'a'\n"
    )
    assert [each[:4] for each in named("gemspec", text)] == [
        ("rack", ">= 2, < 4", 1, "add_dependency"),
        ("rake", "~> 13.0", 2, "add_development_dependency"),
        ("a", "", 3, "add_runtime_dependency"),
    ]


LOCKS = {
    "Cargo.lock": (
        ("# generated\nversion = 3\n\n"
        '[[package]]\nname = "app"\nversion = "0.1.0"\ndependencies = [\n "serde_json",\n]\n\n'
        '[[package]]\nname = "serde_json"\nversion = "1.0.1"\nsource = "registry+https://example.com/index"\n\n'
        '[[package]]\nname = "g"\nversion = "2.0.0"\nsource = "git+https://example.com/g?rev=1#abc"\n'),
        [("app", "0.1.0", 5, ""), ("serde-json", "1.0.1", 12, ""), ("g", "2.0.0", 17, "https://example.com/g?rev=1")],
    ),
    "go.sum": (
        "github.com/x/y v1.0.0 h1:abc=\ngithub.com/x/y v1.0.0/go.mod h1:abc=\ngithub.com/z/z v1.0.0/go.mod h1:abc=\n",
        [("github.com/x/y", "v1.0.0", 1, "")],
    ),
    "modules.txt": (
        ("# github.com/x/y v1.0.0\n## explicit; go 1.17\ngithub.com/x/y/sub\n"
        "# a.b/c v1.0.0 => d.e/f v1.1.0\n# g.h/i => ../i\n"),
        [("github.com/x/y", "v1.0.0", 1, ""), ("a.b/c", "v1.0.0", 4, ""), ("d.e/f", "v1.1.0", 4, "d.e/f"),
         ("g.h/i", "", 5, "")],
    ),
    "Gemfile.lock": (
        ("GIT\n  remote: https://example.com/g.git\n  revision: 1\n  specs:\n    g (1.0)\n      rack (>= 1)\n\n"
        "PATH\n  remote: engines\n  specs:\n    own (0.1)\n\n"
        "GEM\n  remote: https://gems.example.com/\n  specs:\n    nokogiri (1.15.4-x86_64-linux)\n      racc (~> 1.4)\n"
        "\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  nokogiri\n\nBUNDLED WITH\n   2.3.15\n"),
        [("g", "1.0", 5, "https://example.com/g.git"), ("own", "0.1", 11, "./engines"), ("nokogiri", "1.15.4", 16, "")],
    ),
    "gradle.lockfile": (
        "# comment\norg.x:a:1.0=compileClasspath,runtimeClasspath\nempty=\n", [("org.x:a", "1.0", 2, "")]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOCKS)
def test_locks(inspect, kind):
    text, expected = LOCKS[kind]
    found = inspect(kind, text)
    assert not found.pending
    assert [(each.name, each.versions, each.line, each.origin) for each in found.requirements] == expected
    assert all(each.locked for each in found.requirements)
    assert inspect(kind, text[:-1]).pending


def test_cargo_lock_written_otherwise(inspect):
    text = 'package = [{ name = "open\\u0073sl", version = "1.0.0" }]\n'
    assert [each.name for each in inspect("Cargo.lock", text).requirements] == ["openssl"]
    text = '[["package"]]\nname = "openssl"\n'
    assert [each.name for each in inspect("Cargo.lock", text).requirements] == ["openssl"]
    text = '[[package]]\nversion = "1.0.0"\nname = "openssl"\n'
    assert [each.name for each in inspect("Cargo.lock", text).requirements] == ["openssl"]


@pytest.mark.parametrize("kind", [*LOCKS, "Gemfile", "gemspec", "gradle", "go.mod", "Cargo.toml", "ruby", "java", "go"])
@pytest.mark.parametrize("piece", ["(", '"', "'", "1", "a.", "=", " ", "[[", "/*", "\\", "gem 1", "${a", "a:b:", "#"])
def test_one_piece_over_and_over(inspect, kind, piece):
    found = inspect(kind, piece * 20_000)
    assert not found.refusal.startswith("the inspector failed")
