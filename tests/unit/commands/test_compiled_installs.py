"""argv of Cargo, Go, RubyGems, Bundler, Maven -> what they would bring in."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.commands.compiled_tools import COMPILED
from supervisor.commands.installs import installation, is_manager
from supervisor.invariants.dependency import judge_install
from supervisor.vocabulary.addresses import BY_ADDRESS
from supervisor.vocabulary.content import Installation
from supervisor.vocabulary.events import ExecEvent
from tests.property.world import ACTOR, target
from tests.unit.invariants.test_dependency import rules


def asked(line: str, program: str = "") -> Installation | None:
    argv = tuple(word.encode() for word in shlex.split(line))
    return installation(argv, program.encode() or argv[0])


def packages(line: str) -> str:
    found = asked(line)
    if found is None:
        return "-"
    own = [each for each in found.packages if not each.place.endswith(BY_ADDRESS)]
    return ", ".join(" ".join(filter(None, (each.name, each.versions, each.origin))) for each in own)


def event(found: Installation | None) -> ExecEvent:
    return ExecEvent(ACTOR, target(b"/x"), b"x", (b"x",), b"/", "call", installs=found)


LINES = [
    ("cargo add serde_json Tokio@1.2", "serde-json, tokio ^1.2"),
    ("cargo +nightly --color never add -F derive --dev serde", "serde"),
    ("cargo add x --git https://example.com/x.git --branch main", "x https://example.com/x.git"),
    ("cargo add --path crates/x", " ./crates/x".strip()),
    ("cargo add x --registry mine", "x mine"),
    ("cargo add x@=1.2.3 y@>=2", "x =1.2.3, y >=2"),
    ("cargo install ripgrep --version 13.0.0 --locked", "ripgrep ^13.0.0"),
    ("cargo install --git https://example.com/x.git", "https://example.com/x.git"),
    ("cargo update -p serde", ""),
    ("cargo fetch --locked", ""),
    ("cargo build", "-"),
    ("cargo remove serde", "-"),
    ("cargo -C sub add serde", "serde"),
    ("go get github.com/X/y@v1.2.3 gopkg.in/yaml.v3", "github.com/x/y v1.2.3, gopkg.in/yaml.v3"),
    ("go get -u -t github.com/x/y@latest", "github.com/x/y"),
    ("go get github.com/x/y@none", ""),
    ("go get ./...", ""),
    ("go -C sub get github.com/x/y", "github.com/x/y"),
    ("go install github.com/x/y@v1", "github.com/x/y v1"),
    ("go install ./cmd/x", "-"),
    ("go install", "-"),
    ("go run github.com/x/y@v1 arg", "github.com/x/y v1"),
    ("go run main.go", "-"),
    ("go run . a@b", "-"),
    ("go mod edit -require=github.com/x/y@v1.0.0 --replace github.com/a/b=github.com/c/d@v2.0.0",
     "github.com/x/y v1.0.0, github.com/c/d v2.0.0"),
    ("go mod edit -replace=github.com/a/b=../b", ""),
    ("go mod edit -go=1.21", "-"),
    ("go work edit -replace=github.com/a/b@v1.0.0=github.com/c/d@v2.0.0", "github.com/c/d v2.0.0"),
    ("go mod download github.com/x/y@v1.0.0", "github.com/x/y v1.0.0"),
    ("go mod tidy", ""),
    ("go build ./...", "-"),
    ("go test -run X ./...", "-"),
    ("gem install nokogiri -v 1.15 rake:13.0", "nokogiri 1.15, rake 13.0"),
    ("gem i --source https://example.com nokogiri", "nokogiri https://example.com"),
    ("gem install ./nokogiri-1.15.4-x86_64-linux.gem", "nokogiri 1.15.4 ./nokogiri-1.15.4-x86_64-linux.gem"),
    ("gem list", "-"),
    ("ruby /usr/bin/gem install nokogiri", "nokogiri"),
    ("ruby -W0 -S gem install nokogiri", "nokogiri"),
    ("bundle add rails --version '~> 7' --group a", "rails ~> 7"),
    ("bundle add x --path engines/x", "x ./engines/x"),
    ("bundle _2.3.15_ add rails", "rails"),
    ("bundle", ""),
    ("bundle install --jobs 4", ""),
    ("bundle exec rake", "-"),
    ("mvn dependency:get -Dartifact=org.acme:log4j-core:2.14.1:jar", "org.acme:log4j-core 2.14.1"),
    ("mvn -q org.apache.maven.plugins:maven-dependency-plugin:3.1.0:get -D artifact=g:a:1 -DremoteRepositories=r::x::https://e.x",
     "org.apache.maven.plugins:maven-dependency-plugin 3.1.0, g:a 1 https://e.x"),
    ("mvn dependency:copy -DgroupId=g -DartifactId=a -Dversion=1", "g:a 1"),
    ("mvn -Dartifact=g:a:1 package", "-"),
    ("mvn clean install -DskipTests", "-"),
    ("./mvnw org.evil.x:plugin:1:run", "org.evil.x:plugin 1"),
    (("java -classpath /usr/share/maven/boot/x.jar -Dmaven.home=/m org.codehaus.plexus.classworlds.launcher.Launcher "
     "dependency:get -Dartifact=g:a:1"), "g:a 1"),
    ("gradle build", "-"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_packages(line: str, expected: str) -> None:
    assert packages(line) == expected


LOCKED = [
    ("cargo fetch --locked", True),
    ("cargo fetch", False),
    ("cargo vendor --frozen", True),
    ("cargo update", False),
    ("cargo add serde --locked", False),
    ("go mod download", True),
    ("go mod download github.com/x/y@v1.0.0", False),
    ("go mod vendor", True),
    ("go mod tidy", False),
    ("go get ./...", False),
    ("bundle install --deployment", True),
    ("bundle --frozen", True),
    ("bundle install", False),
    ("bundle update", False),
]


@pytest.mark.parametrize(("line", "expected"), LOCKED)
def test_from_the_lock(line: str, expected: bool) -> None:
    found = asked(line)
    assert found is not None
    assert found.from_lock is expected
    told = list(judge_install(rules({"install": "lock-only"}), event(found)))
    assert bool(told) is not expected


DENIED = [
    ("go:github.com/x/y", "go get github.com/x/y/cmd/tool@latest", True),
    ("go:github.com/x/y", "go install github.com/x/y/v2/cmd/tool@latest", True),
    ("go:github.com/x/y", "go get github.com/x/yy/cmd", False),
    ("go:github.com/x/y <1.2", "go get github.com/x/y@v1.1.0", True),
    ("go:github.com/x/y <1.2", "go get github.com/x/y@v1.2.0", False),
    ("cargo:openssl <0.10.60", "cargo add openssl@0.10.50", False),
    ("cargo:openssl <0.10.60", "cargo add openssl@=0.10.50", True),
    ("*:log4j-core <2.17.1", "mvn dependency:get -Dartifact=org.apache.logging.log4j:log4j-core:2.14.1", True),
    ("*:log4j-core <2.17.1", "mvn dependency:get -Dartifact=org.apache.logging.log4j:log4j-core:2.17.1", False),
    ("rubygems:rails <7", "gem install rails -v 6.1", True),
    ("rubygems:rails <7", "bundle add rails --version '~> 6.1'", True),
]


@pytest.mark.parametrize(("package", "line", "denied"), DENIED)
def test_what_is_denied(package: str, line: str, denied: bool) -> None:
    made = event(asked(line))
    assert bool(list(judge_install(rules({"deny": [package]}), made))) is denied


def test_a_package_of_an_allowed_module_is_no_other_package() -> None:
    found = rules({"allow_only": ["go:github.com/x/y"]})
    for line, denied in (("go install github.com/x/y/cmd/tool@v1", False), ("go get github.com/a/b", True)):
        made = event(asked(line))
        assert bool(list(judge_install(found, made))) is denied


def test_managers() -> None:
    for line in ("cargo build", "go build", "bundle exec x", "mvn package", "gradle build", "ruby /usr/bin/bundle"):
        assert is_manager(line.split()[0].encode(), tuple(word.encode() for word in line.split()))
    launcher = (b"java", b"-Dx=y", b"org.gradle.launcher.daemon.bootstrap.GradleDaemon", b"8.0")
    assert is_manager(b"/usr/lib/jvm/bin/java", launcher)
    assert not is_manager(b"/usr/lib/jvm/bin/java", (b"java", b"-jar", b"app.jar"))
    assert not is_manager(b"/usr/bin/ruby", (b"ruby", b"app.rb"))


WORDS = st.sampled_from(
    ["add", "get", "install", "-D", "-v", "--", "-", "@", "x@y", "=", "a.b/c@v1", "mod", "edit", "-require"]
)


@given(st.sampled_from(sorted(COMPILED)), st.lists(WORDS | st.text(max_size=8), max_size=8))
def test_any_command_line(tool: str, words: list[str]) -> None:
    argv = tuple(word.encode("utf-8", "surrogatepass") for word in (tool, *words))
    found = installation(argv, tool.encode())
    assert found is None or found.tool in (tool, COMPILED[tool].name)
