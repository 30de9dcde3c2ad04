"""Forbidden packages: refused at the command, taken back in manifests, sources and on disk, while the run goes on."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.run.fresh import was_there
from tests.e2e.rule_kit import git, until

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
PYPROJECT = """[project]
name = "shop"   # kept
version = "1"
dependencies = [
    "httpx>=0.27",
    # a comment
    "attrs",
]
"""
PACKAGE = {"name": "shop", "version": "1.0.0", "dependencies": {"is-number": "^7.0.0"}}


@pytest.fixture
def shop(repo: Path, govrun: Govrun) -> Path:
    (repo / "govrun.toml").write_text(PROFILE)
    (repo / "pyproject.toml").write_text(PYPROJECT)
    (repo / "requirements.txt").write_text("httpx>=0.27\nattrs\n")
    (repo / "package.json").write_text(json.dumps(PACKAGE, indent=2) + "\n")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "shop")
    return repo


def reverted(outcome: Outcome) -> list[dict[str, object]]:
    return outcome.records(phase="outcome", outcome="reverted")


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "pip install requests",
        "pip3 install -q 'requests>=2' httpx",
        "python3 -m pip install --no-input requests==2.31.0",
        "python3 -I -m pip install requests",
        "uv add requests",
        "uv pip install requests",
        "npm i lodash",
        "npm install --save-dev lodash@4",
        "npx lodash",
    ],
)
def test_install_commands_do_not_run(shop: Path, govrun: Govrun, command: str) -> None:
    tools = shop / "bin"
    tools.mkdir()
    for name in ("pip", "pip3", "python3", "uv", "npm", "npx"):
        (tools / name).write_text('#!/bin/sh\ntouch "$RAN"\n')
        (tools / name).chmod(0o755)
    ran = shop / "src" / "ran"
    env = {"PATH": f"{tools}:{govrun.env['PATH']}", "RAN": str(ran)}
    outcome = govrun("bash", "-c", command, env=env)
    assert not ran.exists(), "the tool ran"
    assert outcome.code == 126
    assert "one-http-client" in outcome.stderr
    assert "httpx" in outcome.stderr
    assert outcome.denied("one-http-client") or outcome.records(outcome="blocked", invariant="one-http-client")


def test_other_installs_run(shop: Path, govrun: Govrun) -> None:
    (shop / "bin").mkdir()
    (shop / "bin" / "pip").write_text("#!/bin/sh\necho ran $*\n")
    (shop / "bin" / "pip").chmod(0o755)
    outcome = govrun("bin/pip", "install", "httpx", "requests-toolbelt").ok()
    assert outcome.stdout == b"ran install httpx requests-toolbelt\n"


# ---- content ----------------------------------------------------------------------------------------------------

CASES = {
    "new source": ("echo 'import requests' > src/new.py", "src/new.py", None),
    "appended import": ("echo 'import requests' >> src/app.py", "src/app.py", "def answer() -> int:\n    return 42\n"),
    "from import": ("printf 'from requests.auth import A\\n' >> src/app.py", "src/app.py", "def answer"),
    "dynamic": ("printf 'import importlib\\nimportlib.import_module(\"requests\")\\n' > src/d.py", "src/d.py", None),
    "escaped": ("printf 'x = __import__(\"req\\\\x75ests\")\\n' > src/e.py", "src/e.py", None),
    "requirements": ("printf 'requests==2.31.0\\n' >> requirements.txt", "requirements.txt", "httpx>=0.27\nattrs\n"),
    "requirements, in the middle": ("sed -i '1a requests' requirements.txt", "requirements.txt", "httpx>=0.27\nattrs\n"),
    "pyproject": ("sed -i 's/    \"attrs\",/    \"attrs\",\\n    \"Requests>=2\",/' pyproject.toml", "pyproject.toml", PYPROJECT),
    "package.json": (
        "sed -i 's/\"is-number\": \"^7.0.0\"/\"is-number\": \"^7.0.0\",\\n    \"lodash\": \"^4.0.0\"/' package.json",
        "package.json",
        json.dumps(PACKAGE, indent=2) + "\n",
    ),
    "require": ("echo 'const _ = require(\"lodash\")' > src/a.js", "src/a.js", None),
    "esm": ("echo 'import get from \"lodash/get\"' > src/a.mjs", "src/a.mjs", None),
    "renamed into place": ("echo 'import requests' > src/t.txt; mv src/t.txt src/n.py; true", "src/n.py", None),
    "linked into place": ("echo 'import requests' > src/t.txt; ln src/t.txt src/n.py; true", "src/n.py", None),
    "written through a link": ("touch src/n.py; ln src/n.py src/n.txt; echo 'import requests' > src/n.txt", "src/n.py", ""),
    "by descriptor": ("exec 3> src/n.txt; mv src/n.txt src/n.py; echo 'import requests' >&3; exec 3>&-", "src/n.py", ""),
    "moved folder": ("mkdir d; echo 'import requests' > d/x.txt; mv d/x.txt d/x.py; mv d src/d; true", "src/d/x.py", None),
    "temporary folder": (
        "t=$(mktemp -d); echo 'import requests' > $t/x.py; mv $t src/d; true", "src/d/x.py", None,
    ),
    "truncated and written": ("python3 -c \"f = open('src/app.py', 'w'); f.write('import requests')\"", "src/app.py", "def a"),
    "mapped": (
        (
            "python3 -c \"import mmap,os; f=os.open('src/m.py',os.O_RDWR|os.O_CREAT); os.ftruncate(f,16);"
            " m=mmap.mmap(f,16); os.close(f); m[:]=b'import requests\\n'; m.flush()\""
        ),
        "src/m.py",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_gone_before_the_next_command(shop: Path, govrun: Govrun, name: str) -> None:
    script, path, left = CASES[name]
    see = f"cat {path} 2>/dev/null > src/seen.txt; echo after"
    outcome = govrun("bash", "-c", f"{script}; {see}").ok()
    assert outcome.stdout.endswith(b"after\n")
    seen = (shop / "src" / "seen.txt").read_text()
    assert "requests" not in seen.lower()
    assert "lodash" not in seen
    if left is None:
        assert not (shop / path).exists()
    else:
        assert (shop / path).read_text().startswith(left)
        assert "requests" not in (shop / path).read_text().lower()
    assert "one-http-client" in outcome.stderr
    assert "httpx" in outcome.stderr
    taken_back = reverted(outcome) + outcome.records(outcome="blocked", invariant="one-http-client")
    assert taken_back, outcome.stderr


def test_what_is_left_alone(shop: Path, govrun: Govrun) -> None:
    script = """
        echo 'import httpx' > src/a.py
        echo 'requests = 1  # the word requests' > src/b.py
        echo 'def f(requests): return requests' > src/c.py
        echo 'see import requests' > src/notes.md
        echo 'requests-mock' >> requirements.txt
        git add -A && git commit -qm more
    """
    outcome = govrun("bash", "-ec", script).ok()
    assert not reverted(outcome)
    assert "requests-mock" in (shop / "requirements.txt").read_text()
    assert git(govrun, shop, "log", "-1", "--format=%s") == "more\n"


def test_the_difference_can_be_had(shop: Path, govrun: Govrun) -> None:
    outcome = govrun("bash", "-c", "echo 'import requests  # mine' >> src/app.py; true; ls > /dev/null").ok()
    (record,) = reverted(outcome)
    assert "+import requests  # mine" in str(record["op"]["diff"])
    assert Path(str(record["op"]["quarantine"])).read_text().endswith("import requests  # mine\n")
    assert "+import requests" in outcome.stderr
    intent = next(each for each in outcome.journal if each["seq"] == record["cause"])
    assert intent["invariant"] == "one-http-client"
    assert intent["verdict"] == "revert"


def test_what_the_base_says_is_tolerated(shop: Path, govrun: Govrun) -> None:
    (shop / "src" / "old.py").write_text("import requests\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "old")
    (shop / "src" / "dirty.py").write_text("import requests\n")  # never committed, and found there all the same
    script = "for f in old dirty; do echo '# more' >> src/$f.py; sed -i 's/more/less/' src/$f.py; done; git mv src/old.py src/moved.py"
    outcome = govrun("bash", "-ec", script).ok()
    assert not reverted(outcome)
    assert (shop / "src" / "moved.py").read_text() == "import requests\n# less\n"
    outcome = govrun("bash", "-ec", "cp src/moved.py src/copy.py; ls > /dev/null")
    assert reverted(outcome)
    assert not (shop / "src" / "copy.py").exists()


# ---- on disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "mkdir -p node_modules/lodash",
        "mkdir -p node_modules; mkdir x; mv x node_modules/lodash",
        "mkdir -p x/lodash node_modules; echo 1 > x/lodash/index.js; mv x/lodash node_modules/",
        "mkdir -p x/lodash; echo 1 > x/lodash/index.js; mv x node_modules",
        "mkdir -p node_modules; ln -s ../x node_modules/lodash",
        "mkdir -p v/lib/python3.11/site-packages/requests",
        "mkdir -p v/site-packages; echo > v/site-packages/requests.py",
        "mkdir -p v/site-packages/requests-2.31.0.dist-info",
    ],
)
def test_arrival_on_disk(shop: Path, govrun: Govrun, script: str) -> None:
    outcome = govrun("bash", "-c", f"{script}; true").ok()
    assert not list(shop.glob("node_modules/lodash*"))
    assert not list(shop.glob("**/site-packages/requests*"))
    assert outcome.records(outcome="blocked", invariant="one-http-client"), outcome.stderr


def test_a_version_that_arrived(shop: Path, govrun: Govrun) -> None:
    """Which version comes is known by the package's own manifest: then it goes, whole."""
    (shop / "govrun.toml").write_text(PROFILE.replace('"npm:lodash"', '"npm:lodash <4.17.21"') + "transitive = true\n")
    (shop / ".gitignore").write_text("/node_modules/\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "ranged")
    script = """
        for v in 4.17.20 4.17.21; do
            mkdir -p node_modules/lodash/lib; echo 1 > node_modules/lodash/lib/x.js
            printf '{"name": "lodash", "version": "%s"}' $v > node_modules/lodash/package.json
            ls node_modules/lodash/lib 2> /dev/null; echo $v
        done
    """
    outcome = govrun("bash", "-c", script).ok()
    assert outcome.stdout.decode().splitlines() == ["4.17.20", "x.js", "4.17.21"]
    assert len(reverted(outcome)) == 1


# ---- commits ----------------------------------------------------------------------------------------------------

FORGED = """
b=$(echo 'import requests' | git hash-object -w --stdin)
git update-index --add --cacheinfo 100644,$b,src/forged.py
git commit -qm forged && echo committed
git log -1 --format=%s
"""


def test_content_that_never_was_a_file(shop: Path, govrun: Govrun) -> None:
    outcome = govrun("bash", "-c", FORGED).ok()
    assert b"committed" not in outcome.stdout
    assert outcome.stdout.endswith(b"shop\n")
    assert "one-http-client" in outcome.stderr
    assert git(govrun, shop, "log", "-1", "--format=%s") == "shop\n"


@pytest.mark.parametrize(
    "move",
    [
        "git update-ref refs/heads/evil $c",
        "git branch evil $c",
        "git tag evil $c",
        "git checkout -q --detach $c",
        "git reset -q --soft $c",
        "echo $c > .git/refs/heads/evil",
        "echo $c > .git/refs/heads/main",
        "git update-ref refs/remotes/origin/evil $c",
        "git pack-refs --all; (cat .git/packed-refs; echo $c refs/heads/evil) > p; cp p .git/packed-refs",
        "git fetch -q . $c:refs/heads/evil",
        "mkdir r; echo $c > r/evil; mv r .git/refs/heads/r",
        "echo $c > .git/x; ln .git/x .git/refs/heads/evil",
        "echo $c > .git/x; mv .git/x .git/refs/heads/evil",
    ],
)
def test_no_ref_gets_there(shop: Path, govrun: Govrun, move: str) -> None:
    script = """
        b=$(echo 'import requests' | git hash-object -w --stdin)
        export GIT_INDEX_FILE=.git/other
        git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
        c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
        echo $c > src/forged.txt
    """
    outcome = govrun("bash", "-c", f"{script}\n{move}\ntrue").ok()
    forged = (shop / "src" / "forged.txt").read_text().strip()
    assert len(forged) == 40
    reached = git(govrun, shop, "for-each-ref", "--format=%(objectname)") + git(govrun, shop, "rev-parse", "HEAD")
    assert forged not in reached, outcome.stderr


def test_prior_content_comes_back(shop: Path, govrun: Govrun) -> None:
    git(govrun, shop, "switch", "-qc", "colleague")
    (shop / "src" / "theirs.py").write_text("import requests\n")
    (shop / "src" / "app.py").write_text("import requests\n\ndef answer() -> int:\n    return 42\n")
    git(govrun, shop, "commit", "-qam", "app")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "theirs")
    (shop / "src" / "theirs.py").write_text("print('newer')\n")
    git(govrun, shop, "commit", "-qam", "without")
    git(govrun, shop, "switch", "-q", "main")
    script = """
        git checkout -q colleague~1; cat src/theirs.py
        git checkout -q colleague; cat src/app.py
        git switch -q main; git merge -q --no-edit colleague~1 && cat src/theirs.py
        echo '# mine' >> src/theirs.py
        git commit -qam mine
        echo 'import requests' > src/mine.py
        ls src
    """
    outcome = govrun("bash", "-ec", script).ok()
    assert outcome.stdout.count(b"import requests") == 3, outcome.stderr
    assert (shop / "src" / "theirs.py").read_text() == "import requests\n# mine\n"
    assert not (shop / "src" / "mine.py").exists()
    assert len(reverted(outcome)) == 1
    assert any(each.get("op", {}).get("prior") for each in outcome.journal)


# ---- the agent --------------------------------------------------------------------------------------------------

IN_PROCESS = """
import os, subprocess, sys
sys.stderr = open(os.devnull, "w")
os.dup2(os.open("src/agent.txt", os.O_WRONLY | os.O_CREAT), 2)   # where nobody reads
def edit(path, text):
    with open(path + ".tmp", "w") as file:
        file.write(text)
    try:
        os.replace(path + ".tmp", path)
        return "edited"
    except OSError as error:
        return f"edit failed: {error}"
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return "written"
def command(line):
    return subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
print(write("src/one.py", "import requests\\n"))
print("A:", command("echo next"))
print("B:", edit("src/app.py", "import requests\\n"))
print("C:", command("echo next"))
"""


def test_an_agent_that_writes_in_process_learns_of_it(shop: Path, govrun: Govrun) -> None:
    (shop / "agent.py").write_text(IN_PROCESS)
    outcome = govrun("python3", "agent.py").ok()
    said = outcome.stdout.decode()
    first, second = said[said.index("A:") : said.index("B:")], said[said.index("B:") :]
    assert "one-http-client" in first
    assert "httpx" in first
    assert "+import requests" in first
    assert "edit failed" in second
    assert (shop / "src" / "app.py").read_text().startswith("def answer")


def test_a_kill_takes_back_and_stops(shop: Path, govrun: Govrun) -> None:
    (shop / "govrun.toml").write_text(PROFILE + 'then = "kill"\n')
    outcome = govrun("bash", "-c", "echo 'import requests' > src/new.py; /bin/true; touch src/late")
    assert outcome.code == 122
    assert not (shop / "src" / "new.py").exists()
    assert not (shop / "src" / "late").exists()


@pytest.mark.parametrize("then", ["observe", "warn"])
def test_observe_and_warn_let_it_be(shop: Path, govrun: Govrun, then: str) -> None:
    (shop / "govrun.toml").write_text(PROFILE + f'then = "{then}"\n')
    outcome = govrun("bash", "-c", "echo 'import requests' > src/new.py; echo '# x' >> src/new.py; ls > /dev/null").ok()
    assert (shop / "src" / "new.py").read_text() == "import requests\n# x\n"
    spoke = [each for each in outcome.journal if each.get("invariant") == "one-http-client"]
    assert len(spoke) == 1
    assert "WARNED" in outcome.stderr


def test_rules_of_others_stay_unjudged(shop: Path, govrun: Govrun) -> None:
    (shop / "govrun.toml").write_text(PROFILE.replace('"npm:lodash"', '"cargo:openssl"'))
    govrun("bash", "-c", "echo 'import requests' > src/new.py; mkdir -p node_modules/lodash; ls > /dev/null").ok()
    assert not (shop / "src" / "new.py").exists()
    assert (shop / "node_modules" / "lodash").is_dir()


def test_ignored_paths_are_not_read(shop: Path, govrun: Govrun) -> None:
    (shop / ".gitignore").write_text("/build/\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "ignore")
    outcome = govrun("bash", "-c", "mkdir build; echo 'import requests' > build/x.py; ls > /dev/null").ok()
    assert not reverted(outcome)
    assert (shop / "build" / "x.py").exists()
    assert os.path.exists(shop / "build" / "x.py")


def test_edits_of_the_user_stay_and_are_seen(shop: Path, govrun: Govrun) -> None:
    script = (
        "touch src/ready.txt; while [ ! -e src/go.txt ]; do sleep 0.02; done; echo mine > src/mine.txt; ls > /dev/null"
    )
    running = govrun.start("bash", "-c", script)
    until((shop / "src" / "ready.txt").exists, running)
    (shop / "src" / "user.py").write_text("import requests\n")
    (shop / "README.md").write_text("edited\n")
    (shop / "src" / "go.txt").touch()
    outcome = running.wait()
    assert outcome.code == 0
    assert (shop / "src" / "user.py").read_text() == "import requests\n"
    seen = {Path(str(each["op"]["path"])).name: each for each in outcome.records(kind="external")}
    assert seen.keys() == {"user.py", "README.md", "go.txt"}
    assert seen["user.py"]["verdict"] == "warn"
    assert "user.py" in outcome.stderr
    assert "WARNED" in outcome.stderr


EXCHANGE = (
    'echo x > src/other.py; /usr/bin/python3 -c "import ctypes; '
    "ctypes.CDLL(None).renameat2(-100, b'src/other.py', -100, b'src/app.py', 2)\""
)
BESIDE = """
set -e
mkdir -p src/kept && cd src
for name in edited replaced removed quiet kept/inner; do echo 'import httpx' > $name.py; done
echo a > again.txt; rm again.txt; echo b > moved.txt; mv moved.txt there.txt; chmod 600 quiet.py
echo 'import requests' > bad.py; ls > /dev/null
mkdir dir; echo c > dir/below.txt; mv dir elsewhere
cd ..; touch ready; while [ ! -e go ]; do sleep 0.02; done
"""


def test_what_is_not_as_the_run_left_it_is_a_divergence(shop: Path, govrun: Govrun) -> None:
    (shop / "old").mkdir()
    (shop / "old" / "theirs.txt").touch()
    running = govrun.start("bash", "-c", BESIDE)
    until((shop / "ready").exists, running)
    source = shop / "src"
    with (source / "edited.py").open("a") as file:
        file.write("import requests\n")
    (source / "new").write_text("import httpx  # mine\n")
    (source / "new").rename(source / "replaced.py")
    (source / "removed.py").unlink()
    (source / "again.txt").touch()
    (shop / "old" / "theirs.txt").unlink()
    (shop / "go").touch()
    outcome = running.wait().ok()
    found = outcome.records(kind="external")
    names = {os.path.relpath(str(each["op"]["path"]), shop): each for each in found}
    assert {name for name, each in names.items() if "divergence" in each["op"]} == {
        "src/edited.py", "src/replaced.py", "src/removed.py", "src/again.txt",
    }  # fmt: skip
    assert {name for name, each in names.items() if "divergence" not in each["op"]} == {"go", "old"}
    assert names["src/edited.py"]["verdict"] == "warn"
    assert (source / "edited.py").read_text().endswith("import requests\n")
    assert "external=2 divergence=4" in outcome.stderr and "WARNED" in outcome.stderr


def test_what_the_user_wrote_before_the_run_did_is_theirs(shop: Path, govrun: Govrun) -> None:
    """The agent goes on with a file that the user has just changed: the change stays, is seen, and not committed."""
    script = """
    touch ready; while [ ! -e go ]; do sleep 0.02; done
    echo 'a = 1' >> src/mine.py; echo 'b = 1' >> src/fine.py; mv src/moved.py src/there.py; ls > /dev/null
    git add src/fine.py && git commit -qm fine || exit 3
    git add src/mine.py && git commit -qm mine && exit 4
    git reset -q; git add src/there.py && git commit -qm there && exit 5
    exit 0
    """
    for name in ("mine", "fine", "moved"):
        (shop / "src" / f"{name}.py").write_text("import os\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "three")
    running = govrun.start("bash", "-c", script)
    until((shop / "ready").exists, running)
    for name, line in (("mine", "import requests"), ("fine", "import json"), ("moved", "import requests")):
        with (shop / "src" / f"{name}.py").open("a") as file:
            file.write(line + "\n")
    (shop / "go").touch()
    outcome = running.wait()
    assert outcome.code == 0, outcome.stderr
    assert (shop / "src" / "mine.py").read_text() == "import os\nimport requests\na = 1\n"
    seen = {Path(str(each["op"]["path"])).name: each for each in outcome.records(kind="external")}
    assert seen.keys() == {"mine.py", "fine.py", "moved.py", "go"}
    assert {name for name, each in seen.items() if each.get("verdict") == "warn"} == {"mine.py", "moved.py"}


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("cat /evil > src/new.py", {}),
        ("cat /evil > src/app.py", {"app.py": "import os\n"}),
        ("cat /evil >> src/app.py", {"app.py": "import os\n"}),
        ("(echo a = 1; ls > /dev/null; cat /evil) > src/app.py", {"app.py": "a = 1\n"}),
    ],
)
def test_a_shell_cuts_the_file_before_the_command_starts(
    shop: Path, govrun: Govrun, tmp_path: Path, script: str, left: dict[str, str]
) -> None:
    evil = tmp_path / "evil.txt"
    evil.write_text("import requests\n")
    for name in os.listdir(shop / "src"):
        (shop / "src" / name).unlink()
    if left:
        (shop / "src" / "app.py").write_text("import os\n")
    outcome = govrun("bash", "-c", script.replace("/evil", str(evil)) + "; ls > /dev/null").ok()
    assert {each.name: each.read_text() for each in (shop / "src").iterdir()} == left
    assert len(reverted(outcome)) == 1


def test_what_the_user_adds_while_the_run_holds_the_file_open(shop: Path, govrun: Govrun) -> None:
    script = (
        "exec 3>> src/app.py; touch ready; while [ ! -e go ]; do sleep 0.02; done; echo 'import requests' >&3; "
        "exec 3>&-; ls > /dev/null"
    )
    (shop / "src" / "app.py").write_text("import os\n")
    running = govrun.start("bash", "-c", script)
    until((shop / "ready").exists, running)
    with (shop / "src" / "app.py").open("a") as file:
        file.write("import json\n")
    # What lies there with the run's own text is one text: the supervisor has to have seen theirs before.
    (kept,) = (govrun.state / "runs").glob("*/accepted.jsonl")
    whole = '"size":' + str(len("import os\nimport json\n")) + ","
    while whole not in kept.read_text():
        assert running.process.poll() is None
        time.sleep(0.01)
    (shop / "go").touch()
    outcome = running.wait()
    assert outcome.code == 0 and len(reverted(outcome)) == 1
    assert (shop / "src" / "app.py").read_text() == "import os\nimport json\n"


@pytest.mark.parametrize(("before", "theirs"), [("", True), ("export GIT_SSL_CAINFO=/other; ", False)])
def test_a_fetch_with_variables_of_the_user(shop: Path, govrun: Govrun, before: str, theirs: bool) -> None:
    """A proxy or certificate that the user set leads git nowhere else; one that the run sets might."""
    bare = shop.parent / "shared.git"
    git(govrun, shop, "clone", "-q", "--bare", ".", str(bare))
    git(govrun, shop, "remote", "add", "origin", str(bare))
    git(govrun, shop, "fetch", "-q", "origin")
    other = shop.parent / "other"
    git(govrun, shop, "clone", "-q", str(bare), str(other))
    (other / "theirs.py").write_text("import requests\n")
    for words in (("add", "-A"), ("commit", "-qm", "theirs"), ("push", "-q", "origin", "HEAD:refs/heads/side")):
        git(govrun, other, *words)
    variables = {"GIT_SSL_CAINFO": "/etc/ssl/certs/ca-certificates.crt", "https_proxy": "http://127.0.0.1:9"}
    outcome = govrun(
        "bash", "-c", f"{before}git pull -q --no-edit origin side; ls theirs.py", env=govrun.env | variables
    )
    assert (outcome.stdout == b"theirs.py\n") == theirs, outcome.stderr
    assert ("one-http-client" in outcome.stderr) != theirs


def test_written_again_at_once(shop: Path, govrun: Govrun) -> None:
    """What was closed is a version to go back to, also when nobody had looked at it before the next writer came."""
    program = (
        "for number in range(40):\n"
        "    for text in ('import os\\n' * 400, 'import requests\\n'):\n"
        "        with open(f'src/f{number}.py', 'w') as file: file.write(text)\n"
        "import subprocess; subprocess.run(['ls'], stdout=-3)\n"
    )
    govrun("/usr/bin/python3", "-c", program).ok()
    assert {(shop / "src" / f"f{number}.py").read_text() for number in range(40)} == {"import os\n" * 400}


@pytest.mark.parametrize("move", ["mv src lib", "git mv src lib", EXCHANGE])
def test_what_the_user_broke_is_not_committed_by_a_detour(shop: Path, govrun: Govrun, move: str) -> None:
    (shop / "src" / "app.py").write_text("import os\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "app")
    script = f"touch ready; while [ ! -e go ]; do sleep 0.02; done; {move}; git add -A; git commit -qm moved"
    running = govrun.start("bash", "-c", script)
    until((shop / "ready").exists, running)
    with (shop / "src" / "app.py").open("a") as file:
        file.write("import requests\n")
    (shop / "go").touch()
    outcome = running.wait()
    assert "one-http-client" in outcome.stderr
    assert govrun.bare("git", "log", "-1", "--format=%s", cwd=shop).stdout == b"app\n"
    seen = outcome.records(kind="external", verdict="warn")
    assert [Path(str(each["op"]["path"])).name for each in seen][:1] == ["app.py"]


def test_what_the_user_adds_to_a_file_of_the_run(shop: Path, govrun: Govrun) -> None:
    """The run's next harmless line there is not blamed for it."""
    script = "echo a=1 > src/n.py; touch ready; while [ ! -e go ]; do sleep 0.02; done; echo k=1 >> src/n.py; ls src"
    running = govrun.start("bash", "-c", script)
    until((shop / "ready").exists, running)
    with (shop / "src" / "n.py").open("a") as file:
        file.write("import requests\n")
    (shop / "go").touch()
    assert not reverted(running.wait().ok())
    assert (shop / "src" / "n.py").read_text() == "a=1\nimport requests\nk=1\n"


def test_a_save_of_the_user_while_the_run_only_holds_the_file(shop: Path, govrun: Govrun) -> None:
    script = (
        "exec 7>> src/app.py; touch ready; while [ ! -e go ]; do sleep 0.02; done; ls > /dev/null; "
        "echo 'import requests' >&7; exec 7>&-; ls > /dev/null"
    )
    (shop / "src" / "app.py").write_text("import os\n")
    running = govrun.start("bash", "-c", script)
    until((shop / "ready").exists, running)
    (shop / "src" / "app.py").write_text("import os\n# an hour of work\nimport requests.adapters\n")
    time.sleep(0.3)
    (shop / "go").touch()
    outcome = running.wait().ok()
    seen = [each for each in outcome.records(kind="external") if each.get("verdict") == "warn"]
    assert [Path(str(each["op"]["path"])).name for each in seen] == ["app.py"]
    assert (shop / "src" / "app.py").read_text().startswith("import os\n# an hour of work\n")


def test_output_that_is_sent_into_the_tree_is_the_runs(shop: Path, govrun: Govrun) -> None:
    with (shop / "out.txt").open("wb") as out:
        outcome = govrun("bash", "-c", "echo hi; sleep 0.1; echo there", stdout=out)
    assert outcome.code == 0 and not outcome.records(kind="external")


PACKED = "echo $c | git pack-objects -q --revs .git/objects/pack/pack > /dev/null; git prune-packed -q; "


@pytest.mark.parametrize("between", ["", PACKED])
def test_what_the_run_pushed_does_not_come_back_as_other_peoples(shop: Path, govrun: Govrun, between: str) -> None:
    """Git does not fetch an object that it has: the remote only gives it a name."""
    bare = shop.parent / "shared.git"
    git(govrun, shop, "clone", "-q", "--bare", ".", str(bare))
    git(govrun, shop, "remote", "add", "origin", str(bare))
    git(govrun, shop, "fetch", "-q", "origin")
    make = (
        "b=$(echo 'import requests' | git hash-object -w --stdin); export GIT_INDEX_FILE=.git/other; "
        "git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,evil.py; "
        "c=$(git commit-tree -p HEAD -m evil $(git write-tree)); unset GIT_INDEX_FILE; "
    )
    # As if it had been pushed: the user's repository beside has it, and the run's own has it too.
    give = (
        f"git -C {bare} fetch -q {shop} +refs/heads/*:refs/heads/*; git -C {bare} update-ref refs/heads/evil $(cat c)"
    )
    running = govrun.start(
        "bash", "-c",
        f"{make} git tag keep HEAD; echo $c > c; {between} touch ready; while [ ! -e go ]; do sleep 0.02; done; sleep 0.2; "
        "git fetch -q; git merge -q --ff-only origin/evil",
    )  # fmt: skip
    until((shop / "ready").exists, running)
    commit = (shop / "c").read_text().strip()
    assert was_there(os.fsencode(shop / ".git"), commit, time.time() + 60)
    assert not was_there(os.fsencode(shop / ".git"), commit, time.time() - 60)
    assert not was_there(os.fsencode(shop / ".git"), "0" * 39 + "1", time.time() + 60)
    objects = f"cp -rn {shop}/.git/objects/. {bare}/objects/; "
    done = subprocess.run(["bash", "-c", objects + give], cwd=shop, env=govrun.env, capture_output=True, text=True)
    assert (bare / "refs/heads/evil").exists(), done.stderr
    (shop / "go").touch()
    outcome = running.wait()
    assert not (shop / "evil.py").exists(), outcome.stderr


def test_the_note_counts_what_others_did_and_what_was_taken_back(shop: Path, govrun: Govrun) -> None:
    script = (
        "echo 'import requests' > src/bad.py; echo x > src/x.txt; git add -A; git commit -qm x; touch ready; "
        "while [ ! -e go ]; do sleep 0.02; done"
    )
    running = govrun.start("bash", "-c", script)
    until((shop / "ready").exists, running)
    (shop / "go").touch()
    running.wait().ok()
    note = govrun.bare("git", "notes", "--ref=govrun", "show", "HEAD").stdout.decode()
    assert " external=1 divergence=0\n" in note and " 3 remediation reverts=1 kills=0 episodes=-\n" in note


def test_standard_output_in_the_tree(shop: Path, govrun: Govrun) -> None:
    with (shop / "src" / "out.py").open("wb") as out:
        outcome = govrun(
            "bash", "-c", "echo 'import httpx'; ls > /dev/null; echo 'import requests'; ls > /dev/null", stdout=out
        )
    assert outcome.code == 0
    assert (shop / "src" / "out.py").read_text() == "import httpx\n"
    assert len(reverted(outcome)) == 1


BEHIND = """
import os
for _ in range(3):
    for path in ("src/a.py", "src/b.py"):
        with open(path, "w") as file:
            file.write("import requests\\n")
    os.unlink("src/a.py")
    os.rename("src/b.py", "src/c.py.txt")
with open("src/a.py", "w") as file:
    file.write("import requests\\n")
"""


def test_what_the_run_made_is_never_what_was_found(shop: Path, govrun: Govrun) -> None:
    """Removed before anybody looked, it must not count as the base of what comes to lie there next."""
    (shop / "behind.txt").write_text(BEHIND)
    outcome = govrun("bash", "-c", "python3 behind.txt; ls > /dev/null").ok()
    assert not (shop / "src" / "a.py").exists()
    assert reverted(outcome)
