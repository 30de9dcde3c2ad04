"""Contracts of a run: attempts are asked of the policy in force, commands are run in a run of their own.

The copy that a command sees is frozen: nobody of the run can reach it. It is confined by the same means as an agent,
writes nowhere but in the copy, and reaches no host.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from supervisor.git.layout import Repository
from supervisor.invariants.contract import Contract, Shown, answers_for, is_met
from supervisor.invariants.globs import Globs
from supervisor.invariants.policy import CompiledPolicy
from supervisor.kernel import libc
from supervisor.profile.model import Entry
from supervisor.run.attempts import Attempts
from supervisor.run.checking import tree_files
from supervisor.run.options import Options
from supervisor.run.prior import Prior
from supervisor.run.record import Recorder
from supervisor.vocabulary.errors import GovrunError, ProfileError
from supervisor.vocabulary.verdicts import Verdict

File = tuple[bool, bytes]  # whether it is a link, and what it says
# Runs the command of ``Options`` under its profile; called once, in a process of its own. The exit code.
Governed = Callable[[Options, Callable[[str], None]], int]
_PATIENCE = 300.0  # seconds for one command
_MOST_FILES = 200_000
_MOST_SHOWN = 400  # characters of what a command said
_PROFILE = """version = 1
extends = []
[scope]
why = "a contract is shown by a command that changes and reaches nothing else"
hosts = []
timeout = "{seconds}s"
"""


def due(contracts: Iterable[Contract], moment: str) -> tuple[Contract, ...]:
    """What has to be shown at ``start`` or at ``stop``. Attempts are asked at both ends; what belongs to the moments in
    between is shown at the end, where it still says something of the tree that is left."""
    if moment == "start":
        return tuple(each for each in contracts if each.when == "start")
    return tuple(each for each in contracts if each.when != "start" or each.form)


def tree_paths(policy: CompiledPolicy, repository: Repository | None, environ: Mapping[str, str]) -> list[bytes]:
    """Paths of the files that belong to the tree, relative to it. Errors: ``GovrunError``."""
    if repository is not None:
        return tree_files(repository, environ)
    found = []
    for folder, names, files in os.walk(policy.tree):
        names[:] = [name for name in names if name != b".git"]
        found += [os.path.join(folder, name)[len(policy.tree) + 1 :] for name in files]
    return found


def require_started(
    contracts: Iterable[Contract],
    policy: CompiledPolicy,
    repository: Repository | None,
    environ: Mapping[str, str],
    governed: Governed,
) -> list[Shown]:
    """What has to be shown before anything starts. Errors: ``ProfileError`` with all that is not met."""
    wanted = due(contracts, "start")
    if not wanted:
        return []

    def as_it_is(path: bytes) -> File | None:
        return there(os.path.join(policy.tree, path))

    found = show(wanted, policy, lambda: tree_paths(policy, repository, environ), as_it_is, list, environ, governed)
    failed = [each for each in found if not each.passed]
    if failed:
        why = "\n".join(f"{each.contract.source}: {each.contract.id}: {each.detail}" for each in failed)
        count = f"{len(failed)} contract{'s' if len(failed) > 1 else ''}"
        fix = "correct the rule or the contract; nothing was started"
        raise ProfileError(f"{count} not met at the start", why, fix)
    return found


def show_at_end(
    contracts: Iterable[Contract],
    policy: CompiledPolicy,
    repository: Repository | None,
    base: str,
    prior: Prior | None,
    environ: Mapping[str, str],
    recorder: Recorder,
    say: Callable[[str], None],
    governed: Governed,
) -> int:
    """Show, record and tell what has to be shown at the end of a run. How many contracts are not met."""
    found = show(
        due(contracts, "stop"),
        policy,
        lambda: tree_paths(policy, repository, environ),
        lambda path: prior.at(base, path) if prior is not None else None,
        lambda: _base_files(prior, base),
        environ,
        governed,
    )
    for each in found:
        contract, word = each.contract, "passed" if each.passed else "failed"
        recorder.note("contract", id=contract.id, proves=list(contract.proves), call=word, detail=each.detail)
        if not each.passed:
            say(f"govrun: contract {contract.id} ({contract.source}) is not met: {each.detail}")
    # What was shown at the start and is not asked again has passed: nothing would have started.
    failed = sum(not each.passed for each in found)
    recorder.counts.contracts = len(tuple(contracts))
    recorder.counts.contracts_passed = recorder.counts.contracts - failed
    return failed


def show(
    contracts: Iterable[Contract],
    policy: CompiledPolicy,
    files: Callable[[], Iterable[bytes]],
    base: Callable[[bytes], File | None],
    base_files: Callable[[], Iterable[bytes]],
    environ: Mapping[str, str],
    governed: Governed,
) -> list[Shown]:
    """What came of each. ``files``: paths of the tree that belong to it; ``base``: a file as the base commit has it,
    None where it has none; ``base_files``: what it has. Whatever goes wrong is a contract that is not met."""
    attempts = Attempts(policy)
    found = []
    try:
        for contract in contracts:
            try:
                if contract.form:
                    found.append(_attempted(contract, attempts))
                else:
                    found.append(_run(contract, policy, files, base, base_files, environ, governed))
            except GovrunError as error:
                found.append(Shown(contract, False, f"{error.what}: {error.why}"))
            except OSError as error:
                found.append(Shown(contract, False, str(error)))
    finally:
        attempts.close()
    return found


def _attempted(contract: Contract, attempts: Attempts) -> Shown:
    verdict = attempts.judge(contract.form, contract.text)
    what = f"{contract.form} {contract.text!r}"
    if not is_met(contract.expect, verdict):
        return Shown(contract, False, f"{what} is answered with {verdict.effect.word}, not {contract.expect}")
    if not answers_for(contract, verdict):
        told = f"{what} is refused by {_named(verdict)}, which says nothing of {', '.join(contract.proves)}"
        return Shown(contract, False, told)
    return Shown(contract, True, f"{what}: {verdict.effect.word}")


def _named(verdict: Verdict) -> str:
    return ", ".join(dict.fromkeys(match.invariant.id for match in verdict.matches)) or "nothing"


# ------------------------------------------------------------------------------------------------------ commands


def _run(
    contract: Contract,
    policy: CompiledPolicy,
    files: Callable[[], Iterable[bytes]],
    base: Callable[[bytes], File | None],
    base_files: Callable[[], Iterable[bytes]],
    environ: Mapping[str, str],
    governed: Governed,
) -> Shown:
    changed = _changed(contract, policy.tree, files, base, base_files)
    if changed:
        return Shown(contract, False, f"proof changed: the run has changed {', '.join(changed[:5])}")
    with tempfile.TemporaryDirectory(prefix="govrun-contract-", dir=os.fsdecode(policy.state)) as folder:
        copy = Path(folder) / "tree"
        _copy(policy.tree, copy, files())
        status, said = _governed(contract.command, copy, Path(folder), environ, governed)
    passed = status == 0
    told = " ".join(contract.command)
    return Shown(contract, passed, told if passed else f"{told}: exit {status}: {said}")


def _changed(
    contract: Contract,
    tree: bytes,
    files: Callable[[], Iterable[bytes]],
    base: Callable[[bytes], File | None],
    base_files: Callable[[], Iterable[bytes]],
) -> list[str]:
    """Files that the proof stands on and that are not those of the base commit."""
    if not contract.paths:
        return []
    proof = Globs(Entry(each, contract.source) for each in contract.paths)
    found = []
    for path in sorted({*files(), *base_files()}):
        if proof.match(path) is None:
            continue
        if base(path) != there(os.path.join(tree, path)):
            found.append(path.decode("utf-8", "backslashreplace"))
    return found


def _base_files(prior: Prior | None, base: str) -> list[bytes]:
    """Errors: ``GovrunError``, OSError."""
    if prior is None or not base:
        raise OSError("the run began at no commit, so that nobody can tell whether it has changed the proof")
    return prior.objects.files(base, _MOST_FILES)


def there(path: bytes) -> File | None:
    """The file at a path, None where there is none."""
    try:
        link = os.path.islink(path)
        return link, os.readlink(path) if link else Path(os.fsdecode(path)).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _copy(tree: bytes, to: Path, files: Iterable[bytes]) -> None:
    """The files as they are. Links are copied as links, and what is no file is left out."""
    to.mkdir()
    for number, path in enumerate(files):
        if number >= _MOST_FILES:
            raise OSError(f"the tree has more than {_MOST_FILES} files")
        source, target = os.path.join(tree, path), os.path.join(os.fsencode(to), path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isfile(source):
            shutil.copy2(source, target)


def _governed(
    command: tuple[str, ...], copy: Path, folder: Path, environ: Mapping[str, str], governed: Governed
) -> tuple[int, str]:
    """Exit status of a command in a run of its own, and the end of what it said."""
    profile, output = folder / "govrun.toml", folder / "output"
    profile.write_text(_PROFILE.format(seconds=int(_PATIENCE)))
    pid = os.fork()
    if pid == 0:
        _child(command, copy, profile, folder / "state", output, dict(environ), governed)
    end = time.monotonic() + _PATIENCE + 10
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    said = output.read_bytes()[-_MOST_SHOWN:].decode("utf-8", "backslashreplace") if output.exists() else ""
    return os.waitstatus_to_exitcode(status), " ".join(said.split())


def _child(
    command: tuple[str, ...],
    copy: Path,
    profile: Path,
    state: Path,
    output: Path,
    environ: dict[str, str],
    governed: Governed,
) -> None:
    """Never returns."""
    code = 125
    try:
        os.setsid()
        # The supervisor let nobody look into it; its fork has to be let into what it starts, until it says so itself.
        libc.prctl(libc.PR_SET_DUMPABLE, 1)
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.chdir(copy)
        # What runs at the end is inside of the supervisor's own confinement, which ends at the state folder.
        own = {"XDG_STATE_HOME": str(state), "XDG_CACHE_HOME": str(state / "cache"), "PWD": str(copy)}
        os.environ.update(environ | own)

        def say(line: str) -> None:
            os.write(2, line.encode("utf-8", "backslashreplace") + b"\n")

        options = Options(command, profile=profile, root=copy, agent="generic", quiet=True)
        code = governed(options, say)
    except GovrunError as error:
        os.write(2, "\n".join(error.lines()).encode("utf-8", "backslashreplace"))
        code = error.exit_code
    finally:
        os._exit(code)
