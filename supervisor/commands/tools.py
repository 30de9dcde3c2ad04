"""What the package managers' command lines look like: verbs, and options that take a value. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple


class Does(Enum):
    ADD = "add"  # what it names are packages; naming none, it installs what the manifest names
    SYNC = "sync"  # it installs what manifest or lock name
    RUN = "run"  # its first word is a program, and the package of it
    WITH = "with"  # packages are in options only; its first word is a program that is there
    INTO = "into"  # the first word is an environment, the others are packages
    FILES = "files"  # what it names are files of requirements
    CREATE = "create"  # npm's `init x` fetches `create-x`


class Verb(NamedTuple):
    """``locks``: options that leave nothing to choose; ``locked``: so without an option. ``maybe_there``: the program
    may lie in the tree already, so its bare name fetches nothing for certain."""

    does: Does
    locks: frozenset[str] = frozenset()
    locked: bool = False
    maybe_there: bool = False


class Tool(NamedTuple):
    """``verbs`` of two words have a space. ``valued`` options take the next word, ``packages`` and ``files`` are those
    of them whose value is a package or a file of requirements, ``indexes`` those that name another index. ``alone``:
    the verb when there is none. ``skips``: words before the verb, with the number of words that belong to them.
    ``greedy``: a value may begin with ``-``. ``shortens``: long options may be cut short, except these, which
    are whole and begin like one with a value. ``one_dash``: ``-name`` is the same as ``--name``."""

    name: str
    ecosystem: str
    verbs: Mapping[str, Verb]
    valued: frozenset[str]
    packages: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    indexes: frozenset[str] = frozenset()
    alone: Verb | None = None
    skips: Mapping[str, int] = {}
    greedy: bool = False
    shortens: frozenset[str] = frozenset()
    one_dash: bool = False


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _verbs(**verbs: Verb) -> dict[str, Verb]:
    """``pip__install`` is the verb of two words, ``clean_install`` has a hyphen."""
    return {name.replace("__", " ").replace("_", "-"): verb for name, verb in verbs.items()}


_PIP_VALUED = """
    --abi --build-option --cache-dir --cert --client-cert --config-settings --constraint --default-timeout --dest
    --destination-dir --destination-directory --editable --exists-action --extra-index-url --find-links --global-option
    --group --implementation --index-url --install-option --keyring-provider --local-log --log --log-file --no-binary
    --only-binary --platform --prefix --progress-bar --proxy --pypi-url --python --python-version --report --requirement
    --requirements-from-script --resume-retries --retries --root --root-user-action --source --source-dir
    --source-directory --src --target --timeout --trusted-host --upgrade-strategy --uploaded-prior-to
    --use-deprecated --use-feature --wheel-dir --build-constraint -C -b -c -d -e -f -i -r -t -w
"""
_HASHED = _set("--require-hashes")
_PIP: Final = Tool(
    "pip",
    "pypi",
    _verbs(install=Verb(Does.ADD, _HASHED), download=Verb(Does.ADD, _HASHED), wheel=Verb(Does.ADD, _HASHED)),
    _set(_PIP_VALUED),
    packages=_set("-e --editable"),
    files=_set("-r --requirement --requirements-from-script"),
    indexes=_set("-i --index-url --pypi-url --extra-index-url -f --find-links"),
    greedy=True,
    shortens=_set("--pre --upgrade --user"),
)

_UV_VALUED = """
    --allow-insecure-host --annotation-style --bounds --branch --build-constraints -b --cache-dir --color
    --config-file --config-setting -C --constraints --constraint -c --default-index --directory --editable -e --env-file
    --exclude-newer --extra --extra-index-url --find-links -f --fork-strategy --from --group --index --index-strategy
    --index-url -i --keyring-provider --link-mode --marker --no-binary-package
    --no-build-isolation-package --no-build-package --no-extra --no-group --no-install-package --no-sources-package
    --only-group --optional --output-format --overrides --override --package --prefix --prerelease
    --project --python --python-platform --python-preference --python-version -p --refresh-package --reinstall-package
    --requirement --requirements -r --resolution --rev --script --tag --target --torch-backend --upgrade-package -P
    --with --with-editable --with-requirements --with-executables-from -w
"""
_UV_LOCKS = _set("--locked --frozen")
_UV: Final = Tool(
    "uv",
    "pypi",
    _verbs(
        pip__install=Verb(Does.ADD, _HASHED),
        pip__sync=Verb(Does.FILES, _HASHED),
        add=Verb(Does.ADD),
        sync=Verb(Does.SYNC, _UV_LOCKS),
        run=Verb(Does.WITH),
        tool__install=Verb(Does.ADD),
        tool__upgrade=Verb(Does.ADD),
        tool__run=Verb(Does.RUN),
    ),
    _set(_UV_VALUED),
    packages=_set("-e --editable --from --with -w --with-editable --with-executables-from"),
    files=_set("-r --requirement --requirements --with-requirements"),
    indexes=_set("-i --index-url --default-index --index --extra-index-url -f --find-links"),
)

_POETRY: Final = Tool(
    "poetry",
    "pypi",
    _verbs(
        add=Verb(Does.ADD),
        # A lock that does not fit the manifest makes these fail.
        install=Verb(Does.SYNC, locked=True),
        sync=Verb(Does.SYNC, locked=True),
        update=Verb(Does.ADD),
        self__add=Verb(Does.ADD),
    ),
    _set(
        "-G --group -E --extras --python --platform --markers --source -C --directory -P --project --with --without "
        "--only"
    ),
)

_PDM: Final = Tool(
    "pdm",
    "pypi",
    _verbs(
        add=Verb(Does.ADD),
        install=Verb(Does.SYNC, _set("--frozen-lockfile --no-lock --check")),
        sync=Verb(Does.SYNC, locked=True),
        update=Verb(Does.ADD),
    ),
    _set(
        "-G --group --with --without -p --project -L --lockfile -e --editable --venv -c --config --override -k "
        "--skip -C --config-setting --python --platform --implementation"
    ),
    packages=_set("-e --editable"),
)

_PIPENV: Final = Tool(
    "pipenv",
    "pypi",
    _verbs(
        install=Verb(Does.ADD, _set("--deploy --ignore-pipfile")),
        sync=Verb(Does.SYNC, locked=True),
        update=Verb(Does.ADD),
        upgrade=Verb(Does.ADD),
    ),
    _set("--python --categories -i --index --pypi-mirror -e --editable -r --requirements --extra-pip-args"),
    packages=_set("-e --editable"),
    files=_set("-r --requirements"),
    indexes=_set("--pypi-mirror"),
)

_PIPX: Final = Tool(
    "pipx",
    "pypi",
    _verbs(
        install=Verb(Does.ADD),
        run=Verb(Does.RUN),
        inject=Verb(Does.INTO),
        upgrade=Verb(Does.ADD),
        reinstall=Verb(Does.ADD),
    ),
    _set("--spec --with --python --pip-args --index-url -i --suffix --preinstall --backend -r --requirement"),
    packages=_set("--spec --with --preinstall"),
    files=_set("-r --requirement"),
    indexes=_set("-i --index-url"),
)

_NPM_VALUED = """
    --_auth --access --also --audit-level --auth-type --before --browser --ca --cache --cache-max --cache-min --cafile
    --call --cert --cidr --cpu --depth --editor --enjoy-by --expires --fetch-retries --fetch-retry-factor
    --fetch-retry-maxtimeout --fetch-retry-mintimeout --fetch-timeout --git --globalconfig --heading --https-proxy
    --include --init-author-email --init-author-name --init-author-url --init-license --init-module --init-type
    --init-version --install-strategy --key --libc --local-address --location --lockfile-version --loglevel --logs-dir
    --logs-max --maxsockets --message --min-release-age --node-gyp --node-options --noproxy --omit --only --os --otp
    --pack-destination --package --prefix --preid --proxy --reg --registry --replace-registry-host --save-prefix
    --scope --script-shell --searchlimit --searchopts --shell --tag --tag-version-prefix --umask --user-agent
    --userconfig --viewer --which --workspace -C -L -c -m -w
"""
_NPM_ADD, _NPM_CI = Verb(Does.ADD), Verb(Does.SYNC, locked=True)
_NPM: Final = Tool(
    "npm",
    "npm",
    {
        "install": _NPM_ADD,
        "install-test": _NPM_ADD,
        "update": _NPM_ADD,
        "link": _NPM_ADD,
        "ci": _NPM_CI,
        "install-ci-test": _NPM_CI,
        "dedupe": Verb(Does.SYNC),
        "audit fix": Verb(Does.SYNC),
        "exec": Verb(Does.RUN, maybe_there=True),
        "init": Verb(Does.CREATE),
    },
    _set(_NPM_VALUED),
    packages=_set("--package"),
    indexes=_set("--registry --reg"),
)

_PNPM_FROZEN = _set("--frozen-lockfile")
_PNPM: Final = Tool(
    "pnpm",
    "npm",
    {
        **dict.fromkeys(("add", "update", "up", "upgrade", "link", "ln"), Verb(Does.ADD)),
        **dict.fromkeys(("install", "i", "install-test", "it"), Verb(Does.ADD, _PNPM_FROZEN)),
        **dict.fromkeys(("ci", "clean-install", "ic", "install-clean"), _NPM_CI),
        "dedupe": Verb(Does.SYNC),
        "dlx": Verb(Does.RUN),
        "create": Verb(Does.CREATE),
    },
    _set(
        "-C --dir -F --filter --filter-prod --store-dir --reporter --registry --network-concurrency --modules-dir "
        "--virtual-store-dir --loglevel --child-concurrency --package-import-method --save-catalog-name --package "
        "--allow-build --cpu --os --libc --global-dir --lockfile-dir --hoist-pattern --public-hoist-pattern "
        "--changed-files-ignore-pattern --test-pattern --workspace-concurrency --save-prefix --tag --node-linker "
        "--resolution-mode --cache-dir --state-dir --npmrc-auth-file"
    ),
    packages=_set("--package"),
    indexes=_set("--registry"),
    skips={"recursive": 0, "m": 0, "multi": 0},
)

_YARN_FROZEN = _set("--frozen-lockfile --immutable")
_YARN: Final = Tool(
    "yarn",
    "npm",
    {
        **dict.fromkeys(("add", "upgrade", "up", "link"), Verb(Does.ADD)),
        **dict.fromkeys(("global add", "global upgrade"), Verb(Does.ADD)),
        "install": Verb(Does.SYNC, _YARN_FROZEN),
        "dedupe": Verb(Does.SYNC),
        "dlx": Verb(Does.RUN),
        "create": Verb(Does.CREATE),
    },
    _set(
        "--cwd --registry --modules-folder --cache-folder --mutex --network-timeout --network-concurrency --proxy "
        "--https-proxy --use-yarnrc --otp --global-folder --prefix --link-folder --preferred-cache-folder --loglevel "
        "--mode -p --package --tag --pattern --include --exclude --from -j --jobs"
    ),
    packages=_set("-p --package"),
    indexes=_set("--registry"),
    alone=Verb(Does.SYNC, _YARN_FROZEN),
    skips={"workspace": 1, "workspaces": 0, "foreach": 0},
)

_BUN: Final = Tool(
    "bun",
    "npm",
    {
        **dict.fromkeys(("add", "a", "update", "link"), Verb(Does.ADD)),
        **dict.fromkeys(("install", "i"), Verb(Does.ADD, _PNPM_FROZEN)),
        "ci": _NPM_CI,
        "x": Verb(Does.RUN, maybe_there=True),
        **dict.fromkeys(("create", "c"), Verb(Does.CREATE)),
    },
    _set(
        "--cwd --registry --cache-dir --backend --filter -F -p --package --ca --cafile --network-concurrency "
        "--concurrent-scripts --omit --linker --minimum-release-age --cpu --os --lockfile-dir"
    ),
    packages=_set("-p --package"),
    indexes=_set("--registry"),
)


def _runner(tool: Tool, verb: Verb, short: str = "") -> Tool:
    """A program that is one verb of a tool, under a name of its own. ``short``: its own option for a package."""
    extra = frozenset((short,)) if short else frozenset()
    valued, packages = tool.valued | extra, tool.packages | extra
    return tool._replace(verbs={}, alone=verb, skips={}, valued=valued, packages=packages)


TOOLS: Final[Mapping[str, Tool]] = {
    "pip": _PIP,
    "uv": _UV,
    "uvx": _runner(_UV, Verb(Does.RUN)),
    "poetry": _POETRY,
    "pdm": _PDM,
    "pipenv": _PIPENV,
    "pipx": _PIPX,
    "npm": _NPM,
    "npx": _runner(_NPM, Verb(Does.RUN, maybe_there=True), "-p"),
    "pnpm": _PNPM,
    "pnpx": _runner(_PNPM, Verb(Does.RUN)),
    "yarn": _YARN,
    "yarnpkg": _YARN,
    "bun": _BUN,
    "bunx": _runner(_BUN, Verb(Does.RUN, maybe_there=True)),
}

# npm takes every unambiguous beginning of its commands and of their other names.
NPM_ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(_set("add i in ins inst insta instal isnt isnta isntal isntall"), "install"),
    **dict.fromkeys(_set("clean-install ic install-clean isntall-clean"), "ci"),
    **dict.fromkeys(_set("cit clean-install-test sit"), "install-ci-test"),
    **dict.fromkeys(_set("u up upgrade udpate"), "update"),
    **dict.fromkeys(_set("create innit"), "init"),
    "it": "install-test",
    "x": "exec",
    "ln": "link",
    "ddp": "dedupe",
}
NPM_COMMANDS: Final = _set("""
    access add-user adduser approve-scripts audit author bugs c cache ci completion config ddp dedupe deny-scripts
    deprecate diff dist-tag dist-tags docs doctor edit exec explain explore find find-dupes fund get help help-search
    hlep home info init install install-ci-test install-scripts install-test issues la link list ll login logout ls
    ogr org outdated owner pack ping pkg prefix profile prune publish query r rb rebuild remove repo restart rm root
    rum run run-script s sbom se search set show shrinkwrap stage star stars start stop t team test token trust tst un
    undeprecate uninstall unlink unpublish unstar update urn v verison version view whoami why
""")
