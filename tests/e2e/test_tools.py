"""``[scope] tools``: what a run makes for itself is executed only where the profile says so, in no spelling of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("gcc")
PROFILE = """version = 1
[scope]
tools = { executables = ["/build/**", "*.test"] }
adr = "0003"
use = "what lies in build/"
"""
SOURCE = """#include <fcntl.h>
int main(int n, char **words) { return open(n > 1 ? words[n - 1] : "mark", O_CREAT | O_WRONLY, 0644) < 0; }
"""
LOADER = "/lib64/ld-linux-x86-64.so.2"
FILES = {"old.sh": "#!/bin/sh\n: > mark\n", "other.sh": "#!/bin/sh\necho other\n", "made.c": SOURCE, "docs/x": "x\n"}


@pytest.fixture
def tree(govrun: Govrun, repo: Path) -> Path:
    """A tree with a program ``old`` and scripts from before the run."""
    for name in ("old.sh", "other.sh"):
        (repo / name).touch(mode=0o755)
    (repo / "build").mkdir()
    (repo / "made.c").write_text(SOURCE)
    subprocess.run(["gcc", "-o", repo / "old", repo / "made.c"], check=True)
    return tree_of(govrun, repo, PROFILE, FILES)


SPELLINGS = {
    "compiled": "gcc -o new made.c; ./new",
    "a copy": "cp old new; ./new",
    "a copy of a tool": "cp /bin/touch new; ./new mark",
    "made executable": "cat old > new; chmod +x new; ./new",
    "written over": "cat other.sh > old.sh; printf '\\n: > mark\\n' >> old.sh; ./old.sh",
    "written through a descriptor": "exec 3>>other.sh; printf ': > mark\\n' >&3; exec 3>&-; ./other.sh",
    "renamed out of where it may": "gcc -o build/new made.c; mv build/new new; ./new",
    "a symbolic link": "cp old new; ln -s ../new build/new; build/new",
    "a hard link": "cp old new; ln new newer; ./newer",
    "in a moved folder": "mkdir a; cp old a/new; mv a b; b/new",
    "by descriptor": 'cp old new; python3 -c \'import os; os.execve(os.open("new", os.O_RDONLY), ["new"], {})\'',
    "by /proc": 'cp old new; python3 -c \'import os; f = os.open("new", 0); os.execv(f"/proc/self/fd/{f}", ["n"])\'',
    "a script": "printf '#!/bin/sh\\n: > mark\\n' > new; chmod +x new; ./new",
    "its interpreter": "cp old new; cd build; printf '#!../new\\n' > s; chmod +x s; cp s t; ./t ../mark",
    "the interpreter's interpreter": (
        "cp /bin/sh sh; printf '#!'$PWD'/sh\\n: > mark\\n' > i; chmod +x i; printf '#!'$PWD'/i\\n' > build/s; "
        "chmod +x build/s; build/s"
    ),
    "the loader": "cp old new; {loader} ./new",
    "the loader, without execute permission": "cat old > new; {loader} ./new",
    "the loader and a link": "cp old new; ln -s ../new build/n; {loader} build/n",
    "the loader's preload": "gcc -shared -fPIC -o p.so lib.c; {loader} --preload ./p.so /bin/true",
    "the loader as interpreter": "cp old new; printf '#!{loader} ./new\\n' > build/s; chmod +x build/s; build/s mark",
    "temporary space": "f=$(mktemp); cat old > $f; chmod +x $f; $f mark",
    "the environment": "PATH=$PWD/a:$PATH; mkdir a; cp old a/harmless; harmless",
}
LIBRARY = '#include <fcntl.h>\n__attribute__((constructor)) static void f(void) { open("mark", O_CREAT, 0644); }\n'


@pytest.mark.parametrize("script", SPELLINGS.values(), ids=SPELLINGS)
def test_what_the_run_made_does_not_run(govrun: Govrun, tree: Path, script: str) -> None:
    (tree / "lib.c").write_text(LIBRARY)
    outcome = govrun("bash", "-c", script.replace("{loader}", LOADER) + "; true")
    assert not (tree / "mark").exists(), outcome.stderr
    refused = outcome.denied("scope.tools")
    assert refused and all(each["adr"] == "0003" for each in refused), outcome.stderr


def test_memory_does_not_run_through_a_loader(govrun: Govrun, tree: Path) -> None:
    script = (
        "import os; f = os.memfd_create('k'); os.write(f, open('old', 'rb').read()); os.set_inheritable(f, True); "
        f"os.execv('{LOADER}', ['ld', f'/proc/self/fd/{{f}}', 'mark'])"
    )
    outcome = govrun("python3", "-c", script)
    assert not (tree / "mark").exists() and outcome.denied("scope.tools"), outcome.stderr


def test_the_reason_is_whole(govrun: Govrun, tree: Path) -> None:
    outcome = govrun("bash", "-c", "cp old new; ./new; echo x > y; git add y; git commit -qm y")
    told = next(line for line in outcome.stderr.splitlines() if "denied by scope.tools" in line)
    for word in ("new", "made or changed by this run", "0003", "what lies in build/"):
        assert word in told
    (record,) = outcome.denied("scope.tools")
    assert record["kind"] == "exec" and record["op"]["path"] == f"{tree}/new" and record["source"] == "govrun.toml:3"
    assert "scope.tools<-0003=" in note(govrun, tree)


@pytest.mark.parametrize(
    "script",
    [
        "./old mark && ./old.sh && test -e mark",
        "gcc -o build/new made.c && build/new && test -e mark",
        "cp old unit.test && ./unit.test && test -e mark",
        "cp build/../old $TMPDIR/x.test && $TMPDIR/x.test mark && test -e mark",
        "ln -s old new && ./new && test -e mark",
        "printf '#!/bin/sh\\n: > mark\\n' > build/s && chmod +x build/s && build/s && test -e mark",
        'python3 -m venv --without-pip build/venv && build/venv/bin/python -c \'open("mark", "w")\' && test -e mark',
        "/lib64/ld-linux-x86-64.so.2 /bin/true",
        "touch old.sh && chmod 755 old.sh && ./old.sh && test -e mark",
    ],
)
def test_what_it_found_and_what_is_named_runs(govrun: Govrun, tree: Path, script: str) -> None:
    clean(govrun("bash", "-ec", script))
    assert (tree / "mark").exists() or "/bin/true" in script


def test_what_git_brings_is_other_peoples(govrun: Govrun, tree: Path) -> None:
    git(govrun, tree, "switch", "-qc", "theirs")
    (tree / "their.sh").write_text("#!/bin/sh\n: > mark\n")
    (tree / "their.sh").chmod(0o755)
    git(govrun, tree, "add", "their.sh")
    git(govrun, tree, "commit", "-qm", "theirs")
    git(govrun, tree, "switch", "-q", "-")
    clean(govrun("bash", "-ec", "git switch -q theirs; ./their.sh"))
    assert (tree / "mark").exists()


def test_what_was_put_back_is_still_the_runs(govrun: Govrun, tree: Path) -> None:
    """The accepted version of a script that the run wrote comes back with an inode that the run never opened."""
    rule = '[[secrets]]\nid = "none"\nadr = "0003"\npatterns = ["acme_[0-9]{8}"]\n'
    (tree / "govrun.toml").write_text(PROFILE + rule)
    script = (
        "printf '#!/bin/sh\\n: > mark\\n' > new; chmod +x new; ls > /dev/null; "
        "echo '# acme_12345678' >> new; ls > /dev/null; "
        "grep -c acme new; ./new; true"
    )
    outcome = govrun("bash", "-c", script)
    assert outcome.denied("none") and outcome.stdout.split() == [b"0"], outcome.stderr
    assert outcome.denied("scope.tools") and not (tree / "mark").exists()


def test_without_the_key_nothing_is_asked(govrun: Govrun, tree: Path) -> None:
    (tree / "govrun.toml").write_text("version = 1\n")
    clean(govrun("bash", "-ec", "cp old new; ./new"))


def test_it_may_warn(govrun: Govrun, tree: Path) -> None:
    (tree / "govrun.toml").write_text(PROFILE + 'then = "warn"\n')
    outcome = govrun("bash", "-ec", "cp old new; ./new")
    assert (tree / "mark").exists() and "scope.tools" in outcome.stderr
    assert [each for each in outcome.records(kind="exec") if each.get("verdict") == "warn"]


PRELOADS = {
    "LD_PRELOAD": "gcc -shared -fPIC -o p.so lib.c; LD_PRELOAD=$PWD/p.so /bin/true",
    "LD_PRELOAD, relative": "gcc -shared -fPIC -o p.so lib.c; cd build; LD_PRELOAD=../p.so ls > /dev/null; cd ..",
    "LD_AUDIT": "gcc -shared -fPIC -o p.so lib.c; LD_AUDIT=./p.so /bin/true",
    "LD_LIBRARY_PATH": "mkdir l; gcc -shared -fPIC -o l/libc.so.6 lib.c; LD_LIBRARY_PATH=l /bin/true",
    "exported": "gcc -shared -fPIC -o p.so lib.c; export LD_PRELOAD=./p.so; ls > /dev/null",
    "env": "gcc -shared -fPIC -o p.so lib.c; env LD_PRELOAD=./p.so ls",
    "BASH_ENV": "echo ': > mark' > e; BASH_ENV=e bash -c ':'",
    "NODE_OPTIONS": "echo 'x' > e.js; NODE_OPTIONS='--require ./e.js' /bin/true",
    "GIT_SSH_COMMAND": "echo ': > mark' > e; GIT_SSH_COMMAND='sh e' git ls-remote ssh://127.0.0.1:1/x",
    "$LIB": (
        "for l in lib lib64 lib/x86_64-linux-gnu; do mkdir -p s/$l; gcc -shared -fPIC -o s/$l/q.so lib.c; done; "
        "LD_PRELOAD=$PWD/s/'$LIB'/q.so /bin/true"
    ),
    "expanded by bash": "echo ': > mark' > e; BASH_ENV='$PWD/e' bash -c ':'",
    "PERL5LIB": "mkdir s; echo 'open(F, q(>mark)); 1' > s/X.pm; PERL5LIB=s PERL5OPT=-MX perl -e 1",
    "OPENSSL_CONF": "echo 'openssl_conf = x' > e; OPENSSL_CONF=e /bin/true",
    "twice": (
        "gcc -shared -fPIC -o p.so lib.c; python3 -c 'import ctypes; c = ctypes.CDLL(None); "
        "a = lambda *w: (ctypes.c_char_p * (len(w) + 1))(*w, None); "
        'c.execve(b"/bin/true", a(b"true"), a(b"LD_PRELOAD=", b"LD_PRELOAD=./p.so"))\''
    ),
}


@pytest.mark.parametrize("script", PRELOADS.values(), ids=PRELOADS)
def test_no_variable_loads_what_the_run_made(govrun: Govrun, tree: Path, script: str) -> None:
    (tree / "lib.c").write_text(LIBRARY)
    outcome = govrun("bash", "-c", script + "; true")
    assert not (tree / "mark").exists(), outcome.stderr
    refused = outcome.denied("scope.tools")
    assert refused and refused[0]["kind"] == "exec", outcome.stderr
    assert "made" in (told := refused[0]["message"]) or "cannot be told" in told, outcome.stderr


def test_variables_that_lead_elsewhere_are_free(govrun: Govrun, tree: Path) -> None:
    (tree / "lib.c").write_text(LIBRARY)
    script = (
        "gcc -shared -fPIC -o build/p.so lib.c; LD_PRELOAD=$PWD/build/p.so /bin/true; test -e mark; "
        "LD_LIBRARY_PATH=/usr/lib NODE_OPTIONS=--no-warnings GIT_PAGER=cat git log -1"
    )
    clean(govrun("bash", "-ec", script))


def test_a_dropped_variable_is_not_put_back(govrun: Govrun, tree: Path) -> None:
    (tree / "govrun.toml").write_text('version = 1\n[scope]\nadr = "0003"\nenv = { drop = ["NODE_OPTIONS", "LD_*"] }\n')
    outcome = govrun(
        "bash", "-c", "NODE_OPTIONS=--no-warnings ./old; true", env={"NODE_OPTIONS": "--max-http-header-size=1"}
    )
    assert not (tree / "mark").exists()
    assert outcome.denied("scope.env"), (outcome.stderr, outcome.journal)
    (record,) = outcome.denied("scope.env")
    assert record["adr"] == "0003" and "NODE_OPTIONS is set" in outcome.stderr
    clean(govrun("bash", "-ec", "ACME=1 ./old; test -e mark"))
