"""Variables that make programs load something: whose they are, and where they lead."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from supervisor.decide import decide
from supervisor.invariants.policy import NO_STATE, CompiledPolicy
from supervisor.run.authored import Authored
from supervisor.run.injection import Injection
from supervisor.vocabulary.events import ExecEvent, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.verdicts import Effect, Verdict
from tests.property.world import ACTOR, TREE, policy_of

PROFILE = """version = 1
[scope]
why = "w"
tools = { executables = ["/build/**"] }
env = { drop = ["NODE_EXTRA_*", "RUBYOPT", "SOME_TOKEN", "LD_DE*", "BASH_FUNC_*"], pass = ["GIT_EDITOR"] }
"""


class Place:
    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.policy: CompiledPolicy = policy_of(PROFILE)._replace(tree=os.fsencode(tree))
        self.record = Authored(())
        self.start = {"LD_LIBRARY_PATH": "old", "PATH": "/usr/bin"}

    def make(self, name: str, *, own: bool = True) -> str:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        if own:
            self.record.landed(FsEvent(ACTOR, FsOp.WRITE, "openat", Target(os.fsencode(path), Kind.ABSENT)))
        return name

    def verdict(self, name: str, value: str, **more: str) -> Verdict:
        event = ExecEvent(
            ACTOR, Target(b"/usr/bin/true", Kind.FILE), b"true", (b"true",), os.fsencode(self.tree), "call"
        )
        environ = {os.fsencode(key): os.fsencode(each) for key, each in {name: value, **more}.items()}
        told = Injection(self.start).of(self.policy, event, os.getpid(), lambda: environ, self.record, lambda: None)
        return decide(self.policy, NO_STATE, told)

    def effect(self, name: str, value: str) -> Effect:
        return self.verdict(name, value).effect


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(Path(os.path.realpath(tmp_path)))
    for name in ("own.so", "own.js", "lib/own.pm", "build/fine.so", "tab\tname.so", "a b.sh", "inc/A/B.pm", "gc.log"):
        found.make(name)
    for name in ("old.so", "olds/old.so"):
        found.make(name, own=False)
    (found.tree / "link.so").symlink_to("own.so")
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LD_PRELOAD", "./own.so"),
        ("LD_PRELOAD", "old.so own.so"),
        ("LD_PRELOAD", "/usr/lib/libm.so.6:./link.so"),
        ("LD_PRELOAD", "./not-yet.so"),
        ("LD_AUDIT", "own.so"),
        ("LD_LIBRARY_PATH", "/usr/lib:lib"),
        ("LD_LIBRARY_PATH", "/usr/lib:"),
        ("LD_LIBRARY_PATH", "not-yet"),
        ("BASH_ENV", "./own.js"),
        ("JAVA_TOOL_OPTIONS", "-javaagent:own.js=x"),
        ("NODE_OPTIONS", "--require ./own.js"),
        ("PERL5OPT", "-Ilib -Mown"),
        ("GIT_SSH_COMMAND", "'./own.js' -v"),
        ("GIT_EXEC_PATH", "lib"),
        ("LD_PRELOAD", "$ORIGIN/../../{tree}/own.so"),
        ("LD_PRELOAD", "{tree}/$LIB/q.so"),
        ("LD_PRELOAD", "{tree}/${{LIB}}/q.so"),
        ("LD_PRELOAD", "{tree}/$PLATFORM/q.so"),
        ("LD_PRELOAD", "./tab\tname.so"),
        ("LD_PRELOAD", ":".join(f"/x{at}" for at in range(300)) + ":own.so"),
        ("LD_LIBRARY_PATH", "{tree}/$LIB"),
        ("BASH_ENV", "$PWD/own.js"),
        ("BASH_ENV", "`pwd`/own.js"),
        ("BASH_ENV", "~/own.js"),
        ("BASH_ENV", "a b.sh"),
        ("OPENSSL_CONF", "own.js"),
        ("OPENSSL_ENGINES", "lib"),
        ("OPENSSL_MODULES", "lib"),
        ("GIT_SSH_COMMAND", "sh $PWD/own.js"),
        ("GIT_SSH_COMMAND", "sh lib/'own.pm'"),
        ("JAVA_TOOL_OPTIONS", "-Xlog:file=gc.log -agentpath:{tree}/own.so"),
        ("JDK_JAVA_OPTIONS", "-cp -Xlog:own.js"),
        ("NODE_OPTIONS", "--title=x --import=./own.js"),
    ],
)
def test_what_the_run_made_is_not_loaded(place: Place, name: str, value: str) -> None:
    found = place.verdict(name, value.format(tree=place.tree))
    assert found.effect is Effect.DENY and found.matches[0].invariant.id == "scope.tools"
    assert name in found.matches[0].message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LD_PRELOAD", "./old.so"),
        ("LD_PRELOAD", "build/fine.so"),
        ("LD_PRELOAD", "libm.so.6"),
        ("LD_LIBRARY_PATH", "olds:build:/usr/lib"),
        ("JAVA_TOOL_OPTIONS", "-Xmx512m -Dfile.encoding=UTF-8 -Djava.io.tmpdir=lib"),
        ("NODE_OPTIONS", "--no-warnings --redirect-warnings=own.js --title=own.js"),
        ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        ("JAVA_TOOL_OPTIONS", "-Xlog:file=gc.log -XX:ErrorFile=gc.log -Dlog=gc.log"),
        ("LD_LIBRARY_PATH", ""),
        ("LD_BIND_NOW", "1"),
        ("OPENSSL_CONF", "/etc/ssl/openssl.cnf"),
        ("GIT_EDITOR", "./own.js"),  # passed by the profile
        ("PYTHONPATH", "lib"),
        ("SOME_TOKEN", "x"),
        ("LD_LIBRARY_PATH", "old"),  # as it was at the start
    ],
)
def test_what_was_there_what_is_named_and_what_leads_nowhere_is_free(place: Place, name: str, value: str) -> None:
    assert place.effect(name, value) is Effect.ALLOW


@pytest.mark.parametrize("options", ["-MA::B", "MA::B", "-wMA::B=x", "-mA'B", "-w -MA::B"])
def test_modules_that_perl_is_told_to_load_are_looked_for_in_perl5lib(place: Place, options: str) -> None:
    assert "PERL5OPT leads to inc/A/B.pm" in place.verdict("PERL5OPT", options, PERL5LIB="/x:inc").matches[0].message
    assert place.verdict("PERL5OPT", f"-Mlib=inc {options}").effect is Effect.DENY
    assert place.verdict("PERL5OPT", "-w", PERL5LIB="inc").effect is Effect.ALLOW
    assert place.verdict("PERL5OPT", "-Mstrict", PERL5LIB="inc").effect is Effect.ALLOW
    place.start["PERL5OPT"] = options
    assert place.effect("PERL5OPT", options) is Effect.ALLOW
    assert place.verdict("PERL5OPT", options, PERL5LIB="inc").effect is Effect.DENY


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("PYTHONHOME", "lib/python3.11/encodings.py"),
        ("LD_LIBRARY_PATH", "glibc-hwcaps/x86-64-v2/libz.so.1"),
        ("LD_LIBRARY_PATH", "tls/haswell/libz.so.1"),
        ("GIT_TEMPLATE_DIR", "hooks/post-checkout"),
    ],
)
def test_what_lies_below_a_folder_counts(place: Place, name: str, made: str) -> None:
    place.make(f"d/old/{made}", own=False)
    assert place.effect(name, "d/old") is Effect.ALLOW
    place.make(f"d/new/{made}")
    found = place.verdict(name, "d/new")
    assert found.effect is Effect.DENY and f"leads to d/new/{made}" in found.matches[0].message
    (place.tree / "d/linked").mkdir()
    (place.tree / "d/linked" / made.partition("/")[0]).symlink_to(place.tree / "d/new" / made.partition("/")[0])
    (place.tree / "d/linked/circle").symlink_to("circle")
    assert place.effect(name, "d/linked") is Effect.DENY


def test_a_loader_does_not_look_into_other_folders(place: Place) -> None:
    place.make("d/sub/libz.so.1")
    assert place.effect("LD_LIBRARY_PATH", "d") is Effect.ALLOW


@pytest.mark.parametrize("name", ["LD_LIBRARY_PATH", "PYTHONHOME"])
def test_a_folder_that_cannot_be_listed_is_not_free(place: Place, name: str) -> None:
    """With the permission to search it a program finds there what it knows the name of."""
    place.make("d/libz.so.1", own=False)
    assert place.effect(name, "d") is Effect.ALLOW
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # permissions hold nobody with the user id 0
    try:
        found = place.verdict(name, "d")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.effect is Effect.DENY and "cannot be told" in found.matches[0].message


def test_a_folder_with_too_many_files_is_not_free(place: Place) -> None:
    place.make("d/0", own=False)
    for number in range(1, 3000):
        os.link(place.tree / "d/0", place.tree / f"d/{number}")
    assert place.effect("LD_LIBRARY_PATH", "d") is Effect.ALLOW
    for number in range(3000, 9000):
        os.link(place.tree / "d/0", place.tree / f"d/{number}")
    assert "cannot be told" in place.verdict("LD_LIBRARY_PATH", "d").matches[0].message


def test_folders_of_perl_are_listed_once_and_not_without_end(place: Place) -> None:
    for number in range(100):
        for inner in range(100):
            (place.tree / f"inc/{number}/{inner}").mkdir(parents=True)
    found = place.verdict("PERL5OPT", "-MNo::Such", PERL5LIB="inc")
    assert found.effect is Effect.DENY and "cannot be told" in found.matches[0].message


def test_debuggers_of_perl_are_modules(place: Place) -> None:
    place.make("inc/5.36.0/Devel/Own.pm")
    assert place.verdict("PERL5OPT", "-d:Own", PERL5LIB="inc").effect is Effect.DENY


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASH_ENV", "/proc/self/cwd/olds/x"),
        ("BASH_ENV", "/proc/thread-self/cwd/x"),
        ("BASH_ENV", "/dev/fd/9"),
        ("BASH_ENV", "/dev/stdin"),
        ("BASH_ENV", "magic/x"),
        ("BASH_ENV", "far/../magic/x"),
        ("BASH_ENV", "{tree}/../../../../../../../../../../dev/fd/9"),
        ("LD_PRELOAD", "/usr/lib/libm.so.6 /proc/self/fd/9"),
        ("LD_LIBRARY_PATH", "/usr/lib:/proc/self/cwd"),
        ("LD_LIBRARY_PATH", "held"),
        ("PERL5OPT", "-Mlib=magic -Mno"),
        ("NODE_OPTIONS", "-r /proc/self/cwd/olds/x"),
        ("NODE_OPTIONS", "--require=./held/libz.so"),
        ("GIT_SSH_COMMAND", "sh /dev/fd/9"),
    ],
)
def test_what_leads_through_proc_or_a_device_cannot_be_told(place: Place, name: str, value: str) -> None:
    """There the supervisor would see its own descriptors and its own working directory."""
    (place.tree / "magic").symlink_to("/proc/self/cwd/olds")
    (place.tree / "far").symlink_to("olds")
    (place.tree / "held").mkdir()
    (place.tree / "held/libz.so").symlink_to("/dev/fd/9")
    found = place.verdict(name, value.format(tree=place.tree))
    assert found.effect is Effect.DENY and "cannot be told" in found.matches[0].message


def test_modules_of_perl_below_a_link_through_proc_cannot_be_told(place: Place) -> None:
    (place.tree / "inc/C").symlink_to("/proc/self/cwd/olds")
    assert "cannot be told" in place.verdict("PERL5OPT", "-MC::D", PERL5LIB="inc").matches[0].message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASH_ENV", "/dev/null"),
        ("LD_PRELOAD", "/dev/null"),
        ("OPENSSL_CONF", "/dev/null"),
        ("JAVA_TOOL_OPTIONS", "-Djava.security.egd=file:/dev/./urandom"),
        ("NODE_OPTIONS", "--max-old-space-size=512"),
        ("GIT_SSH_COMMAND", "true"),
        ("GIT_SEQUENCE_EDITOR", "true"),
        ("NODE_OPTIONS", "--require=old --import ./olds/old.mjs -r node:fs"),
    ],
)
def test_devices_that_hold_nothing_numbers_and_commands_are_free(place: Place, name: str, value: str) -> None:
    for made in ("512", "true"):
        place.make(made)
    place.make("node_modules/old/index.js", own=False)
    place.make("olds/old.mjs", own=False)
    assert place.effect(name, value) is Effect.ALLOW


@pytest.mark.parametrize(
    "options",
    [
        "--require=./m",
        "--require ./m",
        '"--require" "./m"',
        "-r ./linked",
        "-r ./away/../m",
        "-r ./addon",
        "--require=pack",
        "--import=pack/deep/x",
        "--experimental_loader=@scope/one",
        "--require=single",
        "--require=by-path",
        "--require=pack/../../own",
        '--require "./a\\ b.js"',
        "--require=./o'wn.js",
        "--import=./own%2ejs",
        "--import=./own.js?x",
        "--import=#x",
        "--import=data:text/javascript,0",
        "--import=itself",
        "--require=./not-yet",
        "--require=not-yet",
    ],
)
def test_modules_that_node_is_told_to_load_are_found_like_node_finds_them(place: Place, options: str) -> None:
    for made in ("m/index.js", "addon.node", "o'wn.js", "a b.js", "mods/by-path/index.js"):
        place.make(made)
    for made in ("pack/lib/main.js", "@scope/one/index.js", "single.js"):
        place.make(f"node_modules/{made}")
    (place.tree / "linked").symlink_to("m")
    (place.tree / "away").symlink_to("/usr/lib")
    (place.tree / place.make("package.json", own=False)).write_text('{"name": "itself", "exports": "./own.js"}')
    assert place.verdict("NODE_OPTIONS", options, NODE_PATH="mods").effect is Effect.DENY


def test_packages_are_looked_for_upwards(place: Place) -> None:
    place.make("node_modules/m/index.js")
    place.tree = place.tree / "olds"
    assert "leads to node_modules/m/index.js" in place.verdict("NODE_OPTIONS", "--require=m").matches[0].message


@pytest.mark.parametrize(("name", "value"), [("LD_DEBUG", "all"), ("BASH_FUNC_ls%%", "() { :; }")])
def test_switches_of_the_loader_and_functions_stay_dropped(place: Place, name: str, value: str) -> None:
    (match,) = place.verdict(name, value).matches
    assert match.invariant.id == "scope.env" and name in match.message


def test_a_variable_that_the_profile_drops_is_not_put_back(place: Place) -> None:
    found = place.verdict("RUBYOPT", "-W0")
    assert found.effect is Effect.DENY and found.matches[0].invariant.id == "scope.env"
    assert found.matches[0].invariant.source == "govrun.toml:5"


def test_without_the_keys_nothing_is_asked() -> None:
    assert not policy_of().injection
    assert not policy_of('version = 1\n[scope]\nwhy = "w"\ntools = { mcp = [] }\n').injection
    only_credentials = policy_of('version = 1\n[scope]\nwhy = "w"\nenv = { drop = ["ACME_*"] }\n')
    assert not only_credentials.injection
    everything = policy_of('version = 1\n[scope]\nwhy = "w"\nenv = { drop = ["P*"] }\n')
    assert everything.injection and not everything.injection.asks("PATH") and everything.injection.asks("PERL5OPT")
    event = ExecEvent(ACTOR, Target(TREE + b"/x", Kind.FILE), b"x", (b"x",), TREE, "call")
    assert decide(policy_of(), NO_STATE, event).effect is Effect.ALLOW


def test_all_words_count_at_the_stop(place: Place) -> None:
    """Of a real process: its environment may hold a name twice, and a loader takes another one than getenv."""
    import subprocess
    import time

    script = (
        "import ctypes, sys; c = ctypes.CDLL(None); a = lambda *w: (ctypes.c_char_p * (len(w) + 1))(*w, None); "
        "c.execve(b'/bin/sleep', a(b'sleep', b'60'), a(b'LD_AUDIT=', b'LD_AUDIT=own.so', b'X=' + b'y' * 100000))"
    )
    with subprocess.Popen(["/usr/bin/python3", "-c", script], stderr=subprocess.DEVNULL) as process:
        try:
            # The image comes before its environment does.
            while b"LD_AUDIT=" not in Path(f"/proc/{process.pid}/environ").read_bytes():
                time.sleep(0.01)
            sleep = Target(b"/bin/sleep", Kind.FILE)
            event = ExecEvent(ACTOR, sleep, b"sleep", (b"sleep", b"60"), os.fsencode(place.tree), "stop")
            told = Injection({}).of(place.policy, event, process.pid, dict, place.record, lambda: None)
        finally:
            process.kill()
    assert told.injected == (("LD_AUDIT", os.fsencode(place.tree / "own.so")),)
