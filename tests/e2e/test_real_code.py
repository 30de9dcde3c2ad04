"""Real code from the registries: of two hundred ordinary edits none is taken back, of the planted ones each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e import ordinary
from tests.e2e.ordinary import Edit, Language
from tests.e2e.rule_kit import git

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = [pytest.mark.needs("notify", "git", landlock=2), pytest.mark.timeout(300), pytest.mark.slow]
NUMBER = 200
_FOLLOWS = frozenset({"parts"})  # what leads upwards mostly closes a cycle too
AGENT = """
import json, os, sys
def settle():
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
def write(path, text, lands):
    to = path + "~" if lands else path
    with open(to, "wb") as file:
        file.write(text)
    if lands:
        os.rename(to, path)
for number, (what, path, text) in enumerate(json.load(open(sys.argv[1]))):
    with open(path, "rb") as file:
        before = file.read()
    text = text.encode("utf-8", "surrogateescape")
    try:
        write(path, text, number % 4 == 3)
        settle()
        with open(path, "rb") as file:
            stays = file.read() == text
    except OSError:  # what lands by a rename is not let in
        os.unlink(path + "~")
        stays = False
    print(json.dumps([number, what, path, stays]), flush=True)
    write(path, before, False)
    settle()
"""


class Code(NamedTuple):
    """``rules``: the profile. ``planted``: (rule, path, line), each put after the last import of that file. ``MODULE``
    in it is the name that ``go.mod`` tells."""

    language: Language
    fetch: Callable[[Path], None]
    rules: str
    planted: tuple[tuple[str, str, str], ...]
    passed_over: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------------- registries


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])


def _debian(package: str, folder: Path) -> Path:
    """What a package of the distribution unpacks to. Lists of packages of its own, where the machine has none."""
    packed = folder / "packed"
    packed.mkdir()
    lists = [
        "-o",
        f"Dir::State={packed}",
        "-o",
        f"Dir::Cache={packed}",
        "-o",
        "Dir::State::status=/var/lib/dpkg/status",
    ]
    known = subprocess.run(["apt-cache", "show", package], capture_output=True).returncode == 0
    if not known:
        (packed / "lists/partial").mkdir(parents=True)
        _run(["apt-get", "-q", *lists, "update"], packed)
    _run(["apt-get", "-q", *([] if known else lists), "download", package], packed)
    (archive,) = packed.glob("*.deb")
    _run(["dpkg-deb", "-x", str(archive), str(packed / "x")], packed)
    return packed / "x"


def _django(folder: Path) -> None:
    _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "django==5.2.*"], folder)
    (wheel,) = folder.glob("*.whl")
    _run([sys.executable, "-m", "zipfile", "-e", str(wheel), "tree"], folder)


def _babel(folder: Path) -> None:
    """A workspace of packages as they are published; one of them brings its TypeScript."""
    names = "core generator helpers parser template traverse types code-frame helper-module-transforms helper-globals"
    packages = [f"@babel/{name}@7" for name in names.split()] + ["rxjs@7.8.2"]
    _run(["npm", "pack", "--silent", "--pack-destination", str(folder), *packages], folder)
    (folder / "tree/packages").mkdir(parents=True)
    (folder / "tree/package.json").write_text('{"private": true, "workspaces": ["packages/*"]}\n')
    for archive in folder.glob("*.tgz"):
        _run(["tar", "xzf", str(archive), "--no-same-owner"], folder)
        name = re.sub(r"-\d.*", "", archive.name).removeprefix("babel-")
        (folder / "package").rename(folder / "tree/packages" / name)
    shutil.rmtree(folder / "tree/packages/rxjs/dist")


def _grpc(folder: Path) -> None:
    (place,) = (_debian("golang-google-grpc-dev", folder) / "usr/share/gocode/src").glob("*/grpc")
    place.rename(folder / "tree")


def _tokio(folder: Path) -> None:
    (place,) = (_debian("librust-tokio-dev", folder) / "usr/share/cargo/registry").glob("tokio-*")
    place.rename(folder / "tree")


def _javafx(folder: Path) -> None:
    place = _debian("openjfx-source", folder) / "usr/share/openjfx/lib/src.zip"
    _run([sys.executable, "-m", "zipfile", "-e", str(place), "all"], folder)
    (folder / "tree").mkdir()
    for module in ("javafx.base", "javafx.graphics", "javafx.controls"):
        (folder / "all" / module).rename(folder / "tree" / module)


DJANGO = """
[[boundary]]
id = "layers"
why = "w"
layers = ["/django/contrib/**", "/django/db/**", "/django/utils/**"]
[[boundary]]
id = "templates"
why = "w"
deny = ["django/template/** -> django/db/**"]
[[boundary]]
id = "parts"
why = "w"
acyclic = ["/django/*"]
[[dependency]]
id = "client"
why = "w"
deny = ["pypi:requests"]
"""
BABEL = """
[[boundary]]
id = "types"
why = "w"
deny = ["packages/types/** -> packages/traverse/**", "packages/rxjs/**/scheduler/** -> packages/rxjs/**/ajax/**"]
[[boundary]]
id = "layers"
why = "w"
layers = ["/packages/core/**", "/packages/generator/**"]
[[boundary]]
id = "parts"
why = "w"
acyclic = ["/packages/*"]
[[dependency]]
id = "lodash"
why = "w"
deny = ["npm:lodash"]
"""
GRPC = """
[[boundary]]
id = "codes"
why = "w"
deny = ["codes/** -> internal/**", "metadata/** -> balancer/**"]
[[boundary]]
id = "layers"
why = "w"
layers = ["/xds/**", "/balancer/**", "/resolver/**", "/attributes/**"]
[[boundary]]
id = "parts"
why = "w"
acyclic = ["/*"]
[[dependency]]
id = "errors"
why = "w"
deny = ["go:github.com/pkg/errors"]
"""
TOKIO = """
[[boundary]]
id = "layers"
why = "w"
layers = ["/src/net/**", "/src/runtime/**", "/src/util/**"]
[[boundary]]
id = "sync"
why = "w"
deny = ["src/sync/** -> src/fs/**"]
[[boundary]]
id = "parts"
why = "w"
acyclic = ["/src/*"]
[[dependency]]
id = "openssl"
why = "w"
deny = ["cargo:openssl"]
"""
JAVAFX = """
[[boundary]]
id = "layers"
why = "w"
layers = ["/javafx.controls/**", "/javafx.graphics/**", "/javafx.base/**"]
[[boundary]]
id = "geometry"
why = "w"
deny = ["javafx.graphics/com/sun/javafx/geom/** -> javafx.graphics/com/sun/prism/**"]
[[boundary]]
id = "parts"
why = "w"
acyclic = ["/*"]
[[dependency]]
id = "guava"
why = "w"
deny = ["maven:com.google.guava:guava"]
"""
CODE = {
    "django": Code(
        ordinary.PYTHON,
        _django,
        DJANGO,
        (
            ("layers", "django/utils/text.py", "from django.db import models\n"),
            ("layers", "django/utils/html.py", "import django.contrib.auth.models\n"),
            ("templates", "django/template/base.py", "from django.db.models import Q\n"),
            ("client", "django/core/mail/utils.py", "import requests\n"),
        ),
    ),
    "babel": Code(
        ordinary.SCRIPT,
        _babel,
        BABEL,
        (
            ("types", "packages/types/lib/clone/clone.js", 'require("@babel/traverse");\n'),
            ("types", "packages/rxjs/src/internal/scheduler/Action.ts", "import { ajax } from '../ajax/ajax';\n"),
            ("layers", "packages/generator/lib/buffer.js", 'const c = require("@babel/core");\n'),
            ("lodash", "packages/rxjs/src/internal/Observable.ts", 'import get from "lodash/get"\n'),
        ),
    ),
    "grpc": Code(
        ordinary.GO,
        _grpc,
        GRPC,
        (
            ("codes", "codes/codes.go", '\t"MODULE/internal/transport"\n'),
            ("codes", "metadata/metadata.go", '\t"MODULE/balancer/roundrobin"\n'),
            ("layers", "resolver/resolver.go", '\t"MODULE/balancer"\n'),
            ("errors", "status/status.go", '\t"github.com/pkg/errors"\n'),
        ),
        ("debian/", "examples/"),
    ),
    "tokio": Code(
        ordinary.RUST,
        _tokio,
        TOKIO,
        (
            ("layers", "src/util/rand.rs", "use crate::net::TcpStream;\n"),
            ("layers", "src/runtime/builder.rs", "use crate::net;\n"),
            ("sync", "src/sync/oneshot.rs", "use crate::fs::File;\n"),
            ("openssl", "src/io/split.rs", "use openssl::ssl::Ssl;\n"),
        ),
    ),
    "javafx": Code(
        ordinary.JAVA,
        _javafx,
        JAVAFX,
        (
            ("layers", "javafx.base/javafx/util/Duration.java", "import javafx.scene.control.Button;\n"),
            ("layers", "javafx.graphics/javafx/scene/Node.java", "import javafx.scene.control.*;\n"),
            ("geometry", "javafx.graphics/com/sun/javafx/geom/Path2D.java", "import com.sun.prism.Graphics;\n"),
            ("guava", "javafx.controls/javafx/scene/control/Cell.java", "import com.google.common.collect.Lists;\n"),
        ),
    ),
}
NEEDS = {
    "django": ("registry",),
    "babel": ("registry", "npm"),
    **dict.fromkeys(("grpc", "tokio", "javafx"), ("registry", "apt-get", "dpkg-deb")),
}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.needs(*NEEDS[name])) for name in CODE])
def code(request: pytest.FixtureRequest, cache: Path, repo: Path, govrun: Govrun) -> Code:
    """Its tree is in ``repo``, committed, with the rules."""
    made = CODE[request.param]
    folder = cache / "real-code" / request.param
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made.fetch(folder)
        (folder / "complete").touch()
    shutil.rmtree(repo)
    git(govrun, repo.parent, "init", "-q", "-b", "main", str(repo))
    shutil.copytree(folder / "tree", repo, dirs_exist_ok=True)
    subprocess.run(["chmod", "-R", "u+w", str(repo)], check=True)
    (repo / "govrun.toml").write_text("version = 1\nextends = []\n" + made.rules)
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "as published")
    return made


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _edits(code: Code, repo: Path, seed: str) -> list[Edit]:
    found = []
    for path in sorted(repo.rglob("*")):
        name = str(path.relative_to(repo))
        if name.endswith(code.language.suffixes) and path.is_file() and not name.startswith(code.passed_over):
            text = _text(path)
            if 200 < len(text) < 60_000:
                found.append((name, text))
    forbidden = code.planted[0][2].strip()
    return list(ordinary.edits(found, code.language, forbidden, NUMBER, seed))


def _planted(code: Code, repo: Path) -> list[Edit]:
    manifest = repo / "go.mod"
    module = manifest.read_text().split()[1] if manifest.exists() else ""
    found = []
    for rule, name, planted in code.planted:
        line = planted.replace("MODULE", module)
        text = _text(repo / name)
        places = list(code.language.after.finditer(text))
        at = places[-1].end() if places else 0
        found.append(Edit(rule, name, text[:at] + line + text[at:]))
    return found


def test_while_an_agent_works(code: Code, repo: Path, govrun: Govrun, tmp_path: Path) -> None:
    edits, planted = _edits(code, repo, "run"), _planted(code, repo)
    between = NUMBER // len(planted)
    ahead = [each for at, one in enumerate(planted) for each in (*edits[at * between : (at + 1) * between], one)]
    (repo / ".git/edits.json").write_text(json.dumps(ahead))
    (repo / ".git/agent.py").write_text(AGENT)
    outcome = govrun(sys.executable, "-I", ".git/agent.py", ".git/edits.json", timeout=240)
    told = [json.loads(line) for line in outcome.ok().stdout.splitlines()]
    assert len(told) == len(ahead)
    gone = [(what, path) for _, what, path, stays in told if not stays]
    assert gone == [(rule, path) for rule, path, _ in code.planted], outcome.stderr[-4000:]
    spoken = [each for each in outcome.journal if each.get("verdict") in ("warn", "ask", "deny", "revert", "pause")]
    named = {(each["invariant"], os.path.relpath(each["op"]["path"], repo)) for each in spoken}
    assert named == {(rule, path) for rule, path, _ in code.planted}, spoken
    assert git(govrun, repo, "status", "--porcelain") == ""


def test_all_at_once(code: Code, repo: Path, govrun: Govrun) -> None:
    last = {each.path: each for each in _edits(code, repo, "check")}
    for name, each in last.items():
        (repo / name).write_bytes(each.text.encode("utf-8", "surrogateescape"))
    assert _new(govrun) == []
    for each in _planted(code, repo):
        (repo / each.path).write_bytes(each.text.encode("utf-8", "surrogateescape"))
    found = {(str(each["invariant"]), str(each["path"])) for each in _new(govrun)}
    assert found - {(rule, path) for rule, path in found if rule in _FOLLOWS} == {each[:2] for each in code.planted}
    assert {path for _, path in found} == {path for _, path, _ in code.planted}


def _new(govrun: Govrun) -> list[dict[str, object]]:
    told = [
        json.loads(line) for line in govrun.cli("check", "--base", "HEAD", "--json", timeout=120).stdout.splitlines()
    ]
    assert told and told[-1]["summary"], told
    return told[:-1]
