"""From a kind and bytes to findings: limits, the text, and the one inspector. Total: what goes wrong is a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from supervisor.inspection import kinds
from supervisor.inspection.decoding import Unreadable, decode, is_plain, lossy, whole
from supervisor.inspection.limits import Budget, Overdue, allowance
from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry
from supervisor.vocabulary.content import (
    INSPECTOR_FAILED,
    NOTHING_FOUND,
    Findings,
    Requirement,
    Selection,
    Wanted,
)

if TYPE_CHECKING:
    from supervisor.inspection.entries import Document
    from supervisor.inspection.parsing import Parsers
    from supervisor.inspection.resolving import Resolver

MOST_SOURCE = 2 << 20
MOST_MANIFEST = 2 << 20
MOST_NOTEBOOK = 16 << 20
MOST_LOCK = 64 << 20
APPLIED = "applied:"  # followed by a form: a file that a command would apply, wherever it lies
DATABASE = "database:"  # followed by a dialect: the content is what a client would send
TEXT = "text"  # a file that no reader knows by its name, and that is looked at all the same
DOCUMENT = "document"  # the same, where a rule asks what stands in it: then one that is too large is not passed over


def most_bytes(kind: str) -> int:
    """The size up to which a file of ``kind`` is inspected."""
    if kinds.is_lock(kind):
        return MOST_LOCK
    if kind in ("notebook", "go"):  # pictures; generated tables behind the imports
        return MOST_NOTEBOOK
    return MOST_SOURCE if kinds.is_source(kind) else MOST_MANIFEST


class Tools:
    """What the worker reads with: ``parsers``, and what is asked of every file."""

    def __init__(self, parsers: Parsers, wanted: Wanted) -> None:
        self.parsers = parsers
        self.wanted = wanted
        self._resolver: Resolver | None = None
        self._covers = [(Globs(_entries(each.files)), Globs(_entries(each.exempt)), each) for each in wanted.selections]

    @property
    def resolver(self) -> Resolver:
        if self._resolver is None:
            from supervisor.inspection.resolving import Resolver

            self._resolver = Resolver(self.wanted.tree)
        return self._resolver

    def relative(self, path: bytes) -> bytes:
        return path.removeprefix(self.wanted.tree + b"/")

    def selections(self, path: bytes) -> tuple[Selection, ...]:
        """Those that look at the file."""
        relative = self.relative(path)
        return tuple(one for files, exempt, one in self._covers if files.match(relative) and not exempt.match(relative))


def _entries(patterns: tuple[str, ...]) -> Iterator[Entry]:
    return (Entry(pattern, "") for pattern in patterns)


def inspect(kind: str, path: bytes, content: bytes, tools: Tools) -> Findings:
    """What ``content`` says of all that is asked. ``path`` names kept trees and says where references start; the file
    itself is not opened."""
    if kind.startswith(DATABASE):
        return _statements(kind, content, tools)
    if kind.startswith(APPLIED):
        from supervisor.inspection import applied

        form = kind.removeprefix(APPLIED)
        most = applied.most_bytes(form)
        return _bounded(content, most, tools.parsers, lambda: applied.inspect(form, path, content, tools))
    if kind in (kinds.SCRIPT, TEXT, DOCUMENT):
        kind = kinds.script_kind(content) or ""
    found = _packages(kind, path, content, tools.parsers) if kind and tools.wanted.packages else NOTHING_FOUND
    if tools.wanted.references and kinds.is_source(kind):
        found = _added(found, _references(kind, path, content, tools))
    if tools.wanted.selections and (selections := tools.selections(path)):
        found = _added(found, _values(path, content, tools, selections))
    if tools.wanted.secrets:
        from supervisor.inspection.secrets import secrets

        found = found._replace(secrets=secrets(content, tools.wanted.secrets))
    return found


def _added(found: Findings, more: Findings) -> Findings:
    joined = found.joined(more)
    return joined._replace(pending=found.pending or more.pending, refusal=found.refusal or more.refusal)


def _references(kind: str, path: bytes, content: bytes, tools: Tools) -> Findings:
    def read() -> Findings:
        from supervisor.inspection.references import references

        whole_path = path if path.startswith(b"/") else tools.wanted.tree + b"/" + path
        found, pending = references(kind, whole_path, content, tools.parsers, tools.resolver)
        return Findings(references=found, pending=pending)

    return _bounded(content, most_bytes(kind), tools.parsers, read)


def _values(path: bytes, content: bytes, tools: Tools, selections: tuple[Selection, ...]) -> Findings:
    def read() -> Findings:
        from supervisor.inspection.documents import values

        found, pending = values(tools.relative(path), content, tools.parsers, selections)
        return Findings(values=found, pending=pending)

    return _bounded(content, MOST_MANIFEST, tools.parsers, read)


def _statements(kind: str, content: bytes, tools: Tools) -> Findings:
    def read() -> Findings:
        from supervisor.inspection.sql import statements

        text = content.decode("utf-8", "surrogateescape")
        return Findings(statements=statements(text, kind.removeprefix(DATABASE)))

    return _bounded(content, MOST_MANIFEST, tools.parsers, read)


def _packages(kind: str, path: bytes, content: bytes, parsers: Parsers) -> Findings:
    if kinds.is_lock(kind):
        return _bounded(content, MOST_LOCK, parsers, lambda: _inspect(kind, path, content, parsers), timed=False)
    return _bounded(content, most_bytes(kind), parsers, lambda: _inspect(kind, path, content, parsers))


def _bounded(
    content: bytes, most: int, parsers: Parsers, read: Callable[[], Findings], *, timed: bool = True
) -> Findings:
    """What ``read`` finds; whatever goes wrong is a refusal."""
    if len(content) > most:
        return Findings(refusal=f"too large: {len(content)} bytes, the limit is {most}")
    parsers.allow(Budget(allowance(len(content))) if timed else None)
    try:
        return read()
    except Overdue as error:
        return Findings(refusal=str(error))
    except Unreadable as error:
        return Findings(refusal=str(error))
    except Exception as error:  # noqa: BLE001 - any text is possible, and an unforeseen one must not pass unseen
        return Findings(refusal=whole(f"{INSPECTOR_FAILED}: {type(error).__name__}: {error}", 300))
    finally:
        parsers.allow(None)


def _inspect(kind: str, path: bytes, content: bytes, parsers: Parsers) -> Findings:
    if kind == "python":
        from supervisor.inspection import python_source

        return python_source.inspect(content, parsers, path)
    if kind in ("javascript", "typescript", "tsx", "component"):
        from supervisor.inspection import script_source

        return script_source.inspect(kind, lossy(content), parsers, path)
    if kind == "notebook":
        from supervisor.inspection import notebook

        return notebook.inspect(lossy(content), parsers)
    if kind == "pth":
        from supervisor.inspection import python_source

        return python_source.startup_lines(content, parsers)
    if kind == kinds.INSTALLED:
        return _installed(content)
    if kind in ("go", "rust", "java", "kotlin", "ruby"):
        return _compiled(kind, path, content, parsers)
    if kinds.is_lock(kind):
        from supervisor.inspection import compiled_locks, locks

        text, problem = lock_text(content)
        found = (locks.READERS.get(kind) or compiled_locks.READERS[kind])(text)
        return found._replace(pending=found.pending or problem)
    text = manifest_text(kind, content)
    return manifest(kind, text).findings()


def _compiled(kind: str, path: bytes, content: bytes, parsers: Parsers) -> Findings:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = lossy(content)
    if kind == "rust":
        from supervisor.inspection import rust_source

        return rust_source.inspect(content, parsers, path)
    if kind == "go":
        from supervisor.inspection import go_source

        return go_source.inspect(content)
    if kind == "ruby":
        from supervisor.inspection import ruby_source

        return ruby_source.inspect(content)
    from supervisor.inspection import java_source

    return java_source.inspect(content, kotlin=kind == "kotlin")


def _installed(content: bytes) -> Findings:
    """Name and version of an npm package that lies in ``node_modules``."""
    import json

    document = json.loads(lossy(content))
    name, version = document.get("name"), document.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        return Findings(pending="it has no name and version")
    return Findings(requirements=(Requirement("npm", name, version, 1, kinds.INSTALLED, locked=True),))


def lock_text(content: bytes) -> tuple[str, str]:
    if b"\0" in content:
        return lossy(content).decode("utf-8"), "it has NUL bytes"
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return content.decode("utf-8", "replace"), f"not UTF-8: {error.reason} at byte {error.start}"


def manifest_text(kind: str, content: bytes) -> str:
    """The text, from which the same bytes come back unless they are in another encoding."""
    if kind == "requirements" or not is_plain(content[:4]):
        return decode(content)
    return content.decode("utf-8", "surrogateescape")


def manifest(kind: str, text: str) -> Document:
    """``KeyError`` for a kind that is no manifest."""
    from supervisor.inspection import (
        cargo_manifests,
        go_manifests,
        gradle_manifests,
        ini_manifests,
        maven_manifests,
        npm_manifests,
        python_manifests,
        ruby_source,
    )

    readers: Final[Mapping[str, Callable[[str], Document]]] = {
        "requirements": python_manifests.requirements,
        "pyproject": python_manifests.pyproject,
        "pipfile": python_manifests.pipfile,
        "setup.cfg": ini_manifests.setup_cfg,
        "tox.ini": ini_manifests.setup_cfg,
        "environment.yml": python_manifests.environment,
        "package.json": npm_manifests.package_json,
        "workspace": npm_manifests.workspace,
        "Cargo.toml": cargo_manifests.cargo,
        "go.mod": go_manifests.go_mod,
        "go.work": go_manifests.go_mod,
        "pom.xml": maven_manifests.pom,
        "gradle": gradle_manifests.script,
        "versions.toml": gradle_manifests.catalog,
        "Gemfile": ruby_source.gemfile,
        "gemspec": ruby_source.gemfile,
    }
    return readers[kind](text)
