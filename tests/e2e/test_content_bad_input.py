"""Input that content rules were not made for: clear answers, bounded time, nothing let through, nothing innocent lost."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import git

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = """
version = 1
[[dependency]]
id   = "one-http-client"
why  = "one client, one place for time-outs"
deny = ["pypi:requests", "npm:lodash"]
use  = "httpx"
"""


@pytest.fixture
def shop(repo: Path, govrun: Govrun) -> Path:
    (repo / "govrun.toml").write_text(PROFILE)
    (repo / "requirements.txt").write_text("httpx>=0.27\nattrs\n")
    (repo / "package.json").write_text('{"name": "shop", "version": "1.0.0"}\n')
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "shop")
    return repo


def python(govrun: Govrun, home: Path, code: str, timeout: float = 60) -> Outcome:
    (home / "probe.py").write_text("import json, os, subprocess, time\n" + code)
    return govrun("python3", home / "probe.py", timeout=timeout)


# ---- what a file may hold ----------------------------------------------------------------------------------------

WRITE = """
name, data = {name!r}, {data}
with open(name, "wb") as file:
    file.write(data)
subprocess.run(["/bin/true"])
print(json.dumps(os.path.exists(name) and open(name, "rb").read() == data))
"""
LOCK = """(b'{"name":"s","lockfileVersion":3,"packages":{"":{"name":"s"},' + b','.join(b'"node_modules/p%d":{"version":"1.0.%d",
"resolved":"https://packages.example.com/p/-/p-1.tgz","integrity":"sha512-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'
% (i, i) for i in range(280000))""".replace("\n", "")
HELD: dict[str, tuple[str, str, bool | None]] = {  # True: it stays; None: that depends on how long it takes
    "minified": ("src/a.js", "b'a.push(function(x){return x+1});' * 32000 + b'require(\"lodash\")'", False),
    "minified, the word alone": ("src/a.js", "b'a.push(function(x){return x+\"lodash\"});' * 26000", True),
    "minified, without": ("src/a.js", "b'a.push(function(x){return x+1});' * 32000", True),
    "binary": ("src/a.py", "bytes(range(256)) * 4096 + b'requests'", True),
    "binary, with an import": ("src/a.py", "bytes(range(128)) * 4096 + b'\\nimport requests\\n'", None),
    "NUL": ("src/a.py", "b'\\0' * 1000 + b'import requests'", False),
    "one long line": ("src/a.py", "b'x = [' + b'1,' * 500000 + b']\\nimport requests\\n'", False),
    "UTF-16": ("src/a.py", "'import requests'.encode('utf-16')", False),
    "UTF-7": ("src/a.py", "b'# coding: utf-7\\nimport +AHIAZQBxAHUAZQBzAHQAcw-\\n'", False),
    "nested deeply": ("src/a.py", "b'import requests\\nx = ' + b'[' * 900000", False),
    "too large": ("src/a.py", "b'import requests\\n' + b'#' * 3000000", False),
    "50 MB lock": ("package-lock.json", LOCK + " + b'}}')", True),
    "50 MB lock, named": (
        "package-lock.json", LOCK + """ + b',"node_modules/lodash":{"version":"4.17.21"}}}')""", None,
    ),
    "broken JSON": ("package.json", """b'{"dependencies": {"lodash": '""", False),
    "broken TOML": ("pyproject.toml", """b'[project]\\ndependencies = ["requests", '""", False),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD)
def test_odd_content(shop: Path, home: Path, govrun: Govrun, case: str) -> None:
    name, data, stays = HELD[case]
    outcome = python(govrun, home, WRITE.format(name=name, data=data)).ok()
    left = json.loads(outcome.stdout)
    assert stays is None or left == stays, outcome.stderr[-1000:]
    if not left:
        assert "one-http-client" in outcome.stderr


PIECES = {
    "package.json": '{"name": "x", "description": "like lodash", "dependencies": {"lodash-es": "1", "@types/lodash": "4"}}\n',
    "pyproject.toml": '[project]\nname = "x" # no requests\ndependencies = [\n "requests-toolbelt",\n]\ntext = """\nabc\n"""\n',
    "requirements.txt": "httpx\nrequests-toolbelt\nrequests-mock==1\n",
    "environment.yml": "name: x\ndependencies:\n  - requests-mock\n  - pip:\n    - requests-toolbelt\n",
    "setup.cfg": "[options]\ninstall_requires =\n  requests-mock\n  httpx\n",
    "Pipfile": '[packages]\nrequests-mock = "*"\n',
    "uv.lock": 'version = 1\n[[package]]\nname = "requests-toolbelt"\nversion = "1"\n',
    "src/p.py": "import requests_mock\ntext = '''\nimport requests\n'''\n",
    "src/p.js": 'import _ from "lodash-es"; require("lodash.get")\n',
}


@pytest.mark.parametrize("name", PIECES)
def test_a_file_that_is_written_in_pieces(shop: Path, home: Path, govrun: Govrun, name: str) -> None:
    """Whatever lies between two writes while a command starts: half a name is not a name yet."""
    code = f"""
descriptor, data = os.open({name!r}, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), {PIECES[name].encode()!r}
for at in range(0, len(data), 3):
    os.write(descriptor, data[at : at + 3])
    subprocess.run(["/bin/true"])
os.close(descriptor)
subprocess.run(["/bin/true"])
"""
    outcome = python(govrun, home, code).ok()
    assert (shop / name).exists(), outcome.stderr[-1500:]
    assert (shop / name).read_text() == PIECES[name], outcome.stderr[-1500:]


def test_a_shell_that_appends_half_a_line(shop: Path, govrun: Govrun) -> None:
    outcome = govrun(
        "bash", "-c", "(printf requests; /bin/true; printf -- '-mock\\n') >> requirements.txt; /bin/true"
    ).ok()
    assert (shop / "requirements.txt").read_text().endswith("requests-mock\n"), outcome.stderr


# ---- what a name may be -----------------------------------------------------------------------------------------

NAMES = [b"a\nb.py", b"\xff\xfe.py", "\u202egnp.py".encode(), b" .py", b"-rf.py", b"x" * 252 + b".py"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_odd_names(shop: Path, govrun: Govrun, name: bytes) -> None:
    script = b"printf 'import requests\\n' > \"$1\"; /bin/true"
    outcome = govrun("bash", "-c", script, "-", b"src/" + name).ok()
    assert name not in os.listdir(os.fsencode(shop / "src"))
    assert outcome.records(outcome="reverted")


def test_a_manifest_that_is_no_file(shop: Path, govrun: Govrun) -> None:
    script = """
        mkfifo src/requirements.txt; (timeout 5 cat src/requirements.txt > src/got.txt &); echo requests > src/requirements.txt
        mkdir -p q/pyproject.toml; echo requests > q/pyproject.toml/requirements.txt
        ln -s /nowhere src/package.json; echo '{"dependencies": {"lodash": "1"}}' > src/package.json
        echo '{}' > src/real.txt; mkdir r; ln -s ../src/real.txt r/package.json
        echo '{"dependencies": {"lodash": "1"}}' > r/package.json
        /bin/true
    """
    outcome = govrun("bash", "-c", script, timeout=30)
    assert "requests" not in (shop / "q/pyproject.toml/requirements.txt").read_text()  # the entry alone is taken out
    assert "lodash" not in (shop / "r/package.json").read_text(), outcome.stderr
    assert "lodash" not in (shop / "src/package.json").read_text()  # the link was refused, so this is a file


def test_very_deep_folders(shop: Path, home: Path, govrun: Govrun) -> None:
    """What one call costs grows with its depth, not with a power of it."""
    code = """
path, took = "src", []
for depth in range(400):
    path += "/d"
    start = time.monotonic()
    os.mkdir(path)
    took.append(time.monotonic() - start)
with open(path + "/x.py", "w") as file:
    file.write("import requests")
subprocess.run(["/bin/true"])
print(json.dumps([sorted(took[20:60])[20], sorted(took[-40:])[20], os.path.exists(path + "/x.py")]))
"""
    early, late, left = json.loads(python(govrun, home, code).ok().stdout)
    assert not left
    assert late < early * 40, f"{early * 1000:.2f} ms at 40, {late * 1000:.2f} ms at 380"


# ---- how much, and for how long ---------------------------------------------------------------------------------


def test_writers_that_do_not_close(shop: Path, home: Path, govrun: Govrun) -> None:
    code = """
one, two = os.open("src/two.py", os.O_WRONLY | os.O_CREAT), os.open("src/two.py", os.O_WRONLY)
os.write(one, b"import json\\n"); os.pwrite(two, b"import requests\\n", 0); os.close(two)
subprocess.run(["/bin/true"])
os.write(one, b"import requests\\n")
subprocess.run(["/bin/true"])
file = open("src/never.py", "w")
for _ in range(3):
    file.write("import requests\\n"); file.flush()
    subprocess.run(["/bin/true"])
os._exit(0)
"""
    python(govrun, home, code).ok()
    assert not (shop / "src/two.py").exists()
    assert not (shop / "src/never.py").exists()


@pytest.mark.slow
def test_very_many_violations(shop: Path, home: Path, govrun: Govrun) -> None:
    code = """
for number in range(5000):
    with open(f"src/v{number}.py", "w") as file:
        file.write("import requests\\n")
subprocess.run(["/bin/true"])
print(len(os.listdir("src")))
"""
    outcome = python(govrun, home, code, timeout=100).ok()
    assert int(outcome.stdout) == 1
    assert len(outcome.records(outcome="reverted")) == 5000


@pytest.mark.slow
def test_very_many_open_files(shop: Path, home: Path, govrun: Govrun) -> None:
    """Beyond the limit an open fails with ENFILE; what is open already is judged."""
    code = """
import errno, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
opened, failed = [], 0
for number in range(5000):
    try:
        opened.append(os.open(f"src/v{number}.py", os.O_WRONLY | os.O_CREAT))
    except OSError as error:
        assert error.errno in (errno.ENFILE, errno.EMFILE), error
        failed += 1
for each in opened:
    os.write(each, b"import requests\\n")
subprocess.run(["/bin/true"])
print(json.dumps([len(opened), failed]))
"""
    outcome = python(govrun, home, code, timeout=100).ok()
    opened, failed = json.loads(outcome.stdout)
    assert opened + failed == 5000
    assert not [each for each in (shop / "src").glob("v*.py") if each.read_bytes()]


# ---- where the tree lies ----------------------------------------------------------------------------------------

PLACES = {
    "tmpfs": "mount -t tmpfs t m",
    "overlay": "mount -t tmpfs t m; mkdir m/u m/w m/l m/m; mount -t overlay o -o lowerdir=m/l,upperdir=m/u,workdir=m/w m/m; "
    "mount --move m/m m",
    "full": "mount -t tmpfs -o size=2m t m",
}
BREAK = "echo 'import requests' > src/n.py; echo 'import requests' >> src/app.py; echo requests >> requirements.txt; /bin/true"
FULL = "dd if=/dev/zero of=src/fill bs=1k count=4000 status=none; echo 'import requests' >> src/app.py; /bin/true; touch src/late"


def placed(govrun: Govrun, shop: Path, place: str, script: str, after: str) -> subprocess.CompletedProcess[str]:
    """The tree on another file system, in a mount namespace of its own; ``after`` runs there, too."""
    shell = f"""
        cd {shop.parent}; mkdir m; {PLACES[place]}; cp -a {shop}/. m/ && mount --bind m {shop} && cd {shop}
        "$@"; echo "exit $?"; {after}; find . -name '.govrun-*' | grep . && echo LEFTOVER; true
    """
    words = ["unshare", "-m", "bash", "-c", shell, "-", *govrun.argv("--", "bash", "-c", script)]
    return subprocess.run(words, env=govrun.env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.mark.needs("root")
@pytest.mark.parametrize("place", ["tmpfs", "overlay"])
def test_other_file_systems(shop: Path, govrun: Govrun, place: str) -> None:
    done = placed(govrun, shop, place, BREAK, "cat src/app.py requirements.txt; ls src")
    assert "exit 0" in done.stdout, done.stderr
    assert "LEFTOVER" not in done.stdout
    assert done.stdout.splitlines()[1:] == ["def answer() -> int:", "    return 42", "httpx>=0.27", "attrs", "app.py"]


@pytest.mark.needs("root")
def test_no_space_for_the_revert(shop: Path, govrun: Govrun) -> None:
    """Then the violation cannot be taken back: the run is stopped, and says so."""
    (shop / "src/app.py").write_text("# kept\n" * 100000)
    git(govrun, shop, "commit", "-qam", "large")
    done = placed(govrun, shop, "full", FULL, "ls src")
    assert "exit 122" in done.stdout or "import requests" not in done.stdout, done.stderr[-1000:]
    assert "late" not in done.stdout
    assert "LEFTOVER" not in done.stdout


@pytest.mark.needs("root")
def test_files_of_others(shop: Path, govrun: Govrun) -> None:
    os.chown(shop / "src/app.py", 1234, 1234)
    os.chmod(shop / "src/app.py", 0o666)
    outcome = govrun("bash", "-c", "echo 'import requests' >> src/app.py; /bin/true")
    assert "requests" not in (shop / "src/app.py").read_text(), outcome.stderr


# ---- ordinary work on files that hold what was tolerated --------------------------------------------------------


@pytest.fixture
def old(shop: Path, govrun: Govrun) -> Path:
    (shop / "src" / "old.py").write_text("import requests\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "old")
    return shop


SAVES = {
    "aside first": "cp src/old.py src/.swp; echo '# more' >> src/.swp; mv src/old.py src/old.py~; mv src/.swp src/old.py",
    "over": "cp src/old.py src/.swp; echo '# more' >> src/.swp; mv src/.swp src/old.py",
    "removed first": "cp src/old.py src/.swp; rm src/old.py; echo '# more' >> src/.swp; mv src/.swp src/old.py",
    "in place": "cp src/old.py src/.swp; echo '# more' >> src/.swp; cat src/.swp > src/old.py",
    "backup link": "cp src/old.py src/.swp; ln src/old.py src/old.bak; echo '# more' >> src/.swp; mv src/.swp src/old.py",
    "through the temporary folder": "t=$(mktemp -d); mv src/old.py $t/; echo '# more' >> $t/old.py; mv $t/old.py src/old.py",
}


@pytest.mark.parametrize("how", SAVES)
def test_editors_save_what_was_tolerated(old: Path, govrun: Govrun, how: str) -> None:
    outcome = govrun("bash", "-ec", SAVES[how])
    assert outcome.code == 0, outcome.stderr
    assert (old / "src" / "old.py").read_text() == "import requests\n# more\n", outcome.stderr


def test_a_linked_worktree_of_a_colleague(shop: Path, govrun: Govrun) -> None:
    git(govrun, shop, "switch", "-qc", "colleague")
    (shop / "src" / "theirs.py").write_text("import requests\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "theirs")
    git(govrun, shop, "switch", "-q", "main")
    outcome = govrun("bash", "-ec", "git worktree add -q wt colleague; git -C wt status --short").ok()
    assert outcome.stdout == b"", outcome.stderr


def test_the_inspector_ends_in_the_middle(old: Path, home: Path, govrun: Govrun) -> None:
    """Killed from outside, it is started again; nothing is let through meanwhile."""
    import psutil

    code = """
for number in range(600):
    with open(f"src/v{number}.py", "w") as file:
        file.write("import requests\\n")
    time.sleep(.005)
subprocess.run(["/bin/true"])
"""
    (home / "probe.py").write_text("import json, os, subprocess, time\n" + code)
    running = govrun.start("python3", home / "probe.py")
    time.sleep(1.5)  # before its exec the agent looks like the inspector
    end = time.monotonic() + 20
    killed = 0
    while running.process.poll() is None and time.monotonic() < end and killed < 3:
        time.sleep(0.3)
        try:
            supervisor = psutil.Process(running.process.pid).children()[0]
            mine = supervisor.exe()
            for each in supervisor.children():
                if each.exe() == mine and each.cmdline() == supervisor.cmdline():
                    each.kill()
                    killed += 1
        except (psutil.Error, IndexError):
            continue
    outcome = running.wait(60)
    assert outcome.code == 0, outcome.stderr[-1000:]
    assert not list((old / "src").glob("v*.py"))
