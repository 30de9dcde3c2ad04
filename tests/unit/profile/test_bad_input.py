"""What is wrong in a profile is told with its line, in one go, and nothing is taken."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from supervisor.profile.load import load
from supervisor.vocabulary.errors import ProfileError


def problems_of(tree: Path, text: str | bytes | None = None, **options: object) -> list[str]:
    if text is not None:
        data = text.encode() if isinstance(text, str) else text
        (tree / "govrun.toml").write_bytes(data)
    with pytest.raises(ProfileError) as caught:
        load(tree, **options)
    assert caught.value.exit_code == 125
    assert caught.value.fix
    return caught.value.why.splitlines()


WHY = 'id = "a"\nwhy = "w"\n'

# profile text, and the beginning of the only line that must be told
TABLE = [
    ("version = 2", 'govrun.toml:1: "version" must be 1'),
    ("version = true", 'govrun.toml:1: "version" must be 1'),
    ("\n[scope]\nhots = []", 'govrun.toml:3: unknown key "hots" in [scope] (did you mean "hosts"?)'),
    ("scop = {}", 'govrun.toml:1: unknown key "scop" in the top level (did you mean "scope"?)'),
    ('\n[[deny]]\nid = "x"', "govrun.toml:2: unknown kind [[deny]]"),
    ('[[dependancy]]\nid = "x"', 'govrun.toml:1: unknown kind [[dependancy]] (did you mean "dependency"?)'),
    ("[[scope]]\nwrite = []", "govrun.toml:1: there is one scope: write [scope], not [[scope]]"),
    ("scope = 3", 'govrun.toml:1: "scope" must be a table, not a number'),
    ("[scope]\nwrite = 'src/**'", 'govrun.toml:2: "write" must be a list, not a string'),
    ("[scope]\nwrite = [\n 'a',\n 5,\n]", 'govrun.toml:4: "write" must be a string, not a number'),
    ("[scope]\nwrite = ['a', '!b']", 'govrun.toml:2: "!b": "!" is not taken in globs; list the exception in "except"'),
    ("[scope]\nwrite = ['../x']", 'govrun.toml:2: "../x": "." and ".." never match'),
    ("[scope]\nhide = ['~root/x']", 'govrun.toml:2: "~root/x": write "~/folder/**"'),
    ("[scope]\nhide = ['~/**']", 'govrun.toml:2: "~/**": write "~/folder/**"'),
    ("[scope]\nhide = ['']", 'govrun.toml:2: "hide" must not be empty'),
    ("[scope]\nthen = 'revert'", 'govrun.toml:2: "then" is "revert"; it takes: observe, warn'),
    ("[scope]\nthen = 'denny'", 'govrun.toml:2: "then" is "denny" (did you mean "deny"?)'),
    ("[scope]\nhosts = ['example.com']", 'govrun.toml:2: "example.com" has no port'),
    ("[scope]\nhosts = ['a:0']", 'govrun.toml:2: "a:0": the port must be 1 to 65535 or *'),
    ("[scope]\nhosts = ['a:65536']", 'govrun.toml:2: "a:65536": the port must be'),
    ("[scope]\nhosts = ['10.0.0.0/33:1']", 'govrun.toml:2: "10.0.0.0/33:1":'),
    ("[scope]\nhosts = ['10.0.0.1/8:1']", 'govrun.toml:2: "10.0.0.1/8:1":'),
    ("[scope]\nhosts = ['300.0.0.1:1']", 'govrun.toml:2: "300.0.0.1:1":'),
    ("[scope]\nhosts = ['::1:80']", 'govrun.toml:2: "::1:80": write an IPv6 address as [address]:port'),
    ("[scope]\nhosts = ['https://a.example/']", 'govrun.toml:2: "https://a.example/": write host:port, not a URL'),
    ("[scope]\nhosts = ['unix:run/x']", 'govrun.toml:2: "unix:run/x": write unix:/absolute/path'),
    ("[scope]\nhosts = ['registry:pipy']", 'govrun.toml:2: unknown registry "pipy" (did you mean "pypi"?)'),
    ("[scope]\ntls = ['unix:/x']", 'govrun.toml:2: "unix:/x": TLS is terminated at host:port'),
    ("[scope]\ncommands = ['git push']", 'govrun.toml:2: "git push": scope.commands names executables'),
    ("[scope]\nenv = { drop = ['A B'] }", 'govrun.toml:2: "A B" is not a variable\'s name'),
    ("[scope]\nenv = { set = { A = 1 } }", 'govrun.toml:2: "env.set.A" must be a string, not a number'),
    ("[scope]\nenv = { set = { 'A*' = '1' } }", 'govrun.toml:2: "A*": a variable that is set needs its full name'),
    ("[scope.env]\nkeep = []", 'govrun.toml:2: unknown key "keep" in "env"'),
    ("[scope]\ntimeout = '2 weeks'", 'govrun.toml:2: "timeout" is "2 weeks"; write it like'),
    ("[scope]\ntimeout = 0", 'govrun.toml:2: "timeout" must be above 0'),
    ("[scope]\ntimeout = -1", 'govrun.toml:2: "timeout" must be above 0'),
    ("[scope]\ntimeout = true", 'govrun.toml:2: "timeout" must be a string such as'),
    ("[scope]\ntimeout = inf", 'govrun.toml:2: "timeout" must be a string such as'),
    ("[scope]\nmemory = '2 GX'", 'govrun.toml:2: "memory" is "2 GX"; write it like'),
    ("[scope]\nprocesses = 0", 'govrun.toml:2: "processes" must be 1 or more'),
    ("[scope]\ndebug = 'yes'", 'govrun.toml:2: "debug" must be true or false, not a string'),
    ("[scope]\npull_requests = { bas = 'main' }", 'govrun.toml:2: unknown key "bas" in "pull_requests"'),
    ("[scope]\nid = 'x'", 'govrun.toml:2: unknown key "id" in [scope]'),
    ("extends = ['pack:defualt']", 'govrun.toml:1: "pack:defualt" does not exist (did you mean "pack:default"?)'),
    ("extends = [\n'pack:default',\n'pack:../x',\n]", 'govrun.toml:3: "pack:../x" is not a pack'),
    ("extends = ['other.toml']", 'govrun.toml:1: "other.toml" is not a pack'),
    ("extends = 'pack:default'", 'govrun.toml:1: "extends" must be a list, not a string'),
    ("relax = ['pack:default/x']", 'govrun.toml:1: "x" is not a deny of pack:default'),
    (
        "relax = ['pack:default/scope.hid']",
        'govrun.toml:1: "scope.hid" is not a deny of pack:default (did you mean "sc',
    ),
    ("relax = ['pack:strict/scope.hosts']", 'govrun.toml:1: "pack:strict" is not in use'),
    ("relax = ['scope.hide']", 'govrun.toml:1: "scope.hide": write "pack:NAME/ID"'),
    ("default = { then = 'revert' }", 'govrun.toml:1: "default.then" is "revert"; it takes:'),
    ("default = { ask = 'tty' }", 'govrun.toml:1: "default.ask" is "tty"; it takes: auto, wait, deny'),
    ("require = 'enforce'", 'govrun.toml:1: "require" is "enforce" (did you mean "enforced"?)'),
    ("adr_dir = '../adr'", 'govrun.toml:1: "adr_dir": "../adr" must lie inside the tree'),
    ("adr_dir = 'nowhere'", 'govrun.toml:1: "adr_dir": "nowhere" is not a folder'),
    ("[[rule]]\nwhy = 'w'\nmatch = 'true'", 'govrun.toml:1: [[rule]] needs an "id"'),
    ("[[rule]]\nid = 'a'\nmatch = 'true'", 'govrun.toml:1: [[rule]] needs "why" or "adr"'),
    (f"[[rule]]\n{WHY}", 'govrun.toml:1: [[rule]] needs "match"'),
    ("[[rule]]\nid = 'scope.write'\nwhy = 'w'\nmatch = 'x'", 'govrun.toml:2: "scope.write": ids that begin'),
    ("[[rule]]\nid = 'a/b'\nwhy = 'w'\nmatch = 'x'", 'govrun.toml:2: "a/b" is not an id'),
    (f"[[rule]]\n{WHY}match = 'x'\nuntil = 2020-02-30", "govrun.toml:5: is not valid TOML: Invalid date"),
    (f"[[rule]]\n{WHY}match = 'x'\nuntil = 2020-02-20", "govrun.toml:5: expired on 2020-02-20"),
    (f"[[rule]]\n{WHY}match = 'x'\nuntil = 'soon'", 'govrun.toml:5: "until" is "soon"; write a date'),
    (f"[[rule]]\n{WHY}match = 'x'\nadr = 7", 'govrun.toml:5: "adr" is a number; write it in quotes: "0007"'),
    (f"[[rule]]\n{WHY}match = 'x'\nbaseline = 'none'", 'govrun.toml:5: "baseline" has no meaning in [[rule]]'),
    (f"[[dependency]]\n{WHY}deny = ['requests']", 'govrun.toml:4: "requests" names no ecosystem'),
    (f"[[dependency]]\n{WHY}deny = ['pipy:a']", 'govrun.toml:4: unknown ecosystem "pipy" (did you mean "pypi"?)'),
    (f"[[dependency]]\n{WHY}deny = ['pypi:a<2']", 'govrun.toml:4: "pypi:a<2": put a space between'),
    (f"[[dependency]]\n{WHY}deny = ['pypi:a two']", 'govrun.toml:4: "pypi:a two": "two" is not a version range'),
    (f"[[dependency]]\n{WHY}only_via = ['a']\ninstall = 'lock-only'", 'govrun.toml:4: "only_via" needs "deny"'),
    (f"[[dependency]]\n{WHY}transitive = true", 'govrun.toml:1: [[dependency]] needs one of "deny", "allow_only"'),
    (f"[[dependency]]\n{WHY}deny = ['pypi:a']\npaths = ['~/x']", 'govrun.toml:5: "~/x": "~" is taken in [scope] and'),
    (f"[[dependency]]\n{WHY}deny = ['pypi:a']\nmax = {{}}", 'govrun.toml:5: unknown key "max" in [[dependency]]'),
    (f"[[deploy]]\n{WHY}deny = ['deplyo']", 'govrun.toml:4: unknown class "deplyo" (did you mean "deploy"?)'),
    (f"[[deploy]]\n{WHY}deny = ['deploy']\nthen = 'revert'", 'govrun.toml:5: "revert" has no meaning here: [[deploy]]'),
    (f"[[deploy]]\n{WHY}deny = [{{ class = 'deploy', exec = 'x' }}]", 'govrun.toml:4: "deny": a table holds "class"'),
    (f"[[command]]\n{WHY}deny = ['vcs-remot']", 'govrun.toml:4: unknown class "vcs-remot" (did you mean "vcs-remote"'),
    (f"[[secrets]]\n{WHY}patterns = ['(']", 'govrun.toml:4: "(" is not a regular expression'),
    (f"[[boundary]]\n{WHY}deny = ['a/** > b/**']", 'govrun.toml:4: "a/** > b/**": write "from/** -> to/**"'),
    (f"[[boundary]]\n{WHY}layers = ['a/**']", 'govrun.toml:4: "layers" needs two globs or more'),
    (f"[[infra]]\n{WHY}files = ['a']\nmust = 1\napi = [{{ host = 'a' }}]", 'govrun.toml:4: "files" and "api" exclude'),
    (f"[[infra]]\n{WHY}files = ['a']", 'govrun.toml:1: [[infra]] with "files" needs "must" or "never"'),
    (f"[[infra]]\n{WHY}files = ['a']\nmust = 'regex:('", 'govrun.toml:5: "(" is not a regular expression'),
    (f"[[infra]]\n{WHY}files = ['a']\nmust = 'range:9..1'", 'govrun.toml:5: "range:9..1": write range:LOW..HIGH'),
    (f"[[infra]]\n{WHY}api = [{{ host = 'a' }}]\nthen = 'revert'", 'govrun.toml:5: "revert" has no meaning here'),
    (
        f"[[infra]]\n{WHY}files = ['a']\nmust = 1\npaths = ['b']",
        'govrun.toml:6: "paths" has no meaning in [[infra]]; us',
    ),
    (f"[[data]]\n{WHY}paths = ['*.csv']", 'govrun.toml:1: [[data]] with "paths" needs "access"'),
    (f"[[data]]\n{WHY}service = 'postgres://db:5432'", 'govrun.toml:4: "service" needs "allow" or "deny"'),
    (f"[[data]]\n{WHY}service = 'postgres://u:p@db:5432'\nallow = ['read']", 'govrun.toml:4: "service" must not carry'),
    (f"[[data]]\n{WHY}service = 'postgres://db'\nallow = ['read']", 'govrun.toml:4: "db" has no port'),
    (
        f"[[data]]\n{WHY}service = 'mysql://db:1'\nallow = ['reed']",
        'govrun.toml:5: unknown effect "reed" (did you mean',
    ),
    (f"[[data]]\n{WHY}service = 'mysql://db:1'\nallow = ['read a b']", 'govrun.toml:5: "read a b": write "EFFECT'),
    (f"[[remediation]]\n{WHY}attempts = 0", 'govrun.toml:4: "attempts" must be 1 or more'),
    (f"[[remediation]]\n{WHY}must = ['no-rise']", 'govrun.toml:4: "must" is "no-rise"'),
    (f"[[guardrail]]\n{WHY}max = {{ file = 1 }}\nper = 'run'", 'govrun.toml:4: unknown key "file" in "max" (did you m'),
    (f"[[guardrail]]\n{WHY}max = {{ files = 1 }}", 'govrun.toml:4: "max" needs "per"'),
    (f"[[guardrail]]\n{WHY}max = {{ files = 1, depth = 2 }}", 'govrun.toml:4: "max" needs "per"'),
    (f"[[guardrail]]\n{WHY}max = {{ depth = 0 }}", 'govrun.toml:4: "max.depth" must be 1 or more'),
    (f"[[guardrail]]\n{WHY}max = {{ depht = 2 }}\nper = 'run'", 'govrun.toml:4: unknown key "depht" in "max" (did'),
    (f"[[guardrail]]\n{WHY}max = {{ files = 1 }}\nper = 'week'", 'govrun.toml:5: "per" is "week"; it takes "action"'),
    (f"[[guardrail]]\n{WHY}max = {{ files = 1 }}\nper = '0s'", 'govrun.toml:5: "per" must be above 0'),
    ("[[contract]]\nid='a'\nwhen='stop'\nrun=['x']", 'govrun.toml:1: [[contract]] needs "proves"'),
    ("[[contract]]\nid='a'\nwhen='end'\nproves=['scope.hide']\nrun=['x']", 'govrun.toml:3: "when" is "end"; it takes'),
    (
        "[[contract]]\nid='a'\nwhen='stop'\nproves=['b']\nrun=['x']",
        'govrun.toml:1: contract "a" proves "b", which is no',
    ),
    ("[[contract]]\nid='a'\nwhen='stop'\nproves=['scope.hide']\ntry={exec='x'}", 'govrun.toml:5: "try" needs "expect"'),
    (
        "[[contract]]\nid='a'\nwhen='stop'\nproves=['scope.hide']\ntry={exec='x',query='y'}\nexpect='deny'",
        'govrun.toml:5: "try" holds exactly one of',
    ),
    (
        "[[contract]]\nid='a'\nwhen='stop'\nproves=['scope.hide']\nrun=['x']\nthen='deny'",
        'govrun.toml:6: "then" has no meaning in [[contract]]',
    ),
    (
        f"[[rule]]\n{WHY}match='x'\n[[rule]]\n{WHY}match='y'",
        'govrun.toml:5: duplicate id "a", already used at govrun.toml:1',
    ),
    (
        f"[[rule]]\n{WHY}match='x'\nexamples={{ denied=['git \"push'] }}",
        'govrun.toml:5: "git "push" is not a command line',
    ),
    (
        f"[[rule]]\n{WHY}match='x'\nexamples={{ denied=['write src'] }}",
        'govrun.toml:5: "write src": write an example as',
    ),
    (
        f"[[rule]]\n{WHY}match='x'\nexamples={{ deny=[] }}",
        'govrun.toml:5: unknown key "deny" in "examples" (did you mean',
    ),
]


@pytest.mark.parametrize(("text", "told"), TABLE)
def test_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    lines = problems_of(tmp_path, text)
    assert [line for line in lines if line.startswith(told)], lines
    assert len(lines) == 1, lines


def test_all_at_once_in_line_order(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, "version = 2\n[scope]\nhots = []\nwrite = 1\n[[deny]]\nid = 'x'\n")
    assert [line.split(": ")[0] for line in lines] == [f"govrun.toml:{n}" for n in (1, 3, 4, 5)]


def test_control_and_bidi_characters_are_escaped(tmp_path: Path) -> None:
    (line,) = problems_of(tmp_path, '"a\\u202e\\u001b[31m" = 1')
    assert line.startswith('govrun.toml:1: unknown key "a\\u202e\\x1b[31m" in the top level')


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a = [1\nb = 2\n", "govrun.toml:2: is not valid TOML: "),
        (b'version = 1\nx = "', "govrun.toml:2: is not valid TOML: "),
        (b"version = 1\nversion = 1\n", "govrun.toml:2: is not valid TOML: "),
        (b"\xef\xbb\xbfversion = 1", "govrun.toml:1: starts with a byte order mark"),
        ("version = 1".encode("utf-16"), "govrun.toml:1: starts with a byte order mark"),
        (b"version = 1\n# caf\xe9", "govrun.toml:2: is not UTF-8 (byte 0xe9)"),
        (b"\nx = " + b"[" * 60_000, "govrun.toml:2: is nested too deeply"),
        (b"x = " + b"{a=" * 60_000, "govrun.toml:1: is nested too deeply"),
        (b"a." * 100_000 + b"a = 1", "govrun.toml:1: is nested too deeply"),
        (b"x = { " + b"'a' . " * 40_000 + b"a = 1 }", "govrun.toml:1: is nested too deeply"),
        (b"[" + b"a." * 100_000 + b"a]", "govrun.toml:1: is nested too deeply"),
        (b"version = " + b"1" * 5000, "govrun.toml:1: is not valid TOML: "),
        (b"#" * (5 << 20), "govrun.toml: is larger than 256 KiB"),
        (b"a\0 = 1", "govrun.toml:1: is not valid TOML: "),
    ],
)
def test_not_a_toml_document(tmp_path: Path, data: bytes, told: str) -> None:
    (line,) = problems_of(tmp_path, data)
    assert line.startswith(told)


def test_special_files(tmp_path: Path) -> None:
    place = tmp_path / "govrun.toml"
    real = tmp_path / "real.toml"
    real.write_text("version = 1\n")
    place.symlink_to(real)
    assert problems_of(tmp_path) == ["govrun.toml: is a symbolic link; put the file itself here"]
    place.unlink()
    place.symlink_to(tmp_path / "gone")
    assert problems_of(tmp_path) == ["govrun.toml: is a symbolic link; put the file itself here"]
    place.unlink()
    os.mkfifo(place)
    assert problems_of(tmp_path) == ["govrun.toml: is a FIFO, not a regular file"]
    place.unlink()
    place.mkdir()
    assert problems_of(tmp_path) == ["govrun.toml: is a directory, not a regular file"]
    place.rmdir()
    here = os.getcwd()
    os.chdir(tmp_path)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("govrun.toml")
            assert problems_of(tmp_path) == ["govrun.toml: cannot be opened: No such device or address"]
    finally:
        os.chdir(here)


@pytest.mark.needs("user")
def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "govrun.toml").write_text("version = 1")
    (tmp_path / "govrun.toml").chmod(0)
    assert problems_of(tmp_path) == ["govrun.toml: cannot be opened: Permission denied"]


def test_named_profile_must_exist(tmp_path: Path) -> None:
    assert problems_of(tmp_path, profile=tmp_path / "team.toml") == ["team.toml: does not exist"]


def test_unknown_extra_pack(tmp_path: Path) -> None:
    (line,) = problems_of(tmp_path, extra_packs=["stric"])
    assert line.startswith('--pack: "pack:stric" does not exist (did you mean "pack:strict"?)')


def test_many_errors_stay_readable(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, "[scope]\n" + "".join(f"k{n} = 1\n" for n in range(500)))
    assert len(lines) == 51
    assert lines[-1] == "and 450 more"
