"""What files and commands say about packages, as facts: no rule is applied here.

Ecosystems are ``pypi`` and ``npm``. Names are canonical: PEP 503 for ``pypi`` (lower case, runs of ``-_.`` are one
``-``), as published for ``npm`` (``@scope/name``).
"""

from __future__ import annotations

from typing import NamedTuple


class Import(NamedTuple):
    """One module that a source file asks for by an absolute name, as the language resolves it (escapes and Unicode
    forms undone): ``google.cloud.storage`` for ``pypi``, ``@scope/name/sub`` for ``npm``. ``line`` counts from 1."""

    ecosystem: str
    module: str
    line: int


class Requirement(NamedTuple):
    """A package that a manifest, a lock or a command line names.

    ``versions`` is the range or version as written, empty for any. ``place`` says where (``dependencies``,
    ``project.optional-dependencies.dev``, ``argv``). ``locked``: from a lock, where ``versions`` is one exact version.
    ``origin``: a URL, path or git address that it is taken from instead of the index, as written.
    """

    ecosystem: str
    name: str
    versions: str = ""
    line: int = 0
    place: str = ""
    locked: bool = False
    origin: str = ""


class Findings(NamedTuple):
    """What one version of one file says.

    ``pending``: why it cannot be read whole (a file that is being written does not parse); what was found counts all
    the same. ``refusal``: why it cannot be inspected at all (too large, binary where text belongs, the worker failed);
    ``digest`` then tells which bytes that was said of, empty where they were not read.
    """

    imports: tuple[Import, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    pending: str = ""
    refusal: str = ""
    digest: bytes = b""

    def joined(self, other: Findings) -> Findings:
        """What either says."""
        if other in (NOTHING_FOUND, self):
            return self
        if self == NOTHING_FOUND:
            return other
        imports = tuple(dict.fromkeys((*self.imports, *other.imports)))
        requirements = tuple(dict.fromkeys((*self.requirements, *other.requirements)))
        refused = self if self.refusal else other
        return Findings(imports, requirements, "", refused.refusal, refused.digest)


NOTHING_FOUND = Findings()
# How a refusal begins that says something of the inspector, and nothing of the file.
INSPECTOR_FAILED = "the inspector failed"


class Installation(NamedTuple):
    """A command that brings packages in: ``tool`` (``pip``, ``uv``, ``npm`` …), what its arguments name, the files
    they point to (``-r``), and whether a lock alone says what comes (``npm ci``, ``uv sync --locked``)."""

    tool: str
    ecosystem: str
    packages: tuple[Requirement, ...] = ()
    files: tuple[bytes, ...] = ()
    from_lock: bool = False
