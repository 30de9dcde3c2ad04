"""All that one command would apply, from the files that it names to those that they lead to: documents, what they stand
on, and what cannot be told of them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from supervisor.run.holds import Held
from supervisor.surfaces.applied import Seen, links
from supervisor.vocabulary.applied import (
    BEFORE,
    INLINE,
    MAYBE,
    PARTIAL,
    PATCH,
    PLANNED,
    REFERS,
    WORKSPACE,
    Applies,
    Document,
)
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.content import NOTHING_FOUND, Findings

if TYPE_CHECKING:
    from supervisor.run.applied import Applied

_MOST_FILES = 256
_MOST_FOLDERS = 64
_MOST_BYTES = 16 << 20
_MOST_PLAN = 32 << 20
_PATIENCE = 10.0  # seconds for all that one command applies
_DEEPEST = 16
_UP = 32  # folders above the working directory
_OVERRIDES = (
    *(b"compose.override.yml", b"compose.override.yaml"),
    *(b"docker-compose.override.yml", b"docker-compose.override.yaml"),
)
_REMOTE = re.compile(r"[^/@]+@[^/]+:|github\.com/")  # of git; an address is one by its ``://``
_ENDINGS = {
    "manifests": (b".yaml", b".yml", b".json"),
    "terraform": (b".tf", b".tofu", b".tf.json", b".tofu.json", b".auto.tfvars", b"terraform.tfvars"),
    "job": (b".hcl", b".nomad", b".json"),
    "document": (b".yaml", b".yml", b".gotmpl"),
}  # fmt: skip
_KUSTOMIZATION = (b"kustomization.yaml", b"kustomization.yml", b"Kustomization")
_LEADING = ("kustomization", "compose")
_HARMLESS = frozenset(("no-op", "create", "read", "update"))


class Gathering:
    """``applied`` is asked for what they say. ``why``: what cannot be told of them."""

    def __init__(self, applied: Applied) -> None:
        self._applied = applied
        self._depth = 0
        self._seen: set[tuple[bytes, str]] = set()
        self._followed: set[tuple[bytes, str, tuple[bytes, ...]]] = set()
        self._folders = 0
        self._bytes = 0
        self._until = time.monotonic() + _PATIENCE
        self.documents: list[Document] = []
        self.held: list[Held] = []
        self.why = ""
        self.destroys = False
        self.workspace = ""

    def told(self, command: Command) -> Command:
        """The command with what was found."""
        if not command.classes:
            return command
        if self.destroys and "infra-destroy" not in command.classes:
            command = command._replace(classes=(*command.classes, "infra-destroy"))
        if self.workspace and self.workspace not in command.targets:
            command = command._replace(targets=(*command.targets, self.workspace))
        if self.why:
            command = command._replace(resolved=False, unread=command.unread or self.why)
        return command

    def settle(self, named: tuple[Applies, ...]) -> None:
        """What a plan would make of a configuration that stood so in the tree is tolerated like that itself."""
        at = [number for number, each in enumerate(self.documents) if each.form == "plan"]
        if not (at and self._applied.judges):
            return
        before, bases = NOTHING_FOUND, dict[str, Findings]()
        for base in {each.base for each in named if each.form == "plan"}:
            folder = self._applied.look(os.fsencode(base), 0)
            for name in folder.names[:_MOST_FILES]:
                if name.endswith(_ENDINGS["terraform"]) and time.monotonic() < self._until:
                    seen = self._applied.look(os.path.join(folder.path, name), _MOST_BYTES)
                    before = before.joined(self._applied.tolerated(seen, "terraform"))
                    for revision, found in self._applied.bases(seen):
                        bases[revision] = bases.get(revision, NOTHING_FOUND).joined(found)
        for number in at:
            plan = self.documents[number]
            self.documents[number] = plan._replace(before=plan.before.joined(before), bases=tuple(bases.items()))

    def take(self, each: Applies) -> None:
        base, other = os.fsencode(each.base), os.fsencode(each.other)
        also = [os.fsencode(folder) for folder in each.also]
        same = other and os.path.realpath(other) == os.path.realpath(base)
        bases = [base, *([os.path.normpath(other)] if same else ())]
        for name in each.settings:
            self._settings(os.fsencode(name), each)
        if each.options:
            self._usual(each, bases, also)
            return
        for path in self._there(bases, os.fsencode(each.name)):
            self._at(path, each.form, deep=each.deep, also=also)

    def _usual(self, each: Applies, bases: list[bytes], also: list[bytes]) -> None:
        """Under the first of the usual names that is there. Of Compose's any may be read, and what overrides them:
        implementations differ in the order, and some read all."""
        names, compose = [os.fsencode(name) for name in each.name.split(",")], each.form == "compose"
        found = False
        for start in bases:
            folder = start
            for _ in range(_UP if each.up else 1):
                there = [name for name in names if self._is_there(folder, name)]
                if there:
                    break
                folder = os.path.dirname(os.path.normpath(folder))
            else:
                continue
            found = True
            if compose:
                self._settings(os.path.join(folder, b".env"), each)
            for name in there if compose else there[:1]:
                self._at(os.path.join(folder, name), each.form, deep=each.deep, also=also)
            for name in _OVERRIDES if compose else ():
                if self._is_there(folder, name):
                    self._at(os.path.join(folder, name), each.form, partial=True, also=also)
        if not found:
            self._unsure(names[0], "it is not there")

    def _is_there(self, folder: bytes, name: bytes) -> bool:
        self.held.append(Held(os.path.join(os.path.realpath(folder), name)))
        return not self._applied.look(os.path.join(folder, name), 0).absent

    def _there(self, folders: Iterable[bytes], name: bytes) -> list[bytes]:
        """Where a name leads from there: every place at which something lies, or else the first. The kernel goes up
        from where a link leads, and many tools from where it lies (``Join`` of Go's path/filepath)."""
        places: dict[bytes, None] = {}
        for folder in folders:
            path = os.path.join(folder, name)
            places[path] = None
            if b".." in name.split(b"/"):
                places[os.path.normpath(path)] = None
        if len(places) == 1:
            return list(places)
        found: dict[bytes, bytes] = {}
        for path in places:
            seen = self._applied.look(path, 0)
            if seen.absent:
                self.held.append(Held(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))))
            else:
                found.setdefault(seen.path or path, path)
        return list(found.values()) or list(places)[:1]

    def _settings(self, path: bytes, each: Applies) -> None:
        """Variables for Compose, which may name the files, or say what parts their names."""
        if path == os.fsencode(os.devnull):
            return
        seen = self._applied.look(path, _MOST_BYTES)
        self.held.append(Held(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))))
        self.held += [Held(seen.path, seen.inode)] if seen.path else []
        self.held += map(Held, links(path))
        words = (b"COMPOSE_FILE", b"COMPOSE_PATH_SEPARATOR") if each.options else (b"COMPOSE_PATH_SEPARATOR",)
        if seen.absent:
            return
        if seen.why:
            self._refused(seen._replace(path=seen.path or path), seen.why)
        elif any(word in (seen.content or b"") for word in words):
            self._refused(seen, "it names Compose files")

    def _refused(self, seen: Seen, why: str) -> None:
        self._unsure(seen.path, why)
        self.documents.append(self._applied.document(seen, "compose", Findings(refusal=why), partial=False))

    def _unsure(self, name: str | bytes, why: str) -> None:
        shown = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
        self.why = self.why or f"{shown}: {why}"

    def _at(
        self, path: bytes, form: str, *, deep: bool = False, partial: bool = False, also: Sequence[bytes] = ()
    ) -> None:
        """A file or folder (absolute). ``also``: where names in it may start, beside its own folder."""
        if len(self.documents) >= _MOST_FILES or self._folders >= _MOST_FOLDERS or self._bytes > _MOST_BYTES:
            self._unsure(path, "too much would be applied to be read")
            return
        if time.monotonic() > self._until:
            self._unsure(path, f"reading all that would be applied takes more than {_PATIENCE:g} s")
            return
        seen = self._applied.look(path, _MOST_PLAN if form == "plan" else _MOST_BYTES)
        if not seen.path:
            self._unsure(path, seen.why)
            if form == "plan":
                self.destroys = True
            return
        # What a file leads to depends on where it is taken in: by a link elsewhere, or in the list of another file.
        starts = (*also, os.path.dirname(path)) if form in _LEADING else ()
        again = (seen.path, form) in self._seen
        if again and (form not in _LEADING or (seen.path, form, starts) in self._followed):
            return
        self._seen.add((seen.path, form))
        self._followed.add((seen.path, form, starts))
        below = 0 if seen.content is not None else 1 if form in _ENDINGS and not deep else 2
        self.held += [Held(seen.path, seen.inode, below), *(Held(each) for each in links(path))]
        if seen.content is None and not seen.why:
            self._folders += 1
            self._folder(seen, form, deep=deep, partial=partial)
        else:
            self._file(seen, form, partial=partial, starts=starts, again=again)

    def _file(self, seen: Seen, form: str, *, partial: bool, starts: Sequence[bytes], again: bool) -> None:
        if form == "chart":  # an archive
            self._unsure(seen.path, "a packed chart is not read")
            return
        self._bytes += len(seen.content or b"")
        leads = form in _LEADING
        if not (self._applied.judges or leads or form == "plan"):
            if seen.why:
                self._unsure(seen.path, seen.why)
            return
        found = self._applied.findings(form + (PARTIAL if partial else ""), seen)
        if found.refusal or (found.pending and not (partial and form == "manifests")):
            self._unsure(seen.path, found.refusal or found.pending)
        if not again:
            document = self._applied.document(seen, form, found, partial=partial)
            self.documents.append(_planned_document(document) if form == "plan" else document)
            if form == "kustomization" and self._applied.judges:
                self._says(seen)
        if form == "plan":
            self._planned(found)
        elif leads:
            self._depth += 1
            if self._depth > _DEEPEST:
                self._unsure(seen.path, f"one file takes in another more than {_DEEPEST} times")
            else:
                self._follow(starts, form, found)
            self._depth -= 1

    def _says(self, seen: Seen) -> None:
        """What a kustomization puts into objects by itself is one more patch."""
        found = self._applied.findings(INLINE + PARTIAL, seen)
        if found.refusal or found.pending:
            self._unsure(seen.path, found.refusal or found.pending)
        if found.refusal or found.values:
            self.documents.append(self._applied.document(seen, INLINE, found, partial=True))

    def _planned(self, found: Findings) -> None:
        for value in found.values:
            told = {str(one) for _, each in value.fields for one in each}
            if value.selection == PLANNED:
                self.destroys |= not told <= _HARMLESS
            elif value.selection == WORKSPACE:
                self.workspace = next(iter(told), "")
        self.destroys |= bool(found.refusal)

    def _follow(self, starts: Sequence[bytes], form: str, found: Findings) -> None:
        """``starts``: where names may start."""
        named: list[tuple[str, str]] = []
        for value in found.values:
            if not value.selection.startswith(REFERS):
                continue
            if value.at.startswith(("helmChart", "helmCharts")):
                self._unsure(starts[-1], "it takes in a chart")
                continue
            if not value.known:
                self._unsure(starts[-1], "what it takes in cannot be told")
            role = value.selection.removeprefix(REFERS)
            for name in (str(name) for _, names in value.fields for name in names):
                if "\0" in name:
                    self._unsure(starts[-1], "it takes in what is no name of a file")
                else:
                    named.append((name, role))
        if form == "compose":
            self._composed(starts, [name for name, _ in named])
        else:
            for name, role in named:
                self._refers(starts, name, role)

    def _composed(self, starts: Sequence[bytes], names: list[str]) -> None:
        """In what is included names start where the first of a list lies (``include.go`` of compose-go), elsewhere
        where each lies; a link may lie elsewhere than what it leads to."""
        names = [name for name in names if not self._elsewhere(starts[-1], name, filled=True)]
        found = [self._there(starts, os.fsencode(name)) for name in names]
        folders = dict.fromkeys(os.path.dirname(os.path.normpath(path)) for paths in found for path in paths)
        for path in (path for paths in found for path in paths):
            self._at(path, "compose", also=(*folders, os.path.dirname(os.path.realpath(path))))

    def _refers(self, starts: Sequence[bytes], name: str, role: str) -> None:
        paths = self._there(starts, os.fsencode(name))
        if role.endswith(MAYBE):
            self.held.append(Held(os.path.join(os.path.realpath(starts[-1]), os.fsencode(name))))
            if all(self._applied.look(path, 0).absent for path in paths):
                return  # a patch as it stands there (see ``_says``)
        elif self._elsewhere(starts[-1], name):
            return
        for path in paths:
            kind = "kustomization" if self._is_folder(path) else PATCH if role else "manifests"
            self._at(path, kind, partial=bool(role))

    def _elsewhere(self, folder: bytes, name: str, *, filled: bool = False) -> bool:
        """``filled``: variables are filled in."""
        if _REMOTE.match(name) or "://" in name or "?ref=" in name:
            self._unsure(folder, f"it takes in {name[:100]}")
            return True
        if filled and ("$" in name or name.startswith("~")):
            self._unsure(folder, f"what it takes in cannot be told: {name[:100]}")
            return True
        return False

    def _folder(self, seen: Seen, form: str, *, deep: bool, partial: bool) -> None:
        if form == "kustomization":
            name = next((each for each in _KUSTOMIZATION if each in seen.names), b"")
            if name:
                self._at(os.path.join(seen.path, name), form)
            else:
                self._unsure(seen.path, "it has no kustomization.yaml")
        elif form == "chart":
            self._chart(seen)
        elif form == "container":
            name = next((each for each in (b"Dockerfile", b"Containerfile") if each in seen.names), b"")
            self._at(os.path.join(seen.path, name or b"Dockerfile"), form)
        elif form in _ENDINGS:
            for name in seen.names:
                path = os.path.join(seen.path, name)
                if name.endswith(_ENDINGS[form]):
                    self._at(path, form, partial=partial)
                elif deep and form == "manifests" and (name.endswith(b"/") or self._is_folder(path)):
                    self._at(path, form, deep=True, partial=partial)
                elif partial and form == "manifests" and not name.startswith(b"_") and not name.endswith(b"NOTES.txt"):
                    self._at(path, form, partial=True)  # helm renders whatever lies among its templates
        else:
            self._unsure(seen.path, "it is a folder")

    def _is_folder(self, path: bytes) -> bool:
        return bool(self._applied.look(os.path.join(path, b""), 0).path)  # with a slash, nothing else opens

    def _chart(self, seen: Seen) -> None:
        """A folder with ``Chart.yaml``: values, objects of its own, templates, and the charts in it."""
        if b"Chart.yaml" not in seen.names:
            self._unsure(seen.path, "it has no Chart.yaml")
        for name in (each.rstrip(b"/") for each in seen.names):  # without: a link to a folder
            if name == b"values.yaml":
                self._at(os.path.join(seen.path, name), "values")
            elif name == b"crds":
                self._at(os.path.join(seen.path, name), "manifests", deep=True)
            elif name == b"templates":
                self._at(os.path.join(seen.path, name), "manifests", deep=True, partial=True)
            elif name == b"charts":
                inner = self._applied.look(os.path.join(seen.path, name), 0)
                self.held += [Held(inner.path or os.path.join(seen.path, name), inner.inode, 1)]
                self.held += [Held(each) for each in links(os.path.join(seen.path, name))]
                if inner.why:
                    self._unsure(os.path.join(seen.path, name), inner.why)
                for each in inner.names:
                    self._at(os.path.join(inner.path, each), "chart")


def _planned_document(plan: Document) -> Document:
    """What would be afterwards is judged, what was before is tolerated."""
    values = plan.now.values
    earlier = tuple(
        each._replace(selection=each.selection.removeprefix(BEFORE))
        for each in values
        if each.selection.startswith(BEFORE)
    )
    return plan._replace(before=Findings(values=earlier))
