"""Taking entries out of manifests: what is dropped goes, everything else stays byte for byte."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.inspection.reading import manifest
from supervisor.inspection.remove import without


def drop(kind, text, *names):
    wanted = [each.requirement for each in manifest(kind, text).located if each.requirement.name in names]
    assert {each.name for each in wanted} == set(names)
    result = without(kind, text.encode(), wanted)
    return None if result is None else result.decode()


CASES = {
    "requirement": ("requirements", "# x\na==1\nbad>=2 # why\nb\n", ["bad"], "# x\na==1\nb\n"),
    "hashes": ("requirements", "a\nbad==1 \\\n  --hash=x \\\n  --hash=y\nb", ["bad"], "a\nb"),
    "CRLF": ("requirements", "a\r\nbad\r\nb\r\n", ["bad"], "a\r\nb\r\n"),
    "last without end": ("requirements", "a\nbad", ["bad"], "a\n"),
    "only": ("requirements", "bad\n", ["bad"], ""),
    "array in lines": (
        "pyproject",
        '[project]\ndependencies = [\n  "a", # one\n  "bad>=1", # two\n  "b",\n]\n',
        ["bad"],
        '[project]\ndependencies = [\n  "a", # one\n  "b",\n]\n',
    ),
    "last in lines": (
        "pyproject",
        '[project]\ndependencies = [\n  "a", # one\n  "bad>=1" # two\n]\n',
        ["bad"],
        '[project]\ndependencies = [\n  "a" # one\n]\n',
    ),
    "last with comma": (
        "pyproject",
        '[project]\ndependencies = [\n  "a",\n  "bad",\n]\n',
        ["bad"],
        '[project]\ndependencies = [\n  "a",\n]\n',
    ),
    "in one line": (
        "pyproject",
        'project.dependencies = ["a", "bad", "b"] # c\n',
        ["bad"],
        'project.dependencies = ["a", "b"] # c\n',
    ),
    "first in one line": (
        "pyproject",
        'project.dependencies = ["bad", "b"]\n',
        ["bad"],
        'project.dependencies = ["b"]\n',
    ),
    "last in one line": (
        "pyproject",
        'project.dependencies = ["a", "bad"]\n',
        ["bad"],
        'project.dependencies = ["a"]\n',
    ),
    "sole": ("pyproject", 'project.dependencies = ["bad"]\n', ["bad"], "project.dependencies = []\n"),
    "two of three": (
        "pyproject",
        'project.dependencies = ["bad", "a", "evil"]\n',
        ["bad", "evil"],
        'project.dependencies = ["a"]\n',
    ),
    "all": (
        "pyproject",
        'project.dependencies = [\n  "bad",\n  "evil"\n]\n',
        ["bad", "evil"],
        "project.dependencies = [\n]\n",
    ),
    "table key": (
        "pyproject",
        '[tool.poetry.dependencies]\na = "1" # x\nbad = {version = "2"} # y\nb = "3"\n',
        ["bad"],
        '[tool.poetry.dependencies]\na = "1" # x\nb = "3"\n',
    ),
    "dotted keys": (
        "pyproject",
        '[tool.poetry.dependencies]\nbad.version = "1"\na = "1"\nbad.extras = ["q"]\n',
        ["bad"],
        '[tool.poetry.dependencies]\na = "1"\n',
    ),
    "own table": (
        "pyproject",
        (
            '[tool.poetry.dependencies]\na = "1"\n\n[tool.poetry.dependencies.bad]\nversion = "1"\n'
            'extras = [\n "q"\n]\n\n# next\n[x]\n'
        ),
        ["bad"],
        '[tool.poetry.dependencies]\na = "1"\n\n\n# next\n[x]\n',
    ),
    "inline table": (
        "pyproject",
        'tool.poetry.dependencies = {a = "1", bad = "2"}\n',
        ["bad"],
        'tool.poetry.dependencies = {a = "1"}\n',
    ),
    "both places": (
        "pyproject",
        '[project]\ndependencies = ["bad"]\n[dependency-groups]\nx = ["bad", "a"]\n',
        ["bad"],
        '[project]\ndependencies = []\n[dependency-groups]\nx = ["a"]\n',
    ),
    "pipfile": (
        "pipfile",
        '[packages]\na = "*"\nbad = "*"\n\n[requires]\npython_version = "3"\n',
        ["bad"],
        '[packages]\na = "*"\n\n[requires]\npython_version = "3"\n',
    ),
    "setup.cfg": (
        "setup.cfg",
        "[options]\ninstall_requires =\n  a\n  bad>=1\n  b\nzip_safe = no\n",
        ["bad"],
        "[options]\ninstall_requires =\n  a\n  b\nzip_safe = no\n",
    ),
    "setup.cfg, key line": (
        "setup.cfg",
        "[options]\ninstall_requires = bad\n  b\n",
        ["bad"],
        "[options]\ninstall_requires = \n  b\n",
    ),
    "json lines": (
        "package.json",
        '{\n  "dependencies": {\n    "a": "1",\n    "bad": "2",\n    "b": "3"\n  }\n}\n',
        ["bad"],
        '{\n  "dependencies": {\n    "a": "1",\n    "b": "3"\n  }\n}\n',
    ),
    "json last": (
        "package.json",
        '{\n  "dependencies": {\n    "a": "1",\n    "bad": "2"\n  }\n}\n',
        ["bad"],
        '{\n  "dependencies": {\n    "a": "1"\n  }\n}\n',
    ),
    "json, one line": (
        "package.json",
        '{"dependencies":{"bad":"2","a":"1"},"x":1}',
        ["bad"],
        '{"dependencies":{"a":"1"},"x":1}',
    ),
    "json, closed in its line": (
        "package.json",
        '{"dependencies": {\n  "a": "1",\n  "bad": "2" }}\n',
        ["bad"],
        '{"dependencies": {\n  "a": "1" }}\n',
    ),
    "json, only": (
        "package.json",
        '{\n  "dependencies": {\n    "bad": "2"\n  }\n}',
        ["bad"],
        '{\n  "dependencies": {\n  }\n}',
    ),
    "json, doubled": (
        "package.json",
        '{"dependencies": {"bad": "1",\n"a": "1", "bad": "2"}}',
        ["bad"],
        '{"dependencies": {\n"a": "1"}}',
    ),
    "json, bundled and CRLF": (
        "package.json",
        '{\r\n"bundledDependencies": [\r\n\t"bad",\r\n\t"a"\r\n]}',
        ["bad"],
        '{\r\n"bundledDependencies": [\r\n\t"a"\r\n]}',
    ),
    "json, override": (
        "package.json",
        '{"overrides": {"x": {"bad": "1"}, "a": "1"}}',
        ["bad"],
        '{"overrides": {"x": {}, "a": "1"}}',
    ),
    "conda": (
        "environment.yml",
        "dependencies:\n- a # x\n- bad=1 # y\n- pip:\n  - bad2\n  - b\n",
        ["bad", "bad2"],
        "dependencies:\n- a # x\n- pip:\n  - b\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_without(case):
    kind, text, names, expected = CASES[case]
    assert drop(kind, text, *names) == expected


@pytest.mark.parametrize(
    ("kind", "text", "names"),
    [
        ("environment.yml", "dependencies: [a, bad]\n", ["bad"]),
        ("environment.yml", "dependencies:\n- pip:\n  - bad\n", ["bad"]),
        ("setup.cfg", "[options]\ninstall_requires = a; bad\n", ["bad"]),
        ("package.json", '{"dependencies": {"bad": "1",}}', ["bad"]),
    ],
)
def test_what_cannot_be_taken_out_singly(kind, text, names):
    assert drop(kind, text, *names) is None


def test_locks_sources_and_strangers_go_back_whole():
    from supervisor.vocabulary.content import Requirement

    stranger = Requirement("pypi", "bad", "", 1, "requirements")
    assert without("uv.lock", b"", [stranger]) is None
    assert without("python", b"import bad\n", [stranger]) is None
    assert without("requirements", b"a\n", [stranger]) is None
    assert without("requirements", b"bad\0", [stranger]) is None
    assert without("requirements", b"a\nbad\n", [stranger]) is None  # in another line
    assert without("requirements", b"bad\na\n", [stranger]) == b"a\n"


def test_bytes_that_are_no_text_stay():
    text = b'{"dependencies": {"a": "\xff", "bad": "1"}}'
    found = [each.requirement for each in manifest("package.json", text.decode("utf-8", "surrogateescape")).located]
    assert without("package.json", text, found[1:]) == b'{"dependencies": {"a": "\xff"}}'


NAMES = st.sampled_from(["bad", "a", "b-c", "evil", "d.e"])
SPACES = st.sampled_from(["", " ", "\n", "\n    ", " # x, ]\n  ", "\r\n"])


@given(st.lists(st.tuples(NAMES, SPACES, SPACES), max_size=6), st.booleans(), st.sampled_from(["project", "poetry"]))
@settings(max_examples=300)
def test_toml_arrays_keep_all_others(items, trailing, where):
    body = ",".join(f'{before}"{name}"{after}' for name, before, after in items) + ("," if trailing and items else "")
    text = f"# top\n[project] # x\ndependencies = [{body}\n] # end\nrest = 1\n"
    before = [each.requirement for each in manifest("pyproject", text).located]
    doomed = [each for each in before if each.name in ("bad", "evil")]
    result = without("pyproject", text.encode(), doomed)
    if result is None:
        # Only where the same name stays on the same line for one of the two reasons that are told.
        assert not doomed or any(each.line == other.line for each in doomed for other in before)
        return
    names = [name for name, _, _ in items if name not in ("bad", "evil")]
    assert tomllib.loads(result.decode())["project"] == {"dependencies": names, "rest": 1}
    assert result.decode().startswith("# top\n[project] # x\ndependencies = [")
    assert result.decode().endswith("] # end\nrest = 1\n")


@given(st.lists(NAMES, unique=True, max_size=5), st.sampled_from([None, 0, 1, 2, "\t"]), st.booleans(), st.booleans())
@settings(max_examples=200)
def test_json_objects_keep_all_others(names, indent, tight, ends):
    data = {
        "name": "x",
        "dependencies": dict.fromkeys(names, "1"),
        "devDependencies": dict.fromkeys(reversed(names), "2"),
    }
    separators = (",", ":") if tight else (", " if indent is None else ",", ": ")
    text = json.dumps(data, indent=indent, separators=separators) + ("\n" if ends else "")
    doomed = [each.requirement for each in manifest("package.json", text).located if each.requirement.name == "bad"]
    result = without("package.json", text.encode(), doomed)
    for section in ("dependencies", "devDependencies"):
        data[section].pop("bad", None)
    assert result is not None
    assert json.loads(result) == data
    expected = json.dumps(data, indent=indent, separators=separators) + ("\n" if ends else "")
    if data["dependencies"]:
        assert result.decode() == expected
