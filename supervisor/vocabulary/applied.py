"""What a deploying command applies: as its command line names it, and as it was read."""

from __future__ import annotations

from typing import Final, NamedTuple

from supervisor.vocabulary.content import NOTHING_FOUND, Findings

STDIN: Final = "-"
PARTIAL: Final = ":partial"
INLINE: Final = "inline"  # what a kustomization says itself
MAYBE: Final = ":maybe"  # what is a patch itself and may be the name of a file that has one
PATCH: Final = "patch"  # a file of what it puts into objects; JSON operations as well
# Selections of our own, which no rule's id can be: other files that a document leads to, and what a plan does.
REFERS: Final = "govrun:refers"
PLANNED: Final = "govrun:planned"
WORKSPACE: Final = "govrun:workspace"
BEFORE: Final = "govrun:before:"  # and the id of a rule's selection: what was there before
# The family of documents that each form is written in: rules whose globs name files of that family speak of it.
FAMILIES: Final = {
    "manifests": "data", "kustomization": "data", "chart": "data", "values": "data", "compose": "data",
    "playbook": "data", "template": "data", "document": "", "job": "hcl", "terraform": "hcl", "plan": "hcl",
    "container": "docker", INLINE: "data", PATCH: "data",
}  # fmt: skip


class Applies(NamedTuple):
    """A file or folder that a command would apply. ``form``: a word of ``FAMILIES``; ``name`` as given, relative to
    the folder ``base`` (absolute), or ``-`` for what no file says; ``options``: of names joined by ``,`` the first that
    is there counts (``compose.yaml,compose.yml``), looked for in the folders above too if ``up``; ``deep``: folders in
    it count as well. ``other``: what the tool may call ``base``, if it is the same folder: a name with ``..`` may lead
    elsewhere from there. For Compose, ``also``: where names in its files may start, beside the folder of each;
    ``settings``: files (absolute) that may name others."""

    form: str
    name: str
    base: str = ""
    options: bool = False
    up: bool = False
    deep: bool = False
    other: str = ""
    also: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


class Document(NamedTuple):
    """One file of that, read. ``path`` is absolute, with every link resolved; ``now`` is what it says, ``before`` what
    of it was tolerated when the run began, and ``as_found``: the run has not changed it. ``partial``: a template or a
    patch, in which nothing counts as missing. ``origin``: the archive that it was read out of. ``bases``: what the
    trees of revisions say there that rules name as their baseline."""

    path: bytes
    form: str
    now: Findings
    before: Findings = NOTHING_FOUND
    as_found: bool = False
    partial: bool = False
    origin: str = ""
    bases: tuple[tuple[str, Findings], ...] = ()
