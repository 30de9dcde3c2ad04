"""What no entry of the catalogue can say: requests by their method, copies by their direction, git's own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from supervisor.commands import gitpush
from supervisor.commands.classify import Doing
from supervisor.commands.parsing import Line, each_option
from supervisor.commands.targets import MOST, Where, cleaned, image, where
from supervisor.commands.toolfiles import Tool
from supervisor.commands.world import World

Answer = tuple[tuple[str, ...], Where]
_ASKING = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND"))
_METHOD = ("-X", "--request", "--method")
_SENDS = frozenset(
    (
        *("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--data-urlencode", "--json", "-F", "--form"),
        *("--form-string", "--url-query", "-T", "--upload-file", "-f", "--field", "--raw-field", "--input", "-K"),
        *("--config", "--post-data", "--post-file", "--body-data", "--body-file", "-Q", "--quote", "--use-askpass"),
    )
)
_FIELDS = frozenset(("-f", "--field", "--raw-field", "--input"))
_REMOTE = re.compile(r"(?:[a-z0-9]{1,12}://|\[?[^/\s:\[]{1,255}\]?:)")
_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#]*@)?(\[[^\]]*\]|[^/?#:\[]+)(?::\d*)?(?:[/?#]|$)")
_QUIET = re.compile(r"[\w./~@:+,=%-]+")
_LOCAL = re.compile(r"(?:default|desktop-linux|rootless|orbstack|colima\S*|unix://.*|npipe://.*|fd://.*)")
_REFS = "refs/notes/govrun"
_LOOKING = frozenset(
    (
        *("log", "show", "rev-parse", "rev-list", "for-each-ref", "ls-remote", "cat-file", "diff", "show-ref"),
        *("name-rev", "describe", "ls-tree"),
    )
)


def handled(tool: Tool, line: Line, doing: Doing, world: World) -> Answer:
    """Classes and targets of a command."""
    handler = _HANDLERS.get(tool.handler)
    if handler is not None:
        return handler(tool, line, doing, world)
    return doing.classes, where(tool, line, doing, world) if doing.classes else Where()


def _hosts(words: list[str]) -> Where:
    hosts: dict[str, None] = {}
    for word in words[:MOST]:
        found = _HOST.match(word)
        if found is None:
            return Where(tuple(hosts), resolved=False)
        hosts[found[1]] = None
    return Where(tuple(hosts), bool(hosts) and len(words) <= MOST)


def _request(_tool: Tool, line: Line, _doing: Doing, _world: World) -> Answer:
    """curl, wget: what they only ask for has no class."""
    method = line.value(_METHOD).upper()
    sends = line.has(_SENDS - _FIELDS) or bool(line.value(("-T",)))
    urls = [*line.operands(), *each_option(line, frozenset(("--url",)))]
    if method in _ASKING or (not method and line.has_surely(frozenset(("-G", "--get")))):
        sends = line.has(frozenset(("-T", "--upload-file", "-K", "--config", "-Q", "--quote")))
    elif method:
        sends = True
    return (("egress",), _hosts(urls)) if sends else ((), Where())


def _httpie(_tool: Tool, line: Line, _doing: Doing, _world: World) -> Answer:
    """``http [METHOD] URL [ITEM…]``: an item that is data makes it a POST."""
    words = list(line.operands())
    method = words.pop(0) if words and re.fullmatch(r"[A-Za-z]{3,16}", words[0]) and len(words) > 1 else ""
    sends = any(re.search(r"(?<!=)(?::=|=(?!=))|@", word.partition("==")[0]) for word in words[1:])
    sends |= line.has(frozenset(("--raw", "-f", "--form", "--multipart")))
    if (method.upper() not in _ASKING) if method else sends:
        return ("egress",), _hosts(words[:1])
    return (), Where()


def _api(tool: Tool, line: Line, doing: Doing, world: World) -> Answer:
    """``gh api``, ``glab api``: by the method, which fields make a POST."""
    if line.operands()[:1] != ("api",):
        return doing.classes, where(tool, line, doing, world) if doing.classes else Where()
    method = line.value(_METHOD).upper()
    if method in _ASKING or (not method and not line.has(_SENDS)):
        return (), Where()
    path = "".join(line.operands()[1:2])
    found = re.match(r"/?(?:repos|projects)/([^/?]+(?:/[^/?{]+)?)", path)
    return ("vcs-remote",), Where((found[1],) if found is not None and "{" not in found[1] else (), found is not None)


def _copy(tool: Tool, line: Line, doing: Doing, world: World) -> Answer:
    """scp, rsync, ``aws s3 cp`` …: what goes out to another machine."""
    if "egress" not in doing.classes:
        return doing.classes, where(tool, line, doing, world) if doing.classes else Where()
    words = line.operands()[doing.start + doing.length :]
    there = words[-1] if words else ""
    if not words or not line.words or _REMOTE.match(there) is None:
        return (), Where()
    return doing.classes, Where((cleaned(re.sub(r"^(?:[^@/]*@)?([^:/]+):(?!//).*", r"\1", there, count=1)),))


def _ssh(_tool: Tool, line: Line, _doing: Doing, _world: World) -> Answer:
    """A command on another machine, unless it is git that fetches."""
    words = line.operands()
    if not words or line.has_surely(frozenset(("-V", "-G", "-Q"))):
        return (), Where()
    host = re.sub(r"^ssh://|/+$", "", words[0])
    if len(words) == 2:
        program, _, path = words[1].strip().partition(" ")
        bare = path.strip().removeprefix("'").removesuffix("'")
        if _QUIET.fullmatch(bare) is not None:
            if program in ("git-upload-pack", "git-upload-archive"):
                return (), Where()
            if program == "git-receive-pack":
                address = f"{host}:{bare}"
                return ("vcs-remote",), Where((address,), resolved=False)
    return ("remote-exec",), Where((host.rpartition("@")[2],))


def _docker(tool: Tool, line: Line, doing: Doing, world: World) -> Answer:
    if not doing.classes:
        return (), Where()
    found = where(tool, line, doing, world)
    verb = " ".join(line.operands()[doing.start : doing.start + doing.length])
    if verb in tool.local and found.resolved and found.targets and _LOCAL.fullmatch(found.targets[0]):
        return (), Where()
    if "publish" in doing.classes:
        found = found._replace(targets=tuple(image(word) for word in found.targets))
    return doing.classes, found


def _git(tool: Tool, line: Line, doing: Doing, world: World) -> Answer:
    words = line.operands()
    verb = words[0] if words else ""
    classes, found = doing.classes, Where()
    if "vcs-remote" in classes and verb == "push":
        found = gitpush.pushed(line, world)
    elif "vcs-remote" in classes and verb == "send-pack":
        found = gitpush.sent(line, world)
    elif classes:
        found = where(tool, line, doing, world)
    if verb == "checkout" and not classes and _checks_out_files(line):
        classes = ("vcs-destroy",)
    if verb == "config" and not classes and _sets_remote(line):
        classes, found = ("vcs-remote",), Where(words[-1:])
    if verb not in _LOOKING and _names_records(line, verb):
        classes = (*classes, "self-governance")
        found = found._replace(targets=(*found.targets, _REFS)) if _REFS not in found.targets else found
    return classes, found


def _checks_out_files(line: Line) -> bool:
    words = line.operands()[1:]
    if line.has(frozenset(("-f", "--force", "--pathspec-from-file"))):
        return True
    at = line.words[0][0] + 1
    after = list(line.arguments[at:])
    if "--" in after:
        return after[-1] != "--"
    fresh = line.has_surely(frozenset(("-b", "-B", "--orphan", "-t", "--track", "-d", "--detach")))
    return not fresh and (len(words) > 1 or words[:1] == (".",))


def _sets_remote(line: Line) -> bool:
    words = [word for word in line.operands()[1:] if word != "set"]
    if line.has_surely(frozenset(("--get", "--get-all", "--get-regexp", "--list", "-l"))) or len(words) < 2:
        return False
    return re.match(r"(?i)(?:remote\..*\.(?:push)?url|url\..*insteadof|remote\.pushdefault)$", words[0]) is not None


def _names_records(line: Line, verb: str) -> bool:
    """Whether govrun's own notes are named by what is not one of git's commands that only look."""
    words = line.operands()
    if verb == "notes" and words[1:2] in ((), ("list",), ("show",), ("get-ref",)):
        return False
    values = [option.value for option in line.options if option.value]
    if any(_REFS in each for each in (*words, *values)):
        return True
    return verb == "notes" and any(re.match(r"(?:notes/)?govrun(?:/|$)", value) for value in values)


def _signal(_tool: Tool, line: Line, _doing: Doing, _world: World) -> Answer:
    """Signals by name: of processes that are called like this one."""
    named = [word for word in line.operands() if "govrun" in word or "supervisor" in word]
    return (("self-governance",), Where(tuple(named))) if named else ((), Where())


def _by_option(options: str, name: str) -> Callable[[Tool, Line, Doing, World], Answer]:
    """A class for what is asked for by an option."""
    wanted = frozenset(options.split())

    def handler(tool: Tool, line: Line, doing: Doing, world: World) -> Answer:
        return ((name,), where(tool, line, doing, world)) if line.has(wanted) else ((), Where())

    return handler


def _ssh_add(tool: Tool, line: Line, doing: Doing, world: World) -> Answer:
    """Keys that are added or taken away; listing them is none of that."""
    if line.has_surely(frozenset(("-l", "-L"))):
        return (), Where()
    return doing.classes, where(tool, line, doing, world)


_HANDLERS: Mapping[str, Callable[[Tool, Line, Doing, World], Answer]] = {
    "request": _request,
    "httpie": _httpie,
    "api": _api,
    "copy": _copy,
    "ssh": _ssh,
    "docker": _docker,
    "git": _git,
    "signal": _signal,
    "gpg": _by_option("--export-secret-keys --export-secret-subkeys --export-secret-key", "secrets"),
    "ssh-add": _ssh_add,
    "age": _by_option("-d --decrypt", "secrets"),
    "pacman": _by_option("-S --sync -U --upgrade", "package-install"),
    "dpkg": _by_option("-i --install -U --upgrade -F --freshen --reinstall", "package-install"),
}
