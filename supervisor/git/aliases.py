"""Which values of ``alias.NAME`` are harmless: a git command with words that are known to start no program.

A list of what is dangerous cannot be complete: options may be abbreviated, joined to their value and bundled, and git's
own options come before the command. So the list says what is known, and every other alias is the user's to set.
"""

from __future__ import annotations

_LOOKING = """oneline graph all decorate decorate-refs no-decorate stat shortstat numstat summary name-only name-status
    abbrev-commit no-abbrev-commit abbrev pretty format date relative-date author committer grep since until after
    before max-count skip reverse first-parent merges no-merges follow branches tags remotes cc patch no-patch color
    no-color color-words word-diff word-diff-regex cached staged minimal patience histogram diff-algorithm diff-filter
    ignore-all-space ignore-space-change ignore-space-at-eol ignore-blank-lines unified find-renames find-copies
    left-right cherry-pick cherry-mark simplify-by-decoration boundary topo-order date-order author-date-order
    left-only right-only no-renames function-context walk-reflogs raw check exit-code quiet compact-summary dirstat
    merge-base submodule indent-heuristic ignore-submodules relative no-prefix source children parents full-history
    invert-grep regexp-ignore-case fixed-strings text pickaxe-all pickaxe-regex color-moved dense"""
# Command: letters that may be bundled, names of options. A value joined by "=" may be anything.
_OPTIONS = {
    "add": ("AupNvfni", "all update patch intent-to-add verbose force dry-run interactive edit"),
    "blame": ("wCMLselfpnt", "date ignore-rev show-name show-number porcelain root reverse"),
    "branch": (
        "avrdDmMvCcfuqli",
        """all verbose remotes delete move copy force list merged no-merged contains no-contains sort format column
        show-current set-upstream-to unset-upstream track no-track color no-color points-at""",
    ),
    "checkout": ("bBfqptl", "track no-track orphan detach ours theirs patch force quiet merge"),
    "cherry": ("v", "verbose abbrev"),
    "cherry-pick": ("nxem", "no-commit edit mainline continue abort skip quit"),
    "clean": ("ndfxXiq", "dry-run force interactive exclude quiet"),
    "commit": (
        "amvqspeCcS",
        """all amend no-edit edit message verbose quiet signoff patch fixup squash allow-empty allow-empty-message
        reuse-message reset-author author date short dry-run only include status no-status""",
    ),
    "cat-file": ("tpse", ""),
    "count-objects": ("vH", "verbose human-readable"),
    "describe": ("", "tags all always dirty long abbrev match exclude exact-match contains first-parent candidates"),
    "diff": ("pswbuMCDRUSGz", _LOOKING),
    "fetch": ("apfqvtnj", "all prune prune-tags tags no-tags force quiet verbose jobs append dry-run depth multiple"),
    "for-each-ref": ("", "sort format count merged contains points-at color"),
    "grep": ("ninHhlLcwvEFPIeABC", "line-number ignore-case word-regexp count files-with-matches heading break color"),
    "log": ("pswbuMCDRUSGnEFigzLtm", _LOOKING),
    "ls-files": ("cdmoisutvz", "cached deleted modified others ignored stage unmerged exclude-standard full-name eol"),
    "ls-tree": ("rtdlz", "name-only full-name full-tree long abbrev object-only"),
    "merge": ("nmqve", "ff no-ff ff-only squash no-squash edit no-edit abort continue quit stat no-stat log no-commit"),
    "merge-base": ("a", "all is-ancestor fork-point octopus independent"),
    "mv": ("fknv", "force dry-run verbose"),
    "name-rev": ("", "tags refs name-only always"),
    "pull": ("rqvpft", "rebase no-rebase ff ff-only no-ff autostash no-autostash prune tags all quiet verbose no-edit"),
    "push": (
        "ufqvndt",
        """set-upstream force force-with-lease force-if-includes no-force-with-lease tags follow-tags all delete dry-run
        quiet verbose prune porcelain progress""",
    ),
    "range-diff": ("", "creation-factor no-dual-color left-only right-only"),
    "rebase": (
        "ipqvfm",
        """interactive autosquash no-autosquash autostash no-autostash continue abort skip quit edit-todo root onto
        keep-base rebase-merges update-refs show-current-patch fork-point no-fork-point stat quiet verbose""",
    ),
    "reflog": ("pn", _LOOKING),
    "remote": ("v", "verbose prune"),
    "reset": ("qpN", "hard soft mixed keep merge quiet patch"),
    "restore": ("SWpsqm", "staged worktree source patch quiet ours theirs merge"),
    "rev-list": ("n", _LOOKING + " count objects"),
    "rev-parse": ("", "abbrev-ref short verify show-toplevel symbolic-full-name git-dir quiet branches tags"),
    "revert": ("nem", "no-commit no-edit edit mainline continue abort skip quit"),
    "rm": ("rfnq", "cached force dry-run quiet"),
    "shortlog": ("sne", "summary numbered email all group since until no-merges"),
    "show": ("pswbuMCDRUSGzm", _LOOKING),
    "show-branch": ("ar", "all remotes list topics current more reflog"),
    "stash": ("upkaqm", "include-untracked keep-index no-keep-index all patch message index quiet staged"),
    "status": (
        "sbuvz",
        """short branch long untracked-files ignored show-stash verbose ahead-behind no-ahead-behind porcelain column
        renames no-renames ignore-submodules find-renames""",
    ),
    "submodule": ("q", "init recursive remote quiet checkout rebase merge no-fetch"),
    "switch": ("cCdfqtm", "create force-create detach track no-track guess orphan discard-changes merge quiet"),
    "symbolic-ref": ("q", "short quiet"),
    "tag": ("adflnm", "annotate delete force list sort format contains points-at merged message column"),
    "whatchanged": ("pswbuMCn", _LOOKING),
    "worktree": ("vf", "verbose porcelain force"),
}
_KNOWN = {command: (letters, frozenset(names.split())) for command, (letters, names) in _OPTIONS.items()}
_BEFORE = frozenset({"--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs"})
# Of these the first word says what is done.
_DEEDS = {
    "submodule": frozenset({"update", "status", "init", "sync", "summary", "deinit"}),
    "worktree": frozenset({"list", "prune"}),
    "remote": frozenset({"show", "update", "prune", "get-url"}),
}
_TRANSPORTS = frozenset({"fetch", "pull", "push", "remote", "submodule"})


def runs(value: str) -> bool:
    """Whether an alias with this value might start a program: true for all that is not known to be harmless. Pure."""
    words = split(value)
    if words is None:
        return True
    while words and words[0] in _BEFORE:
        del words[0]
    if not words:
        return value.strip() != ""
    command, *rest = words
    if command not in _KNOWN:
        return True
    deeds = _DEEDS.get(command)
    if deeds is not None and next((word for word in rest if not word.startswith("-")), next(iter(deeds))) not in deeds:
        return True
    letters, names = _KNOWN[command]
    return not all(_is_harmless(word, letters, names, away=command in _TRANSPORTS) for word in rest)


def _is_harmless(word: str, letters: str, names: frozenset[str], *, away: bool) -> bool:
    if word in ("-", "--"):
        return True
    if word.startswith("--"):
        return word[2:].partition("=")[0] in names
    if word.startswith("-"):
        return all(letter in letters or letter in "0123456789" for letter in word[1:])
    if away:
        # A remote by its name: an address may name a helper program, or a repository with hooks of its own.
        return "::" not in word and "://" not in word and not word.startswith(("/", ".", "~"))
    return not word.startswith("!")


def split(value: str) -> list[str] | None:
    """The words of an alias as git takes them apart (alias.c, split_cmdline); None for quotes that do not end."""
    words: list[str] = []
    current: list[str] | None = None
    quote = ""
    letters = iter(value.strip(" \t\n\v\f\r"))
    for letter in letters:
        if not quote and letter in " \t\n\v\f\r":
            if current is not None:
                words.append("".join(current))
            current = None
            continue
        current = [] if current is None else current
        if not quote and letter in "'\"":
            quote = letter
        elif letter == quote:
            quote = ""
        elif letter == "\\" and quote != "'":
            following = next(letters, None)
            if following is None:
                return None
            current.append(following)
        else:
            current.append(letter)
    if quote:
        return None
    return words if current is None else [*words, "".join(current)]
