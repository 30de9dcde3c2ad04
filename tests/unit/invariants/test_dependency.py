"""``[[dependency]]`` rules: content, commands, arrivals, what is tolerated, and what to take out."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.arrival import arrivals, may_arrive
from supervisor.invariants.dependency import (
    DependencyRules,
    compile_dependencies,
    is_local,
    judge_arrival,
    judge_content,
    judge_install,
    needles,
    offending,
)
from supervisor.profile.model import Rule
from supervisor.vocabulary.content import NOTHING_FOUND, Findings, Import, Installation, Requirement
from supervisor.vocabulary.events import ContentEvent, ExecEvent
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, target


def rules(*tables: dict[str, Any], locked: str = "", with_lock: str = "") -> DependencyRules:
    """Compiled tables; ``locked`` reads ``pypi:a npm:b``. Keys that are no field of a rule are fields of the kind."""
    made = []
    for number, table in enumerate(tables):
        own = {key: table[key] for key in table if key in Rule._fields}
        fields = {key: value for key, value in table.items() if key not in own}
        made.append(Rule("dependency", f"r{number}", fields=fields, source="govrun.toml:1", **own))
    invariants = {rule.id: Invariant(rule.id, "dependency", rule.then or "revert") for rule in made}
    names = frozenset((each.partition(":")[0], each.partition(":")[2]) for each in locked.split())
    return compile_dependencies(made, invariants, names, frozenset(with_lock.split()))


def deny(*packages: str, **fields: Any) -> DependencyRules:
    outer = {key: fields.pop(key) for key in ("locked", "with_lock") if key in fields}
    return rules({"deny": packages, **fields}, **outer)


def imports(*modules: str, ecosystem: str = "pypi") -> Findings:
    return Findings(tuple(Import(ecosystem, module, line) for line, module in enumerate(modules, 1)))


def names(*packages: str, **fields: Any) -> Findings:
    """``pypi:requests >=2`` …"""
    found = []
    for line, text in enumerate(packages, 1):
        head, _, versions = text.partition(" ")
        ecosystem, _, name = head.partition(":")
        found.append(Requirement(ecosystem, name, versions, line, **{"place": "dependencies"} | fields))
    return Findings(requirements=tuple(found))


def locks(*packages: str) -> Findings:
    return names(*packages, locked=True, place="package")


def content(now: Findings, before: Findings = NOTHING_FOUND, **fields: Any) -> ContentEvent:
    return ContentEvent(ACTOR, target(b"x"), now, before, **fields)


def told(found: DependencyRules, event: ContentEvent, path: bytes = b"src/a.py") -> list[str]:
    return [match.message for match in judge_content(found, event, path)]


def effects(found: DependencyRules, event: ContentEvent, path: bytes = b"src/a.py") -> list[Effect]:
    return [match.effect for match in judge_content(found, event, path)]


# ------------------------------------------------------------------------------------------------------ content


def test_messages_name_file_package_and_place() -> None:
    both = deny("pypi:requests", "npm:lodash <4.17.21", "npm:moment")
    assert told(both, content(imports("os", "httpx", "requests.sessions"))) == [
        "src/a.py imports requests.sessions (pypi:requests) at line 3"
    ]
    assert told(both, content(names("npm:lodash 4.17.20")), b"package.json") == [
        "package.json names lodash 4.17.20 at line 1 (dependencies): npm:lodash <4.17.21"
    ]
    assert told(both, content(names("npm:moment ^2")), b"package.json") == [
        "package.json names moment ^2 at line 1 (dependencies)"
    ]
    lawful = deny("npm:lodash <4.17.21", with_lock="npm")
    assert told(lawful, content(locks("npm:lodash 4.17.20")), b"package-lock.json") == [
        "package-lock.json locks lodash 4.17.20 at line 1 (package): npm:lodash <4.17.21"
    ]


IMPORTED = [
    ("pypi:pillow", "pypi", "PIL.Image", True),
    ("pypi:PyYAML", "pypi", "yaml", True),
    ("pypi:opencv-python-headless", "pypi", "cv2", True),
    ("pypi:google-cloud-storage", "pypi", "google.cloud.storage", True),
    ("pypi:google-cloud-storage", "pypi", "google.cloud.bigquery", False),
    ("pypi:zope-component", "pypi", "zope.component.hooks", True),
    ("pypi:my-lib", "pypi", "my_lib.sub", True),
    ("pypi:django-*", "pypi", "django_filters", True),
    ("pypi:urllib3 <2", "pypi", "urllib3", False),
    ("*:requests", "pypi", "requests", True),
    ("npm:requests", "pypi", "requests", False),
    ("npm:lodash", "npm", "lodash/fp", True),
    ("npm:lodash", "npm", "./lodash", False),
    ("npm:lodash", "npm", "lodash-es", False),
    ("npm:@s/x", "npm", "@s/x/deep", True),
    ("npm:@s/*", "npm", "@s/x/deep", True),
    ("npm:fs", "npm", "node:fs", False),
]


@pytest.mark.parametrize(("package", "ecosystem", "module", "denied"), IMPORTED)
def test_imports(package: str, ecosystem: str, module: str, denied: bool) -> None:
    assert bool(told(deny(package), content(imports(module, ecosystem=ecosystem)))) is denied


def test_an_import_that_another_locked_package_brings_passes() -> None:
    event = content(imports("cv2"))
    assert told(deny("pypi:opencv-python"), event)
    assert not told(deny("pypi:opencv-python", locked="pypi:opencv-python-headless"), event)
    assert told(deny("pypi:opencv-python", locked="pypi:opencv-python"), event)


def test_what_was_there_is_tolerated_and_never_more() -> None:
    found, old = deny("pypi:requests", "pypi:urllib3 <2"), imports("requests")
    assert not told(found, content(imports("requests", "requests.x"), old))
    assert not told(found, content(imports("requests"), prior=old))
    assert told(found, content(imports("requests"), Findings()))
    assert told(deny("pypi:requests", baseline="none"), content(imports("requests"), old))
    assert told(found, content(names("pypi:urllib3 <2"), names("pypi:urllib3 >=2")))
    assert not told(found, content(names("pypi:urllib3 <1.26"), names("pypi:urllib3 <2")))
    assert not told(found, content(names("pypi:urllib3 >=1.26")))


def test_a_revision_counts_instead_of_what_was_there() -> None:
    found, old = deny("pypi:requests", baseline="origin/main"), imports("requests")
    assert told(found, content(old, old))
    assert told(found, content(old, old, prior=old))
    assert told(found, content(old)._replace(bases=(("other", old), ("origin/main", Findings()))))
    assert not told(found, content(old)._replace(bases=(("other", Findings()), ("origin/main", old))))
    assert not told(found, content(old, prior=old)._replace(theirs=True))
    assert told(found, content(old)._replace(theirs=True))
    assert not told(deny("pypi:requests"), content(old, old)._replace(bases=(("origin/main", Findings()),)))


def test_what_may_stand_in_a_lock_is_told_by_the_revision() -> None:
    event = content(locks("pypi:requests 2.32.0"))
    found = deny("pypi:requests", locked="pypi:requests", with_lock="pypi", baseline="origin/main")
    assert told(found, event, b"uv.lock")
    at = {"origin/main": frozenset((("pypi", "requests"),))}
    assert not told(found._replace(locked_at=at), event, b"uv.lock")
    assert not told(found._replace(locked=frozenset(), locked_at=at), event, b"uv.lock")


def test_where_a_rule_holds() -> None:
    event = content(imports("requests"))
    assert not told(deny("pypi:requests", only_via=("src/vendor/**",)), event, b"src/vendor/a.py")
    assert told(deny("pypi:requests", only_via=("src/vendor/**",)), event, b"src/a.py")
    assert not told(deny("pypi:requests", paths=("lib/**",)), event)
    assert told(deny("pypi:requests", paths=("src/**",)), event)
    assert not told(deny("pypi:requests", paths=("src/**",), exempt=("*.py",)), event)


def test_locks() -> None:
    plain = deny("pypi:requests", "pypi:urllib3 <2", locked="pypi:requests pypi:urllib3", with_lock="pypi")
    assert not told(plain, content(locks("pypi:requests 2.32.0")), b"uv.lock")
    assert told(plain, content(names("pypi:requests")), b"pyproject.toml")
    assert told(plain, content(locks("pypi:urllib3 1.26.0")), b"uv.lock")
    assert not told(plain, content(locks("pypi:urllib3 2.1.0")), b"uv.lock")
    assert not told(plain, content(locks("pypi:urllib3 1.26.0"), locks("pypi:urllib3 1.26.0")), b"uv.lock")
    assert told(plain, content(locks("pypi:urllib3 1.25.0"), locks("pypi:urllib3 1.26.0")), b"uv.lock")
    assert told(plain, content(locks("pypi:urllib3 no-version")), b"uv.lock")
    strict = deny("pypi:requests", locked="pypi:requests", with_lock="pypi", baseline="none")
    assert told(strict, content(locks("pypi:requests 2.32.0")), b"uv.lock")


def test_a_first_lock_may_only_be_warned_of() -> None:
    event = content(locks("npm:moment 2.0.0"))
    assert effects(deny("npm:moment"), event) == [Effect.WARN]
    assert "transitive = true" in told(deny("npm:moment"), event)[0]
    assert effects(deny("npm:moment", transitive=True), event) == [Effect.REVERT]
    assert effects(deny("npm:moment", with_lock="npm"), event) == [Effect.REVERT]
    assert effects(deny("npm:moment"), content(locks("npm:moment 2.0.0"), locks("npm:x 1.0.0"))) == [Effect.REVERT]
    direct = content(Findings(requirements=(*names("npm:moment").requirements, *locks("npm:moment 2").requirements)))
    assert effects(deny("npm:moment"), direct) == [Effect.REVERT]


def test_allow_only() -> None:
    found = rules({"allow_only": ("pypi:httpx", "pypi:urllib3 >=2")})
    assert not told(found, content(names("pypi:httpx >=0.2", "pypi:urllib3 ==2.1", "pypi:urllib3", "npm:moment")))
    assert told(found, content(names("pypi:urllib3 <2")))
    assert told(found, content(names("pypi:requests"))) == [
        "src/a.py names requests at line 1 (dependencies): not among the allowed packages"
    ]
    assert not told(found, content(names("pypi:app", origin="./app")))
    assert not told(found, content(imports("requests")))
    assert not told(found, content(names("pypi:requests"), names("pypi:requests")))


SOURCES = [
    ("", True),
    ("./local", True),
    ("file:../b", True),
    ("workspace:*", True),
    ("git+https://forge.example/corp/x.git", True),
    ("https://u:p@forge.example/corp/x.tgz", True),
    ("https://forge.example/corp", True),
    ("https://forge.example/corporate/x", False),
    ("https://forge.example.evil.example/corp/x", False),
    ("https://forge.example/corp/../evil/x", False),
    ("https://forge.example/corp/%2e%2e/evil", False),
    ("https://evil.example/forge.example/corp/x", False),
    ("/abs/path", False),
    ("file:/abs/path", False),
]


@pytest.mark.parametrize(("origin", "passes"), SOURCES)
def test_sources(origin: str, passes: bool) -> None:
    found = rules({"sources": ("forge.example/corp",)})
    event = content(names("npm:x", origin=origin))
    assert (not told(found, event)) is passes
    assert not told(found, content(names("npm:x", origin=origin), names("npm:x", origin=origin)))
    assert is_local(origin) is (origin in ("./local", "file:../b", "workspace:*"))


def test_what_cannot_be_inspected() -> None:
    found = rules({"deny": ("pypi:a",)}, {"install": "lock-only"}, {"allow_only": ("npm:b",), "paths": ("lib/**",)})
    blind = Findings(refusal="too large")
    assert told(found, content(blind)) == ["src/a.py cannot be inspected: too large"]
    assert told(found, content(blind, blind))  # perhaps not the same bytes
    known, other = blind._replace(digest=b"1"), blind._replace(digest=b"2")
    assert not told(found, content(known, known)) and not told(found, content(known, prior=known))
    assert told(found, content(known, other)) and told(found, content(known, prior=other))
    assert not told(found, content(known, other, prior=known))
    assert not told(found, content(Findings(pending="does not parse")))
    assert told(found, content(imports("a")._replace(pending="does not parse")))


WORDS = [
    ("observe", Effect.OBSERVE, Effect.OBSERVE),
    ("warn", Effect.WARN, Effect.WARN),
    ("ask", Effect.REVERT, Effect.DENY),
    ("deny", Effect.REVERT, Effect.DENY),
    ("revert", Effect.REVERT, Effect.DENY),
    ("pause", Effect.PAUSE, Effect.PAUSE),
    ("kill", Effect.KILL, Effect.KILL),
]


@pytest.mark.parametrize(("word", "landed", "before"), WORDS)
def test_what_a_word_does(word: str, landed: Effect, before: Effect) -> None:
    found = deny("pypi:a", then=word)
    assert effects(found, content(imports("a"))) == [landed]
    assert effects(found, content(imports("a"), landing=True)) == [before]
    assert [match.effect for match in judge_install(found, installing("a"))] == [before]
    assert [match.effect for match in judge_arrival(found, b"/x/a-1.dist-info")] == [before]
    managed = [match.effect for match in judge_arrival(found, b"/x/a-1.dist-info", by_manager=True)]
    assert managed == [min(before, Effect.WARN)]


def test_what_to_take_out_of_a_manifest() -> None:
    found = deny("pypi:a", "pypi:b <2")
    now = names("pypi:a", "pypi:c", "pypi:b <1", "pypi:a >1")
    assert offending(found, content(now), b"x") == tuple(now.requirements[at] for at in (0, 2, 3))
    assert offending(found, content(now, names("pypi:a")), b"x") == (now.requirements[2],)
    assert offending(found, content(now, now), b"x") == ()
    assert offending(found, content(now._replace(imports=imports("a").imports)), b"x") == ()
    assert offending(deny("pypi:a", with_lock="pypi"), content(locks("pypi:a 1")), b"x") == ()
    assert offending(deny("pypi:a", then="warn"), content(now), b"x") == ()
    assert offending(found, content(Findings(refusal="x")), b"x") == ()


# ----------------------------------------------------------------------------------------------------- commands


def installing(*packages: str, from_lock: bool = False, **fields: Any) -> ExecEvent:
    wanted = names(*(f"pypi:{each}" for each in packages), **{"place": "argv"} | fields).requirements
    wanted = tuple(each._replace(line=0) for each in wanted)
    plain = ExecEvent(ACTOR, target(b"/usr/bin/pip"), b"pip", (b"pip",), b"/", "call")
    return plain._replace(installs=Installation("pip", "pypi", wanted, (), from_lock))


def installs(found: DependencyRules, event: ExecEvent) -> list[str]:
    return [match.message for match in judge_install(found, event)]


def test_installs() -> None:
    found = deny("pypi:requests", "pypi:urllib3 <2", only_via=("src/**",), paths=("src/**",))
    assert installs(found, installing("requests >=2")) == ["pip names requests >=2"]
    assert installs(found, installing("urllib3 ==1.26")) == ["pip names urllib3 ==1.26: pypi:urllib3 <2"]
    assert not installs(found, installing("urllib3", "httpx"))
    assert not installs(found, installing()._replace(installs=None))
    assert installs(rules({"allow_only": ("pypi:httpx",)}), installing("requests"))
    assert installs(rules({"sources": ("https://i.example/",)}), installing("", origin="https://evil.example/"))


def test_only_from_the_lock() -> None:
    found = rules({"install": "lock-only"})
    assert installs(found, installing("httpx"))
    assert installs(found, installing())
    assert not installs(found, installing(from_lock=True))
    assert not installs(found, installing("tsc", place="run"))
    assert installs(deny("pypi:tsc"), installing("tsc", place="run"))
    assert not installs(rules({"allow_only": ("pypi:typescript",)}), installing("tsc", place="run"))


# ------------------------------------------------------------------------------------------------------ arrival

PLACES = [
    ("npm:moment", b"/w/node_modules/moment", True),
    ("npm:moment", b"/w/node_modules/moment/dist/x.js", True),
    ("npm:moment", b"/w/node_modules/a/node_modules/moment", True),
    ("npm:moment", b"/w/node_modules/.moment-Ab12Cd34", True),
    ("npm:moment", b"/w/node_modules/.bin/moment", False),
    ("npm:moment", b"/w/node_modules/moment-timezone", False),
    ("npm:moment", b"/w/node_modules", False),
    ("npm:moment", b"/w/moment", False),
    ("npm:moment", b"/w/node_modules/moment.js", True),
    ("npm:moment", b"/w/node_modules/Moment.json", True),
    ("npm:moment", b"/w/node_modules/moment.node", True),
    ("npm:moment", b"/w/node_modules/moment.cjs", True),
    ("npm:moment", b"/w/node_modules/moment.txt", False),
    ("npm:moment", b"/w/node_modules/moment.js/package.json", False),
    ("npm:moment.js", b"/w/node_modules/moment.js/package.json", True),
    ("npm:@s/x", b"/w/node_modules/@s/x.js", True),
    ("npm:x", b"/w/node_modules/@s/x.js", False),
    ("npm:@s/x", b"/w/node_modules/@s/x/package.json", True),
    ("npm:@s/x", b"/w/node_modules/@s/.x-Ab12Cd34", True),
    ("npm:@s/x", b"/w/node_modules/@s", False),
    ("npm:lodash <4.17.21", b"/w/node_modules/.pnpm/lodash@4.17.20/x", True),
    ("npm:lodash <4.17.21", b"/w/node_modules/.pnpm/lodash@4.17.21_peer/x", False),
    ("npm:lodash <4.17.21", b"/w/node_modules/lodash", False),
    ("npm:@s/x", b"/w/node_modules/.pnpm/@s+x@1.0.0", True),
    ("pypi:requests", b"/v/site-packages/requests-2.0.dist-info/METADATA", True),
    ("pypi:requests", b"/any/target/requests-2.0.dist-info", True),
    ("pypi:requests", b"/usr/lib/dist-packages/requests-2.0.egg-info", True),
    ("pypi:requests", b"/v/site-packages/requests-2.0-py3.12.egg", True),
    ("pypi:requests", b"/v/site-packages/requests", True),
    ("pypi:requests", b"/v/site-packages/requests/api.py", True),
    ("npm:is-odd", b"/w/.yarn/cache/is-odd-npm-0.1.2-9d980a850b-0a1b2c3d4e.zip", True),
    ("npm:is-odd", b"/h/.cache/yarn/is-odd-npm-0.1.2-9d980a850b-10.zip", True),
    ("npm:is-odd", b"/w/.yarn/cache/is-odd-npm-0.1.2-9d980a850b.zip", True),
    ("npm:is-odd", b"/w/.yarn/cache/is-odd-even-npm-0.1.2-9d980a850b.zip", False),
    ("npm:is-odd", b"/w/docs/is-odd-npm-notes.zip", False),
    ("npm:is-odd <0.1", b"/w/.yarn/cache/is-odd-npm-0.1.2-9d980a850b.zip", False),
    ("npm:@scope/odd", b"/w/.yarn/cache/@scope-odd-npm-0.1.2-9d980a850b.zip", True),
    ("npm:@a-b/c-d", b"/w/.yarn/cache/@a-b-c-d-npm-1.0.0-rc.1-9d980a850b-0a1b2c3d4e.zip", True),
    ("pypi:requests", b"/v/site-packages/requests/__pycache__/api.pyc", False),
    ("pypi:requests", b"/v/site-packages/pip/_vendor/requests/api.py", False),
    ("pypi:requests", b"/v/site-packages/requests_mock", False),
    ("pypi:requests", b"/v/lib/requests", False),
    ("pypi:six", b"/v/site-packages/six.py", True),
    ("pypi:pyyaml", b"/v/site-packages/yaml", True),
    ("pypi:pyyaml", b"/v/site-packages/_yaml.cpython-312-x86_64-linux-gnu.so", True),
    ("pypi:Zope.Interface", b"/v/site-packages/zope_interface-6.0.dist-info", True),
    ("pypi:zope-interface", b"/v/site-packages/zope/interface", True),
    ("pypi:google-cloud-storage", b"/v/site-packages/google/cloud/storage/x.py", True),
    ("pypi:google-cloud-storage", b"/v/site-packages/google/cloud", False),
    ("pypi:urllib3 <2", b"/v/site-packages/urllib3-1.26.0.dist-info", True),
    ("pypi:urllib3 <2", b"/v/site-packages/urllib3-2.0.0.dist-info", False),
    ("pypi:urllib3 <2", b"/v/site-packages/urllib3", False),
]


@pytest.mark.parametrize(("package", "path", "denied"), PLACES)
def test_arrivals(package: str, path: bytes, denied: bool) -> None:
    found = deny(package)
    assert bool(list(judge_arrival(found, path))) is denied
    assert found.may_arrive(path) or not denied


def test_arrival_and_locks() -> None:
    path = b"/w/node_modules/moment"
    assert not list(judge_arrival(deny("npm:moment", locked="npm:moment"), path))
    assert list(judge_arrival(deny("npm:moment", locked="npm:moment", baseline="none"), path))

    def managed(found: DependencyRules) -> list[Effect]:
        return [match.effect for match in judge_arrival(found, path, by_manager=True)]

    assert managed(deny("npm:moment")) == [Effect.WARN]
    assert managed(deny("npm:moment", with_lock="npm")) == [Effect.DENY]
    assert managed(deny("npm:moment", transitive=True)) == [Effect.DENY]
    assert managed(deny("npm:moment", with_lock="pypi")) == [Effect.WARN]
    (match,) = judge_arrival(deny("npm:moment"), path, by_manager=True)
    assert match.message.endswith("came with another package; add a lock or `transitive = true` to refuse it")
    (match,) = judge_arrival(deny("npm:moment"), path)
    assert match.message == "npm:moment would come to lie in /w/node_modules"


def test_a_folder_may_be_called_like_a_file() -> None:
    path = b"/w/node_modules/chart.js"
    assert list(judge_arrival(deny("npm:chart"), path))
    assert not list(judge_arrival(deny("npm:chart"), path, folder=True))
    assert not list(judge_arrival(rules({"allow_only": ("npm:chart.js",)}), path))


def test_a_known_version_is_compared() -> None:
    found = deny("npm:lodash <4.17.21")
    assert list(judge_arrival(found, b"/w/node_modules/lodash", "4.17.20"))
    assert not list(judge_arrival(found, b"/w/node_modules/lodash", "4.17.21"))


def test_allow_only_and_arrival() -> None:
    found = rules({"allow_only": ("pypi:httpx", "npm:react")}, locked="pypi:h11")
    for path, denied in (
        (b"/v/site-packages/httpx-1.0.dist-info", False),
        (b"/v/site-packages/h11-1.0.dist-info", False),
        (b"/v/site-packages/pip-24.0.dist-info", False),
        (b"/v/site-packages/requests-1.0.dist-info", True),
        (b"/w/node_modules/react", False),
        (b"/w/node_modules/.bin", False),
        (b"/w/node_modules/.package-lock.json", False),
        (b"/w/node_modules/moment", True),
        (b"/w/.yarn/cache/moment-npm-2.0.0-9d980a850b.zip", True),
        (b"/w/.yarn/cache/react-npm-2.0.0-9d980a850b.zip", False),
        (b"/w/.yarn/cache/@react-dom-npm-2.0.0-9d980a850b.zip", True),
    ):
        assert bool(list(judge_arrival(found, path))) is denied, path


def test_rules_that_speak_of_no_package_let_everything_arrive() -> None:
    assert not rules({"install": "lock-only"}).may_arrive(b"/w/node_modules/moment")
    assert not DependencyRules().may_arrive(b"/w/node_modules/moment")


@given(st.binary(max_size=80) | st.lists(st.sampled_from(
    [b"node_modules", b"site-packages", b".pnpm", b"@s", b"x-1.dist-info", b".x-12345678", b"", b"..", b"\xff", b"a@1"]
), max_size=6).map(b"/".join))  # fmt: skip
def test_every_path_is_answered(path: bytes) -> None:
    found = list(arrivals(b"/" + path))
    assert not found or may_arrive(b"/" + path)
    list(judge_arrival(EVERYTHING, path))


# ------------------------------------------------------------------------------------------------------ needles


def test_needles() -> None:
    assert needles(DependencyRules()) == frozenset()
    assert needles(deny("npm:Lodash <4", "npm:@s/x")) == {b"lodash", b"@s/x"}
    assert needles(deny("pypi:requests")) == {b"requests"}
    assert needles(deny("pypi:pyyaml")) == {b"pyyaml", b"yaml", b"_yaml"}
    assert b"storage" in (needles(deny("pypi:google-cloud-storage")) or ())
    assert needles(rules({"install": "lock-only"})) == frozenset()
    for table in ({"allow_only": ("npm:x",)}, {"sources": ("x",)}, {"deny": ("npm:@s/*",)}):
        assert needles(rules(table)) is None


# ----------------------------------------------------------------------------------------------------- in general

EVERYTHING = rules({"deny": ("*:a", "pypi:b <2", "npm:@s/*"), "sources": ("x",)}, {"allow_only": ("*:c",)})
PACKAGES = st.sampled_from(["a", "b", "c", "requests", "pillow", "@s/x", "zope-interface", ""])
ECOSYSTEMS = st.sampled_from(["pypi", "npm", "cargo", ""])
TEXTS = st.sampled_from(["", "1.0", "<2", ">=1", "latest"]) | st.text(max_size=8)
REQUIREMENTS = st.builds(
    Requirement, ECOSYSTEMS, PACKAGES | st.text(max_size=5), TEXTS, st.integers(0, 9), TEXTS, st.booleans(),
    st.sampled_from(["", "./x", "https://x/y"]) | st.text(max_size=8),
)  # fmt: skip
IMPORTS = st.builds(Import, ECOSYSTEMS, PACKAGES | st.text(max_size=8), st.integers(0, 9))
FINDINGS = st.builds(
    Findings, st.lists(IMPORTS, max_size=3).map(tuple), st.lists(REQUIREMENTS, max_size=3).map(tuple),
    st.sampled_from(["", "broken"]), st.sampled_from(["", "", "", "large"]), st.sampled_from([b"1", b"2"]),
)  # fmt: skip
PATTERNS = st.lists(
    st.builds(
        "{}:{}{}".format, st.sampled_from(["pypi", "npm", "*"]), PACKAGES.filter(bool), st.sampled_from(["", " <2"])
    ),
    max_size=3,
)


@functools.cache
def denying(packages: tuple[str, ...]) -> DependencyRules:
    return deny(*packages) if packages else DependencyRules()


@given(FINDINGS, FINDINGS, FINDINGS, st.booleans())
def test_every_finding_is_answered(now: Findings, before: Findings, prior: Findings, landing: bool) -> None:
    event = content(now, before, prior=prior, landing=landing)
    for match in judge_content(EVERYTHING, event, b"src/a.py"):
        match.message.encode()
    assert set(offending(EVERYTHING, event, b"src/a.py")) <= set(now.requirements)
    wanted = Installation("pip", "pypi", now.requirements)
    for match in judge_install(EVERYTHING, installing()._replace(installs=wanted)):
        match.message.encode()


@given(PATTERNS, PATTERNS, FINDINGS, FINDINGS)
def test_one_more_denial_never_permits_anything(some: list[str], more: list[str], now: Findings, old: Findings) -> None:
    few, many = denying(tuple(some)), denying((*some, *more))
    event = content(now, old)
    assert max(effects(few, event), default=Effect.ALLOW) <= max(effects(many, event), default=Effect.ALLOW)
    wanted = installing()._replace(installs=Installation("pip", "pypi", now.requirements))
    assert len(installs(few, wanted)) <= len(installs(many, wanted))
    for path in (b"/w/node_modules/a", b"/v/site-packages/b-1.0.dist-info", b"/v/site-packages/PIL"):
        assert len(list(judge_arrival(few, path))) <= len(list(judge_arrival(many, path)))


@given(FINDINGS, FINDINGS)
def test_what_stays_as_it_was_passes(now: Findings, prior: Findings) -> None:
    assert not told(EVERYTHING, content(now, now, prior=prior))
