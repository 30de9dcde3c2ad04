"""What files and commands say, as facts: packages, references between files, values in documents, secrets, the effects
of database statements. No rule is applied here.

Ecosystems are ``pypi`` and ``npm``. Names are canonical: PEP 503 for ``pypi`` (lower case, runs of ``-_.`` are one
``-``), as published for ``npm`` (``@scope/name``).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

_Fact = TypeVar("_Fact")


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


class Reference(NamedTuple):
    """What a source file asks for, by import, use or require, as it resolves in this tree.

    ``to``: path relative to the tree (no leading slash) of the file it leads to, or of the folder where that is all
    that can be told; empty for what lies outside of the tree. ``name``: as the language writes it (``shop.domain``,
    ``../db/client``, ``crate::db``). ``external``: a package of a third party (neither the tree's nor the language's
    own library). References for types alone are left out.
    """

    to: str
    name: str
    line: int = 0
    external: bool = False


Scalar = str | int | float | bool | None


class Value(NamedTuple):
    """What stands in a document where a rule looks. ``selection`` is the id of that ``Selection``, ``at`` the place as
    it was found (``resource.aws_s3_bucket.logs``, ``jobs.build.steps[2].uses``). ``fields``: (name, values) of the
    members that the rule asks for, in order; a rule about the place itself has the one name ``""``. A list is all its
    values, a mapping the names of its members, a missing member none. ``known`` is False where the text does not tell
    the value (a variable), or only what it may be; ``unsure`` names the fields of which that is so."""

    selection: str
    at: str
    line: int = 0
    fields: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()
    known: bool = True
    unsure: tuple[str, ...] = ()


class Secret(NamedTuple):
    """Something that looks like a credential. ``digest``: the first 16 hexadecimal digits of the SHA-256 of what was
    matched, which is itself never told; ``pattern`` is the name of the pattern."""

    pattern: str
    digest: str
    line: int = 0


class Statement(NamedTuple):
    """One database statement by its effects: words of ``read, write, modify, delete, schema, privilege, export,
    opaque``. ``objects``: tables and columns as ``schema.table`` or ``schema.table.column``, ``*`` for an unknown part.
    ``filtered``: a ``WHERE`` (or ``LIMIT``) bounds what is modified or deleted. ``shape`` is its text without
    literals, at most 200 characters."""

    effects: tuple[str, ...]
    objects: tuple[str, ...] = ()
    filtered: bool = True
    shape: str = ""


class Selection(NamedTuple):
    """Where a rule about documents looks: ``files`` are globs over paths in the tree (gitignore), ``at`` the path in
    the document, ``fields`` the members that are asked for (empty: the value itself)."""

    id: str
    files: tuple[str, ...]
    exempt: tuple[str, ...] = ()
    at: str = ""
    fields: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """What is asked of every file that is inspected. ``tree``: absolute path of the tree, in which references are
    resolved; ``secrets``: pairs of a name and a regular expression, in the words of ``re``."""

    tree: bytes = b""
    packages: bool = True
    references: bool = False
    selections: tuple[Selection, ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()


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
    references: tuple[Reference, ...] = ()
    values: tuple[Value, ...] = ()
    secrets: tuple[Secret, ...] = ()
    statements: tuple[Statement, ...] = ()

    def joined(self, other: Findings) -> Findings:
        """What either says."""
        if other in (NOTHING_FOUND, self):
            return self
        if self == NOTHING_FOUND:
            return other
        refused = self if self.refusal else other
        return Findings(
            _both(self.imports, other.imports),
            _both(self.requirements, other.requirements),
            "",
            refused.refusal,
            refused.digest,
            _both(self.references, other.references),
            _both(self.values, other.values),
            _both(self.secrets, other.secrets),
            _both(self.statements, other.statements),
        )


def _both(one: tuple[_Fact, ...], other: tuple[_Fact, ...]) -> tuple[_Fact, ...]:
    return tuple(dict.fromkeys((*one, *other)))


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
