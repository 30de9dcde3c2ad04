"""pnpm, yarn (1 and later) and npm workspaces: as bare, within the write scope, and under a rule about packages."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun
    from tests.e2e.conftest import Pair

pytestmark = [pytest.mark.needs("node", "npm", "registry", "notify", landlock=2), pytest.mark.timeout(300)]
PACKAGES = {"pnpm": "pnpm@10.34.9", "yarn": "yarn@1.22.22", "berry": "@yarnpkg/cli-dist@4.18.1"}
PROFILE = """
version = 1
[[dependency]]
id   = "parity"
why  = "one way to tell odd from even"
deny = ["npm:is-odd"]
use  = "n % 2"
"""
MANIFEST = '{"name":"x","version":"1.0.0","private":true,"scripts":{"odd":"node -p \\"require(\'is-odd\')(3)\\""}}'


@pytest.fixture(scope="session")
def managers(cache: Path, client_environment: dict[str, str]) -> dict[str, Path]:
    """A folder for PATH for each manager, installed once."""
    found: dict[str, Path] = {}
    for name, package in PACKAGES.items():
        folder = cache / "node" / package.replace("/", "+")
        if not (folder / "complete").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_text('{"private":true}')
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", package]
            environment = dict(os.environ) | client_environment
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=300)
            (folder / "complete").touch()
        found[name] = folder / "node_modules/.bin"
    berry = found["berry"].parent.parent / "bin"
    berry.mkdir(exist_ok=True)
    script = found["berry"].parent / "@yarnpkg/cli-dist/bin/yarn.js"
    (berry / "yarn").write_text(f"#!/usr/bin/env node\nrequire({str(script)!r})\n")
    (berry / "yarn").chmod(0o755)
    return found | {"berry": berry}


@pytest.fixture
def tools(pair: Pair, managers: dict[str, Path], client_environment: dict[str, str]) -> dict[str, str]:
    """PATH for each manager, with the settings of this machine's clients."""
    pair.env.update(client_environment)
    pair.env.update(YARN_ENABLE_TELEMETRY="0", YARN_ENABLE_GLOBAL_CACHE="true", COREPACK_ENABLE_STRICT="0")
    # Yarn 4 reads no .npmrc: it is told what npm is configured with.
    for name, key in (("YARN_NPM_REGISTRY_SERVER", "registry"), ("YARN_HTTPS_CA_FILE_PATH", "cafile")):
        value = pair.govrun.bare("npm", "config", "get", key, env=pair.env).stdout.decode().strip()
        if value not in ("", "null", "undefined"):
            pair.env[name] = value.rstrip("/")
    return {name: f"{folder}:{pair.govrun.env['PATH']}" for name, folder in managers.items()}


# ---- as bare ----------------------------------------------------------------------------------------------------


def test_pnpm(pair: Pair, tools: dict[str, str]) -> None:
    """Its store lies beside the other caches of the repository, and its files are links to it.

    What pnpm 10 keeps below XDG_CACHE_HOME and XDG_STATE_HOME alone (metadata, the folder of `dlx`) is refused there;
    all but `dlx` bear that."""
    pair.env["PATH"] = tools["pnpm"]
    pair.both(
        f"printf %s {shlex.quote(MANIFEST)} > package.json; echo node_modules > .gitignore; git add -A; git commit -qm x"
    )
    script = (
        "export XDG_CACHE_HOME=$PWD/.c XDG_STATE_HOME=$PWD/.s; pnpm add --silent is-odd@3.0.1; pnpm --silent run odd;"
        "pnpm dlx --silent semver@7.6.0 1.2.3; pnpm remove --silent is-odd; ls node_modules; rm -r .c .s;"
        "git status --short"
    )
    outcome = pair.same(script, skip=[".modules.yaml", ".pnpm-workspace-state-v1.json", ".pnpm-workspace-state.json"])
    assert b"true\n1.2.3\n" in outcome.stdout
    assert not (pair.home / ".local/share/pnpm").exists()


def test_yarn_1(pair: Pair, tools: dict[str, str]) -> None:
    """Where it was used before: it makes ~/.yarn/bin at its first command, and bears that it cannot."""
    pair.both("mkdir -p ~/.yarn/bin")
    pair.env["PATH"] = tools["yarn"]
    pair.both(
        f"printf %s {shlex.quote(MANIFEST)} > package.json; echo node_modules > .gitignore; git add -A; git commit -qm x"
    )
    script = (
        "yarn add -s is-odd@3.0.1; yarn -s odd; yarn install -s --frozen-lockfile; yarn remove -s is-odd;"
        "cat yarn.lock; git status --short"
    )
    assert pair.same(script, skip=[".yarn-integrity"]).stdout.startswith(b"true\n")


def test_yarn_4(pair: Pair, tools: dict[str, str]) -> None:
    """Without node_modules (Plug'n'Play), and then with."""
    pair.env |= {"PATH": tools["berry"], "CI": "1", "YARN_ENABLE_IMMUTABLE_INSTALLS": "0"}
    pair.both(
        f"printf %s {shlex.quote(MANIFEST)} > package.json; echo node_modules > .gitignore; touch yarn.lock; git add -A; git commit -qm x"
    )
    script = (
        "yarn add is-odd@3.0.1 >/dev/null; yarn odd; ls -a; yarn config set nodeLinker node-modules >/dev/null;"
        "yarn install >/dev/null; yarn odd; yarn dlx -q semver@7.6.0 1.2.3; cat yarn.lock; git status --short; ls -a"
    )
    # Absolute names of the caches, which differ: their digests do too.
    outcome = pair.same(script, skip=[".pnp.cjs", "install-state.gz", ".yarn-state.yml"])
    assert outcome.stdout.startswith(b"true\n")
    assert not (pair.home / ".yarn").exists()


def test_npm_workspaces(pair: Pair, client_environment: dict[str, str]) -> None:
    pair.env.update(client_environment)
    script = """
mkdir -p packages/a packages/b
echo '{"name":"x","private":true,"workspaces":["packages/*"]}' > package.json
echo '{"name":"a","version":"1.0.0","main":"i.js"}' > packages/a/package.json; echo 'module.exports = 41' > packages/a/i.js
echo '{"name":"b","version":"1.0.0","dependencies":{"a":"^1.0.0"},"scripts":{"t":"node t.js"}}' > packages/b/package.json
echo 'console.log(require("a") + 1)' > packages/b/t.js
npm install --silent --no-audit --no-fund; readlink node_modules/a; npm run -s t -w b; npm run -s t --workspaces --if-present
npm ls --silent --all | sed 1d
"""
    assert pair.same(script, skip=[".package-lock.json"]).stdout.startswith(b"../packages/a\n42\n42\n")


# ---- the store --------------------------------------------------------------------------------------------------


def test_the_users_own_store_keeps_what_it_has(pair: Pair, tools: dict[str, str]) -> None:
    """Files that the user's pnpm linked from its store are changed in the tree alone: writing breaks the link first."""
    pair.env["PATH"] = tools["pnpm"]
    pair.env["npm_config_package_import_method"] = "hardlink"
    manifest = f"printf %s {shlex.quote(MANIFEST)} > package.json; echo node_modules > .gitignore; git add -A; git commit -qm x"
    pair.both(manifest + "; pnpm add --silent is-odd@3.0.1; git add -A; git commit -qm y")
    store = pair.home / ".local/share/pnpm/store"
    file = pair.tree / "node_modules/is-odd/index.js"
    before = file.stat()
    assert before.st_nlink > 1
    (copy,) = [each for each in store.rglob("*") if each.lstat().st_ino == before.st_ino]
    content = copy.read_bytes()
    outcome = pair.govrun(
        "sh", "-c", f"echo '// more' >> node_modules/is-odd/index.js; echo x > '{copy}'; rm -f '{copy}'", env=pair.env
    )
    assert copy.read_bytes() == content
    assert file.read_bytes() == content + b"// more\n"
    assert {each["invariant"] for each in outcome.denied()} == {"scope.write"}


# ---- a rule about packages --------------------------------------------------------------------------------------


@pytest.fixture
def ruled(pair: Pair, govrun: Govrun) -> Pair:
    (pair.tree / "package.json").write_text(MANIFEST)
    (pair.tree / "govrun.toml").write_text(PROFILE)
    (pair.tree / ".gitignore").write_text("node_modules\n")
    for words in (["add", "-A"], ["commit", "-qm", "rule"]):
        assert govrun.bare("git", *words).returncode == 0
    return pair


COMMANDS = {
    "pnpm": [
        "add is-odd",
        "add -D is-odd@3",
        "install is-odd",
        "dlx is-odd",
        "add x@npm:is-odd@3.0.1",
        "--filter . add is-odd",
    ],
    "yarn": ["add is-odd", "add --dev is-odd@3", "add x@npm:is-odd@3.0.1", "global add is-odd", "upgrade is-odd@2"],
    "berry": [
        "add is-odd",
        "add -D is-odd@3",
        "dlx is-odd",
        "dlx -p is-odd node",
        "add x@npm:is-odd@3.0.1",
        "up is-odd",
    ],
}


@pytest.mark.parametrize("manager", COMMANDS)
def test_a_forbidden_package_is_not_added(ruled: Pair, tools: dict[str, str], manager: str) -> None:
    name = "pnpm" if manager == "pnpm" else "yarn"
    script = "; ".join(f"{name} {words}; echo $?" for words in COMMANDS[manager])
    outcome = ruled.govrun("sh", "-c", script, env=ruled.env | {"PATH": tools[manager]})
    assert outcome.stdout.split() == [b"126"] * len(COMMANDS[manager]), outcome.stderr
    assert outcome.stderr.count(f"{name} names is-odd") == len(COMMANDS[manager])
    assert "instead: n % 2" in outcome.stderr
    assert sorted(each.name for each in ruled.tree.iterdir()) == [
        ".git",
        ".gitignore",
        "README.md",
        "govrun.toml",
        "package.json",
        "src",
    ]


@pytest.mark.parametrize(
    ("manager", "linker", "transitive"),
    [
        ("pnpm", "", True),
        ("yarn", "", False),
        ("berry", "pnp", False),
        ("berry", "pnp", True),
        ("berry", "node-modules", True),
    ],
)
def test_a_forbidden_package_that_comes_with_another(
    ruled: Pair, govrun: Govrun, tools: dict[str, str], manager: str, linker: str, transitive: bool
) -> None:
    """is-even needs is-odd. Without `transitive` and without a lock that is told, with it refused."""
    if transitive:
        (ruled.tree / "govrun.toml").write_text(PROFILE + "transitive = true\n")
        assert govrun.bare("git", "commit", "-qam", "transitive").returncode == 0
    env = ruled.env | {"PATH": tools[manager], "YARN_NODE_LINKER": linker}
    name = "pnpm" if manager == "pnpm" else "yarn"
    outcome = ruled.govrun("sh", "-c", f"{name} add is-even@1.0.0", env=env)
    assert (outcome.code == 0) is not transitive, outcome.stderr
    if not transitive:
        assert "npm:is-odd came with another package" in outcome.stderr
        return
    assert "denied by parity" in outcome.stderr
    for lock in ("pnpm-lock.yaml", "yarn.lock"):
        assert "is-odd" not in ((ruled.tree / lock).read_text() if (ruled.tree / lock).exists() else "")
    used = ruled.govrun("node", "-e", "require('is-even')(2)", env=env)
    assert used.code != 0


LOCKS = {
    "pnpm-lock.yaml": "lockfileVersion: '9.0'\nimporters:\n  .: {}\npackages:\n  is-odd@3.0.1:\n    resolution: {integrity: sha512-x}\n",
    "yarn.lock": '# yarn lockfile v1\n\n\nis-odd@3.0.1:\n  version "3.0.1"\n  resolved "https://example.invalid/is-odd-3.0.1.tgz"\n',
    "sub/yarn.lock": '__metadata:\n  version: 8\n\n"is-odd@npm:3.0.1":\n  version: 3.0.1\n  resolution: "is-odd@npm:3.0.1"\n',
}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_names_it_is_taken_back(ruled: Pair, govrun: Govrun, lock: str) -> None:
    (ruled.tree / "govrun.toml").write_text(PROFILE + "transitive = true\n")
    assert govrun.bare("git", "commit", "-qam", "transitive").returncode == 0
    outcome = ruled.govrun("sh", "-c", f"mkdir -p sub; printf %s {shlex.quote(LOCKS[lock])} > {lock}; cat {lock}")
    assert "is-odd" not in outcome.stdout.decode()
    assert f"{lock} locks is-odd 3.0.1" in outcome.stderr
    assert outcome.records(phase="outcome", outcome="reverted")
