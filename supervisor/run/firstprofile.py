"""A first ``govrun.toml`` for a tree, from what lies in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from supervisor.git.layout import read_small
from supervisor.inspection.kinds import is_lock, kind_of
from supervisor.journal.store import state_path
from supervisor.profile.adr import FOLDERS
from supervisor.profile.load import NAME
from supervisor.run.checking import tree_files
from supervisor.run.place import Place, check_tree, home_folder, place_of, working_directory
from supervisor.vocabulary.errors import UsageError

_MOST_NAMES = 40
_PLAIN = re.compile(rb"[A-Za-z0-9_.@+][A-Za-z0-9_.@+ -]*")
_LANGUAGES: Final[Mapping[bytes, str]] = {
    b"py": "Python", b"js": "JavaScript", b"mjs": "JavaScript", b"cjs": "JavaScript", b"jsx": "JavaScript",
    b"ts": "TypeScript", b"tsx": "TypeScript", b"mts": "TypeScript", b"go": "Go", b"rs": "Rust", b"java": "Java",
    b"kt": "Kotlin", b"rb": "Ruby", b"php": "PHP", b"c": "C", b"cc": "C++", b"cpp": "C++", b"cs": "C#",
    b"swift": "Swift", b"tf": "Terraform", b"sh": "Shell", b"sql": "SQL",
}  # fmt: skip
_CI = (
    ".github/workflows", ".gitlab-ci.yml", ".circleci", ".buildkite", ".woodpecker.yml", ".drone.yml", ".travis.yml",
    ".forgejo/workflows", ".gitea/workflows", "azure-pipelines.yml", "bitbucket-pipelines.yml", "Jenkinsfile",
)  # fmt: skip
_LEGAL = re.compile(rb"(?:LICEN[CS]E|COPYING|NOTICE|PATENTS)(?:[.-].*)?", re.IGNORECASE)
_DOTFILES = frozenset((b".gitignore", b".gitattributes", b".editorconfig"))
_WRITTEN_BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "package.json": ("package-lock.json*", "yarn.lock*", "pnpm-lock.yaml*", "node_modules/**"),
    "pyproject.toml": ("uv.lock*", "poetry.lock*", "pdm.lock*", ".tmp*"),  # .tmp*: what uv renames to it
    "Pipfile": ("Pipfile.lock*",),
    "Cargo.toml": ("Cargo.lock*", "target/**"),
    "go.mod": ("go.sum*",),
    "pom.xml": ("target/**",),
    "build.gradle": (".gradle/**", "build/**"),
    "build.gradle.kts": (".gradle/**", "build/**"),
    "Gemfile": ("Gemfile.lock*",),
    "composer.json": ("composer.lock*",),
}
_OTHER_RECORDS = ("docs/architecture/decisions", "docs/architecture/adr", "architecture/decisions", "docs/adrs")
_INSTRUCTIONS = (
    "AGENTS.md", "CLAUDE.md", "GEMINI.md", ".cursorrules", ".windsurfrules", ".clinerules", "CONVENTIONS.md",
    ".github/copilot-instructions.md",
)  # fmt: skip
_AGENTS = (
    ".claude", ".codex", ".gemini", ".cursor", ".opencode", "opencode.json", ".aider.conf.yml", ".amp", ".pi",
    ".mcp.json", ".vscode",
)  # fmt: skip
# Denied name, what to use, id and command, for the languages whose packages are judged.
_EXAMPLES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "Python": ("pypi:requests", "httpx", "one-http-client", "pip install requests"),
    "JavaScript": ("npm:moment", "date-fns", "one-date-library", "npm install moment"),
    "TypeScript": ("npm:moment", "date-fns", "one-date-library", "npm install moment"),
    "Go": ("go:github.com/pkg/errors", "errors", "one-error-package", "go get github.com/pkg/errors"),
    "Rust": ("cargo:openssl", "rustls", "one-tls-library", "cargo add openssl"),
    "Ruby": ("rubygems:rest-client", "faraday", "one-http-client", "bundle add rest-client"),
}
_JUDGED = frozenset({*_EXAMPLES, "Java", "Kotlin"})
# Folders that often are layers of one program, the highest first, and those that hold packages beside each other.
_LAYERS = (
    (b"web", b"ui", b"api", b"cli", b"views", b"controllers", b"handlers", b"routes", b"presentation"),
    (b"app", b"application", b"services", b"usecases", b"use_cases"),
    (b"domain", b"core", b"model", b"models", b"entities"),
)  # fmt: skip
_PACKAGES = (b"packages", b"libs", b"apps", b"crates", b"modules", b"services", b"plugins")
_LEFT_OUT = frozenset((b".git", b"node_modules", b"__pycache__"))


class Seen(NamedTuple):
    """What a tree holds: names at its top (folders end in ``/``), how many have no plain name, and what stands out.

    ``layers`` are globs, the highest first, ``packages`` one for parts beside each other; empty: none were made out.
    ``branch`` is the default branch, empty when there is none; ``instructions`` and ``agents`` are files that agents
    read and folders of their settings.
    """

    names: tuple[bytes, ...]
    odd: int
    languages: tuple[str, ...]
    locks: tuple[str, ...]
    ci: tuple[str, ...]
    records: str
    branch: str = ""
    instructions: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    packages: str = ""


def first_profile(environ: Mapping[str, str], *, force: bool = False, write: bool = True) -> tuple[Path, str]:
    """Its path at the top of the tree, and its text, written there if ``write``. Errors: ``GovrunError``, also when one
    is there and ``force`` is not given."""
    place = place_of(working_directory(), None)
    home = Path(os.path.realpath(home_folder(environ)))
    check_tree(place, home, state_path(environ), explicit=False)
    path = place.tree / NAME
    if write and not force and os.path.lexists(path):
        fix = "govrun explain shows it; --stdout prints a new one, --force replaces it"
        raise UsageError(f"there is a {NAME} already", str(path), fix)
    text = text_of(look(place, environ))
    if write:
        _write(path, text, force=force)
    return path, text


def _write(path: Path, text: str, *, force: bool) -> None:
    target = path.with_name(f".{NAME}.{os.getpid()}") if force else path
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(target, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
        if force:
            os.replace(target, path)
    except OSError as error:
        raise UsageError(
            f"cannot write {NAME}", str(error), "make the folder writable; not from inside a run"
        ) from error


def look(place: Place, environ: Mapping[str, str]) -> Seen:
    """What lies in the tree: what git tracks or would track, else the names at the top."""
    files = tree_files(place.repository, environ) if place.repository is not None else _nearby(place.tree)
    tops: dict[bytes, None] = {}
    for path in files:
        name, slash, _ = path.partition(b"/")
        if name not in _LEFT_OUT:
            tops[name + slash] = None
    names = sorted(tops)
    plain = [name for name in names if _PLAIN.fullmatch(name.rstrip(b"/")) and not name.rstrip(b"/").endswith(b" ")]
    locks = [path for path in files if path.count(b"/") <= 3 and (kind := kind_of(path)) and is_lock(kind)]
    return Seen(
        tuple(plain),
        len(names) - len(plain),
        _languages(files),
        tuple(path.decode() for path in locks if _PLAIN.fullmatch(path.replace(b"/", b".")))[:8],
        tuple(name for name in _CI if os.path.lexists(place.tree / name)),
        next((name for name in (*FOLDERS, *_OTHER_RECORDS) if (place.tree / name).is_dir()), ""),
        _default_branch(place),
        tuple(name for name in _INSTRUCTIONS if os.path.isfile(place.tree / name)),
        tuple(name for name in _AGENTS if os.path.lexists(place.tree / name)),
        *_parts(files),
    )


def _parts(files: Iterable[bytes]) -> tuple[tuple[str, ...], str]:
    """What looks like layers, and like packages that lie beside each other."""
    inside: dict[bytes, set[bytes]] = {}
    for path in files:
        folder, _, name = path.rpartition(b"/")
        if b"." in name and name.rpartition(b".")[2].lower() in _LANGUAGES:
            parts = folder.split(b"/")[:4]
            for end in range(len(parts) if folder else 0):
                inside.setdefault(b"/".join(parts[:end]), set()).add(parts[end])
    plain = [parent for parent in sorted(inside) if not parent or _PLAIN.fullmatch(parent.replace(b"/", b"."))]
    layers: tuple[str, ...] = ()
    for parent in plain:
        if parent.rpartition(b"/")[2] in (b"tests", b"test", b"docs"):
            continue
        beneath = parent.decode() + "/" if parent else "/"
        found = (next((each for each in names if each in inside[parent]), b"") for names in _LAYERS)
        here = tuple(f"{beneath}{name.decode()}/**" for name in found if name)
        layers = here if len(here) > max(len(layers), 1) else layers
    packages = next((each for each in plain if each in _PACKAGES and len(inside[each]) > 1), b"")
    return layers, f"{packages.decode()}/*" if packages else ""


def _default_branch(place: Place) -> str:
    """What origin calls its HEAD, else the branch that is checked out; empty where that has no plain name."""
    repository = place.repository
    if repository is None:
        return ""
    line = read_small(repository.common_dir / "refs/remotes/origin/HEAD") or ""
    _, remote, name = line.strip().partition("ref: refs/remotes/origin/")
    if not remote:
        name = (repository.head_ref or "").removeprefix("refs/heads/")
    return name if _PLAIN.fullmatch(os.fsencode(name.replace("/", "."))) else ""


def _nearby(tree: Path) -> list[bytes]:
    """Files at the top and one folder below."""
    root, found = os.fsencode(tree), []
    for entry in sorted(os.scandir(root), key=lambda each: each.name):
        if not entry.is_dir(follow_symlinks=False):
            found.append(entry.name)
        elif entry.name not in _LEFT_OUT and not os.path.exists(entry.path + b"/pyvenv.cfg"):
            try:
                inner = [each.name for each in os.scandir(entry.path) if each.is_file(follow_symlinks=False)]
            except OSError:
                inner = []
            found += [entry.name + b"/" + name for name in inner or (b".",)]
    return found


def _languages(files: Iterable[bytes]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for path in files:
        name = path.rpartition(b"/")[2]
        language = _LANGUAGES.get(name.rpartition(b".")[2].lower()) if b"." in name else None
        if language is not None:
            counts[language] = counts.get(language, 0) + 1
    return tuple(sorted(counts, key=lambda each: (-counts[each], each)))[:4]


def text_of(seen: Seen) -> str:
    """The profile as text."""
    known = f" ({', '.join(seen.languages)})" if seen.languages else ""
    lines = [
        f"# What an agent may do in this repository{known}. Read once, at the start of a run; `govrun explain` shows",
        "# what each rule is worth here, docs/profile.md of govrun tells the rest.",
        "version = 1",
    ]
    if seen.records:
        lines += ["", f'# Decision records: a rule can name one, as in adr = "0001".\nadr_dir = "{seen.records}"']
    lines += ["", "[scope]", *_write_lines(seen), *_protect_lines(seen)]
    lines += [
        "",
        "# Hosts that may be reached. Without this line: every public one, and each is recorded. Addresses are judged,",
        "# names not yet. This is a database on this machine, and nothing else:",
        '# hosts = ["127.0.0.1:5432"]',
        "# Stops a run after this time, an interactive session too.",
        '# timeout = "2h"',
        *_branch_lines(seen),
        "",
        *_example(seen),
    ]
    return "\n".join(lines) + "\n"


def _writable(name: bytes) -> bool:
    bare = name.rstrip(b"/")
    if bare.startswith(b"."):
        return bare in _DOTFILES
    return bare != NAME.encode() and bare.decode() not in _CI and not (b"/" not in name and _LEGAL.fullmatch(bare))


def _write_lines(seen: Seen) -> list[str]:
    """Everything is writable; a narrower scope is shown, and left to whoever knows the tools that work here."""
    named = [name.decode() for name in seen.names if _writable(name)]
    folders = [f"/{name}**" for name in named if name.endswith("/")]
    files = [f"/{name}" for name in named if not name.endswith("/")]
    rows = [row for row in (files, *([f"/{each}" for each in _WRITTEN_BESIDE.get(name, ())] for name in named)) if row]
    lines = [
        "# The agent may write in the whole tree, but for git's own files and what the default pack protects (CI, and",
        "# configuration of agents and editors). `write` narrows it: what is not listed is refused, new files at the",
        "# top too, so it has to name lock files as well, and what package managers write beside them.",
    ]
    if not folders or len(named) > _MOST_NAMES:
        return [*lines, '# write = ["/src/**", "/tests/**", "/package.json", "/package-lock.json*", "/uv.lock*"]']
    lines += ["# write = [", *(f'#     "{pattern}",' for pattern in folders)]
    lines += [f"#     {', '.join(_quoted(row))}," for row in rows]
    if seen.odd:
        lines.append(f"#     # {seen.odd} more with unusual names: left out.")
    return [*lines, "# ]"]


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _protect_lines(seen: Seen) -> list[str]:
    lines = []
    if seen.ci:
        lines.append(f"# The default pack protects CI definitions ({', '.join(seen.ci)}).")
    if seen.agents:
        lines.append(f"# It protects what the settings of agents and editors start ({', '.join(seen.agents)}).")
    legal = [f"/{name.decode()}" for name in seen.names if not name.endswith(b"/") and _LEGAL.fullmatch(name)]
    kept = [f"/{name}" for name in seen.instructions]
    if kept:
        lines += [
            "# Instructions stay writable, as agents are asked to keep them up to date. To keep them as they are,"
        ]
        lines += [f"# protect them too: {', '.join(_quoted(kept))}"]
    if legal:
        lines += ["# Read, never written, whatever else is allowed.", f"protect = [{', '.join(_quoted(legal))}]"]
    return lines


def _branch_lines(seen: Seen) -> list[str]:
    if not seen.branch:
        return []
    return [
        f"# Commits land on the branch that is checked out (the default one here: {seen.branch}). This keeps the",
        "# work of a run on branches of its own (git switch -c agent/topic), in the repository and where it is pushed:",
        '# branches = ["agent/*"]',
        '# push = ["origin agent/*"]',
    ]


def _example(seen: Seen) -> list[str]:
    known = next((language for language in seen.languages if language in _EXAMPLES), "")
    deny, use, name, command = _EXAMPLES[known or "Python"]
    lines = ["# A package that must not come in: refused at the command, taken out of manifests and sources."]
    if seen.languages and not _JUDGED.intersection(seen.languages):
        lines.append(f"# Rules for packages of {seen.languages[0]} are read, and not judged yet.")
    lines += [
        "# [[dependency]]",
        f'# id   = "{name}"',
        '# why  = "one library for one thing"      # or adr = "0001"',
        f'# deny = ["{deny}"]',
        f'# use  = "{use}"                          # what a denial tells to do instead',
        f'# examples = {{ denied = ["{command}"] }}   # asked at every start',
    ]
    if seen.locks:
        lines += [f"# What {', '.join(seen.locks)} names may arrive. Nothing but that:", '# install = "lock-only"']
    return [*lines, *_boundary(seen)]


def _boundary(seen: Seen) -> list[str]:
    if not seen.layers and not seen.packages:
        return []
    lines = ["", "# What may reference what, by import, use or require. What is there already is let be."]
    lines += ["# [[boundary]]", '# id      = "parts"', '# why     = "parts stay apart"      # or adr = "0001"']
    if seen.layers:
        named = ", ".join(_quoted(seen.layers))
        lines += ["# The highest first: none references what is above it.", f"# layers  = [{named}]"]
    if seen.packages:
        lines += ["# None leads back to itself over others.", f'# acyclic = ["{seen.packages}"]']
    return lines
