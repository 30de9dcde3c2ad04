"""Repositories that somebody has prepared: whatever their configuration, hooks and attributes start, and however their
refs and index lie, reading and moving records starts nothing of it, and `verify` says what is so."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("notify", landlock=2)
HOOKS = (
    *("reference-transaction", "post-index-change", "pre-push", "post-checkout", "post-merge", "post-rewrite"),
    *(
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
        "pre-auto-gc",
        "push-to-checkout",
        "proc-receive",
    ),
)
STRANGER = 12345


class Prey(NamedTuple):
    """A repository with the record of a run, a remote of it, and the file that must stay empty."""

    govrun: Govrun
    tree: Path
    marker: Path
    script: Path

    @property
    def dot(self) -> Path:
        return self.tree / ".git"

    def git(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(["git", *words], cwd=self.tree, env=self.govrun.env, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def touch_all(self) -> None:
        """Have git think that it must look at the files again."""
        for path in self.tree.glob("*"):
            os.utime(path, (1, 1))


@pytest.fixture
def prey(govrun: Govrun, repo: Path, tmp_path: Path) -> Prey:
    marker, script = tmp_path / "marker", tmp_path / "planted"
    marker.write_text("")
    marker.chmod(0o666)
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ntest $# -gt 0 && test -f "$1" && cat "$1" || cat\n')
    script.chmod(0o755)
    hub = tmp_path / "hub.git"
    for words in (["clone", "-q", "--bare", str(repo), str(hub)], ["remote", "add", "origin", str(hub)]):
        subprocess.run(["git", *words], cwd=repo, env=govrun.env, check=True, capture_output=True)
    govrun("sh", "-c", "echo x > f; git add f; git commit -qm one; echo y > ~/out; true").ok()
    govrun.cli("notes", "push").ok()
    return Prey(govrun, repo, marker, script)


# Each gives a command of git's own that starts what was planted, "" where it lies and starts nothing.


def clean_filter(prey: Prey) -> str:
    prey.git("config", "filter.x.clean", str(prey.script))
    prey.git("config", "filter.x.smudge", str(prey.script))
    prey.git("config", "filter.x.required", "true")
    (prey.dot / "info/attributes").write_text("* filter=x\n")
    prey.touch_all()
    return "status"


def fsmonitor(prey: Prey) -> str:
    prey.git("config", "core.fsmonitor", str(prey.script))
    return "status"


def hooks(prey: Prey) -> str:
    for name in HOOKS:
        (prey.dot / "hooks").mkdir(exist_ok=True)
        (prey.dot / "hooks" / name).symlink_to(prey.script)
    return "update-ref refs/heads/x HEAD"


def hooks_of_the_tree(prey: Prey) -> str:
    (prey.tree / "ci").mkdir()
    for name in HOOKS:
        (prey.tree / "ci" / name).symlink_to(prey.script)
    prey.git("config", "core.hooksPath", "ci")
    return "update-ref refs/heads/x HEAD"


def textconv(prey: Prey) -> str:
    prey.git("config", "diff.x.textconv", str(prey.script))
    (prey.dot / "info/attributes").write_text("* diff=x\n")
    return "log -p -1"


def external_diff(prey: Prey) -> str:
    prey.git("config", "diff.external", str(prey.script))
    (prey.tree / "f").write_text("changed")
    return "diff"


def pager_and_editor(prey: Prey) -> str:
    for name in ("core.pager", "pager.log", "pager.notes", "core.editor", "sequence.editor", "core.askPass"):
        prey.git("config", name, str(prey.script))
    return "config --edit"


def signatures(prey: Prey) -> str:
    for name, value in (("gpg.program", str(prey.script)), ("gpg.ssh.program", str(prey.script))):
        prey.git("config", name, value)
    for name in ("log.showSignature", "commit.gpgSign", "merge.verifySignatures"):
        prey.git("config", name, "true")
    prey.git("config", "push.gpgSign", "if-asked")
    head, _, text = prey.git("cat-file", "commit", "HEAD").partition("\n\n")
    armour = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    (prey.marker.parent / "signed").write_text(f"{head}\n{armour}\n\n{text}\n")
    signed = prey.git("hash-object", "-t", "commit", "-w", str(prey.marker.parent / "signed"))
    prey.git("update-ref", "refs/heads/main", signed)
    return "log -1"


def included(prey: Prey) -> str:
    other = prey.marker.parent / "more"
    other.write_text(f"[core]\n\tfsmonitor = {prey.script}\n\thooksPath = {prey.marker.parent / 'inc'}\n")
    (prey.marker.parent / "inc").mkdir()
    (prey.marker.parent / "inc" / "reference-transaction").symlink_to(prey.script)
    prey.git("config", "include.path", str(other))
    return "status"


def other_worktree(prey: Prey) -> str:
    (prey.marker.parent / "elsewhere").mkdir()
    prey.git("config", "core.worktree", str(prey.marker.parent / "elsewhere"))
    return ""


def replaced(prey: Prey) -> str:
    """For whoever believes replacements, HEAD has other content, and its record is another one."""
    prey.git("replace", "HEAD", "HEAD~1")
    ref = prey.git("for-each-ref", "--format=%(refname)", "refs/govrun/runs").split()[0]
    (prey.marker.parent / "r").write_text("{}")
    fake = prey.git("hash-object", "-w", str(prey.marker.parent / "r"))
    prey.git("replace", prey.git("rev-parse", f"{ref}:run.json"), fake)
    prey.git("replace", prey.git("notes", "--ref=govrun", "list", "HEAD"), fake)
    return ""


def unchanged_as_assumed(prey: Prey) -> str:
    prey.git("update-index", "--assume-unchanged", "f")
    prey.git("update-index", "--skip-worktree", "README.md")
    (prey.dot / "info/exclude").write_text("*\n")
    (prey.tree / "f").write_text("edited")
    return ""


def nested(prey: Prey) -> str:
    inner = prey.tree / "src" / "inner"
    inner.mkdir()
    prey.git("-C", str(inner), "init", "-q")
    prey.git("-C", str(inner), "config", "core.fsmonitor", str(prey.script))
    (inner / "x").write_text("x")
    (inner / ".git/hooks").mkdir(exist_ok=True)
    (inner / ".git/hooks/reference-transaction").symlink_to(prey.script)
    return "-C src/inner status"


def attributes(prey: Prey) -> str:
    (prey.dot / "info/attributes").write_text("* text eol=crlf ident working-tree-encoding=UTF-16\n")
    return ""


def alternates(prey: Prey) -> str:
    """Itself, what is not there, and a FIFO."""
    os.mkfifo(prey.marker.parent / "fifo")
    lines = (prey.dot / "objects", "/nonexistent/objects", prey.marker.parent / "fifo")
    (prey.dot / "objects/info").mkdir(exist_ok=True)
    (prey.dot / "objects/info/alternates").write_text("".join(f"{line}\n" for line in lines))
    return ""


def grafted(prey: Prey) -> str:
    (prey.dot / "info/grafts").write_text(f"{prey.git('rev-parse', 'HEAD')}\n")
    return ""


def another_owner(prey: Prey) -> str:
    prey.git("config", "core.fsmonitor", str(prey.script))
    for folder, _, files in os.walk(prey.tree):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.lchown(path, STRANGER, STRANGER)
    return f"-c safe.directory={prey.tree} status"


def edited_note(prey: Prey) -> str:
    text = prey.git("notes", "--ref=govrun", "show", "HEAD").replace(" succeeded=", " succeeded=9")
    prey.git("notes", "--ref=govrun", "add", "-f", "-m", text, "HEAD")
    return hooks(prey)


def record_gone(prey: Prey) -> str:
    for ref in prey.git("for-each-ref", "--format=%(refname)", "refs/govrun/runs").split():
        prey.git("update-ref", "-d", ref)
    return hooks(prey)


def note_on_a_symbolic_ref(prey: Prey) -> str:
    """Where the notes ref leads there are none: the record speaks for itself."""
    prey.git("symbolic-ref", "refs/notes/govrun", "refs/heads/main")
    return ""


as_root = pytest.mark.needs("root")
PLANTS: list[tuple[Callable[[Prey], str], str, str]] = [
    (clean_filter, "verified", "native"),
    (fsmonitor, "verified", "native"),
    (hooks, "verified", "native"),
    (hooks_of_the_tree, "verified", "native"),
    (textconv, "verified", "native"),
    (external_diff, "verified", "native"),
    (pager_and_editor, "verified", "native"),
    (signatures, "verified", "tree-equal"),
    (included, "verified", "native"),
    (other_worktree, "verified", "native"),
    (replaced, "verified", "native"),
    (unchanged_as_assumed, "verified", "native"),
    (nested, "verified", "native"),
    (attributes, "verified", "native"),
    (alternates, "verified", "native"),
    (grafted, "verified", "native"),
    (another_owner, "verified", "native"),
    (edited_note, "refuted", ""),
    (record_gone, "unverifiable", ""),
    (note_on_a_symbolic_ref, "verified", "native"),
]
CODES = {"verified": 0, "refuted": 1, "unverifiable": 2}
REFUSES = {"another_owner": ("fetch", "push"), "note_on_a_symbolic_ref": ("fetch", "push", "rebuild")}


@pytest.mark.parametrize(
    ("plant", "answer", "how"),
    [pytest.param(*each, id=each[0].__name__, marks=as_root if each[0] is another_owner else ()) for each in PLANTS],
)
def test_nothing_of_it_is_started(prey: Prey, plant: Callable[[Prey], str], answer: str, how: str) -> None:
    provoked = plant(prey)
    if provoked:
        prey.git(*provoked.split(), check=False)
        assert prey.marker.read_text() != "", "what was planted does not work"
    prey.marker.write_text("")
    cli = prey.govrun.cli
    outcome = cli("verify", "HEAD", "--json")
    assert prey.marker.read_text() == "" and outcome.code == CODES[answer], (outcome.stdout, outcome.stderr)
    (told,) = map(json.loads, outcome.stdout.splitlines())
    assert (told["answer"], told["how"]) == (answer, how), told
    for words in (["log"], ["show", "latest"], ["why"], ["why", "HEAD"], ["why", "f"], ["export"], ["verify", "--all"]):
        done = cli(*words)
        assert (done.code == 0) == (words[0] != "verify" or answer != "unverifiable"), (words, done.stderr)
        assert prey.marker.read_text() == "", words
    done = cli("packet", "latest", "1")
    assert (done.code == 0) == (answer != "unverifiable")
    for word in ("fetch", "rebuild", "push"):
        done = cli("notes", word)
        assert (done.code == 0) == (word not in REFUSES.get(plant.__name__, ())), (word, done.stderr)
        assert done.code == 0 or "why:" in done.stderr
        assert prey.marker.read_text() == "", word
    if plant is edited_note:  # what was signed is there again
        cli("verify", "HEAD").ok()
