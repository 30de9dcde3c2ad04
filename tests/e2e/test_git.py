"""Git is the first thing that breaks under a sandbox: every command here must leave what it leaves without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Pair

EDIT = "echo 'x = 1' >> src/app.py; "
SCRIPTS = {
    "commit": EDIT
    + "git add -A; git commit -qm one; echo y > new.txt; git add new.txt; git commit -qm two; git log --oneline",
    "commit all": EDIT + "git commit -qam one; git rm -q README.md; git mv src/app.py src/main.py; git commit -qm two",
    "amend": EDIT + "git commit -qam one; git commit -q --amend -m better; git reflog | wc -l",
    "branch": "git branch topic; git switch -q topic; "
    + EDIT
    + "git commit -qam one; git switch -q main; git branch -m topic t2;"
    "git branch -c t2 t3; git branch -D t3; git branch --list",
    "checkout": EDIT
    + "git checkout -q -b topic; git commit -qam one; git checkout -q main; git checkout -q topic -- src/app.py;"
    "git status --porcelain; git restore --staged --worktree src/app.py; git checkout -q --detach",
    "stash": EDIT + "echo u > untracked; git stash -q -u; git status --porcelain; git stash list; git stash "
    "pop -q; git status --porcelain;"
    "git stash -q; git stash apply -q; git stash drop -q; git checkout -q src",
    "rebase": "git switch -qc topic; "
    + EDIT
    + "git commit -qam one; echo z > z; git add z; git commit -qm two; git switch -q main;"
    "echo m > m; git add m; git commit -qm main; git switch -q topic; git rebase -q main; git log --format=%s",
    "rebase stopped": "git switch -qc topic; echo a > README.md; git commit -qam a; git switch -q main; echo b "
    "> README.md; git commit -qam b;"
    "git rebase -q main topic || true; git status --porcelain; echo c > README.md; git add README.md;"
    "GIT_EDITOR=true git rebase --continue; git log --format=%s",
    "rebase interactive": EDIT + "git commit -qam one; echo two > two; git add two; git commit -qm two;"
    "GIT_SEQUENCE_EDITOR=\"sed -i '2s/pick/fixup/'\" git rebase -qi --root; git log --format=%s",
    "merge": "git switch -qc topic; echo t > t; git add t; git commit -qm t; git switch -q main; echo "
    "m > m; git add m; git commit -qm m;"
    "git merge -q --no-edit topic; git log --format=%s --graph",
    "merge with conflict": "git switch -qc topic; echo t > README.md; git commit -qam t; git switch -q main; echo m "
    "> README.md;"
    "git commit -qam m; git merge topic || true; git status --porcelain; git merge --abort; git merge topic || true;"
    "echo both > README.md; git commit -qam merged; git log --format=%s",
    "cherry-pick and revert": "git switch -qc topic; echo t > t; git add t; git commit -qm t; git switch -q main; git "
    "cherry-pick topic;"
    "git revert --no-edit HEAD; git log --format=%s",
    "reset": EDIT + "git commit -qam one; git reset -q --soft HEAD~1; git reset -q; git status --porcelain; "
    "git reset -q --hard; git clean -fdq",
    "tag": "git tag v1; git tag -a v2 -m two; git tag -d v1; git tag -l; git describe",
    "worktree": "git worktree add -q linked; cd linked; echo w > w; git add w; git commit -qm w; cd ..; "
    "git log --branches --format=%s;"
    "git worktree remove --force linked; git worktree prune; git branch -D linked",
    "init": "git init -q fresh; cd fresh; echo f > f; git add f; git commit -qm f; git log "
    "--format=%s; cd ..; git init -q --bare bare.git; ls bare.git",
    "clone": "git clone -q . copy; cd copy; echo c > c; git add c; git commit -qm c; git push -q "
    "origin HEAD:refs/heads/pushed; cd ..;"
    "git log --format=%s pushed; git clone -q --no-local --depth 1 file://$PWD shallow; ls "
    "shallow; rm -rf copy shallow",
    "fetch": "git clone -q --bare . origin.git; git remote add origin ./origin.git; git fetch -q "
    "origin; git branch -q -u origin/main;"
    "git pull -q; git push -q origin main; git remote -v; git branch -vv",
    # A note that is being written is garbage to git, or a pack more, until it is complete.
    "gc": EDIT + "git commit -qam one; git gc -q; for i in $(seq 100); do git repack -qad; "
    "o=$(git count-objects -v | grep -E '^(packs|garbage)'); case $o in *'packs: 1'*'garbage: 0'*) break ;; esac; "
    'sleep 0.1; done; echo "$o"; git pack-refs --all; git prune',
    "config": "git config user.name Other; git config branch.main.description text; git config --unset "
    "user.name; git config -l --local",
    "notes": "git notes add -m mine; git notes append -m more; git notes show; git notes remove",
    "bisect": "for i in 1 2 3 4; do echo $i > n; git add n; git commit -qm $i; done; git bisect start "
    "HEAD HEAD~3 > /dev/null;"
    "git bisect run sh -c 'test $(cat n) -lt 3' > /dev/null; git bisect reset > /dev/null; git status --porcelain",
    "apply": EDIT + "git diff > p; git checkout -q src; git apply p; git diff --stat; git stash -q; git "
    "format-patch -1 -q -o out HEAD; ls out",
    "am": EDIT + "git commit -qam one; git format-patch -q -1 -o out; git reset -q --hard HEAD~1; git am "
    "-q out/*.patch; git log --format=%s",
    "archive": "git archive -o a.tar HEAD; tar tf a.tar; git bundle create -q b HEAD; git bundle verify -q b",
    "reading commands": "git submodule status; git rev-parse --git-path hooks; git grep -n answer; git blame -s "
    "src/app.py; git shortlog -sn HEAD",
    "sparse checkout": "git sparse-checkout list 2>/dev/null || true; git ls-files; git update-index --refresh",
    "sparse checkout, set": "git sparse-checkout set src; ls; git sparse-checkout add docs; git sparse-checkout "
    "disable; ls;"
    "git config --worktree user.name Other; git config user.name",
    "aliases": "git config alias.st 'status -sb'; git config alias.lg 'log --oneline --graph --branches'; git config "
    "alias.amend 'commit -q --amend --no-edit'; git config alias.unstage 'reset -q HEAD --'; git config alias.last "
    "'log -1 HEAD --format=%s'; git config alias.pushf 'push --force-with-lease';" + EDIT + "git add -A; git unstage "
    "src/app.py; git st; git commit -qam one; git amend; git last; git lg; "
    "git log --oneline --graph --exclude='refs/govrun/*' --exclude='refs/notes/*' --all",
    "rebase with exec": "for i in 1 2; do echo $i > n; git add n; git commit -qm $i; done; git rebase -q --exec "
    "'echo ran; "
    "git log -1 --format=%s' --root; git log --format=%s",
    "rebase edited by vim": EDIT + "git commit -qam one; echo two > two; git add two; git commit -qm two;"
    "GIT_SEQUENCE_EDITOR='vim -Es -u NONE -i NONE -N +%s/pick/fixup/ +1s/fixup/pick/ +wq' git rebase -qi --root; git "
    "log --format=%s",
    "rebase, edited with exec": EDIT + "git commit -qam one; printf 'exec echo from the editor\\nbreak\\n' > steps;"
    "GIT_SEQUENCE_EDITOR='cat steps >>' git rebase -qi HEAD~1; GIT_EDITOR=: git rebase --continue 2>/dev/null;"
    "GIT_SEQUENCE_EDITOR=: git rebase -i HEAD~1 2>/dev/null; git log --format=%s",
    "rebase, aborted by hand": EDIT + "git commit -qam one; git rebase -q -x false HEAD~1 2>/dev/null || rm -rf "
    ".git/rebase-merge; git status -sb | cat; git switch -q main",
    "worktree config": "git config extensions.worktreeConfig true; git worktree add -q linked; git -C linked config "
    "--worktree user.name There; git -C linked config user.name; git -C linked worktree list | wc -l; git worktree "
    "move linked moved; git -C moved log --format=%s; git worktree remove --force moved; git branch -qD linked",
    "notes of others": "git notes add -m a; git notes --ref=other add -m b; git pack-refs --all --prune; git notes "
    "--ref=other "
    "remove; git notes list | wc -l; git gc -q",
    "bare repositories": "git init -q --bare a.git; git push -q ./a.git HEAD:refs/heads/main; git clone -q --bare "
    "a.git b.git; git "
    "clone -q --mirror a.git c.git; git -C b.git worktree add -q ../wt main; git -C wt log --format=%s; git -C b.git "
    "config x.y z; git init -q --separate-git-dir=$PWD/sep.git sep; git -C sep commit -q --allow-empty -m s; git -C "
    "sep log "
    "--format=%s; git -C b.git worktree remove wt; git -C b.git gc -q; git -C b.git log --format=%s",
    "partial clone": "git clone -q --bare . o.git; git -C o.git config uploadpack.allowFilter true; git clone -q "
    "--filter=blob:none "
    "file://$PWD/o.git p; git -C p log --format=%s; git -C p config remote.origin.partialclonefilter",
    "maintenance": "git commit-graph write 2>/dev/null; git multi-pack-index write 2>/dev/null || true; git rerere",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_bare(pair: Pair, name: str) -> None:
    if "push" in SCRIPTS[name]:
        pair.profile('[[command]]\nid = "push"\nwhy = "remotes of this machine"\nallow = ["vcs-remote"]\n')
    pair.same("exec 2>&1; " + SCRIPTS[name] if name in ("merge with conflict", "rebase stopped") else SCRIPTS[name])


def test_submodule(pair: Pair) -> None:
    """`git submodule add` writes .gitmodules, .git/config (a URL) and clones into .git/modules."""
    pair.both("git init -q lib.src; cd lib.src; echo l > l; git add l; git commit -qm l")
    allow = "git -c protocol.file.allow=always"
    pair.same(
        f"{allow} submodule --quiet add ./lib.src lib; git commit -qm sub; git submodule status; "
        f"cat .gitmodules; cat lib/l"
    )
    pair.same(
        f"git submodule --quiet deinit -f lib; ls lib; {allow} submodule --quiet update --init; "
        f"cat lib/l; cd lib; git log --format=%s"
    )


HOOK = "#!/bin/sh\necho $(basename $0) >> hooks.log\n"


def test_existing_hooks_run(pair: Pair) -> None:
    names = "pre-commit prepare-commit-msg commit-msg post-commit post-checkout post-merge pre-rebase"
    pair.both(
        f"for h in {names}; do printf '{HOOK}' > .git/hooks/$h; chmod +x .git/hooks/$h; done; echo "
        f"hooks.log > .git/info/exclude"
    )
    pair.same(EDIT + "git commit -qam one; git switch -qc topic; git switch -q main; git merge -q topic; cat hooks.log")


def test_refusing_hook(pair: Pair) -> None:
    pair.both("printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit")
    pair.same(EDIT + "git commit -qam one", code=1)


def test_inside_a_linked_worktree(pair: Pair) -> None:
    """The git directory and the common directory lie outside the tree that is governed."""
    pair.both("git worktree add -q ../linked")
    linked = pair.tree.parent / "linked"
    script = (
        "echo w > w; git add w; git commit -qm w; git stash list; git log --format=%s; git gc -q; "
        "git status --porcelain"
    )
    outcome = pair.govrun("bash", "-ec", script, cwd=linked, env=pair.env).ok()
    assert outcome.stdout == b"w\nbase\n"
    assert "govrun/1" in pair.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD", cwd=linked).stdout.decode()


def test_subfolder_is_kept_as_working_directory(pair: Pair) -> None:
    outcome = pair.govrun("bash", "-ec", "pwd; echo x > ../top; echo y > here", cwd=pair.tree / "src").ok()
    assert outcome.stdout.decode().strip() == str(pair.tree / "src")
    assert (pair.tree / "top").exists() and (pair.tree / "src/here").exists()


def test_each_commit_gets_a_note(pair: Pair) -> None:
    script = (
        "for i in 1 2 3; do echo $i > n; git add n; git commit -qm $i; done; git switch -qc topic;"
        " git commit -q --allow-empty -m t"
    )
    outcome = pair.govrun("bash", "-ec", script, env=pair.env).ok()
    for commit in ("topic", "main", "main~1", "main~2"):
        note = pair.note(commit)
        assert note.startswith(f"{outcome.run} 0 govrun/1 PASSED"), (commit, note)
        assert "exit=0" in note
    assert pair.note("main~3") == ""
    tree = pair.govrun.bare("git", "rev-parse", "main^{tree}").stdout.decode().strip()
    line = next(line for line in pair.note("main").splitlines() if line.startswith(f"{outcome.run} 2 state"))
    assert f"tree={tree[:12]}" in line


def test_note_counts_what_was_blocked(pair: Pair) -> None:
    outcome = pair.govrun("bash", "-c", "echo x > $HOME/outside; git commit -q --allow-empty -m one").ok()
    lines = {line.split()[1]: line for line in pair.note().splitlines()}
    assert "blocked=1" in lines["1"]
    assert "scope.write" in lines["4"]
    assert outcome.denied("scope.write")
