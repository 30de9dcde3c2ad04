"""What the command lines of Cargo, Go, RubyGems, Bundler, Maven and Gradle look like. Data only.

Maven and Gradle have no verb that adds a package: what Maven is told to fetch by itself is read in ``compiled_specs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervisor.commands.tools import Does, Tool, Verb


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOCKED = _set("--locked --frozen")
_CARGO: Final = Tool(
    "cargo",
    "cargo",
    {
        "add": Verb(Does.ADD),
        "install": Verb(Does.ADD, _LOCKED),
        "binstall": Verb(Does.ADD, _LOCKED),
        "update": Verb(Does.SYNC, _LOCKED),
        "generate-lockfile": Verb(Does.SYNC, _LOCKED),
        "fetch": Verb(Does.SYNC, _LOCKED),
        "vendor": Verb(Does.SYNC, _LOCKED),
    },
    _set(
        "--git --branch --tag --rev --path --registry "
        "--index --rename --features -F --manifest-path --package -p "
        "--target --color --config -Z -C --version --vers "
        "--root --profile --bin --example -j --jobs --target-dir --precise "
        "--message-format --base --lockfile-path -s --sync"
    ),
    indexes=_set("--git --path --registry --index"),
)

# Go's options have one dash or two. Without `-mod` a build takes what go.mod and go.sum name, or fails.
_GO: Final = Tool(
    "go",
    "go",
    {
        "get": Verb(Does.ADD),
        "install": Verb(Does.ADD, maybe_there=True),
        "run": Verb(Does.RUN, maybe_there=True),
        "mod edit": Verb(Does.WITH),
        "work edit": Verb(Does.WITH),
        "mod tidy": Verb(Does.SYNC),
        "mod download": Verb(Does.ADD, locked=True),
        "mod vendor": Verb(Does.SYNC, locked=True),
    },
    _set(
        "--require --replace --tool --exclude --droprequire --dropreplace --dropexclude --droptool --retract "
        "--dropretract --module --go --toolchain --godebug --dropgodebug "
        "--use --dropuse --compat --C --mod --modfile --overlay "
        "--tags --p --o --asmflags --gcflags "
        "--ldflags --gccgoflags --buildmode --compiler --installsuffix --pkgdir "
        "--toolexec --exec --reuse --pgo --covermode --coverpkg --buildvcs"
    ),
    packages=_set("--require --replace --tool"),
    one_dash=True,
)

_GEM: Final = Tool(
    "gem",
    "rubygems",
    {
        "install": Verb(Does.ADD),
        "i": Verb(Does.ADD),
        "fetch": Verb(Does.ADD),
        "update": Verb(Does.ADD),
        "exec": Verb(Does.RUN, maybe_there=True),
    },
    _set(
        "-v --version -s --source -i --install-dir -n "
        "--bindir -P --trust-policy -B --bulk-threshold -p --http-proxy "
        "--platform --build-root --config-file -g --gem"
    ),
    packages=_set("--gem"),
    indexes=_set("-s --source"),
)

_BUNDLE_LOCKS = _set("--frozen --deployment")
_BUNDLE: Final = Tool(
    "bundle",
    "rubygems",
    {
        "add": Verb(Does.ADD),
        "inject": Verb(Does.ADD),
        "install": Verb(Does.SYNC, _BUNDLE_LOCKS),
        "i": Verb(Does.SYNC, _BUNDLE_LOCKS),
        "update": Verb(Does.ADD),
        "lock": Verb(Does.SYNC),
        "cache": Verb(Does.SYNC, _BUNDLE_LOCKS),
        "package": Verb(Does.SYNC, _BUNDLE_LOCKS),
        "pack": Verb(Does.SYNC, _BUNDLE_LOCKS),
    },
    _set(
        "-v --version -g --group -s --source -r --require "
        "--git --github --branch --ref --glob --path --gemfile -j "
        "--jobs --retry --with --without --binstubs "
        "--shebang --standalone --target-rbconfig --trust-policy --cache-path "
        "--lockfile --add-platform --remove-platform --add-checksums"
    ),
    indexes=_set("-s --source --git --github --path"),
    alone=Verb(Does.SYNC, _BUNDLE_LOCKS),
)

COMPILED: Final[Mapping[str, Tool]] = {
    "cargo": _CARGO,
    "cargo-binstall": _CARGO._replace(verbs={}, alone=Verb(Does.ADD)),
    "go": _GO,
    "gem": _GEM,
    "bundle": _BUNDLE,
    "bundler": _BUNDLE,
    **dict.fromkeys(("mvn", "mvnw", "mvnd"), Tool("mvn", "maven", {}, frozenset())),
    **dict.fromkeys(("gradle", "gradlew"), Tool("gradle", "maven", {}, frozenset())),
}
# Classes that a Java machine is started with -> the tool that they are.
JAVA_TOOLS: Final[Mapping[str, str]] = {
    "org.codehaus.plexus.classworlds.launcher.Launcher": "mvn",
    "org.codehaus.classworlds.Launcher": "mvn",
    "org.apache.maven.wrapper.MavenWrapperMain": "mvn",
    "org.gradle.launcher.GradleMain": "gradle",
    "org.gradle.launcher.daemon.bootstrap.GradleDaemon": "gradle",
    "org.gradle.process.internal.worker.GradleWorkerMain": "gradle",
    "org.gradle.wrapper.GradleWrapperMain": "gradle",
}
