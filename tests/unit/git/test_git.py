"""Layout, refs and objects as read here, compared with what git itself says; git in its neutral environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.git import aliases, config
from supervisor.git.base import Objects, TooLarge
from supervisor.git.commandline import command_of
from supervisor.git.layout import discover, is_ref_name, resolve_ref
from supervisor.git.neutral import Git, GitError
from supervisor.git.own import make_own, make_window
from supervisor.git.refs import snapshot
from supervisor.vocabulary.errors import UsageError

ENV = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"} | {
    f"GIT_{who}_{what}": "a@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def git(top: Path, *args: str, stdin: bytes = b"") -> str:
    command = ["git", "-c", "protocol.file.allow=always", *args]
    done = subprocess.run(command, cwd=top, env=ENV, capture_output=True, input=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def make(top: Path, *options: str) -> Path:
    top.mkdir(parents=True)
    git(top, "init", "-q", "-b", "main", *options)
    return top


def commit(top: Path, text: str = "c") -> str:
    git(top, "commit", "-q", "--allow-empty", "-m", text)
    return git(top, "rev-parse", "HEAD")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = make(tmp_path / "tree")
    commit(made)
    return made


def agrees(cwd: Path) -> None:
    """What discover says is what git says."""
    found = discover(cwd)
    assert found is not None
    assert str(found.top) == git(cwd, "rev-parse", "--show-toplevel")
    assert str(found.git_dir) == git(cwd, "rev-parse", "--absolute-git-dir")
    common = git(cwd, "rev-parse", "--path-format=absolute", "--git-common-dir")
    assert str(found.common_dir) == os.path.realpath(common)
    assert found.object_format == git(cwd, "rev-parse", "--show-object-format")
    assert found.head_commit == git(cwd, "rev-parse", "HEAD")
    assert (found.head_ref or "HEAD") == git(cwd, "rev-parse", "--symbolic-full-name", "HEAD")
    assert not found.bare


# ---- layout ---------------------------------------------------------------------------------------------------------


def test_a_plain_repository_from_below(top: Path) -> None:
    (top / "a/b").mkdir(parents=True)
    agrees(top)
    agrees(top / "a/b")
    git(top, "pack-refs", "--all")
    agrees(top)
    git(top, "checkout", "-q", "--detach")
    agrees(top)


def test_sha256(tmp_path: Path) -> None:
    top = make(tmp_path / "t", "--object-format=sha256")
    commit(top)
    agrees(top)


def test_an_unborn_branch(tmp_path: Path) -> None:
    found = discover(make(tmp_path / "t"))
    assert found is not None
    assert (found.head_ref, found.head_commit) == ("refs/heads/main", "")


def test_worktrees(top: Path, tmp_path: Path) -> None:
    git(top, "worktree", "add", "-q", str(tmp_path / "w"), "-b", "side")
    commit(tmp_path / "w")
    agrees(tmp_path / "w")
    found = discover(top)
    assert found is not None
    assert found.worktrees == (top / ".git/worktrees/w",)


def test_submodules_and_separate_git_dirs(top: Path, tmp_path: Path) -> None:
    inner = make(tmp_path / "inner")
    commit(inner)
    git(top, "submodule", "add", "-q", str(inner), "sub")
    agrees(top / "sub")
    found = discover(top / "sub")
    assert found is not None
    assert found.git_dir == top / ".git/modules/sub"
    apart = tmp_path / "apart"
    apart.mkdir()
    git(apart, "init", "-q", f"--separate-git-dir={tmp_path / 'gd'}")
    commit(apart)
    agrees(apart)


def test_symlinks_on_the_way(top: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(top)
    agrees(tmp_path / "link")
    (top / ".git").rename(tmp_path / "moved")
    (top / ".git").symlink_to(tmp_path / "moved")
    agrees(top)


def test_bare_and_inside_a_git_dir(top: Path, tmp_path: Path) -> None:
    bare = tmp_path / "b.git"
    git(tmp_path, "clone", "-q", "--bare", str(top), str(bare))
    found = discover(bare / "refs")
    assert found is not None
    assert found.bare
    assert found.top == bare
    with pytest.raises(UsageError, match="inside a git directory"):
        discover(top / ".git/refs")


def test_none_and_broken(tmp_path: Path) -> None:
    assert discover(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert discover(tmp_path) is None  # git passes over an empty .git, too
    (tmp_path / ".git").rmdir()
    (tmp_path / ".git").write_text("gitdir: /nonexistent\n")
    with pytest.raises(UsageError, match="leads to"):
        discover(tmp_path)
    (tmp_path / ".git").write_text("rubbish")
    with pytest.raises(UsageError, match="not a gitfile"):
        discover(tmp_path)
    (tmp_path / ".git").unlink()
    os.mkfifo(tmp_path / ".git")
    with pytest.raises(UsageError):
        discover(tmp_path)


def test_git_dir_of_the_environment_is_not_honoured(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    found = discover(top)
    assert found is not None
    assert found.git_dir == top / ".git"


def test_reftable_is_named(top: Path) -> None:
    git(top, "config", "extensions.refStorage", "reftable")
    found = discover(top)
    assert found is not None
    assert found.ref_format == "reftable"


def test_discovery_starts_no_program(top: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from supervisor.git.layout import discover;"
        "from supervisor.git.refs import snapshot; r = discover(Path(sys.argv[1])); snapshot(r.common_dir);"
        "print('subprocess' in sys.modules, r.head_commit)"
    )
    command = [sys.executable, "-c", code, str(top)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", git(top, "rev-parse", "HEAD")]


@pytest.mark.parametrize(
    "name", ["refs/heads/a", "refs/heads/ä/b-c", "refs/notes/govrun", "refs/tags/v1.0", "refs/stash", "refs/x/@"]
)
def test_good_ref_names(name: str) -> None:
    assert is_ref_name(name)
    assert subprocess.run(["git", "check-ref-format", name]).returncode == 0


@given(st.text(alphabet="ab./@{~^:?*[\\ \t-", max_size=12).map(lambda t: "refs/" + t))
def test_no_ref_name_is_taken_that_git_refuses(name: str) -> None:
    if is_ref_name(name):
        assert subprocess.run(["git", "check-ref-format", "--allow-onelevel", name]).returncode == 0
        assert ".." not in name


# ---- refs -----------------------------------------------------------------------------------------------------------


def test_snapshot_agrees_with_git(top: Path, tmp_path: Path) -> None:
    for number in range(5):
        commit(top)
        git(top, "branch", f"deep/er/b{number}")
        git(top, "tag", "-a", "-m", "x", f"t{number}")
        if number == 2:
            git(top, "pack-refs", "--all")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(top), str(clone))
    git(top, "branch", "-f", "deep/er/b0", "main")
    for place in (top, clone):
        lines = git(place, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        assert snapshot(place / ".git") == dict(line.split() for line in lines)


def test_snapshot_of_rubbish(top: Path, tmp_path: Path) -> None:
    before = snapshot(top / ".git")
    refs = top / ".git/refs"
    (refs / "heads/x.lock").write_text("1" * 40)
    (refs / "heads/broken").write_text("rubbish")
    (refs / "heads/loop").write_text("ref: refs/heads/loop\n")
    (refs / "heads/out").write_text("ref: refs/../../../outside\n")
    (refs / "away").symlink_to(tmp_path)
    os.mkfifo(refs / "heads/fifo")
    (refs / "heads/nl\nx").write_text("1" * 40)
    (top / ".git/packed-refs").write_bytes(b"\xff\n# x\n^" + b"1" * 40 + b"\nzz refs/heads/y\n")
    assert snapshot(top / ".git") == before
    assert resolve_ref(top / ".git", top / ".git", "refs/heads/loop") == ""
    assert resolve_ref(top / ".git", top / ".git", "refs/heads/out") == ""


# ---- objects --------------------------------------------------------------------------------------------------------


NAMES = [b"plain", b"dir/deep/file", b"new\nline", b"\xff\xfe", b"col:on", b"back\\slash", b'qu"ote', b" sp ace ", b"*"]


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_blobs_at_a_commit(tmp_path: Path, object_format: str) -> None:
    top = make(tmp_path / 'od"d\n\\dir', f"--object-format={object_format}")
    for name in NAMES:
        path = os.path.join(os.fsencode(top), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"of " + name)
    os.symlink("plain", top / "link")
    git(top, "add", "-A")
    head = commit(top)
    own = make_own(tmp_path / "own.git", top / ".git", object_format)
    objects = Objects(Git(own))
    for name in NAMES:
        assert objects.blob(head, name) == b"of " + name
        assert objects.is_tracked(head, name)
    assert sorted(objects.files(head, 1000)) == sorted({*NAMES, b"link"})
    assert objects.files("0" * len(head), 1000) == []
    with pytest.raises(GitError, match="too many"):
        objects.files(head, 2)
    assert objects.is_tracked(head, b"dir/deep")
    assert objects.blob(head, b"dir") is None
    assert objects.blob(head, b"link") is None
    for absent in (b"nope", b"plain/x", b"dir/deep/file/x", b"", b"dir/", b"/plain", b"..", b"dir//deep"):
        assert not objects.is_tracked(head, absent)
    with pytest.raises(GitError, match="too large"):
        objects.blob(head, b"plain", limit=3)
    assert objects.blob(head, b"plain") == b"of plain"
    # What is committed later is seen by the same process.
    (top / "later").write_text("x")
    git(top, "add", "-A")
    assert objects.blob(commit(top), b"later") == b"x"
    git(top, "gc", "-q")
    assert objects.blob(head, b"*") == b"of *"
    objects.close()


def test_a_reader_that_died_is_started_again(top: Path, tmp_path: Path) -> None:
    objects = Objects(Git(make_own(tmp_path / "own.git", top / ".git", "sha1")))
    head = git(top, "rev-parse", "HEAD")
    assert objects.get(head) is not None
    assert objects._process is not None
    objects._process.kill()
    objects._process.wait()
    assert objects.get(head + "^{tree}") is not None
    assert objects.get("1" * 40) is None
    for bad in ("HEAD", "", "-x", head + "^{/x}", head + "\n" + head):
        with pytest.raises(GitError):
            objects.get(bad)
    objects.close()


def test_objects_that_were_asked_for_ahead(top: Path, tmp_path: Path) -> None:
    """Each answer is that to its own question, in whatever order they are asked for then."""
    ids = [git(top, "hash-object", "-w", "--stdin", stdin=b"%d" % n * (n * 500 + 1)) for n in range(200)]
    objects = Objects(Git(make_own(tmp_path / "own.git", top / ".git", "sha1")))

    def content(name: str) -> bytes | None:
        found = objects.get(name)
        return found[2] if found is not None else None

    whole = {name: content(name) for name in ids}
    orders = (ids, ids[::2], list(reversed(ids)), [ids[0], "1" * 40, *ids[1:3]])
    for ahead in (*orders, ["not an id", *ids], []):
        for asked in orders:
            objects.ahead(ahead)
            assert [content(name) for name in asked] == [whole.get(name) for name in asked]
    objects.ahead(ids)
    assert content(ids[0]) == b"0"
    with pytest.raises(TooLarge):
        objects.get(ids[1], limit=1)
    assert content(ids[2]) == whole[ids[2]]
    objects.ahead(ids[5:9])
    assert objects._process is not None
    objects._process.kill()
    objects._process.wait()
    assert [content(name) for name in ids[5:9]] == [whole[name] for name in ids[5:9]]
    objects.close()


def test_a_reader_that_hangs_ends_in_an_error(tmp_path: Path, top: Path) -> None:
    class Stuck(Git):
        def serve(self, args: object) -> subprocess.Popen[bytes]:
            return subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    objects = Objects(Stuck(None), timeout=0.05)
    with pytest.raises(GitError, match="too long"):
        objects.get("1" * 40)
    assert objects._process is None


# ---- neutral --------------------------------------------------------------------------------------------------------


def test_the_environment_is_built_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_EXEC_PATH", "GIT_SSH_COMMAND", "LD_PRELOAD", "GIT_TRACE", "GIT_CONFIG_PARAMETERS"):
        monkeypatch.setenv(name, "/evil")
    shown = Git(None).run(["-c", "alias.showenv=!env", "showenv"])
    assert b"GIT_NO_REPLACE_OBJECTS=1" in shown
    assert b"/evil" not in shown


def test_failures_and_time_outs_are_told(top: Path) -> None:
    with pytest.raises(GitError, match="git rev-parse failed") as caught:
        Git(top / ".git").run(["rev-parse", "--verify", "nothing"])
    assert caught.value.code == 128
    assert caught.value.exit_code == 121
    with pytest.raises(GitError, match="too long"):
        Git(top / ".git", timeout=0.05).run(["-c", "alias.wait=!sleep 5", "wait"])
    with pytest.raises(GitError, match="rev-parse failed"):
        Git(None).run(["rev-parse", "HEAD"])


# ---- config ---------------------------------------------------------------------------------------------------------

EXECUTABLE = """
core.hooksPath=x core.fsmonitor=/x core.sshCommand=x core.pager=less core.editor=vi core.askPass=x core.gitProxy=x
core.worktree=/ core.alternateRefsCommand=x core.attributesFile=x pager.log=less sequence.editor=x alias.x=!sh
alias.y=difftool|-y alias.z=rebase|--exec=sh alias.w=bisect|run|sh alias.q=rebase|-x|sh filter.a.clean=x
filter.a.smudge=x filter.a.process=x filter.a.b.clean=x diff.external=x diff.p.textconv=x diff.p.command=x
merge.m.driver=x credential.helper=x credential.https://h.helper=!sh include.path=x includeIf.gitdir:/x.path=x
gpg.program=x gpg.ssh.program=x gpg.ssh.defaultKeyCommand=x uploadpack.packObjectsHook=x remote.o.uploadpack=x
remote.o.url=/tmp/x remote.o.url=../../tmp/x remote.o.url=file:///var/tmp/x
remote.o.receivepack=x remote.o.vcs=x remote.o.url=ext::sh remote.o.pushurl=foo::bar url.ext::sh.insteadOf=x
    core.excludesFile=x url.https://h/.insteadOf=gh: http.proxy=x http.sslVerify=false
url.ext::sh.pushInsteadOf=x submodule.s.update=!sh submodule.s.url=ext::sh protocol.ext.allow=always
protocol.allow=user browser.b.cmd=x browser.b.path=x man.m.cmd=x man.m.path=x difftool.t.cmd=x mergetool.t.path=x
guitool.g.cmd=x interactive.diffFilter=x instaweb.httpd=x instaweb.browser=x instaweb.modulePath=x sendemail.toCmd=x
sendemail.ccCmd=x sendemail.sendmailCmd=x sendemail.id.ccCmd=x sendemail.smtpServer=/x imap.tunnel=x
trailer.t.command=x trailer.t.cmd=x tar.tgz.command=x hook.h.command=x init.templateDir=x trace2.eventTarget=/x
safe.directory=* safe.bareRepository=all gc.recentObjectsHook=x lfs.customtransfer.c.path=x lfs.extension.e.clean=x
rebase.instructionFormat=%s%nexec|sh annex.freezecontent-command=x somebody.newCommand=x
""".split()
HARMLESS = """
branch.main.remote=origin branch.main.merge=refs/heads/main user.name=x user.email=x user.signingKey=x core.bare=false
core.fsmonitor=true core.autocrlf=input core.ignoreCase=true pager.log=false alias.st=status|-sb
alias.cp=cherry-pick|-x remote.o.url=https://h/x remote.o.url=git@h:x remote.o.fetch=+refs/*:refs/*
push.default=simple pull.rebase=true merge.tool=vimdiff merge.m.name=x diff.p.xfuncname=x diff.tool=x color.pager=true
advice.ignoredHook=false submodule.s.url=../x submodule.s.update=rebase submodule.s.active=true
protocol.ext.allow=never protocol.version=2 credential.useHttpPath=true
commit.gpgSign=true gpg.format=ssh gc.auto=0 extensions.worktreeConfig=true rebase.instructionFormat=%s
notes.rewriteRef=x init.defaultBranch=main rerere.enabled=1 rebase.rescheduleFailedExec=true lfs.url=https://h
gui.encoding=utf-8
""".split()
COMMON_ALIASES = (
    "status -sb", "checkout", "commit", "branch -vv", "log --oneline --graph --all --decorate",
    "commit --amend --no-edit",
    "reset HEAD --", "log -1 HEAD", "diff", "diff --cached", "push --force-with-lease", "cherry-pick -x", "add -A",
    "log --graph --pretty=format:'%h -%d %s (%cr) <%an>' --abbrev-commit --date=relative", "pull --rebase --autostash",
    "reset --soft HEAD~1", "push -u origin HEAD", "rebase -i --autosquash", "stash push -u -m 'work in progress'",
    "rev-parse --show-toplevel", "fetch --all --prune", "submodule update --init --recursive", "worktree list",
    "for-each-ref --sort=-committerdate --format='%(refname:short)' refs/heads", "commit -am wip", "diff --word-diff",
    "remote -v", "shortlog -sne", "ls-files", "--no-pager log -5", "show --stat", "switch -c", "blame -w -C", "",
)  # fmt: skip


def pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value.replace("|", " ")


def judged(old: list[tuple[str, str]], new: list[tuple[str, str]], **more: bool) -> list[str]:
    return config.executable_keys(config.changes(old, new), **more)


@pytest.mark.parametrize("value", COMMON_ALIASES)
def test_aliases_that_people_have(value: str) -> None:
    assert not aliases.runs(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("log --format='a b' \"c'd\"", ["log", "--format=a b", "c'd"]),
        ("a\\ b 'c\\d' \"e\\\"f\" ''", ["a b", "c\\d", 'e"f', ""]),
        ("a 'b", None),
        ("a\\", None),
        ("  a\tb\n", ["a", "b"]),
    ],
)
def test_words_of_an_alias(value: str, words: list[str] | None) -> None:
    assert aliases.split(value) == words


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("git fetch o", "fetch"), ("git -c a.b=c -C x fetch", "fetch"), ("/usr/lib/git-core/git-remote-https o",
        "remote-https"),
        ("git --git-dir=x --no-pager push", "push"), ("git", ""), ("", ""), ("git --work-tree w rebase", "rebase"),
    ],
)  # fmt: skip
def test_command_of_a_git(line: str, command: str) -> None:
    assert command_of(tuple(line.encode().split())) == command.encode()


@pytest.mark.parametrize("text", EXECUTABLE)
def test_keys_that_run_something(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    key, value = pair(text)
    git(tmp_path, "config", "--file", str(path), key, value)
    entries = config.entries(path)
    assert len(judged([], entries)) == 1
    assert judged(entries, entries) == []


@pytest.mark.parametrize("text", HARMLESS)
def test_keys_that_do_not(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    git(tmp_path, "config", "--file", str(path), *pair(text))
    assert judged([], config.entries(path)) == []


def test_deltas() -> None:
    helper, other = ("credential.helper", "a"), ("credential.helper", "b")
    assert judged([helper], [helper]) == []
    assert judged([helper], [helper, other]) == ["credential.helper"]
    assert judged([helper, other], [other, helper]) == ["credential.helper"]
    assert judged([helper], []) == []
    assert judged([("core.hookspath", "x")], []) == ["core.hookspath"]
    assert judged([], [("core.worktree", "../../sub")], module=True) == []
    assert [c.key for c in config.changes([("a.b", "1")], [("a.b", "1"), ("c.d", "true")])] == ["c.d"]


def test_entries_as_git_reads_them(tmp_path: Path) -> None:
    hostile = b'[core]\n\thooksPath = "a\\nb"\n[Alias "X.y"]\nZ\n[include]\npath = other\n'
    (tmp_path / "other").write_text("[a]\nb = c\n")
    found = config.entries(hostile)
    assert found == [("core.hookspath", "a\nb"), ("alias.X.y.z", "true"), ("include.path", "other")]
    assert config.entries(b"") == []
    with pytest.raises(GitError):
        config.entries(b"[broken")
    with pytest.raises(GitError):
        config.entries(tmp_path / "absent")


def test_what_git_writes_for_clone_branch_and_submodule_is_harmless(top: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(top), str(clone))
    before = config.entries(clone / ".git/config")
    git(clone, "switch", "-q", "-c", "x", "--track", "origin/main")
    git(clone, "submodule", "add", "-q", str(top), "sub")
    after = config.entries(clone / ".git/config")
    assert len(config.changes(before, after)) > 2
    assert judged(before, after) == []
    assert judged([], config.entries(clone / ".git/modules/sub/config"), module=True) == []


@pytest.mark.parametrize(
    "junk", ["core.compression=99", "extensions.foo=1", "core.sharedRepository=junk", "core.bare=junk"]
)
def test_a_window_reads_nothing_of_the_users_configuration(tmp_path: Path, junk: str) -> None:
    top = tmp_path / "top"
    git(tmp_path, "init", "-q", "top")
    git(top, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    tip = git(top, "rev-parse", "HEAD").strip()
    for setting in ("core.repositoryformatversion=1", junk):
        git(top, "config", "--file", ".git/config", *setting.split("="))
    (top / ".git/hooks").mkdir(exist_ok=True)
    (top / ".git/hooks/reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (top / ".git/hooks/reference-transaction").chmod(0o755)
    window = Git(make_window(tmp_path / "own/refs.git", top / ".git", "sha1"))
    window.run(["update-ref", "--create-reflog", "refs/notes/x", tip])
    assert (top / ".git/refs/notes/x").read_text().strip() == tip
    assert (top / ".git/logs/refs/notes/x").exists()
    window.run(["pack-refs", "--all"])
    assert tip in (top / ".git/packed-refs").read_text() or tip in (tmp_path / "own/refs.git/packed-refs").read_text()
    make_window(tmp_path / "own/refs.git", top / ".git", "sha1")
