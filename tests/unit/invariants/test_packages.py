"""Package patterns: names, and versions against ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from supervisor.invariants.importnames import MODULES, distributions, imports_of, npm_package
from supervisor.invariants.packages import Answer, canonical, matches, pattern, patterns, ranges, unreadable, within

NO, MAYBE, YES = Answer

NAMES = [
    ("pypi:requests", "pypi", "Requests", YES),
    ("pypi:Zope.Interface", "pypi", "zope-interface", YES),
    ("pypi:requests", "npm", "requests", NO),
    ("*:log4j-core", "npm", "log4j-core", YES),
    ("*:log4j-core", "pypi", "log4j_core", YES),
    ("npm:a_b", "npm", "a-b", NO),
    ("npm:@s/x", "npm", "@s/x", YES),
    ("npm:@s/*", "npm", "@s/x", YES),
    ("npm:@s/*", "npm", "@t/x", NO),
    ("pypi:requests", "pypi", "requests-toolbelt", NO),
    ("cargo:serde", "cargo", "serde", YES),
    ("hex:serde", "hex", "serde", NO),
    ("cargo:Serde_json", "cargo", "serde-json", YES),
    ("cargo:serde", "npm", "serde", NO),
    ("go:github.com/x/y", "go", "github.com/x/y", YES),
    ("go:github.com/x/y", "go", "github.com/x/y/v3", YES),
    ("go:github.com/x/y/v2", "go", "github.com/x/y", NO),
    ("go:github.com/x/y/v2", "go", "github.com/x/y/v3", NO),
    ("go:github.com/x/y", "go", "github.com/x/y/sub", NO),
    ("go:github.com/x/y", "go", "github.com/x/yy", NO),
    ("go:gopkg.in/yaml", "go", "gopkg.in/yaml.v3", YES),
    ("go:github.com/Sirupsen/logrus", "go", "github.com/sirupsen/logrus", YES),
    ("maven:g.h:a", "maven", "g.h:a", YES),
    ("maven:g.h:a", "maven", "g:a", NO),
    ("maven:g.h:*", "maven", "g.h:anything", YES),
    ("maven:a", "maven", "g.h:a", YES),
    ("*:log4j-core", "maven", "org.apache.logging.log4j:log4j-core", YES),
    ("*:log4j-core", "maven", "org.apache.logging.log4j:log4j-api", NO),
    ("rubygems:active_support", "rubygems", "active-support", NO),
]


@pytest.mark.parametrize(("text", "ecosystem", "name", "expected"), NAMES)
def test_names(text: str, ecosystem: str, name: str, expected: Answer) -> None:
    assert matches(pattern(text), ecosystem, name) is expected


NPM = [
    ("<4.17.21", "4.17.20", YES),
    ("<4.17.21", "4.17.21", NO),
    ("<4.17.21", "4.17.21-beta.1", YES),
    ("<4.17.21", "^4.17.0", MAYBE),
    ("<4.17.21", "~4.17", MAYBE),
    ("<4.17.21", "~4.16.0", YES),
    ("<4.17.21", "^3", YES),
    ("<4.17.21", "4", MAYBE),
    ("<4.17.21", "3.x", YES),
    ("<4.17.21", "^5.0.0", NO),
    ("<4.17.21", "", MAYBE),
    ("<4.17.21", "*", MAYBE),
    ("<4.17.21", "latest", MAYBE),
    ("<4.17.21", ">=4.17.21", NO),
    ("<4.17.21", ">=1 <2 || 3.1.0 - 3.2", YES),
    ("<4.17.21", ">=1 <2 || >=5", MAYBE),
    ("<4.17.21", "v4.17.20+build", YES),
    ("<4.17.21", "workspace:*", MAYBE),
    ("<2", "<2.0.0", YES),
    ("<2", "2.0.0-rc.1", NO),
    ("<2.0.0", "2.0.0-rc.1", YES),
    ("^0.2.3", "0.2.9", YES),
    ("^0.2.3", "0.3.0", NO),
    ("^0.0.3", "0.0.4", NO),
    ("^0", "0.9.0", YES),
    ("~1.2.3", "1.2.9", YES),
    ("~1.2.3", "1.3.0", NO),
    ("=1.2.3", "1.2.3", YES),
    ("1.2", "1.2.7", YES),
    ("!=1.2.3", "1.2.3", NO),
    ("!=1.2.3", "1.2.4", YES),
    (">1.2", "1.2.9", NO),
    (">1.2", "1.3.0", YES),
    ("<=1.2", "1.2.9", YES),
    (">=1,<2 || >=3,<4", "3.5.0", YES),
    (">=1,<2 || >=3,<4", "2.5.0", NO),
    ("<1.0.0-beta.11", "1.0.0-beta.2", YES),
    ("<1.0.0-beta.2", "1.0.0-beta.11", NO),
    ("<1.0.0-beta", "1.0.0-alpha.9", YES),
    ("<1", "99999999999999999999.0.0", MAYBE),
    ("*", "1.0.0", YES),
    (">2 <1", "1.5.0", NO),
]


@pytest.mark.parametrize(("forbidden", "asked", "expected"), NPM)
def test_npm_versions(forbidden: str, asked: str, expected: Answer) -> None:
    assert matches(pattern(f"npm:x {forbidden}"), "npm", "x", asked) is expected


PYPI = [
    ("<2", "1.26.4", YES),
    ("<2", "==1.26.4", YES),
    ("<2", "===1.26.4", YES),
    ("<2", "2.0", NO),
    ("<2", "2.0rc1", NO),
    ("<2", ">=1.26,<2", YES),
    ("<2", ">=1.26", MAYBE),
    ("<2", "~=1.26", YES),
    ("<2", "~=1.26.0", YES),
    ("<2", "^1.2", YES),
    ("<2", "^2.1", NO),
    ("<2", "==1.*", YES),
    ("<2", "", MAYBE),
    ("<2", "latest", MAYBE),
    ("<2", "not a version!", MAYBE),
    ("<2", "1.0+cu118", YES),
    (">=1.2,!=1.3", "1.3", NO),
    (">=1.2,!=1.3", "1.4", YES),
    (">1.7", "1.7.post1", NO),
    (">1.7", "1.7.1", YES),
    ("1.2", "1.2.0", YES),
    ("~1.2", "1.2.9", YES),
    ("~1.2", "1.3", NO),
    ("1!1.0", "1!1.0", YES),
    ("<1!1.0", "2099.1", YES),
]


@pytest.mark.parametrize(("forbidden", "asked", "expected"), PYPI)
def test_pypi_versions(forbidden: str, asked: str, expected: Answer) -> None:
    assert matches(pattern(f"pypi:x {forbidden}"), "pypi", "x", asked) is expected


NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(lambda each: ".".join(map(str, each)))
SUFFIXES = st.sampled_from(["", "", "", "a1", "rc2", ".post1", ".dev3", "+local.1"])
VERSIONS = st.builds(str.__add__, NUMBERS, SUFFIXES)
CLAUSES = st.builds(
    str.__add__,
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.builds(str.__add__, NUMBERS, st.sampled_from(["", "", "a1", ".post1"])),
) | NUMBERS.map(lambda each: f"=={each}.*") | NUMBERS.map(lambda each: f"~={each}.0")  # fmt: skip


@given(st.lists(CLAUSES, min_size=1, max_size=3).map(",".join), VERSIONS)
def test_exact_versions_are_judged_as_packaging_judges_them(clauses: str, version: str) -> None:
    expected = SpecifierSet(clauses).contains(Version(Version(version).public), prereleases=True)
    assert within(clauses, "pypi", version) is (YES if expected else NO)


@given(st.sampled_from(["pypi", "npm"]), CLAUSES, CLAUSES, VERSIONS)
def test_a_request_inside_holds_only_versions_inside(ecosystem: str, forbidden: str, asked: str, version: str) -> None:
    version = version if ecosystem == "pypi" else version.partition("+")[0]
    if within(asked, ecosystem, version) is not YES or ranges(ecosystem, asked) is None:
        return
    answer = within(forbidden, ecosystem, asked)
    exact = within(forbidden, ecosystem, version)
    # npm answers `<2.0.0` with no pre-release of it; a rule that says so means them.
    if answer is YES:
        assert exact is YES or ecosystem == "npm"
    if answer is NO:
        assert exact is NO or ecosystem == "npm"


ANYTHING = st.text(max_size=30) | st.text("<>=!~^*|,. 0123456789abxX-+v()", max_size=30)


@given(st.sampled_from(["pypi", "npm", "*", "go"]), ANYTHING, ANYTHING, ANYTHING)
def test_every_text_is_answered(ecosystem: str, name: str, forbidden: str, asked: str) -> None:
    made = pattern(f"{ecosystem}:{name} {forbidden}")
    unreadable(made)
    patterns([made.text])
    for each in ("pypi", "npm"):
        assert matches(made, each, name, asked) in Answer
        found = ranges(each, asked)
        assert found is None or list(found) == sorted(found)


def test_a_range_that_nobody_can_read_forbids_everything() -> None:
    assert unreadable(pattern("npm:x <abc"))
    assert unreadable(pattern("pypi:x <abc"))
    assert not any(unreadable(pattern(f"{e}:x {r}")) for e in ("npm", "pypi", "*") for r in ("<1.2", "*", "^1 || ~2"))
    assert within("<abc", "npm", "1.0.0") is YES
    assert within("<1", "npm", "1" * 2_000) is MAYBE


@given(st.text(max_size=40))
def test_a_canonical_name_stays_as_it_is(name: str) -> None:
    for ecosystem in ("pypi", "npm"):
        once = canonical(ecosystem, name)
        assert canonical(ecosystem, once) in (once, once.lower())


# -------------------------------------------------------------------------------------------------------- names

MODULE_NAMES = [
    ("PIL.Image", "pillow"),
    ("yaml", "pyyaml"),
    ("cv2", "opencv-python"),
    ("sklearn.svm", "scikit-learn"),
    ("bs4", "beautifulsoup4"),
    ("google.cloud.storage.blob", "google-cloud-storage"),
    ("google.protobuf", "protobuf"),
    ("google.unknown", "google"),
    ("requests.sessions", "requests"),
    ("Foo_Bar", "foo-bar"),
    ("ruamel.yaml", "ruamel-yaml"),
    ("psycopg2", "psycopg2-binary"),
    ("win32api", "pywin32"),
]


@pytest.mark.parametrize(("module", "name"), MODULE_NAMES)
def test_where_a_module_comes_from(module: str, name: str) -> None:
    assert name in distributions(module)


def test_what_a_distribution_brings() -> None:
    assert {"PIL"} < set(imports_of("Pillow"))
    assert {"pkg_resources", "setuptools"} < set(imports_of("setuptools"))
    assert imports_of("requests") == ("requests",)
    assert imports_of("my-lib") == ("my_lib", "my.lib")
    assert "google.cloud.storage" in imports_of("google_cloud.storage")


def test_the_table_is_in_canonical_names() -> None:
    assert len(MODULES) > 140
    for module, brought in MODULES.items():
        assert brought.split() == [canonical("pypi", name) for name in brought.split()], module
        assert len(module.split(".")) <= 4


@pytest.mark.parametrize(
    ("specifier", "package"),
    [
        ("lodash", "lodash"),
        ("lodash/fp", "lodash"),
        ("@s/x/sub", "@s/x"),
        ("npm:lodash@4/fp", "lodash"),
        ("./lodash", ""),
        ("/lodash", ""),
        ("#internal", ""),
        ("node:fs", ""),
        ("https://x/y", ""),
        ("", ""),
        ("@s", "@s"),
    ],
)
def test_the_package_of_a_specifier(specifier: str, package: str) -> None:
    assert npm_package(specifier) == package
