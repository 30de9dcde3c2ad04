"""What manifests require, whole and half-written."""

import pytest

REQUIREMENTS = [
    ("Re_Quests[sec,x]>=2, <3 ; python_version < '3'", ("re-quests", ">=2, <3", "")),
    ("a==1 --hash=sha256:00 \\\n  --hash=sha256:11", ("a", "==1", "")),
    ("re\\\nquests==1", ("requests", "==1", "")),
    ("a # note", ("a", "", "")),
    ("a (>=1)", ("a", ">=1", "")),
    ("zope.interface @ https://x/y.zip ; x", ("zope-interface", "", "https://x/y.zip")),
    ("a@git+https://x/y", ("a", "", "git+https://x/y")),
    ("-e git+https://x/y.git@v1#egg=Egg_Name", ("egg-name", "", "git+https://x/y.git@v1#egg=Egg_Name")),
    ("--editable=git+https://x/y#egg=q", ("q", "", "git+https://x/y#egg=q")),
    ("https://h/a_b-1.0-py3-none-any.whl", ("a-b", "1.0", "https://h/a_b-1.0-py3-none-any.whl")),
    ("https://h/%61b-1.0-py3-none-any.whl", ("ab", "1.0", "https://h/%61b-1.0-py3-none-any.whl")),
    ("./d/foo-bar-1.2.tar.gz", ("foo-bar", "1.2", "./d/foo-bar-1.2.tar.gz")),
    ("git+https://h/psf/requests.git@main", ("requests", "", "git+https://h/psf/requests.git@main")),
    ("\ufeffa", ("a", "", "")),
]


@pytest.mark.parametrize(("text", "expected"), REQUIREMENTS)
def test_requirement_lines(named, text, expected):
    [(name, versions, line, place, origin)] = named("requirements", text + "\n")
    assert (name, versions, origin) == expected
    assert (line, place) == (1, "requirements")


@pytest.mark.parametrize(
    "text", ["# a", "", "-r other.txt", "--index-url https://x/a", "-e .", "./x", "-c c.txt", "${A}==1", "!", "a b c"]
)
def test_lines_that_name_nothing(named, text):
    assert named("requirements", text) == []


def test_requirement_line_numbers_and_encodings(named):
    assert [each[:3] for each in named("requirements", "# x\n\na \\\n --hash=q\n\x0cb\n")] == [
        ("a", "", 3),
        ("b", "", 5),
    ]
    assert [each[0] for each in named("requirements", "a\nb\n".encode("utf-16"))] == ["a", "b"]
    assert [each[0] for each in named("requirements", "a\x0crequests\n")] == ["a", "requests"]


PYPROJECT = """\
[project]
name = "own"
dependencies = ["a>=1", # c
  "b\\u0062", 'c',
]
[project.optional-dependencies]
dev = ["d"]
[dependency-groups]
"t.u" = [{include-group = "x"}, "e"]
[build-system]
requires = ["hatch"]
[tool.poetry.dependencies]
python = "^3"
f = "*"
g = {version = "1", git = "u"}
h.version = "2"
j = [{version = "1", python = "x"}, {version = "2"}]
[tool.poetry.group.w.dependencies.i]
path = "../i"
[tool.uv]
dev-dependencies = ["k"]
[tool.uv.sources]
A = {git = "https://x"}
[tool.pdm.dev-dependencies]
l = ["l", '''
m''']
[tool.hatch.envs.z]
extra-dependencies = ["n"]
[tool.other]
dependencies = ["no"]
"""


def test_pyproject(named):
    assert named("pyproject", PYPROJECT) == [
        ("a", ">=1", 3, "project.dependencies", "https://x"),
        ("bb", "", 4, "project.dependencies", ""),
        ("c", "", 4, "project.dependencies", ""),
        ("d", "", 7, "project.optional-dependencies.dev", ""),
        ("e", "", 9, "dependency-groups.t.u", ""),
        ("hatch", "", 11, "build-system.requires", ""),
        ("f", "", 14, "tool.poetry.dependencies", ""),
        ("g", "1", 15, "tool.poetry.dependencies", "u"),
        ("h", "2", 16, "tool.poetry.dependencies", ""),
        ("j", "1", 17, "tool.poetry.dependencies", ""),
        ("j", "2", 17, "tool.poetry.dependencies", ""),
        ("i", "", 18, "tool.poetry.group.w.dependencies", "../i"),
        ("k", "", 21, "tool.uv.dev-dependencies", ""),
        ("l", "", 25, "tool.pdm.dev-dependencies.l", ""),
        ("m", "", 25, "tool.pdm.dev-dependencies.l", ""),
        ("n", "", 28, "tool.hatch.envs.z.extra-dependencies", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'project.dependencies = ["a"]',
        'project = {dependencies = ["a"]}',
        '["project"]\n"dependencies" = ["a"]',
        '[project]\n"depend\\u0065ncies" = ["""\\\n   a"""]',
        '[ project ]\ndependencies=[ # x ]\n"a"]',
    ],
)
def test_other_spellings_of_a_table(named, text):
    assert [each[0] for each in named("pyproject", text)] == ["a"]


def test_pipfile(named):
    text = (
        '[packages]\nA = "*"\nx = {version="==1", extras=["q"]}\n[dev-packages]\ny = {git="z"}\n[source]\nname = "q"\n'
    )
    assert named("pipfile", text) == [
        ("a", "", 2, "packages", ""),
        ("x", "==1", 3, "packages", ""),
        ("y", "", 5, "dev-packages", "z"),
    ]


def test_setup_cfg(named):
    text = (
        "[metadata]\nname = x\n[options]\ninstall_requires =\n  a>=1\n  # no\n\n  b; python_version<'3'\nzip_safe = n\n"
        "setup-requires: c; d\n[options.extras_require]\nq = e\n  f\n[other]\ninstall_requires = z\n"
    )
    assert named("setup.cfg", text) == [
        ("a", ">=1", 5, "options.install_requires", ""),
        ("b", "", 8, "options.install_requires", ""),
        ("c", "", 10, "options.setup_requires", ""),
        ("d", "", 10, "options.setup_requires", ""),
        ("e", "", 12, "options.extras_require.q", ""),
        ("f", "", 13, "options.extras_require.q", ""),
    ]


def test_environment(named):
    text = (
        'name: x\ndependencies:\n  - numpy=1.2\n  - conda-forge::scipy >=1\n  - &p pandas\n  - "q\\u0071"\n'
        "  - pip:\n    - Requests>=2\n    - git+https://a/b#egg=c\n    - *p\nother: [dependencies]\n"
    )
    assert named("environment.yml", text) == [
        ("numpy", "=1.2", 3, "dependencies", ""),
        ("scipy", ">=1", 4, "dependencies", ""),
        ("pandas", "", 5, "dependencies", ""),
        ("qq", "", 6, "dependencies", ""),
        ("requests", ">=2", 8, "dependencies.pip", ""),
        ("c", "", 9, "dependencies.pip", "git+https://a/b#egg=c"),
        ("pandas", "", 10, "dependencies.pip", ""),
    ]


def test_package_json(named):
    text = """{"name": "x", "dependencies": {"foo": "npm:lodash@4", "a": "^1", "a": "2",
 "g": "user/repo", "w": "workspace:*", "@s/n": "latest", "f": "file:../f", "t": "https://x/t.tgz"},
 "devDependencies": {"\\u006coda\\/sh": "1", "d\\u0065v": "*"}, "peerDependencies": {"p": "1"},
 "optionalDependencies": {"o": "1"}, "bundledDependencies": ["b"],
 "overrides": {"c": {".": "1", "d@2": "3"}, "al": "npm:@r/r@1", "z": "$a"},
 "resolutions": {"**/e": "1", "x/@s/f": "2", "h@npm:^4": "5"}, "pnpm": {"overrides": {"q>r": "1"}},
 "config": {"dependencies": {"no": "1"}}}"""
    assert named("package.json", text) == [
        ("lodash", "4", 1, "dependencies", "npm:lodash@4"),
        ("a", "^1", 1, "dependencies", ""),
        ("a", "2", 1, "dependencies", ""),
        ("g", "", 2, "dependencies", "user/repo"),
        ("repo", "", 2, "dependencies address", ""),
        ("w", "workspace:*", 2, "dependencies", ""),
        ("@s/n", "", 2, "dependencies", ""),
        ("f", "", 2, "dependencies", "file:../f"),
        ("t", "", 2, "dependencies", "https://x/t.tgz"),
        ("dev", "", 3, "devDependencies", ""),
        ("p", "1", 3, "peerDependencies", ""),
        ("o", "1", 4, "optionalDependencies", ""),
        ("b", "", 4, "bundledDependencies", ""),
        ("c", "1", 5, "overrides", ""),
        ("d", "3", 5, "overrides", ""),
        ("@r/r", "1", 5, "overrides", "npm:@r/r@1"),
        ("z", "", 5, "overrides", ""),
        ("e", "1", 6, "resolutions", ""),
        ("@s/f", "2", 6, "resolutions", ""),
        ("h", "5", 6, "resolutions", ""),
        ("r", "1", 6, "pnpm.overrides", ""),
    ]


HALF = [
    ("package.json", '{"dependencies": {"a": "1",\n "lodash": "^4', "lodash"),
    ("package.json", '{"dependencies": {"lodash', "lodash"),
    ("package.json", '{"dependencies": {"a": "1" "lodash": "2"}}', "lodash"),
    ("package.json", '{"x": tru, "dependencies": {"lodash": "2"}}', "lodash"),
    ("pyproject", '[project]\ndependencies = [\n "a",\n "lodash>=1', "lodash"),
    ("pyproject", '[project]\ndependencies = [\n "a",\n\n[dependency-groups]\nx = ["lodash"]\n', "lodash"),
    ("pyproject", '[project\nx\n[project]\ndependencies = ["lodash"]', "lodash"),
    ("pipfile", '[packages]\nlodash = "', "lodash"),
    ("setup.cfg", "x\n[options]\ninstall_requires =\n  lodash", "lodash"),
    ("environment.yml", "dependencies:\n  - a\n  - lodash\n  - {", "lodash"),
    ("environment.yml", "a: {\ndependencies:\n  - lodash\n", "lodash"),
]


@pytest.mark.parametrize(("kind", "text", "name"), HALF)
def test_half_written_manifests_tell_what_is_there(inspect, kind, text, name):
    found = inspect(kind, text)
    assert found.pending
    assert name in {each.name for each in found.requirements}


@pytest.mark.parametrize("kind", ["package.json", "package-lock", "notebook", "bun.lock", "Pipfile.lock"])
@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, "1" * 10_000, "NaN", '{"dependencies": NaN}', '{"packages": 1e999999}']
)
def test_strange_json(inspect, kind, text):
    assert "failed" not in inspect(kind, text).refusal


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "{a=" * 100_000, "[" * 100_000, "a." * 50_000 + "b = 1", "a = 1e99999"]
)
@pytest.mark.parametrize("kind", ["pyproject", "uv.lock"])
def test_strange_toml(inspect, kind, text):
    assert "failed" not in inspect(kind, text).refusal


@pytest.mark.parametrize("text", ["- " * 100_000, "[" * 100_000, "{a: " * 100_000, "a: &a [*a]", "&a a: *a", "? [a]"])
@pytest.mark.parametrize("kind", ["environment.yml", "pnpm-lock"])
def test_strange_yaml(inspect, kind, text):
    assert "failed" not in inspect(kind, text).refusal
