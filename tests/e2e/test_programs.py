"""Programs that agents start all day, each bare and governed with the same result."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Pair

# What differs between any two bare runs as well: times in archives and caches, absolute names in binaries.
C_PROGRAM = """
cat > main.c <<'C'
#include <stdio.h>
#include "part.h"
int main(void) { printf("%d\\n", part(20) + 2); return 0; }
C
printf 'int part(int);\\n' > part.h
printf '#include "part.h"\\nint part(int x) { return 2 * x; }\\n' > part.c
printf 'CFLAGS = -O1 -Wall\\napp: main.o part.o\\n\\t$(CC) -o $@ $^\\n' > Makefile
printf '%%.o: %%.c part.h\\n\\t$(CC) $(CFLAGS) -c $<\\nclean:\\n\\trm -f *.o app\\n' >> Makefile
"""


@pytest.mark.needs("gcc", "make")
def test_make_and_gcc(pair: Pair) -> None:
    script = (
        C_PROGRAM
        + "make -s -j4; ./app; make -s clean; make -s; ar rcD lib.a part.o; gcc -shared -fPIC -o part.so part.c; ./app"
    )
    assert pair.same(script).stdout == b"42\n42\n"


@pytest.mark.timeout(300)
def test_venv_and_pip(pair: Pair, wheels: Path) -> None:
    """From a folder of wheels: no network, so only the file work counts."""
    script = (
        "/usr/bin/python3 -m venv .venv; .venv/bin/pip install -q --no-index --disable-pip-version-check"
        f" --find-links '{wheels}' iniconfig toolz; .venv/bin/python -c 'import iniconfig, toolz; "
        f"print(toolz.__version__)';"
        ".venv/bin/pip uninstall -qy iniconfig; .venv/bin/pip list --format=freeze | grep -c toolz"
    )
    assert pair.same(script, skip=["RECORD"]).stdout == b"1.0.0\n1\n"  # RECORD: digests of scripts with absolute names


@pytest.mark.needs("registry")
@pytest.mark.timeout(300)
def test_pip_from_the_index(pair: Pair, client_environment: dict[str, str]) -> None:
    pair.env.update(client_environment)
    script = (
        "/usr/bin/python3 -m venv .venv; .venv/bin/pip install -q iniconfig==2.0.0; "
        ".venv/bin/python -c 'import iniconfig; print(1)'"
    )
    assert pair.same(script, skip=["RECORD"]).stdout == b"1\n"


def test_pytest_of_a_package(pair: Pair, wheels: Path) -> None:
    pair.both(f"/usr/bin/python3 -m zipfile -e '{wheels}'/toolz-*.whl .")
    script = f"'{sys.executable}' -B -m pytest -q -p no:cacheprovider toolz | sed 's/ in .*//'"
    assert b"180 passed" in pair.same(script).stdout


@pytest.mark.needs("npm", "node", "registry")
@pytest.mark.timeout(300)
def test_npm_install(pair: Pair, client_environment: dict[str, str]) -> None:
    """With scripts, links in .bin and a lock file; the packages are small and real."""
    pair.env.update(client_environment)
    pair.both(
        """echo '{"name":"x","version":"1.0.0","scripts":{"postinstall":"echo done > post.txt"}}' > package.json"""
    )
    script = (
        "npm install --silent --no-audit --no-fund semver@7.6.0 is-odd@3.0.1 >/dev/null; node -e "
        "'console.log(require(\"is-odd\")(3))';"
        "./node_modules/.bin/semver 1.2.3; npm run --silent postinstall; npm uninstall --silent "
        "is-odd >/dev/null; ls node_modules; cat post.txt"
    )
    pair.same(script, skip=[".package-lock.json"])


@pytest.mark.needs("node")
def test_node_file_work(pair: Pair) -> None:
    script = """node -e '
const fs = require("fs"); fs.mkdirSync("a/b/c", {recursive: true}); fs.writeFileSync("a/b/c/f", "1");
fs.renameSync("a/b", "a/d"); fs.copyFileSync("a/d/c/f", "g"); fs.appendFileSync("g", "2"); fs.symlinkSync("g", "l");
fs.chmodSync("g", 0o640); fs.utimesSync("g", 1, 1); fs.truncateSync("a/d/c/f", 0);
const p = require("child_process"); console.log(p.execSync("cat l").toString(), fs.readdirSync(".").length);
fs.rmSync("a", {recursive: true}); fs.promises.writeFile("async", "z").then(() => console.log("ok"));'"""
    pair.same(script)


@pytest.mark.needs("sqlite3")
def test_sqlite_wal(pair: Pair) -> None:
    """WAL maps its index shared and writable, and locks byte ranges."""
    script = """
sqlite3 t.db 'pragma journal_mode=wal; create table t(x); insert into t values (1),(2); select sum(x) from t;'
/usr/bin/python3 - <<'P'
import sqlite3
one, two = sqlite3.connect("t.db"), sqlite3.connect("t.db")
with one: one.executemany("insert into t values (?)", [(n,) for n in range(500)])
print(two.execute("select count(*) from t").fetchone(), one.execute("pragma wal_checkpoint(truncate)").fetchone())
one.execute("begin immediate")
try:
    two.execute("pragma busy_timeout=1"); two.execute("begin immediate")
except sqlite3.OperationalError as error:
    print(error)
one.rollback(); one.execute("vacuum"); one.close(); two.close()
P
sqlite3 t.db 'pragma integrity_check'; ls
"""
    pair.same(script)


TOOLS = {
    "tar": "mkdir d; for i in 1 2 3; do echo $i > d/f$i; done; ln -s f1 d/l; ln d/f1 d/h; chmod 600 "
    "d/f2; mkfifo d/p; tar cf d.tar d; rm -r d;"
    "tar xpf d.tar; tar czf d.tgz d; tar xzf d.tgz; tar tf d.tar | sort; rm d.tar d.tgz",
    "patch": "cp src/app.py old; sed s/42/43/ old > new; diff -u old new > p || true; patch -s "
    "src/app.py p; cat src/app.py; patch -sR src/app.py p;"
    "patch -s -b src/app.py p; rm p",
    "sed in place": "sed -i s/42/43/ src/app.py; sed -i.bak s/43/44/ src/app.py; perl -pi -e 's/44/45/' "
    "src/app.py; cat src/app.py src/app.py.bak",
    "install and cp": "install -D -m 750 README.md a/b/c; cp -a src copy; cp -l README.md linked; cp -s "
    "$PWD/README.md s; mv copy moved; rm s",
    "rsync like": "cp -r src one; find one -type f -exec touch -d 2001-01-01 {} +; cp -ru src/. one/; find "
    "one -newermt 2002-01-01 | sort",
    "find and xargs": "mkdir m; (cd m; seq 200 | xargs touch); find m -name '1*' -delete; ls m | wc -l; find m "
    "-type f | xargs -P4 -n20 rm; rmdir m",
    "rename like an editor": "printf 'one\\n' > f; printf 'two\\n' > .f.tmp; mv -f .f.tmp f; cp f f~; cat f f~",
    "ed": "printf '1s/example/changed/\\nw\\nq\\n' | ed -s README.md; cat README.md",
    "dd and truncate": "dd if=/dev/zero of=z bs=4096 count=8 status=none; truncate -s 100 z; fallocate -l 8192 z;"
    " dd if=/dev/zero of=z conv=notrunc bs=1 count=9 status=none; stat -c %s z",
    "mktemp": "d=$(mktemp -d); echo x > $d/f; ln -s $d/f l; cat l; rm -r $d l; f=$(mktemp); echo y > $f;"
    " cat $f; rm $f; f=$(mktemp -p .); rm $f",
    "heredoc and pipes": "cat <<X > h\nline\nX\nmkfifo q; (cat h > q &) ; cat q; rm q; tee t < h; cat < <(echo "
    "sub); seq 5 | sort -r | head -2",
    "permissions": "chmod 000 README.md; stat -c %a README.md; chmod u=rw README.md; umask 077; touch u; "
    "mkdir v; stat -c %a u v; setfacl -m u:12345:r u || true",
    "cpio and zip": "/usr/bin/python3 -m zipfile -c z.zip src; /usr/bin/python3 -m zipfile -e z.zip out; rm "
    "z.zip; find out | sort",
    "long running writers": "(for i in $(seq 50); do echo $i >> log; done) & (for i in $(seq 50); do echo $i >> log; "
    "done) & wait; sort -n log | uniq -c | sort | head -1; rm log",
    "flock": "flock l -c 'echo held; flock -n l true || echo busy'; rm l",
    "python files": "/usr/bin/python3 -c \"import shutil, os, tempfile, pathlib; shutil.copytree('src', 'c'); "
    "shutil.move('c', 'd'); os.replace('d/app.py', 'e');"
    "t = tempfile.NamedTemporaryFile(dir='.', delete=False); t.write(b'x'); t.close(); "
    "os.rename(t.name, 'f'); pathlib.Path('g').touch(); shutil.rmtree('d')\"",
}


@pytest.mark.parametrize("name", TOOLS)
def test_tool(pair: Pair, name: str) -> None:
    pair.same(TOOLS[name])


def test_names_of_every_kind(pair: Pair) -> None:
    """Each of them is the run's doing, and nobody else's."""
    program = (
        "import os, socket\n"
        "for name in ('a.sock', 'src/b.sock'): socket.socket(socket.AF_UNIX).bind(name)\n"
        "os.mkfifo('pipe'); os.symlink('src', 'link'); os.link('src/app.py', 'hard'); os.mkdir('folder')\n"
        "fd = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(fd, b'x')\n"
        "os.link(f'/proc/self/fd/{fd}', 'unnamed', src_dir_fd=os.open('.', os.O_RDONLY), follow_symlinks=True)\n"
        "os.rename('folder', 'moved'); os.unlink('a.sock'); os.chmod('hard', 0o600)\n"
    )
    pair.same(f"/usr/bin/python3 - <<'E'\n{program}E\nls src; truncate -s 3 unnamed; touch -d yesterday moved; rm pipe")


def test_vim_saves(pair: Pair) -> None:
    """Backup, rename, swap file: three of vim's ways to write."""
    for style in ("backupcopy=yes", "backupcopy=no", "nobackup nowritebackup"):
        script = (
            f"vim -u NONE -i NONE -es -N -c 'set {style}' -c '1s/^/changed /' -c wq README.md < "
            f"/dev/null; cat README.md"
        )
        pair.same(script)


def test_environment_reaches_the_command(pair: Pair) -> None:
    pair.env["PLAIN_VALUE"] = "kept"
    outcome = pair.govrun("bash", "-c", "echo $PLAIN_VALUE $HOME; cd ..; pwd", env=pair.env).ok()
    assert outcome.stdout.decode().split() == ["kept", str(pair.home), str(pair.tree.parent)]


@pytest.mark.needs("postgres", "user")
def test_postgresql(pair: Pair) -> None:
    """A server that the run starts, used over a UNIX socket and over loopback, and stopped."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if os.environ.get("GOVRUN_MUST_WORK"):
            pytest.fail("initdb needs an account with a name; run this as a user of /etc/passwd")
        pytest.skip("initdb needs an account with a name")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    script = f"""
export PATH={binaries}:$PATH
s=$(mktemp -d /tmp/pgXXXXXX)
port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
initdb -D data -A trust -U me --no-sync > /dev/null
pg_ctl -s -w -D data -l log -o "-k $s -p $port -c listen_addresses=127.0.0.1" start
psql -qAt -h $s -p $port -U me postgres -c 'create table t(x int)' -c 'insert into t select generate_series(1, 1000)'
psql -qAt -h 127.0.0.1 -p $port -U me postgres -c 'select sum(x) from t' -c 'vacuum t' -c checkpoint
pg_ctl -s -w -D data -m fast stop
rm -r $s data log
"""
    outcome = pair.govrun("bash", "-ec", script, timeout=100)
    assert outcome.ok().stdout == b"500500\n"
    assert not outcome.denied(), outcome.stderr


def test_dev_server_of_the_run(pair: Pair) -> None:
    """Started in the background, used, and gone at the end though nobody stopped it."""
    script = """
/usr/bin/python3 -u -m http.server --bind 127.0.0.1 0 > log 2>&1 &
echo $! > pid
while ! grep -q 'port [0-9]' log; do sleep 0.05; done
port=$(sed -n 's/.*port \\([0-9]*\\).*/\\1/p' log)
/usr/bin/python3 -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:$port/README.md').read())"
"""
    outcome = pair.govrun("bash", "-ec", script)
    assert outcome.ok().stdout == b"b'# example\\n'\n"
    assert not os.path.exists(f"/proc/{(pair.tree / 'pid').read_text().strip()}")


@pytest.mark.needs("tmux")
def test_tmux_of_the_run(pair: Pair) -> None:
    """A terminal multiplexer that the run starts itself is one of its processes, and ends with it."""
    script = """
d=$(mktemp -d /tmp/tmXXXXXX)
tmux -S $d/s -f /dev/null new-session -d 'echo inside > out; sleep 100'
while ! test -s out; do sleep 0.05; done
cat out; tmux -S $d/s list-sessions | wc -l; tmux -S $d/s kill-server; rm -r $d
"""
    assert pair.govrun("bash", "-ec", script).ok().stdout == b"inside\n1\n"
