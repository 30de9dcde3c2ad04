"""What sources say, kept between runs."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
from pathlib import Path

import pytest

from supervisor.inspection import edgecache, reading
from supervisor.inspection.edgecache import EdgeCache, blob_id
from supervisor.inspection.kinds import file_kind
from supervisor.inspection.looked import Look, Looked
from supervisor.inspection.reading import Tools
from supervisor.vocabulary.content import Findings, Import, Reference, Secret, Wanted

FOUND = Findings(
    imports=(Import("pypi", "a", 1),),
    references=(Reference("src/é.py", "a.b", 3), Reference("", "x", 4, True)),
    pending="half",
)
TEXT = b"import a\n"
NONE = Looked()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cache" / "edges"


def opened(folder: Path, tree: Path, **options: int) -> EdgeCache:
    return EdgeCache(folder, Wanted(os.fsencode(tree), references=True), **options)


def filled(folder: Path, tree: Path, looked: Looked = NONE, path: bytes = b"a.py", found: Findings = FOUND) -> None:
    cache = opened(folder, tree)
    cache.put("python", path, TEXT, found, looked)
    cache.flush()


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_what_was_put_is_found_by_the_next(tree: Path, folder: Path) -> None:
    filled(folder, tree)
    assert opened(folder, tree).get("python", b"a.py", TEXT) == FOUND
    made = [folder, folder.parent, folder.parent.parent]
    assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o700] * 3
    assert stat.S_IMODE(only(folder).stat().st_mode) == 0o600


def test_only_the_same_question_finds_it(tree: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(folder, tree)
    for kind, path, text in (("pth", b"a.py", TEXT), ("python", b"b.py", TEXT), ("python", b"a.py", TEXT + b"#")):
        assert opened(folder, tree).get(kind, path, text) is None
    other = Wanted(os.fsencode(tree), references=True, packages=False)
    assert EdgeCache(folder, other).get("python", b"a.py", TEXT) is None
    monkeypatch.setattr(edgecache, "_versions", lambda: [b"other readers"])
    assert opened(folder, tree).get("python", b"a.py", TEXT) is None


def test_the_id_is_that_of_git(tree: Path) -> None:
    assert blob_id(b"hello\n") == "2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4"


def test_refusals_secrets_and_what_rests_on_too_much_are_not_kept(tree: Path, folder: Path) -> None:
    cache = opened(folder, tree)
    many = tuple(Look("kind", str(number), "") for number in range(20_001))
    cache.put("python", b"a", TEXT, Findings(refusal="it takes too long"), NONE)
    cache.put("python", b"b", TEXT, Findings(secrets=(Secret("aws", "d", 1),)), NONE)
    cache.put("python", b"c", TEXT, FOUND, Looked(groups=((1, many),)))
    cache.put("python", b"d", TEXT, Findings(references=(Reference("a" * 3000, "a"),)), NONE)
    assert [cache.get("python", each, TEXT) for each in (b"a", b"b", b"c", b"d")] == [None] * 4
    cache.flush()
    assert not folder.exists()


def test_a_new_version_takes_the_place_of_the_old(tree: Path, folder: Path) -> None:
    for number in range(200):
        cache = opened(folder, tree)
        cache.put("python", b"a.py", b"# %d" % number, FOUND, Looked((Look("kind", f"{number}", ""),)))
        cache.flush()
    assert only(folder).stat().st_size < 1000


def test_it_stays_small_and_keeps_what_is_used(tree: Path, folder: Path) -> None:
    filled(folder, tree)
    for number in range(60):
        cache = opened(folder, tree, most=20_000)
        assert cache.get("python", b"a.py", TEXT) == FOUND
        cache.put("python", b"%d" % number, TEXT, Findings(references=(Reference("x" * 1500, "y"),)), NONE)
        cache.flush()
        assert only(folder).stat().st_size <= 20_000 + 200


def test_of_many_files_the_oldest_go(tree: Path, folder: Path, tmp_path: Path) -> None:
    for number in range(edgecache.MOST_FILES + 5):
        filled(folder, tmp_path / str(number))
        os.utime(sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime_ns)[-1], (number, number))
    assert len(list(folder.iterdir())) == edgecache.MOST_FILES
    assert opened(folder, tmp_path / "0").get("python", b"a.py", TEXT) is None
    assert opened(folder, tmp_path / str(number)).get("python", b"a.py", TEXT) == FOUND


# ------------------------------------------------------------------------------------------------ what is not believed


def test_a_file_that_is_cut_or_changed_tells_nothing(tree: Path, folder: Path) -> None:
    filled(folder, tree)
    whole = only(folder).read_bytes()
    for at in range(0, len(whole), 3):
        only(folder).write_bytes(whole[:at])
        assert opened(folder, tree).get("python", b"a.py", TEXT) is None
        changed = bytearray(whole)
        changed[at] ^= 1
        only(folder).write_bytes(changed)
        assert opened(folder, tree).get("python", b"a.py", TEXT) is None
    filled(folder, tree)
    assert opened(folder, tree).get("python", b"a.py", TEXT) == FOUND


def _sealed(body: object) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return edgecache._MAGIC + edgecache._seal(text) + text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[", b"[" * 100_000, b"\xff", 1, [], [[], [], [1]],
        [[["kind", "a"]], [], []], [[["kind", "a", 1]], [], []],
        [[], [[0]], []], [[], [], [["a.py", "python", "BLOB", [], [0], []]]],
        [[], [], [["a.py", "python", "BLOB", [], [], [0]]]], [[], [], [["a.py", "python", "BLOB", [], [True], []]]],
        [[], [], [["a.py", "python", "BLOB", [], [], []]]],
        [[], [], [["a.py", "python", "BLOB", [[], [], "", "", [["x", "y", -1, False]], [], [], []], [], []]]],
        [[], [], [["a.py", "python", "BLOB", [[], [], "", "refused", [], [], [], []], [], []]]],
        [[["rumour", "a", ""]], [], [["a.py", "python", "BLOB", [[], [], "", "", [], [], [], []], [0], []]]],
        [[["text 9e9", "a", ""]], [], [["a.py", "python", "BLOB", [[], [], "", "", [], [], [], []], [0], []]]],
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_not_believed(tree: Path, folder: Path, body: object) -> None:
    filled(folder, tree)
    text = _sealed(body).replace(b"BLOB", blob_id(TEXT).encode())
    text = _sealed(text[edgecache._HEAD :])
    only(folder).write_bytes(text)
    cache = opened(folder, tree)
    assert cache.get("python", b"a.py", TEXT) is None
    cache.put("python", b"b.py", TEXT, FOUND, NONE)
    cache.flush()
    assert opened(folder, tree).get("python", b"b.py", TEXT) == FOUND


def test_what_others_could_have_written_is_not_believed(tree: Path, folder: Path) -> None:
    filled(folder, tree)
    for place, mode, usual in ((only(folder), 0o660, 0o600), (folder, 0o770, 0o700), (folder, 0o755, 0o700)):
        place.chmod(mode)
        assert opened(folder, tree).get("python", b"a.py", TEXT) is None
        place.chmod(usual)
        assert opened(folder, tree).get("python", b"a.py", TEXT) == FOUND
    folder.chmod(0o777)
    filled(folder, tree, path=b"b.py")
    folder.chmod(0o700)
    assert opened(folder, tree).get("python", b"b.py", TEXT) is None  # nothing is written there either


@pytest.mark.needs("root")
def test_what_belongs_to_somebody_else_is_not_believed(tree: Path, folder: Path) -> None:
    filled(folder, tree)
    for place in (only(folder), folder):
        os.chown(place, 12345, 12345)
        assert opened(folder, tree).get("python", b"a.py", TEXT) is None
        os.chown(place, 0, 0)
    assert opened(folder, tree).get("python", b"a.py", TEXT) == FOUND


def test_no_link_no_fifo_and_no_folder_is_read_or_written(tree: Path, folder: Path, tmp_path: Path) -> None:
    filled(folder, tree)
    place = only(folder)
    elsewhere = tmp_path / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert opened(folder, tree).get("python", b"a.py", TEXT) is None
    filled(folder, tree, path=b"b.py")
    assert elsewhere.read_bytes() == before
    assert not place.is_symlink()
    place.unlink()
    os.mkfifo(place)
    assert opened(folder, tree).get("python", b"a.py", TEXT) is None
    place.unlink()
    place.mkdir()
    filled(folder, tree)
    assert [each.name for each in folder.iterdir()] == [place.name]
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path)
    filled(folder, tree)
    assert not list(tmp_path.glob("*.edges"))


# ------------------------------------------------------------------------------------------- while it still is the same

FILES = {
    "app/__init__.py": "from .models import Thing\n",
    "app/models.py": "import json, requests\nfrom app.db import connect\nfrom app import views\n",
    "app/views.py": "from app import helper, Thing\nimport lib.tool\nfrom other_project import x\n",
    "app/db/__init__.py": "",
    "far/other_project/__init__.py": "",
    "lib/src/lib/tool.py": "import app.models\n",
    "pyproject.toml": '[tool.setuptools.packages.find]\nwhere = ["lib/src"]\n',
    "web/package.json": '{"name": "web", "workspaces": ["packages/*"]}',
    "web/packages/ui/package.json": '{"name": "@x/ui", "exports": {".": "./src/index.ts"}}',
    "web/packages/ui/src/index.ts": 'import { a } from "@x/db"\nimport b from "./b"\nimport c from "@/c"\n',
    "web/packages/ui/src/b.ts": "export {}\n",
    "web/packages/db/package.json": '{"name": "@x/db", "main": "main.js"}',
    "web/packages/db/main.js": 'require("../ui")\n',
    "web/tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["./packages/ui/src/*"]}}}',
    "go.mod": "module example.com/m\n\nreplace example.com/r => ./cmd/r\n",
    "cmd/main.go": 'package main\n\nimport (\n\t"example.com/m/core"\n\t"example.com/r"\n\t"example.com/m"\n)\n',
    "core/core.go": "package core\n",
    "root.go": "package m\n",
    "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n',
    "crates/a/Cargo.toml": '[package]\nname = "a"\n[dependencies]\nb = { path = "../b" }\n',
    "crates/a/src/lib.rs": "mod inner;\nuse b::thing;\nuse crate::inner::x;\n",
    "crates/a/src/inner.rs": "use super::y;\n",
    "crates/b/Cargo.toml": '[package]\nname = "b"\n',
    "crates/b/src/lib.rs": "pub fn thing() {}\n",
    "pom.xml": "<project><modules><module>j1</module><module>j2</module></modules></project>",
    "j1/src/main/java/com/acme/one/A.java": "package com.acme.one;\nimport com.acme.two.B;\nclass A { B b; }\n",
    "j2/src/main/java/com/acme/two/B.java": "package com.acme.two;\nimport static com.acme.one.A.x;\nclass B {}\n",
}
NAMES = ("helper", "db", "models", "other_project", "c", "index", "main", "inner", "thing", "core", "src", "lib")
ENDINGS = (".py", ".ts", ".js", ".rs", ".go", ".java", "", "/__init__.py", "/mod.rs", "/index.ts", "/package.json")


def _mutated(tree: Path, chance: random.Random) -> str:
    """One thing that a person does to a tree."""
    here = sorted(path for path in tree.rglob("*") if not path.is_symlink())
    files = [path for path in here if path.is_file()]
    one = chance.choice(files)
    what = chance.choice(("make", "make", "make", "remove", "move", "link", "rewrite", "rewrite", "folder"))
    homes = [tree, *(path for path in here if path.is_dir())]
    new = chance.choice(homes) / (chance.choice(NAMES) + chance.choice(ENDINGS))
    if what == "rewrite":
        other = chance.choice(files)
        one.write_bytes(chance.choice((b"", other.read_bytes(), one.read_bytes().replace(b"src", b"lib"))))
        return f"rewrite {one}"
    if what == "remove":
        one.unlink()
        return f"remove {one}"
    if new.exists() or new.is_symlink() or any(each.is_file() for each in new.parents):
        return "nothing"
    new.parent.mkdir(parents=True, exist_ok=True)
    if what == "make":
        new.write_bytes(b"")
    elif what == "move":
        one.rename(new)
    elif what == "link":
        new.symlink_to(os.path.relpath(chance.choice(here), new.parent))
    else:
        new.mkdir()
    return f"{what} {new}"


def _sources(tree: Path) -> list[tuple[str, bytes, bytes]]:
    found = []
    for path in sorted(tree.rglob("*")):
        relative = os.fsencode(path.relative_to(tree))
        kind = file_kind(relative)
        if (
            path.is_file()
            and not path.is_symlink()
            and kind in ("python", "typescript", "javascript", "go", "rust", "java")
        ):
            found.append((kind, relative, path.read_bytes()))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_what_is_remembered_is_what_would_be_found(tree: Path, folder: Path, seed: int, parsers: object) -> None:
    """After each change of the tree, whatever it was: what is still taken from the cache is what a reader says."""
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    wanted = Wanted(os.fsencode(tree), packages=False, references=True)
    chance = random.Random(seed)
    tools = Tools(parsers, wanted)  # as the worker has them: for all of the time
    remembered = asked = 0
    for _ in range(40):
        change = _mutated(tree, chance)
        cache = EdgeCache(folder, wanted)
        for kind, path, content in _sources(tree):
            fresh = reading.inspect(kind, path, content, Tools(parsers, wanted))
            known = cache.get(kind, path, content)
            asked += 1
            if known is not None:
                remembered += 1
                assert known == fresh, (change, path)
                continue
            tools.resolver.begin()
            again = reading.inspect(kind, path, content, tools)
            assert again == fresh, (change, path)
            cache.put(kind, path, content, again, tools.resolver.looked())
        cache.flush()
    assert remembered > asked // 2


def test_what_nobody_looked_at_makes_nothing_unknown(tree: Path, folder: Path, parsers: object) -> None:
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    wanted = Wanted(os.fsencode(tree), packages=False, references=True)
    tools = Tools(parsers, wanted)
    cache = EdgeCache(folder, wanted)
    sources = _sources(tree)
    for kind, path, content in sources:
        tools.resolver.begin()
        cache.put(kind, path, content, reading.inspect(kind, path, content, tools), tools.resolver.looked())
    cache.flush()
    for name in (
        "notes.txt",
        "build.log",
        "app/.cache/x",
        "app/__pycache__/models.pyc",
        ".pytest_cache/a",
        "core/x.go",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    again = EdgeCache(folder, wanted)
    assert [path for kind, path, content in sources if again.get(kind, path, content) is None] == []
    (tree / "app/helper.py").write_text("")
    last = EdgeCache(folder, wanted)
    assert [path for kind, path, content in sources if last.get(kind, path, content) is None] == [b"app/views.py"]


@pytest.mark.parametrize(
    ("importer", "remove", "make"),
    [
        ("app/views.py", [], {"app/helper.py": ""}),
        ("app/views.py", [], {"app/__init__.py": "helper = 1\n"}),
        ("app/__init__.py", ["app/models.py"], {"impl/models.py": "", "app/models.py": "-> ../impl/models.py"}),
        ("app/views.py", [], {"far/pyproject.toml": ""}),
        ("app/views.py", [], {"more/pyproject.toml": "", "more/other_project/__init__.py": ""}),
        ("app/views.py", [], {"pyproject.toml": ""}),
        ("web/packages/ui/src/index.ts", [], {"web/packages/c/package.json": '{"name": "@x/db"}'}),
        ("web/packages/ui/src/index.ts", [], {"web/packages/ui/src/c.ts": ""}),
        ("web/packages/ui/src/index.ts", ["web/tsconfig.json"], {}),
        ("web/packages/ui/src/index.ts", [],
         {"web/lerna.json": '{"packages": ["more/*"]}', "web/more/a/package.json": '{"name": "@x/db"}'}),
        ("cmd/main.go", [], {"go.mod": "module example.com/other\n"}),
        ("cmd/main.go", ["root.go"], {"a.go": ""}),
        ("cmd/main.go", [], {"go.work": "go 1.22\nuse ./cmd/x\n", "cmd/x/go.mod": "module example.com/m/core\n"}),
        ("crates/a/src/lib.rs", ["crates/a/src/inner.rs"], {"crates/a/src/inner/mod.rs": ""}),
        ("crates/a/src/lib.rs", [],
         {"crates/b/Cargo.toml": '[package]\nname = "b"\n[lib]\npath = "other.rs"\n', "crates/b/other.rs": ""}),
        ("j1/src/main/java/com/acme/one/A.java", [],
         {"pom.xml": "<modules><module>j3</module></modules>", "j3/src/main/java/com/acme/two/B.java": ""}),
        ("j1/src/main/java/com/acme/one/A.java", [], {"j1/src/gen/java/com/acme/two/B.java": ""}),
    ],
)  # fmt: skip
def test_what_makes_another_answer_is_noticed(
    tree: Path, folder: Path, parsers: object, importer: str, remove: list[str], make: dict[str, str]
) -> None:
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    wanted = Wanted(os.fsencode(tree), packages=False, references=True)
    kind, path, content = next(each for each in _sources(tree) if each[1] == importer.encode())
    tools = Tools(parsers, wanted)
    tools.resolver.begin()
    before = reading.inspect(kind, path, content, tools)
    cache = EdgeCache(folder, wanted)
    cache.put(kind, path, content, before, tools.resolver.looked())
    cache.flush()
    assert EdgeCache(folder, wanted).get(kind, path, content) == before
    for name in remove:
        (tree / name).unlink()
    for name, text in make.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            (tree / name).symlink_to(text[3:])
        else:
            (tree / name).write_text(text)
    assert reading.inspect(kind, path, content, Tools(parsers, wanted)) != before
    assert EdgeCache(folder, wanted).get(kind, path, content) is None
