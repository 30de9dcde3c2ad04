"""From sources in a tree to what a ``[[boundary]]`` says of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from supervisor.inspection.kinds import kind_of
from supervisor.inspection.parsing import Parsers
from supervisor.inspection.references import references
from supervisor.inspection.resolving import Resolver
from supervisor.invariants.boundary import compile_boundaries, judge_content
from supervisor.profile.model import Rule
from supervisor.vocabulary.content import Findings
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Invariant
from tests.property.world import ACTOR, target


class World:
    def __init__(self, tree: Path, parsers: Parsers) -> None:
        self.tree = tree
        self.parsers = parsers
        self.resolver = Resolver(os.fsencode(tree))

    def put(self, **files: str) -> None:
        for name, text in files.items():
            place = self.tree / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def says(self, path: str, text: str) -> Findings:
        kind = kind_of(path.encode())
        assert kind is not None
        found = references(kind, os.fsencode(self.tree / path), text.encode(), self.parsers, self.resolver)
        return Findings(references=found[0], pending=found[1])

    def told(self, path: str, text: str, before: str = "", **fields: Any) -> list[str]:
        rules = compile_boundaries([Rule("boundary", "r", fields=fields)], {"r": Invariant("r", "boundary", "revert")})
        graphs = rules.graphs()
        for at, _, names in os.walk(self.tree):
            for name in names:
                relative = os.path.relpath(os.path.join(at, name), self.tree)
                if kind_of(relative.encode()) in ("python", "typescript"):
                    for graph in graphs.values():
                        graph.replace(relative, self.says(relative, (self.tree / relative).read_text()).references)
        event = ContentEvent(ACTOR, target(b"x"), self.says(path, text), self.says(path, before))
        return [match.message for match in judge_content(rules, event, path.encode(), graphs)]


@pytest.fixture
def world(tmp_path: Path, parsers: Parsers) -> World:
    return World(tmp_path, parsers)


HEXAGON: dict[str, Any] = {
    "layers": ("src/shop/web/**", "src/shop/app/**", "src/shop/domain/**"),
    "isolate": ("src/shop/domain/**",),
}


def test_a_python_service(world: World) -> None:
    files = ("src/shop/__init__.py", "src/shop/web/__init__.py", "src/shop/web/views.py", "src/shop/domain/__init__.py",
             "src/shop/domain/order.py")  # fmt: skip
    world.put(**dict.fromkeys(files, ""))
    order = "src/shop/domain/order.py"
    assert not world.told("src/shop/web/views.py", "from shop.domain import order\nimport django", **HEXAGON)
    assert world.told(order, "from ..web import views", **HEXAGON)
    assert world.told(order, "import shop.web.later", **HEXAGON)
    assert world.told(order, "import importlib\nimportlib.import_module('shop.web')", **HEXAGON)
    assert world.told(order, "import sqlalchemy", **HEXAGON)
    assert not world.told(order, "import json\nfrom dataclasses import dataclass\nfrom . import order", **HEXAGON)
    assert not world.told(order, "x = 1\nfrom ..web import views", "from ..web import views", **HEXAGON)
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..web import views"
    assert not world.told(order, guarded, **HEXAGON)


def test_a_typescript_monorepo(world: World) -> None:
    world.put(**{
        "package.json": '{"workspaces": ["packages/*"]}',
        "packages/ui/package.json": '{"name": "@acme/ui"}',
        "packages/ui/src/index.ts": "",
        "packages/ui/src/internal/a.ts": "",
        "packages/db/package.json": '{"name": "@acme/db"}',
        "packages/db/src/index.ts": "import '@acme/ui'",
        "packages/db/src/internal/pool.ts": "",
    })  # fmt: skip
    fields = {"deny": ("packages/* -> packages/*/src/internal/**",), "acyclic": ("packages/*",)}
    ui = "packages/ui/src/index.ts"
    assert not world.told(ui, "import './internal/a'; import 'react'", **fields)
    assert [told.partition(" (")[0] for told in world.told(ui, "import '../../db/src/internal/pool'", **fields)] == [
        "packages/ui/src/index.ts:1 references packages/db/src/internal/pool.ts",
        "packages/ui/src/index.ts:1 references packages/db/src/internal/pool.ts",
    ]
    (told,) = world.told(ui, "import '@acme/db'", **fields)
    assert told.endswith("packages/ui -> packages/db -> packages/ui (by packages/db/src/index.ts:1)")
    assert not world.told(ui, "import type { Pool } from '@acme/db'", **fields)
