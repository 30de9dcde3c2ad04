"""The environment that the agent gets: what would run code or hand over credentials is withheld, by exact name.

Nothing is guessed by name pattern: a variable that merely looks like a secret stays, and the banner prints what was
withheld.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# What a loader, shell, interpreter or git executes from its environment, for programs that did not ask for it.
_CODE = frozenset(
    [
        "BASH_ENV",
        "ENV",
        "PYTHONSTARTUP",
        "PYTHONBREAKPOINT",
        "NODE_OPTIONS",
        "PERL5OPT",
        "PERL5DB",
        "RUBYOPT",
        "BUN_OPTIONS",
        "DENO_INSTALL_ROOT",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "PROMPT_COMMAND",
        "GCONV_PATH",
        "LOCPATH",
        "NLSPATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_PROXY_COMMAND",
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "GIT_EDITOR",
        "GIT_SEQUENCE_EDITOR",
        "GIT_ASKPASS",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_EXEC_PATH",
        "GIT_TEMPLATE_DIR",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "SSH_ASKPASS",
        "SUDO_ASKPASS",
    ]
)
_CODE_PREFIXES = ("LD_", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "BASH_FUNC_")
_CREDENTIALS = frozenset(
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CREDENTIALS",
        "GOOGLE_OAUTH_ACCESS_TOKEN",
        "CLOUDSDK_AUTH_ACCESS_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "AZURE_PASSWORD",
        "ARM_CLIENT_SECRET",
        "ARM_ACCESS_KEY",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "GH_ENTERPRISE_TOKEN",
        "GITHUB_ENTERPRISE_TOKEN",
        "GITLAB_TOKEN",
        "GITLAB_PRIVATE_TOKEN",
        "CI_JOB_TOKEN",
        "BITBUCKET_TOKEN",
        "GITEA_TOKEN",
        "NPM_TOKEN",
        "NODE_AUTH_TOKEN",
        "PYPI_TOKEN",
        "TWINE_PASSWORD",
        "UV_PUBLISH_TOKEN",
        "POETRY_PYPI_TOKEN_PYPI",
        "CARGO_REGISTRY_TOKEN",
        "GEM_HOST_API_KEY",
        "DOCKER_AUTH_CONFIG",
        "DOCKER_PASSWORD",
        "KUBECONFIG",
        "VAULT_TOKEN",
        "CONSUL_HTTP_TOKEN",
        "NOMAD_TOKEN",
        "TF_TOKEN_APP_TERRAFORM_IO",
        "PULUMI_ACCESS_TOKEN",
        "DIGITALOCEAN_TOKEN",
        "DIGITALOCEAN_ACCESS_TOKEN",
        "HCLOUD_TOKEN",
        "LINODE_TOKEN",
        "CLOUDFLARE_API_TOKEN",
        "CLOUDFLARE_API_KEY",
        "FLY_API_TOKEN",
        "HEROKU_API_KEY",
        "VERCEL_TOKEN",
        "NETLIFY_AUTH_TOKEN",
        "SENTRY_AUTH_TOKEN",
        "DATADOG_API_KEY",
        "DD_API_KEY",
        "SLACK_TOKEN",
        "SLACK_BOT_TOKEN",
        "PGPASSWORD",
        "MYSQL_PWD",
        "REDISCLI_AUTH",
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GPG_AGENT_INFO",
        "OP_SERVICE_ACCOUNT_TOKEN",
        "DOPPLER_TOKEN",
        "ANSIBLE_VAULT_PASSWORD",
        "SONAR_TOKEN",
        "SNYK_TOKEN",
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "MISTRAL_API_KEY",
        "OPENROUTER_API_KEY",
        "DEEPSEEK_API_KEY",
    ]
)
# Descriptors of sockets and supervisors outside the run.
_DEPUTIES = frozenset(
    ["TMUX", "STY", "DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "DOCKER_HOST"]
)
# Options are added to the user's own; mvn is a shell script that splits and expands them.
_MAVEN = "MAVEN_OPTS"
_PLAIN = re.compile(r"[\w./+@:,=-]*")


class _Names:
    """Variable names; one that ends in ``*`` stands for all that begin so."""

    def __init__(self, names: Iterable[str]) -> None:
        given = tuple(names)
        self._exact = frozenset(name for name in given if not name.endswith("*"))
        self._begin = tuple(name[:-1] for name in given if name.endswith("*"))

    def __contains__(self, name: str) -> bool:
        return name in self._exact or name.startswith(self._begin)


class Environment(NamedTuple):
    """What the agent gets, and the names that were withheld (sorted)."""

    variables: dict[str, str]
    withheld: tuple[str, ...]


def build(
    given: Mapping[str, str],
    *,
    keep: Iterable[str] = (),
    passed: Iterable[str] = (),
    dropped: Iterable[str] = (),
    withheld_too: Iterable[str] = (),
    added: Mapping[str, str] | None = None,
    caches: Mapping[str, str] | None = None,
) -> Environment:
    """The agent's environment.

    ``keep``: names its pack declares; ``passed``, ``dropped``, ``added``: the profile's ``env``; ``withheld_too``: what
    packs drop, which ``passed`` brings back; ``caches``: per-repository cache folders, before which ``added`` goes.
    What runs code stays withheld even when ``keep`` names it; only the profile's ``pass`` brings it back.
    """
    wanted, explicit, gone, more = (_Names(names) for names in (keep, passed, dropped, withheld_too))
    variables: dict[str, str] = {}
    withheld: list[str] = []
    for name, value in given.items():
        code = name in _CODE or name.startswith(_CODE_PREFIXES)
        secret = (name in _CREDENTIALS or name in more) and name not in wanted
        if name in gone or ((code or secret or name in _DEPUTIES) and name not in explicit):
            withheld.append(name)
        else:
            variables[name] = value
    for name, value in (caches or {}).items():
        variables[name] = f"{variables[name]} {value}" if name == _MAVEN and name in variables else value
    variables.update(added or {})
    return Environment(variables, tuple(sorted(withheld)))


def cache_folders(base: str, home: str) -> dict[str, str]:
    """Environment variables that move package managers' caches into ``base``: the user's own caches stay readable but
    unwritten, since what they hold runs later, outside any run."""
    # Maven has no variable of its own for the place; from 3.9 on it also reads what is in the user's repository.
    maven = f"-Dmaven.repo.local={base}/maven -Dmaven.repo.local.tail={home}/.m2/repository"
    return {
        "PIP_CACHE_DIR": f"{base}/pip",
        "UV_CACHE_DIR": f"{base}/uv",
        "UV_TOOL_DIR": f"{base}/uv-tools",
        "UV_TOOL_BIN_DIR": f"{base}/bin",
        "POETRY_CACHE_DIR": f"{base}/poetry",
        "PDM_CACHE_DIR": f"{base}/pdm",
        "BLACK_CACHE_DIR": f"{base}/black",
        "PRE_COMMIT_HOME": f"{base}/pre-commit",
        "VIRTUALENV_OVERRIDE_APP_DATA": f"{base}/virtualenv",
        # A kernel starts what lies in IPython's profile; the user's own stays out of a run's reach in both directions.
        "IPYTHONDIR": f"{base}/ipython",
        "JUPYTER_RUNTIME_DIR": f"{base}/jupyter",
        "npm_config_cache": f"{base}/npm",
        "YARN_CACHE_FOLDER": f"{base}/yarn",
        "YARN_GLOBAL_FOLDER": f"{base}/yarn-global",
        # pnpm up to 10 takes its cache from XDG_CACHE_HOME alone, besides a name that npm warns of at each call.
        "PNPM_HOME": f"{base}/pnpm",
        "pnpm_config_cache_dir": f"{base}/pnpm/cache",
        "pnpm_config_state_dir": f"{base}/pnpm/state",
        "CARGO_HOME": f"{base}/cargo",
        "GOCACHE": f"{base}/go-build",
        "GOMODCACHE": f"{base}/go-mod",
        "GOBIN": f"{base}/go-bin",
        "CCACHE_DIR": f"{base}/ccache",
        "CCACHE_TEMPDIR": f"{base}/ccache/tmp",
        "SCCACHE_DIR": f"{base}/sccache",
        "GRADLE_USER_HOME": f"{base}/gradle",
        **({_MAVEN: maven} if _PLAIN.fullmatch(base + home) else {}),
        "BUNDLE_USER_CACHE": f"{base}/bundle",
        "COMPOSER_CACHE_DIR": f"{base}/composer",
    }
