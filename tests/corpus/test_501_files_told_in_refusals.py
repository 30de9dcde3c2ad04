"""Escapes 501: have the supervisor read what the run may not, and tell it in a refusal."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome
    from tests.corpus.conftest import Cage

pytestmark = pytest.mark.needs("gcc")
SECRET = "hidden-s3cr3t"
DATA = '[[data]]\nid = "db"\nwhy = "x"\nservice = "postgres://db.internal:5432"\nallow = ["read public.cart"]\n'
INFRA = """[[infra]]
id = "images"
why = "x"
files = ["*.yaml"]
at = "image"
never = "regex:.*"
baseline = "none"
"""
HIDE = '[scope]\nhide = [".env*", "~/.ssh/**"]\n'
HIDDEN_DATA = '[[data]]\nid = "env"\nwhy = "x"\npaths = [".env*"]\naccess = "hide"\n'
SOURCE = "const char name[] = NAME; int main(void) { return 0; }\n"  # a program is known by its content too
SSH = "$HOME/.ssh/id_rsa"


@pytest.fixture
def vault(cage: Cage, tmp_path: Path) -> Cage:
    """Files that a run may not read, and tools that do nothing."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "k.c").write_text(SOURCE)
    for name in ("terraform", "kubectl", "psql", "docker"):
        subprocess.run(["gcc", f'-DNAME="{name}"', "-o", tools / name, tools / "k.c"], check=True)
    cage.env = {"PATH": f"{tools}:{os.environ['PATH']}", "AWS_SECRET_ACCESS_KEY": SECRET}
    (cage.home / ".ssh").mkdir(exist_ok=True)
    (cage.home / ".ssh/id_rsa").write_text(f"{SECRET}\n")
    (cage.tree / ".env").write_text(f"KEY {SECRET}\n")
    (cage.tree / ".env.yaml").write_text(f"image: {SECRET}\n")
    (cage.tree / ".envkube").write_text(f"current-context: {SECRET}\n")
    return cage


def silent(outcome: Outcome) -> Outcome:
    """It ran, and nobody heard of what the file says: not the run, not the record."""
    assert outcome.run_dir is not None, outcome.stderr
    for text in (outcome.stdout.decode(), outcome.stderr, str(outcome.journal)):
        assert SECRET not in text, text
    return outcome


@pytest.mark.parametrize("path", [SSH, "/proc/self/environ", "$PWD/.env", "/proc/self/fd/0"])
def test_a_workspace_that_is_another_file(vault: Cage, path: str) -> None:
    vault.profile(f"{HIDE}[[deploy]]\nid = 'd'\nwhy = 'x'\ndeny = ['infra-mutate']\n")
    script = f'mkdir td; ln -s {path} td/environment; x=$(TF_DATA_DIR=td terraform apply 2>&1); echo "$x"'
    outcome = silent(vault.run(script))
    assert "cannot be told" in outcome.stderr + outcome.stdout.decode()
    vault.refused(outcome, "d", told=False)


def test_with_the_default_pack_alone(vault: Cage) -> None:
    silent(vault.run(f"mkdir td; ln -s {SSH} td/environment; TF_DATA_DIR=td terraform apply; true"))


def test_a_record_of_govrun(vault: Cage) -> None:
    vault.profile("[[deploy]]\nid = 'd'\nwhy = 'x'\ndeny = ['infra-mutate']\n")
    state = Path(vault.run("true").state)
    (state / "kept").write_text(f"{SECRET}\n")
    outcome = silent(vault.run(f"mkdir td; ln -s {state}/kept td/environment; TF_DATA_DIR=td terraform apply; true"))
    vault.refused(outcome, "d")


@pytest.mark.parametrize("path", [".env", "~/.ssh/id_rsa", "/proc/self/environ", "/proc/self/fd/9", "link"])
def test_statements_that_are_another_file(vault: Cage, path: str) -> None:
    vault.profile(HIDE + DATA)
    outcome = silent(vault.run(f"ln -s .env link; psql -h db.internal -f {path}; true"))
    (told,) = [line for line in outcome.stderr.splitlines() if "denied by db" in line]
    assert "statements that were not read" in told
    vault.refused(outcome, "db")


def test_what_cannot_be_read_is_not_repeated(vault: Cage) -> None:
    """A file that the run may read: it is no statement, and is not told."""
    vault.profile(DATA)
    outcome = silent(vault.run("psql -h db.internal -f .env; true"))
    assert "statement 1, which cannot be read," in outcome.stderr
    vault.refused(outcome, "db")


@pytest.mark.parametrize("profile", [HIDE, HIDDEN_DATA])
def test_a_context_and_a_document_that_are_hidden_by_name(vault: Cage, profile: str) -> None:
    vault.profile(f"{profile}[[deploy]]\nid = 'd'\nwhy = 'x'\ndeny = ['deploy']\n{INFRA}")
    outcome = silent(vault.run("KUBECONFIG=.envkube kubectl apply -f .env.yaml; true"))
    vault.refused(outcome, "d")
    outcome = silent(vault.run("ln -s .env.yaml b.yaml; kubectl --context c apply -f b.yaml; true"))
    assert "hidden from this run" in outcome.stderr


def test_a_context_of_many_words_is_none(vault: Cage) -> None:
    vault.profile("[[deploy]]\nid = 'd'\nwhy = 'x'\ndeny = ['infra-mutate']\n")
    (vault.tree / "td").mkdir()
    (vault.tree / "td/environment").write_text(f"-----BEGIN KEY-----\n{SECRET}\n")
    assert "cannot be told" in silent(vault.run("TF_DATA_DIR=td terraform apply; true")).stderr


def test_what_may_be_read_is_told(vault: Cage) -> None:
    """The harmless case: the workspace of the tree names the target."""
    allow = "allow = [{ class = 'infra-mutate', target = 'dev' }]"
    vault.profile(f"{HIDE}[[deploy]]\nid = 'd'\nwhy = 'x'\ndeny = ['infra-mutate']\n{allow}\n")
    (vault.tree / ".terraform").mkdir()
    (vault.tree / ".terraform/environment").write_text("prod")
    outcome = vault.run("terraform workspace delete x; terraform import a b; true")
    assert "prod" in outcome.stderr
    vault.refused(outcome, "d")
