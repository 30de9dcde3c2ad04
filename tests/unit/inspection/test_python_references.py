"""Imports of Python sources as they resolve in real trees."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.limits import Budget, Overdue
from supervisor.inspection.parsing import Parsers
from supervisor.inspection.references import references
from supervisor.inspection.resolving import Resolver

Ask = Callable[..., list[str]]


@pytest.fixture
def ask(tmp_path: Path, parsers: Parsers) -> Ask:
    """(importer, source, files of the tree) -> what it leads to: paths, ``+name`` for third parties, ``?name``."""

    def told(importer: str, source: str | bytes, *files: str, pending: bool = False, **texts: str) -> list[str]:
        for each in files:
            name, _, text = each.partition("=")
            place = tmp_path / name
            if name.endswith("/"):
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        content = source if isinstance(source, bytes) else source.encode()
        path = os.fsencode(tmp_path / importer)
        found, why = references("python", path, content, parsers, Resolver(os.fsencode(tmp_path)))
        assert bool(why) is pending
        return [f"+{each.name}" if each.external else each.to or f"?{each.name}" for each in found]

    return told


SHOP = ("src/shop/__init__.py", "src/shop/db/__init__.py", "src/shop/db/client.py", "src/shop/web/__init__.py")
WEB = "src/shop/web/views.py"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import shop.db.client", ["src/shop/db/client.py"]),
        ("import shop.db", ["src/shop/db/__init__.py"]),
        ("import shop.db.client as c, os, shop", ["src/shop/__init__.py", "src/shop/db/client.py"]),
        ("from shop.db import client", ["src/shop/db/client.py"]),
        ("from shop.db import client as c", ["src/shop/db/client.py"]),
        ("from shop.db.client import Client", ["src/shop/db/client.py"]),
        ("from shop.db import *", ["src/shop/db/__init__.py"]),
        ("from ..db import client", ["src/shop/db/client.py"]),
        ("from ..db.client import x", ["src/shop/db/client.py"]),
        ("from .. import db", ["src/shop/db/__init__.py"]),
        ("from . import views", ["src/shop/web/views.py"]),
        ("from .. db . client import x", ["src/shop/db/client.py"]),
        ("from ..db import (\n  client, # c\n)", ["src/shop/db/client.py"]),
        ("def f():\n    from shop.db import client", ["src/shop/db/client.py"]),
        ("try:\n    import shop.db\nexcept ImportError:\n    import nothing", ["src/shop/db/__init__.py", "+nothing"]),
        ("import importlib\nimportlib.import_module('shop.db.client')", ["src/shop/db/client.py"]),
        ("from importlib import import_module as im\nim('shop.db.client')", ["src/shop/db/client.py"]),
        ("import importlib\nimportlib.import_module('..db.client', __package__)", ["src/shop/db/client.py"]),
        ("import importlib\nimportlib.import_module('.client', 'shop.db')",
         ["src/shop/db/__init__.py", "src/shop/db/client.py"]),
        ("import importlib\nimportlib.import_module('.client', package='shop.db')",
         ["src/shop/db/__init__.py", "src/shop/db/client.py"]),
        ("__import__('shop.db.client')", ["src/shop/db/client.py"]),
        ("import importlib\nimportlib.import_module('requests')", ["+requests"]),
        ("import importlib\nimportlib.import_module(getattr(s, 'NAME'))", []),
        ("import requests, os, sys, email.mime", ["+requests"]),
        ("from requests.adapters import A", ["+requests.adapters"]),
        ("from __future__ import annotations", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shop.db\n", []),
        ("import typing\nif typing.TYPE_CHECKING:\n    import shop.db\nelse:\n    import shop.db.client",
         ["src/shop/db/client.py"]),
        ("TYPE_CHECKING = True\nif TYPE_CHECKING:\n    import shop.db\n", ["src/shop/db/__init__.py"]),
        ("# import shop.db\n'''\nimport shop.db\n'''\n", []),
    ],
)  # fmt: skip
def test_ways_to_import(ask: Ask, source: str, expected: list[str]) -> None:
    assert ask(WEB, source, *SHOP, WEB) == expected


def test_names_and_lines(tmp_path: Path, parsers: Parsers) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/__init__.py").touch()
    (tmp_path / "a/b.py").touch()
    source = b"import os\nfrom a import (\n    b,\n    c)\nfrom .b import x\nimport third.party\n"
    found, _ = references("python", os.fsencode(tmp_path / "a/z.py"), source, parsers, Resolver(os.fsencode(tmp_path)))
    assert [(each.name, each.to, each.line, each.external) for each in found] == [
        ("a.b", "a/b.py", 3, False),
        ("a", "a/__init__.py", 4, False),
        ("a", "a/c", 4, False),
        ("a", "a/c.py", 4, False),
        (".b", "a/b.py", 5, False),
        ("third.party", "", 6, True),
    ]


def test_what_is_not_there_yet_has_the_paths_that_it_may_get(ask: Ask) -> None:
    assert ask(WEB, "import shop.db.new", *SHOP) == ["src/shop/db/new", "src/shop/db/new.py"]
    assert ask(WEB, "import shop.later.new", *SHOP) == ["src/shop/later/new", "src/shop/later/new.py"]
    assert ask(WEB, "from ..later import x", *SHOP) == ["src/shop/later", "src/shop/later.py"]
    assert ask(WEB, "from shop.db import new", *SHOP) == [
        "src/shop/db/__init__.py", "src/shop/db/new", "src/shop/db/new.py"
    ]  # fmt: skip
    assert ask(WEB, "from shop.db import Client", "src/shop/db/__init__.py=from .client import Client") == [
        "src/shop/db/__init__.py"
    ]
    assert ask(WEB, "from shop.db import Client", "src/shop/db/__init__.py=from .client import *") == [
        "src/shop/db/__init__.py"
    ]


def test_packages_without_an_init(ask: Ask) -> None:
    files = ("src/shop/db/client.py", "src/shop/web/views.py")
    assert ask(WEB, "from shop.db import client", *files) == ["src/shop/db/client.py"]
    assert ask(WEB, "import shop.db", *files) == ["src/shop/db"]
    assert ask(WEB, "from shop.db import new", *files) == ["src/shop/db/new", "src/shop/db/new.py"]
    assert ask(WEB, "from ..db import client", *files) == ["src/shop/db/client.py"]


def test_a_folder_is_no_package_because_of_its_name(ask: Ask) -> None:
    assert ask("src/a.py", "import docker", "docker/Dockerfile", "src/a.py") == ["+docker"]
    assert ask("src/a.py", "import docker", "docker/run.py") == ["+docker", "docker"]
    assert ask("src/a.py", "from docker import run", "docker/run.py") == ["docker/run.py"]


def test_a_regular_package_comes_before_a_module_and_that_before_a_folder(ask: Ask) -> None:
    assert ask("m.py", "import a.b", "a/__init__.py", "a/b.py", "a.py") == ["a/b.py"]
    assert ask("m.py", "import c.b", "c/b.py", "c.py") == ["c.py"]


def test_stubs_and_compiled_sources(ask: Ask) -> None:
    assert ask("m.py", "import a, b.c", "a.pyi", "b/__init__.pyi", "b/c.pyx") == ["a.pyi", "b/c.pyx"]


def test_at_the_root(ask: Ask) -> None:
    assert ask("m.py", "from . import x", "x.py") == ["x.py"]
    assert ask("m.py", "from . import y", "x.py") == ["y", "y.py"]
    assert ask("m.py", "from .. import y", "x.py") == ["?.."]
    assert ask("m.py", "from " + "." * 500 + "a.b import y", "x.py") == ["?" + "." * 500]
    assert ask("a/m.py", "from . import *", "a/__init__.py") == ["a/__init__.py"]
    assert ask("a/m.py", "from . import *", "a/m.py") == ["a/__init__.py"]


def test_names_of_the_standard_library_in_the_tree(ask: Ask) -> None:
    files = ("email/__init__.py", "email/mime.py", "sys.py", "time.py")
    assert ask("main.py", "import email.mime, sys, time", *files) == ["email/mime.py"]
    assert ask("src/app/a.py", "import logging", "src/app/__init__.py", "src/app/logging.py") == []
    assert ask("src/app/a.py", "from . import logging", "src/app/logging.py") == ["src/app/logging.py"]
    assert ask("types.py", "import types", "types.py") == []


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("pyproject.toml", '[tool.setuptools.package-dir]\n"" = "lib/python"'),
        ("pyproject.toml", '[tool.setuptools.package-dir]\nshop = "lib/python/shop"'),
        ("pyproject.toml", '[tool.setuptools.packages.find]\nwhere = ["lib/python"]'),
        ("pyproject.toml", '[[tool.poetry.packages]]\ninclude = "shop"\nfrom = "lib/python"'),
        ("pyproject.toml", '[tool.hatch.build.targets.wheel]\npackages = ["lib/python/shop"]'),
        ("pyproject.toml", '[tool.hatch.build.targets.wheel.sources]\n"lib/python" = ""'),
        ("pyproject.toml", '[tool.pdm.build]\npackage-dir = "lib/python"'),
        ("pyproject.toml", '[tool.uv.build-backend]\nmodule-root = "lib/python"'),
        ("pyproject.toml", '[tool.maturin]\npython-source = "lib/python"'),
        ("pyproject.toml", '[tool.pytest.ini_options]\npythonpath = ["lib/python"]'),
        ("setup.cfg", "[options]\npackage_dir =\n    = lib/python\n"),
        ("setup.cfg", "[options.packages.find]\nwhere = lib/python\n"),
        ("setup.py", "setup(package_dir={'': 'lib/python'})"),
        ("setup.py", "setup(packages=find_packages(where='lib/python'))"),
    ],
)
def test_roots_that_manifests_name(ask: Ask, manifest: str, text: str) -> None:
    files = ("lib/python/shop/__init__.py", "lib/python/shop/db.py")
    assert ask("tests/t.py", "import shop.db", *files) == ["+shop.db"]
    assert ask("tests/t.py", "import shop.db", f"{manifest}={text}", *files) == ["lib/python/shop/db.py"]


def test_a_package_under_another_name(ask: Ask) -> None:
    text = '[tool.setuptools.package-dir]\n"acme.shop" = "code"'
    assert ask("tests/t.py", "import acme.shop.db", f"pyproject.toml={text}", "code/__init__.py", "code/db.py") == [
        "code/db.py"
    ]


@pytest.mark.parametrize("text", ["[", "[tool]\nuv = 3", '[tool.setuptools.package-dir]\n"" = "../../etc"',
                                  '[tool.hatch.build]\nsources = [1, "/etc"]', "tool = 1"])  # fmt: skip
def test_broken_manifests(ask: Ask, text: str) -> None:
    assert ask("t.py", "import shop.db", f"pyproject.toml={text}", "setup.cfg=[", *SHOP) == ["src/shop/db/__init__.py"]


def test_other_projects_of_the_tree(ask: Ask) -> None:
    files = ("services/a/pyproject.toml", "services/a/app/__init__.py", "services/a/app/x.py",
             "services/b/pyproject.toml", "services/b/src/app/__init__.py", "services/b/src/app/y.py",
             "libs/core/setup.py", "libs/core/src/core/__init__.py",
             "node_modules/foo/setup.py", "node_modules/foo/foo/__init__.py",
             "venv/pyvenv.cfg", "venv/lib/setup.py", "venv/lib/bar.py")  # fmt: skip
    assert ask("services/a/app/main.py", "import app.x", *files) == ["services/a/app/x.py"]
    assert ask("services/a/app/main.py", "import app.y", *files) == ["services/a/app/y", "services/a/app/y.py"]
    assert ask("services/b/src/app/main.py", "import core", *files) == ["libs/core/src/core/__init__.py"]
    both = ["services/a/app/__init__.py", "services/b/src/app/__init__.py"]
    assert ask("scripts/run.py", "import app", *files) == both
    assert ask("scripts/run.py", "import foo, bar", *files) == ["+bar", "+foo"]


def test_members_of_a_workspace_far_below(ask: Ask) -> None:
    deep = "a/b/c/d/e/lib"
    assert ask("m.py", "import deep.x", 'pyproject.toml=[tool.uv.workspace]\nmembers = ["a/**/e/*"]',
               f"{deep}/pyproject.toml", f"{deep}/src/deep/__init__.py", f"{deep}/src/deep/x.py") == [
        f"{deep}/src/deep/x.py"
    ]  # fmt: skip


def test_a_linked_folder_is_what_it_leads_to(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "src/shop/web").mkdir(parents=True)
    (tmp_path / "src/shop/web/store").symlink_to("../db")
    assert ask(WEB, "from .store import client\nfrom .store import later", *SHOP) == [
        "src/shop/db/client.py", "src/shop/db/__init__.py", "src/shop/db/later", "src/shop/db/later.py"
    ]  # fmt: skip


def test_unicode_forms(ask: Ask) -> None:
    assert ask("m.py", "import sℎop.dᵇ", "shop/__init__.py", "shop/db.py") == ["shop/db.py"]
    assert ask("m.py", "import größe.ａ", "größe/__init__.py", "größe/a.py") == ["größe/a.py"]
    assert ask("m.py", "# coding: latin-1\nimport gr\xf6\xdfe".encode("latin-1"), "größe/__init__.py") == [
        "größe/__init__.py"
    ]


def test_case_is_kept(ask: Ask) -> None:
    assert ask("m.py", "import Shop.db", "shop/__init__.py", "shop/db.py") == ["+Shop.db"]


def test_half_written_files_tell_what_is_certain(ask: Ask) -> None:
    source = "from shop.db import client\nimport requests\n\ndef f(:\n    x = (\nfrom shop.web import views\n"
    assert ask("m.py", source, *SHOP, WEB, pending=True) == [
        "src/shop/db/client.py", "+requests", "src/shop/web/views.py"
    ]  # fmt: skip
    assert ask("m.py", "def f(:\n  '''\nimport shop.db", *SHOP, pending=True) in ([], ["src/shop/db/__init__.py"])
    assert ask("m.py", "def f(:\nfrom shop important", *SHOP, pending=True) == []
    assert ask("m.py", "from shop.", *SHOP, pending=True) in ([], ["src/shop/__init__.py"])
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shop.db\n    x = (\n"
    assert ask("m.py", guarded, *SHOP, pending=True) == []


def test_outside_of_the_tree_nothing_is_told(parsers: Parsers, tmp_path: Path) -> None:
    resolver = Resolver(os.fsencode(tmp_path))
    assert references("python", b"/elsewhere/a.py", b"import requests", parsers, resolver) == ((), "")
    assert references("python", os.fsencode(tmp_path / "a.pyi"), b"import requests", parsers, resolver) == ((), "")
    assert references("toml", os.fsencode(tmp_path / "a.py"), b"import requests", parsers, resolver) == ((), "")
    script = b"#!/usr/bin/env python3\nimport a\n"
    assert references("script", os.fsencode(tmp_path / "run"), script, parsers, resolver)[0]


def test_a_large_file_ends(parsers: Parsers, tmp_path: Path) -> None:
    resolver = Resolver(os.fsencode(tmp_path))
    path = os.fsencode(tmp_path / "a.py")
    many = "\n".join(f"import a{number}.b{number}" for number in range(30_000)).encode()
    parsers.allow(Budget(60.0))
    with pytest.raises(Unreadable):
        references("python", path, many, parsers, resolver)
    parsers.allow(Budget(0.05))
    with pytest.raises(Overdue):
        references("python", path, many, parsers, resolver)
    parsers.allow(None)
    code = ("x = [1, 2, 3]  # a line of code\n" * 62_000).encode()
    assert references("python", path, code + b"import requests\n", parsers, resolver)[0][0].line == 62_001


def test_long_names(ask: Ask) -> None:
    assert ask("m.py", f"import {'a' * 5000}", "x.py")[0].startswith("+aaa")
    assert ask("m.py", f"from .{'a' * 5000} import x", "x.py")[0].startswith("?.aaa")
    assert ask("m.py", "import " + ".".join(["a"] * 3000), "a/__init__.py")


_WORDS = st.sampled_from(["from ", "import ", ".", "..", "a", "b.c", " import ", "*", "(", ")", ",", "\n", " as ",
                          "import_module('", "')", "'.a'", "if TYPE_CHECKING:\n  ", "\\\n", "#"])  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_WORDS, max_size=14))
def test_any_text_is_read(parsers: Parsers, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a/__init__.py").touch()
    found, _ = references("python", os.fsencode(tmp_path / "a/m.py"), "".join(words).encode(), parsers,
                          Resolver(os.fsencode(tmp_path)))  # fmt: skip
    assert all(not each.to.startswith(("/", "..")) for each in found)


_LONG = (
    "from " + "." * 300_000, ("from " + "." * 1900 + "\n") * 500, "import " + "a," * 150_000 + "!",
    "import a" + " as" * 100_000, " " * 400_000 + "from", "from a import " + "a " * 150_000,
    "if TYPE_CHECKING:\n" * 20_000,
)  # fmt: skip


@pytest.mark.parametrize("text", _LONG)
def test_broken_files_are_read_in_linear_time(parsers: Parsers, tmp_path: Path, text: str) -> None:
    path = os.fsencode(tmp_path / "m.py")
    parsers.allow(Budget(20.0))
    with contextlib.suppress(Unreadable):
        references("python", path, f"def f(:\n{text}\n".encode(), parsers, Resolver(os.fsencode(tmp_path)))
    parsers.allow(None)
