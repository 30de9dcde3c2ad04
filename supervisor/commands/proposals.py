"""What a command does about pull and merge requests: the verbs of gh, glab, hub and tea, the forges' interfaces as far
as gh, glab and hub are told of them, and the options by which a push to GitLab opens one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supervisor.commands.parsing import Line, each_option
from supervisor.vocabulary.commands import Proposal

_BASE = {
    "gh": frozenset(("-B", "--base")),
    "glab": frozenset(("-b", "--target-branch")),
    "hub": frozenset(("-b", "--base")),
    "tea": frozenset(("-b", "--base")),
}
_DRAFT = {
    "gh": frozenset(("-d", "--draft")),
    "glab": frozenset(("--draft", "--wip")),
    "hub": frozenset(("-d", "--draft")),
    "tea": frozenset[str](),
}
_GROUPS = frozenset(("pr", "pulls", "pull", "mr", "merge-request"))
_OPENS = frozenset(("create", "new", "c", "for", "new-for", "create-for", "for-issue", "issue", "revert"))
_MERGES = frozenset(("merge", "accept", "m"))
_CHANGES = frozenset(("edit", "update"))
_READY = frozenset(("-r", "--ready"))
# Where requests are opened, changed and merged; a query may do all of it.
_PLACE = re.compile(r"(?:^|/)(?:pulls|merge_requests|merges)(?:[/?]|$)")
_QUERY = re.compile(r"(?:^|/)graphql(?:[/?]|$)")
_PUSHED = "merge_request."


def proposals(tool: str, line: Line) -> Iterator[Proposal]:
    """What the command line, whose class is known to be one of a forge's, does about them."""
    words = line.operands()
    if tool == "git" and words[:1] == ("push",):
        yield from _pushed(line)
    if tool not in _BASE or not words:
        return
    if words[0] == "api":
        yield from _by_interface(line)
    elif tool == "hub":
        if words[0] == "pull-request":
            yield Proposal("open", _base(tool, line).rpartition(":")[2], line.has_surely(_DRAFT[tool]))
    elif words[0] in _GROUPS and len(words) > 1:
        yield from _verb(tool, words[1], line)


def _verb(tool: str, verb: str, line: Line) -> Iterator[Proposal]:
    draft = line.has_surely(_DRAFT[tool])
    if verb in _OPENS:
        yield Proposal("open", _base(tool, line), draft)
    elif verb in _MERGES:
        if not line.has_surely(frozenset(("--disable-auto",))):
            yield Proposal("merge")
    elif verb == "ready":
        if not line.has_surely(frozenset(("--undo",))):
            yield Proposal("ready")
    elif verb in _CHANGES:
        if any(option.name in _BASE[tool] for option in line.options):
            yield Proposal("retarget", _base(tool, line), draft=True)
        if tool == "glab" and line.has(_READY):
            yield Proposal("ready")


def _base(tool: str, line: Line) -> str:
    """The branch that it is for; empty where the command does not say, or may not."""
    given = [option for option in line.options if option.name in _BASE[tool]]
    if not given or any(not option.sure or not option.value for option in given):
        return ""
    return (given[-1].value or "").removeprefix("refs/heads/")


def _by_interface(line: Line) -> Iterator[Proposal]:
    place = "".join(line.operands()[1:2])
    if _PLACE.search(place):
        yield Proposal("open")
    elif _QUERY.search(place):
        told = " ".join(each_option(line, frozenset(("-f", "-F", "--field", "--raw-field"))))
        if "mutation" in told or "=@" in told or line.has(frozenset(("--input",))):
            yield Proposal("open")


def _pushed(line: Line) -> Iterator[Proposal]:
    """``git push -o merge_request.create -o merge_request.target=main``."""
    said = {}
    for each in each_option(line, frozenset(("-o", "--push-option"))):
        if each.startswith(_PUSHED):
            key, _, value = each.removeprefix(_PUSHED).partition("=")
            said[key] = value
    if "create" in said:
        draft = "draft" in said and said["draft"].lower() not in ("false", "0", "no")
        yield Proposal("open", said.get("target", "").removeprefix("refs/heads/"), draft)
    elif "target" in said:
        yield Proposal("retarget", said["target"].removeprefix("refs/heads/"), draft=True)
    if any(key.startswith(("merge_when", "auto_merge")) for key in said):
        yield Proposal("merge")
