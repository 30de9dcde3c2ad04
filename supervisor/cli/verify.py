"""``govrun verify``, ``packet`` and ``key``: does the record of a commit or a run stand up, one act of it to be handed
on, and who signs here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import typer

    from supervisor.git.base import Objects
    from supervisor.git.view import View
    from supervisor.provenance.answers import Finding
    from supervisor.provenance.keys import Trusted
    from supervisor.provenance.verifying import Verifier

_MOST_PACKET = 4 << 20  # that of an act in a run with 10,000 commits
_LEAST = 8  # characters of a run's id that are not taken for a revision


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    import typer as cli

    @app.command("verify")
    def verify(
        what: str = cli.Argument(
            "HEAD", metavar="[REV|RUN]", help="A commit, or a run: its id, at least 8 characters of it, or latest."
        ),
        signers: Path | None = cli.Option(
            None, "--allowed-signers", metavar="FILE", help="Whom to believe (ssh-keygen(1), ALLOWED SIGNERS)."
        ),
        everything: bool = cli.Option(False, "--all", help="Every run that is here or that a ledger names."),
        packet: Path | None = cli.Option(
            None, "--packet", metavar="FILE", help="What `govrun packet` has written; no repository is needed."
        ),
        as_json: bool = cli.Option(False, "--json", help="One JSON object per run and line."),
    ) -> None:
        """Check notes and record against what was signed. Exit status 0 verified, 1 refuted, 2 unverifiable, 3 missing,
        4 carried only."""
        raise cli.Exit(_answer(None if everything else what, signers, packet, as_json=as_json))

    @app.command("packet")
    def packet(
        run: str = cli.Argument(..., metavar="RUN", help="A run whose record is in this repository, or latest."),
        seq: int = cli.Argument(..., metavar="SEQ", help="One of its records, as govrun log numbers them."),
    ) -> None:
        """Print one act of a run with its proof, as JSON: `govrun verify --packet FILE` needs nothing else."""
        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.vocabulary.errors import UsageError

        made = encode(_made(run, seq))
        if len(made) > _MOST_PACKET:
            why = f"it would have {len(made) >> 20} MiB, most of which are the names of the run's commits"
            raise UsageError(
                "the act cannot be handed on alone", why, "hand on the record: govrun notes push", exit_code=2
            )
        emit([made])

    @app.command("key")
    def key(
        use: str = cli.Option("", "--use", metavar="FILE", help="Sign with this ssh key from now on; own: not."),
    ) -> None:
        """Print the line by which others trust what runs of this installation sign."""
        from supervisor.cli.text import emit

        emit([_own_line(use)])


def _own_line(use: str) -> str:
    """``use``: the key to sign with from now on, empty: as it is. Errors: ``UsageError`` inside a run."""
    import os
    import pwd
    import socket

    from supervisor.journal.store import state_dir
    from supervisor.kernel import probe
    from supervisor.provenance import keys
    from supervisor.vocabulary.errors import UsageError

    if probe.run_id():
        raise UsageError("this is a run", "the key that signs runs is hidden from them", "do it outside", exit_code=2)
    state = state_dir(os.environ)
    if use:
        keys.use(state, None if use == "own" else Path(os.path.abspath(os.path.expanduser(use))))
    public = keys.own_key(state).public_key().public_bytes_raw()
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return keys.signer_line(public, f"{name}@{socket.gethostname()}")


def _answer(what: str | None, signers: Path | None, packet: Path | None, *, as_json: bool) -> int:
    """Print what can be said; the exit status."""
    from supervisor.cli.lines import paged
    from supervisor.cli.text import emit
    from supervisor.journal.codec import encode
    from supervisor.provenance.answers import WORST

    trusted = _believed(signers)
    found, lines = _packet(packet, trusted) if packet is not None else (_verified(what, trusted), [])
    emit(encode(document(each)) for each in found) if as_json else emit(paged([*map(line, found), *lines]))
    answers = [each.answer for each in found]
    return _CODES[next(each for each in WORST if each in answers)]


_CODES = {"verified": 0, "refuted": 1, "unverifiable": 2, "missing": 3, "carried": 4}


def _believed(signers: Path | None) -> list[Trusted]:
    """Whose signatures count. Errors: ``UsageError``."""
    import os

    from supervisor.kernel import probe
    from supervisor.provenance.answers import trusted_by
    from supervisor.vocabulary.errors import UsageError

    if signers is None and probe.run_id():
        why, fix = "whom you believe is hidden from runs", "do it outside, or name a list: --allowed-signers FILE"
        raise UsageError("this is a run", why, fix, exit_code=2)
    found = trusted_by(signers, os.environ)
    if signers is not None and not found:
        fix = "where the runs were started, `govrun key` prints the line"
        why = "no line of it has an Ed25519 key that may sign runs"
        raise UsageError(f"{str(signers)!r} names no key", why, fix, exit_code=2)
    return found


class _Here(NamedTuple):
    view: View
    objects: Objects
    refs: Mapping[str, str]

    @property
    def runs(self) -> list[str]:
        return sorted(name.rpartition("/")[2] for name in self.refs if name.startswith("refs/govrun/runs/"))

    def ref(self, name: str) -> str:
        return self.refs.get(name, "")


@contextmanager
def _here() -> Iterator[_Here]:
    """The repository of the working directory."""
    import tempfile

    from supervisor.git.base import Objects
    from supervisor.git.layout import discover
    from supervisor.git.refs import snapshot
    from supervisor.git.view import View
    from supervisor.vocabulary.errors import UsageError

    repository = discover(Path.cwd())
    if repository is None:
        raise UsageError("this is no repository", "notes and records lie in one", "cd into a clone", exit_code=2)
    with tempfile.TemporaryDirectory(prefix="govrun-verify-") as folder:
        view = View(Path(folder) / "view.git", repository)
        objects = Objects(view.git, timeout=60.0)
        try:
            yield _Here(view, objects, snapshot(repository.common_dir))
        finally:
            objects.close()


def _verified(what: str | None, trusted: list[Trusted]) -> list[Finding]:
    from supervisor.journal.ids import is_ulid
    from supervisor.provenance.answers import Answer, Finding
    from supervisor.provenance.ledger import LEDGERS
    from supervisor.provenance.verifying import Verifier
    from supervisor.vocabulary.errors import UsageError

    with _here() as here:
        verifier = Verifier(here.objects, here.ref, trusted, here.runs)
        if what is None:
            ledgers = [name for name in here.refs if name.startswith(LEDGERS)]
            nothing = Finding("", Answer.MISSING, "no run was recorded here")
            return list(verifier.everything(ledgers)) or [nothing]
        if is_ulid(what.upper()):
            return [verifier.run(what.upper())]
        try:
            return _at(here, verifier, what)[1]
        except UsageError:
            named = len(what) >= _LEAST and any(run.startswith(what.upper()) for run in here.runs)
            if not named and what != "latest":
                raise
        return [verifier.run(_named(here, what))]


def _named(here: _Here, word: str) -> str:
    """The run whose record is here, by the beginning of its id, or ``latest``. Errors: ``UsageError``."""
    from supervisor.vocabulary.errors import UsageError

    found = _latest(here) if word == "latest" else [run for run in here.runs if run.startswith(word.upper())]
    if len(found) != 1:
        why = f"{len(found)} records begin like that" if found else "its record is not in this repository"
        fix = "name it by its id: govrun runs; govrun notes fetch brings the records of others"
        raise UsageError(f"cannot tell which run is meant: {word!r:.60}", why, fix, exit_code=2)
    return found[0]


def _latest(here: _Here) -> list[str]:
    """The newest run of this tree that has a record; where it has none, the newest record."""
    import os

    from supervisor.cli.choice import tree_here
    from supervisor.journal.store import list_runs, read_meta, state_path

    state, tree = state_path(os.environ), tree_here()
    runs = [run for run in reversed(list_runs(state)) if run in here.runs]
    own = next((run for run in runs if read_meta(state / "runs" / run).get("tree") == tree), None)
    return [own] if own is not None else here.runs[-1:]


def _at(here: _Here, verifier: Verifier, revision: str) -> tuple[str, list[Finding]]:
    commit = here.view.commit(revision)
    found = here.objects.get(commit + "^{tree}")
    return commit, verifier.commit(commit, found[0] if found is not None else "")


def runs_of(revision: str, environ: Mapping[str, str]) -> tuple[str, list[Finding]]:
    """The commit that a revision means, and what can be said of the runs it comes from. Errors: ``UsageError``."""
    from supervisor.provenance.answers import trusted_by
    from supervisor.provenance.verifying import Verifier

    with _here() as here:
        return _at(here, Verifier(here.objects, here.ref, trusted_by(None, environ), here.runs), revision)


def _made(word: str, seq: int) -> dict[str, object]:
    from supervisor.provenance.note import ref_of
    from supervisor.provenance.packet import act_of, make
    from supervisor.provenance.recorded import Records
    from supervisor.vocabulary.errors import UsageError

    with _here() as here:
        run = _named(here, word)
        files = Records(here.objects, here.ref, ()).files(here.ref(ref_of(run)))
        try:
            events = act_of(files, seq)
        except LookupError as error:
            fix = f"govrun log {run} numbers them"
            raise UsageError(f"no record {seq} of {run}", str(error), fix, exit_code=2) from error
        blob = next((str(each["adr_blob"]) for each in events.values() if each.get("adr_blob")), "")
        text = here.objects.get(blob) if blob else None
        return make(files, events, (blob, text[2]) if text is not None else None)


def _packet(path: Path, trusted: list[Trusted]) -> tuple[list[Finding], list[str]]:
    """What can be said of a packet, and its records as lines."""
    from supervisor.cli.lines import lines_of
    from supervisor.provenance.answers import mapping_of
    from supervisor.provenance.packet import verify
    from supervisor.vocabulary.errors import UsageError

    try:
        with open(path, "rb") as file:
            raw = file.read(_MOST_PACKET + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read {str(path)!r}", str(error), "govrun packet RUN SEQ > FILE", exit_code=2
        ) from error
    if len(raw) > _MOST_PACKET:
        why = f"it is larger than {_MOST_PACKET >> 20} MiB"
        raise UsageError(f"{str(path)!r} is no packet", why, "govrun packet RUN SEQ > FILE", exit_code=2)
    found, events = verify(mapping_of(raw), trusted)
    return [found], list(lines_of([dict(each.described) for each in events], ""))


def document(found: Finding) -> dict[str, object]:
    return {**found._asdict(), "answer": str(found.answer)}


def line(found: Finding) -> str:
    from supervisor.cli.text import safe

    how = f" ({found.how})" if found.how else ""
    head = f"{found.run} {found.answer}{how}".strip()
    status = f" {found.status}" if found.status else ""
    return safe(f"{head}{status}: {found.why}")
