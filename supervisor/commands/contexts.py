"""Where a tool acts when neither its arguments nor its variables say so: its own small files.

Each reader gives the value and the file, or None where it cannot be told. What is not plainly written (an anchor, an
escape, two answers) is not told either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

from supervisor.commands.parsing import Line
from supervisor.commands.world import Found, Withheld, World

_PLAIN = re.compile(r"""(?:"([^"\\\n]*)"|'([^'\n]*)'|([\w./:@+~-][^\s#"'\\]*))[ \t]*(?:#.*)?""")
_CONTEXT = re.compile(r"^[\"']?current-context[\"']?[ \t]*:(.*)$", re.MULTILINE)
_REGISTRY = re.compile(r"^[ \t]*registry[ \t]*=(.*)$", re.MULTILINE)
_PROJECT = re.compile(r"^[ \t]*project[ \t]*=(.*)$", re.MULTILINE)
_ACTIVE = re.compile(r"[\w-]{1,64}")


def kubeconfig(world: World, line: Line) -> Found | None:
    """``current-context`` of the first file that has one, as kubectl merges them."""
    given = line.value(("--kubeconfig", "-kubeconfig"))
    listed = [given] if given else [path for path in world.variable("KUBECONFIG").split(":") if path]
    for path in map(world.path, listed or ["~/.kube/config"]):
        text = world.text(path)
        found = _CONTEXT.findall(text) if text is not None else []
        if text is not None and (len(found) != 1 or text.lstrip().startswith(("{", "%"))):
            if found or text.lstrip().startswith(("{", "%")):
                return None
            continue
        if found:
            plain = _PLAIN.fullmatch(found[0].strip())
            value = next((part for part in plain.groups() if part), "") if plain is not None else ""
            if value:
                return Found(value, path)
            if plain is None:
                return None
    return None


def terraform(world: World, line: Line) -> Found | None:
    """The selected workspace, ``default`` where none was selected."""
    root = line.value(("-chdir",))
    data = world.variable("TF_DATA_DIR") or ".terraform"
    path = world.path(data + "/environment", root)
    text = world.text(path)
    return Found((text or "").strip() or "default", path)


def docker(world: World, line: Line) -> Found | None:
    """The context in use, ``default`` being this machine."""
    folder = line.value(("--config",)) or world.variable("DOCKER_CONFIG") or "~/.docker"
    path = world.path(folder + "/config.json")
    try:
        text = world.text(path)
    except Withheld:  # the client warns that it cannot read it, and goes on without
        text = None
    if text is None:
        return Found("default")
    found = _json(text)
    context = found.get("currentContext", "default") if isinstance(found, dict) else None
    if not isinstance(context, str):
        return None
    if context:  # what the name stands for: noted, so that it stays the same
        name = hashlib.sha256(context.encode("utf-8", "surrogatepass")).hexdigest()
        world.text(world.path(f"{folder}/contexts/meta/{name}/meta.json"))
    return Found(context or "default", path)


def aws(world: World, _line: Line) -> Found | None:
    """The profile ``default``, unless keys of some account are in the variables."""
    if world.variable("AWS_ACCESS_KEY_ID") or world.variable("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return None
    return Found("default")


def gcloud(world: World, line: Line) -> Found | None:
    """The project of the active configuration."""
    folder = world.variable("CLOUDSDK_CONFIG") or "~/.config/gcloud"
    name = line.value(("--configuration",)) or world.variable("CLOUDSDK_ACTIVE_CONFIG_NAME")
    name = name or (world.text(world.path(folder + "/active_config")) or "default").strip()
    if _ACTIVE.fullmatch(name) is None:
        return None
    path = world.path(f"{folder}/configurations/config_{name}")
    return _only(_PROJECT, world.text(path), path)


def azure(world: World, _line: Line) -> Found | None:
    """The default subscription."""
    path = world.path((world.variable("AZURE_CONFIG_DIR") or "~/.azure") + "/azureProfile.json")
    found = _json((world.text(path) or "").removeprefix("\ufeff"))
    listed = found.get("subscriptions") if isinstance(found, dict) else None
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and each.get("isDefault") is True and isinstance(each.get("name"), str):
            return Found(each["name"], path)
    return None


def npm(world: World, _line: Line) -> Found | None:
    """The registry that the manifest or an ``.npmrc`` names; ``npm`` for the client's own."""
    path = world.path("package.json")
    text = world.text(path)
    if text is not None and "publishConfig" in text:
        found = _json(text)
        settings = found.get("publishConfig") if isinstance(found, dict) else None
        registry = settings.get("registry") if isinstance(settings, dict) else None
        if isinstance(registry, str) and registry:
            return Found(registry, path)
    for path in map(world.path, (".npmrc", "~/.npmrc")):
        text = world.text(path)
        if text is not None and _REGISTRY.search(text):
            return _only(_REGISTRY, text, path)
    return Found("npm")


def _only(pattern: re.Pattern[str], text: str | None, path: str) -> Found | None:
    found = pattern.findall(text) if text is not None else []
    value = str(found[0]).strip().strip("\"'") if len(found) == 1 else ""
    return Found(value, path) if value and "$" not in value else None


def _json(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def heroku(world: World, _line: Line) -> Found | None:
    """The app that the git remote ``heroku`` belongs to."""
    from supervisor.commands.gitconfig import repository

    found = repository(world)
    urls = found.last("remote.heroku.url") if found is not None else ""
    app = urls.rpartition("/")[2].removesuffix(".git")
    return Found(app, found.path) if found is not None and app else None


def forge(world: World, _line: Line) -> Found | None:
    """``owner/name`` of the remote ``origin`` (or the only one), as forge clients read it."""
    from supervisor.commands.gitconfig import repository

    found = repository(world)
    if found is None:
        return None
    remotes = found.remotes()
    name = "upstream" if "upstream" in remotes else "origin" if "origin" in remotes else "".join(remotes[:1])
    url = found.last(f"remote.{name}.url")
    path = re.sub(r"^(?:[a-z+]{2,12}://)?(?:[^/@]*@)?[^/:]*(?::\d+)?[/:]", "", url).removesuffix(".git").strip("/")
    return Found(path, found.path) if path else None


READERS: Mapping[str, Callable[[World, Line], Found | None]] = {
    "kubeconfig": kubeconfig,
    "terraform": terraform,
    "docker": docker,
    "aws": aws,
    "gcloud": gcloud,
    "azure": azure,
    "npm": npm,
    "heroku": heroku,
    "forge": forge,
}
