import pytest

from supervisor.inspection.kinds import file_kind, is_lock, is_manifest, is_source, is_unpacked, kind_of

CASES = {
    "a/b.py": "python",
    "x.PYI": "python",
    "x.pyw": "python",
    "setup.py": "python",
    "a.js": "javascript",
    "a.mjs": "javascript",
    "a.cjs": "javascript",
    "a.jsx": "javascript",
    "a.ts": "typescript",
    "a.d.ts": "typescript",
    "a.mts": "typescript",
    "a.cts": "typescript",
    "a.tsx": "tsx",
    "a.vue": "component",
    "a.svelte": "component",
    "pnpm-workspace.yaml": "workspace",
    ".yarnrc.yml": "workspace",
    "n.ipynb": "notebook",
    "requirements.txt": "requirements",
    "requirements-dev.txt": "requirements",
    "dev-requirements.txt": "requirements",
    "Requirements.TXT": "requirements",
    "constraints.txt": "requirements",
    "requirements.in": "requirements",
    "a/requirements/base.txt": "requirements",
    "requirements/base.in": "requirements",
    "requirements/base.md": None,
    "notes.txt": None,
    "manifest.in": None,
    "pyproject.toml": "pyproject",
    "PyProject.toml": None,
    "Pipfile": "pipfile",
    "setup.cfg": "setup.cfg",
    "package.json": "package.json",
    "package-lock.json": "package-lock",
    "npm-shrinkwrap.json": "package-lock",
    "node_modules/.package-lock.json": None,
    "yarn.lock": "yarn.lock",
    "pnpm-lock.yaml": "pnpm-lock",
    "bun.lock": "bun.lock",
    "bun.lockb": None,
    "uv.lock": "uv.lock",
    "poetry.lock": "poetry.lock",
    "pdm.lock": "pdm.lock",
    "Pipfile.lock": "Pipfile.lock",
    "pylock.toml": "pylock",
    "pylock.dev.toml": "pylock",
    "environment.yml": "environment.yml",
    "environment-dev.yaml": "environment.yml",
    "compose.yml": None,
    "Makefile": None,
    "": None,
    "py": None,
    "a/": None,
    "x.pyx": "python",
    "x.pth": "pth",
    "tox.ini": "tox.ini",
    "reqs.txt": "requirements",
    "test-req.txt": "requirements",
    "requires_dev.in": "requirements",
    "deps.txt": "requirements",
    "dev_deps.txt": "requirements",
    "prequel.txt": None,
    "depth.txt": None,
    "requirements/a/b.txt": "requirements",
    "cmd/main.go": "go",
    "src/vendor/a.rs": "rust",
    "A.java": "java",
    "A.kt": "kotlin",
    "x.main.kts": "kotlin",
    "a.rb": "ruby",
    "tasks/a.rake": "ruby",
    "config.ru": "ruby",
    "a/Cargo.toml": "Cargo.toml",
    ".cargo/config.toml": "Cargo.toml",
    "a/.cargo/config": "Cargo.toml",
    "cargo/config": None,
    "cargo.toml": None,
    "Cargo.lock": "Cargo.lock",
    "go.mod": "go.mod",
    "go.work": "go.work",
    "go.sum": "go.sum",
    "go.work.sum": "go.sum",
    "vendor/modules.txt": "modules.txt",
    "modules.txt": None,
    "pom.xml": "pom.xml",
    "pom-release.xml": "pom.xml",
    "parent-pom.xml": "pom.xml",
    "a/b.pom": "pom.xml",
    ".mvn/extensions.xml": "pom.xml",
    "extensions.xml": None,
    "pompous.xml": None,
    "build.gradle": "gradle",
    "settings.gradle.kts": "gradle",
    "gradle/libs.versions.toml": "versions.toml",
    "gradle.lockfile": "gradle.lockfile",
    "buildscript-gradle.lockfile": "gradle.lockfile",
    "Gemfile": "Gemfile",
    "gems.rb": "Gemfile",
    "x.gemspec": "gemspec",
    "Gemfile.lock": "Gemfile.lock",
    "gems.locked": "Gemfile.lock",
}
UNPACKED = {
    ("go", "vendor/github.com/x/y/z.go"): True,
    ("go", "vendor/own/z.go"): False,
    ("go.mod", "a/vendor/gopkg.in/x/go.mod"): True,
    ("modules.txt", "vendor/modules.txt"): False,
    ("rust", "vendor/serde/src/lib.rs"): True,
    ("rust", "a/vendor/serde-1.0.0/build.rs"): True,
    ("rust", "src/vendor/x/y.rs"): False,
    ("rust", "a/src/vendor/x/y.rs"): False,
    ("rust", "vendored/x/y.rs"): False,
    ("Cargo.toml", "vendor/serde/Cargo.toml"): True,
    ("Cargo.toml", "vendor/Cargo.toml"): False,
    ("ruby", "vendor/bundle/ruby/3.1.0/gems/x-1/lib/x.rb"): True,
    ("ruby", "vendor/engines/a.rb"): False,
    ("java", "vendor/a/A.java"): False,
}


@pytest.mark.parametrize("kind,path", UNPACKED)
def test_unpacked_packages(kind, path):
    assert is_unpacked(kind, path.encode()) is UNPACKED[kind, path]


@pytest.mark.parametrize("path", CASES)
def test_kind(path):
    assert kind_of(path.encode()) == CASES[path]


def test_files_without_an_extension():
    assert file_kind(b"bin/tool") == "script"
    assert file_kind(b"Pipfile") == "pipfile"
    assert file_kind(b"a/x.py") == "python"
    for path in (b"", b"a/", b".x", b"x.", b"a.b"):
        assert file_kind(path) is None


def test_groups_are_complete_and_apart():
    for kind in set(CASES.values()) - {None}:
        assert is_source(kind) + is_manifest(kind) + is_lock(kind) == 1


def test_bytes_that_are_no_text():
    assert kind_of(b"\xff\n/\xfe.py") == "python"
    assert kind_of(b"a\nrequirements\xff.txt") == "requirements"
