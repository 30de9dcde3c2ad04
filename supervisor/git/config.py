"""Judging a change of a git configuration file: which keys changed, and which of those make git run something.

The list follows git-config(1), the manuals of the commands that read the keys, and git-lfs-config(5).
Keys nobody listed but whose name says that they hold a command (git-annex, tools to come) count as executable too.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from supervisor.git import aliases

Entries = list[tuple[str, str]]

_BOOLEANS = frozenset({"", "true", "false", "yes", "no", "on", "off", "0", "1"})
# section.name, or section.*.name for any subsection.
_ALWAYS = frozenset(
    """
    core.hookspath core.sshcommand core.editor core.gitproxy core.askpass core.alternaterefscommand core.pager
    core.attributesfile core.virtualfilesystem sequence.editor
    credential.helper credential.*.helper
    diff.external diff.*.command diff.*.textconv merge.*.driver
    filter.*.clean filter.*.smudge filter.*.process
    include.path includeif.*.path
    gpg.program gpg.*.program gpg.ssh.defaultkeycommand gpg.*.defaultkeycommand
    uploadpack.packobjectshook gc.recentobjectshook
    remote.*.uploadpack remote.*.receivepack remote.*.vcs
    browser.*.cmd browser.*.path man.*.cmd man.*.path difftool.*.cmd difftool.*.path mergetool.*.cmd mergetool.*.path
    guitool.*.cmd interactive.difffilter instaweb.httpd instaweb.browser instaweb.modulepath
    sendemail.tocmd sendemail.cccmd sendemail.headercmd sendemail.sendmailcmd sendemail.smtpserver
    sendemail.*.tocmd sendemail.*.cccmd sendemail.*.headercmd sendemail.*.sendmailcmd sendemail.*.smtpserver
    imap.tunnel trailer.*.command trailer.*.cmd tar.*.command hook.*.command init.templatedir
    trace2.normaltarget trace2.perftarget trace2.eventtarget
    lfs.standalonetransferagent lfs.*.standalonetransferagent lfs.customtransfer.*.path lfs.customtransfer.*.args
    lfs.*.path lfs.*.args lfs.*.clean lfs.*.smudge
    safe.directory safe.barerepository svn.authorsprog core.excludesfile
    url.*.insteadof url.*.pushinsteadof http.sslverify http.*.sslverify http.proxy http.*.proxy remote.*.proxy
    """.split()  # noqa: SIM905
)
_TELLING = ("command", "cmd", "program", "helper", "hook", "driver", "textconv", "editor", "pager", "askpass")
_NO_COMMANDS = frozenset({"advice", "color", "column", "gui", "branch", "user", "notes"})


class Change(NamedTuple):
    """All values of one key before and after, in the order of the file; the last one counts for most keys."""

    key: str
    old: tuple[str, ...]
    new: tuple[str, ...]


def entries(source: Path | bytes) -> Entries:
    """(key, value) in order, as git reads the file (or its bytes); includes are not followed, a bare key reads "true".

    Keys have section and name in lower case, the subsection as it is. Raises ``GitError`` when git cannot parse it.
    """
    from supervisor.git.neutral import Git

    args = ["config", "--file", "-" if isinstance(source, bytes) else str(source), "--no-includes", "--list", "-z"]
    raw = Git(None, timeout=2.0).run(args, source if isinstance(source, bytes) else b"")
    found: Entries = []
    for item in raw.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        key, newline, value = item.partition("\n")
        found.append((key, value if newline else "true"))
    return found


def changes(old: Entries, new: Entries) -> list[Change]:
    """Keys whose values differ, in the order of their first appearance. Rewriting an equal value is no change."""
    before, after = _grouped(old), _grouped(new)
    keys = dict.fromkeys([*before, *after])
    return [Change(k, before.get(k, ()), after.get(k, ())) for k in keys if before.get(k) != after.get(k)]


def _grouped(pairs: Entries) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        found[key] = (*found.get(key, ()), value)
    return found


def executable_keys(delta: Iterable[Change], *, module: bool = False) -> list[str]:
    """Keys of ``delta`` that make git start a program, read a further file of settings, or work on another tree.

    ``module``: the file belongs to a submodule's git dir, where git itself sets ``core.worktree``. Pure.
    """
    return [change.key for change in delta if _runs(change, module)]


def _runs(change: Change, module: bool) -> bool:
    section, _, rest = change.key.partition(".")
    subsection, _, name = rest.rpartition(".")
    section, name = section.lower(), name.lower()
    if (section, name, subsection) == ("core", "hookspath", "") and not change.new:
        return True  # taking it away switches hooks too
    return any(_value_runs(section, subsection, name, value, module) for value in change.new)


def _value_runs(section: str, subsection: str, name: str, value: str, module: bool) -> bool:
    short = f"{section}.*.{name}" if subsection else f"{section}.{name}"
    if short in _ALWAYS or f"{section}.{subsection.lower()}.{name}" in _ALWAYS:
        return True
    text = value.strip()
    match section:
        case "core" if name == "fsmonitor":
            return text.lower() not in _BOOLEANS
        case "core" if name == "worktree":
            return not module
        case "pager":
            return text.lower() not in _BOOLEANS
        case "alias":
            return aliases.runs(value)
        case "submodule":
            return text.startswith("!") if name == "update" else name == "url" and _uses_helper(text)
        case "remote":
            return _leads_astray(text) if name in {"url", "pushurl"} else _tells(section, name)
        case "url":
            return _leads_astray(subsection)
        case "protocol":
            return name == "allow" and text.lower() != "never"
        case "rebase" if name == "instructionformat":
            # The format is pasted into the list of steps: a line break in it begins an "exec" step.
            return "%n" in text.lower() or "%x" in text.lower() or "\n" in value
    return _tells(section, name)


_TEMPORARY = ("/tmp/", "/var/tmp/", "/dev/shm/")


def _leads_astray(url: str) -> bool:
    """A helper, or a repository in temporary space, where nobody judged the hooks that a push to it runs."""
    plain = os.path.normpath(url.removeprefix("file://")) + "/"
    return _uses_helper(url) or any(place in plain for place in _TEMPORARY)


def _uses_helper(url: str) -> bool:
    """``ext::sh -c …`` and every other ``HELPER::address`` runs git-remote-HELPER (gitremote-helpers(7))."""
    scheme, separator, _ = url.partition("::")
    return bool(separator) and scheme.replace("-", "").replace("+", "").replace(".", "").isalnum()


def _tells(section: str, name: str) -> bool:
    return section not in _NO_COMMANDS and name.endswith(_TELLING)
