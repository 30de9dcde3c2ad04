"""argv -> what a package manager would bring in."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.commands.installs import installation, is_manager
from supervisor.commands.tools import TOOLS
from supervisor.vocabulary.content import Installation


def asked(line: str, program: str = "") -> Installation | None:
    argv = tuple(word.encode() for word in shlex.split(line))
    return installation(argv, program.encode() or argv[0])


def packages(line: str) -> str:
    """``name versions`` of each package, joined by ``, ``; ``-`` for what installs nothing."""
    found = asked(line)
    if found is None:
        return "-"
    return ", ".join(f"{each.name} {each.versions}".strip() for each in found.packages)


PYPI = [
    ("pip install -q -U 'requests>=2' --index-url https://index.example/simple x[extra]==1", "requests >=2, x ==1"),
    ("pip install -r req.txt -c con.txt", ""),
    ("pip install --req req.txt x", "x"),
    ("pip install --no-binary :all: a", "a"),
    ("pip install -qqr req.txt a -tlib b", "a, b"),
    ("pip install 'a ; python_version<\"3\"' 'b (>=1)' Zope.Interface", "a, b >=1, zope-interface"),
    ("pip install git+https://forge.example/psf/requests.git@v2", "requests"),
    ("pip install git+ssh://git@forge.example/psf/x#egg=requests&subdirectory=y", "requests"),
    ("pip install 'git+https://forge.example/%72equests'", "requests"),
    ("pip install https://forge.example/psf/requests/archive/main.zip", "requests"),
    ("pip install ./requests-2.0-py3-none-any.whl requests-2.1.tar.gz", "requests 2.0, requests 2.1"),
    ("pip install 'requests @ https://files.example/x.zip'", "requests"),
    ("pip --proxy P install z", "z"),
    ("pip --quiet --log=l download z", "z"),
    ("pip wheel z", "z"),
    ("pip install -- z", "z"),
    ("pip3.12 install z", "z"),
    ("pip uninstall z", "-"),
    ("pip list", "-"),
    ("pip", "-"),
    ("python -I -m pip install q", "q"),
    ("python3 -W ignore -X dev -Impip install q", "q"),
    ("pypy3 -m pip._internal install q", "q"),
    ("python3.12 /x/bin/pip install q", "q"),
    ("python /x/site-packages/pip/__main__.py install q", "q"),
    ("python -c 'import pip' install q", "-"),
    ("python -m http.server", "-"),
    ("python -m uv pip install q", "q"),
    ("uv --project p add q 'r>1'", "q, r >1"),
    ("uv add --no-binary q", "q"),
    ("uv add --dev --group g -r req.txt", ""),
    ("uv pip install -q q", "q"),
    ("uv pip sync req.txt", ""),
    ("uv pip list", "-"),
    ("uv sync", ""),
    ("uv run pytest requests", "-"),
    ("uv run --with q pytest --with z", "q"),
    ("uv tool install ruff@0.4", "ruff 0.4"),
    ("uv tool run --from 'x==1' y z", "x ==1"),
    ("uvx ruff check", "ruff"),
    ("pipx install q", "q"),
    ("pipx run --spec x y z", "x"),
    ("pipx inject env a b", "a, b"),
    ("poetry add -G dev requests@^2.28 'b>=1' c@latest", "requests ^2.28, b >=1, c"),
    ("poetry -C dir install", ""),
    ("poetry show requests", "-"),
    ("pdm add -dG test q", "q"),
    ("pipenv install --dev q", "q"),
    ("conda install q", "-"),
]


@pytest.mark.parametrize(("line", "expected"), PYPI)
def test_python_tools(line: str, expected: str) -> None:
    assert packages(line) == expected


NPM = [
    ("npm i lodash@4 @s/x@^1 foo@npm:lodash@4 -D --save-exact", "lodash 4, @s/x ^1, lodash 4"),
    ("npm i git+https://forge.example/a/b.git ./local owner/name#semver:^1", "b, , name"),
    ("npm i https://r.example/@s/x/-/x-1.0.0.tgz ./lodash-4.0.0.tgz", "@s/x, lodash"),
    ("npm i Lodash@latest x@https://r.example/x.tgz", "lodash, x"),
    ("npm --prefix x i y", "y"),
    ("npm -C x --loglevel silent i y", "y"),
    ("npm i --tag next y --registry https://r.example", "y"),
    ("npm i --prefix --save y", "y"),
    ("npm --sa i y", "y"),
    ("npm install -registry https://r.example y", "y"),
    *(
        (f"npm {word} y", "y")
        for word in "i in ins inst insta instal isnt add update up upgrade upd it link ln".split()
    ),
    ("npm installTest y", "y"),
    ("npm un y", "-"),
    ("npm a y", "-"),
    ("npm ci", ""),
    ("npm run add y", "-"),
    ("npm audit fix", ""),
    ("npm audit", "-"),
    ("npm exec -- tsc -p x", "tsc"),
    ("npm exec tsc --package typescript", "typescript"),
    ("npm x tsc", "tsc"),
    ("npm init vite@latest my-app", "create-vite"),
    ("npm create @s", "@s/create"),
    ("npm create @s/x@2", "@s/create-x 2"),
    ("npm init -y", "-"),
    ("npx tsc -p x", "tsc"),
    ("npx -p typescript tsc", "typescript"),
    ("npx --yes cowsay@1 hi", "cowsay 1"),
    ("npx", "-"),
    ("pnpm -w add y", "y"),
    ("pnpm --filter a add y", "y"),
    ("pnpm recursive add y", "y"),
    ("pnpm dlx y z", "y"),
    ("pnpm exec tsc", "-"),
    ("pnpx y", "y"),
    ("yarn", ""),
    ("yarn --cwd d add y", "y"),
    ("yarn workspace a add y", "y"),
    ("yarn workspaces foreach -A add y", "y"),
    ("yarn global add y", "y"),
    ("yarn build", "-"),
    ("yarn dlx -p typescript tsc", "typescript"),
    ("bun a y", "y"),
    ("bun add -p y", "y"),
    ("bun run y", "-"),
    ("bunx y", "y"),
    ("node /usr/lib/node_modules/npm/bin/npm-cli.js add y", "y"),
    ("node --require ./x.js /x/yarn.js add y", "y"),
    ("node server.js add y", "-"),
    ("corepack pnpm@9 add y", "y"),
]


@pytest.mark.parametrize(("line", "expected"), NPM)
def test_node_tools(line: str, expected: str) -> None:
    assert packages(line) == expected


LOCKED = [
    ("npm ci", True),
    ("npm install", False),
    ("npm install-clean", True),
    ("uv sync --locked", True),
    ("uv sync --frozen", True),
    ("uv sync", False),
    ("uv add --frozen x", False),
    ("pip install --require-hashes -r r.txt", True),
    ("pip install --require-hashes x==1", False),
    ("yarn install --immutable", True),
    ("yarn --frozen-lockfile", True),
    ("yarn --frozen-lockfile=false", False),
    ("pnpm i --frozen-lockfile", True),
    ("pnpm i --frozen-lockfile --no-frozen-lockfile", False),
    ("bun ci", True),
    ("poetry install", True),
    ("poetry update", False),
    ("pipenv install --deploy", True),
]


@pytest.mark.parametrize(("line", "expected"), LOCKED)
def test_what_a_lock_alone_says(line: str, expected: bool) -> None:
    found = asked(line)
    assert found is not None
    assert found.from_lock is expected


def test_files_of_requirements() -> None:
    found = asked("pip install -r a.txt --requirement=b.txt -rc.txt -c d.txt")
    assert found == Installation("pip", "pypi", (), (b"a.txt", b"b.txt", b"c.txt"))


def test_where_packages_come_from() -> None:
    found = asked("pip install a --index-url https://i.example -e ./b")
    assert found is not None
    assert [each.origin for each in found.packages] == ["./b", "https://i.example"]
    found = asked("uv sync --index mine=https://i.example")
    assert found is not None
    assert [(each.name, each.origin) for each in found.packages] == [("", "https://i.example")]


def test_the_program_counts_before_the_name_it_was_given() -> None:
    found = installation((b"ls", b"install", b"x"), b"/x/bin/pip")
    assert found is not None
    assert found.packages[0].name == "x"
    assert installation((b"/x/npm", b"i", b"x"), b"/usr/bin/ls") is not None
    assert installation((b"npm", b"-m", b"pip", b"install", b"x"), b"/usr/bin/python3") is not None


def test_who_is_a_package_manager() -> None:
    assert is_manager(b"/usr/bin/python3", (b"python3", b"-m", b"pip", b"list"))
    assert is_manager(b"/usr/lib/node_modules/npm/bin/npm-cli.js", (b"npm",))
    assert not is_manager(b"/usr/bin/python3", (b"python3", b"x.py"))
    assert not is_manager(b"/usr/bin/bash", ())


def test_what_may_lie_in_the_tree_already_is_marked() -> None:
    places = {line: asked(line).packages[0].place for line in ("npx tsc", "npx tsc@5", "npx -p tsc x", "uvx ruff")}  # type: ignore[union-attr]
    assert places == {"npx tsc": "run", "npx tsc@5": "argv", "npx -p tsc x": "argv", "uvx ruff": "argv"}


WORDS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"install", b"add", b"-r", b"--", b"-", b"-m", b"pip", b"run", b"exec", b"--index-url", b"@", b"=", b""]
    ),
)


@given(st.sampled_from([name.encode() for name in (*TOOLS, "python3", "node", "corepack", "ls")]), st.lists(WORDS))
def test_every_argv_is_answered(tool: bytes, words: list[bytes]) -> None:
    argv = (tool, *words)
    found = installation(argv, b"/usr/bin/" + tool)
    assert found is None or is_manager(b"/usr/bin/" + tool, argv)
    installation(tuple(words), words[0] if words else b"")


@given(st.sampled_from(["pip install", "npm i", "uv add", "poetry add", "pnpm add", "yarn add", "bun add", "pdm add"]),
       st.lists(st.sampled_from(["-x", "-q", "--foo", "--foo=1", "-D", "--save-dev", "--upgrade", "-U"])),
       st.lists(st.sampled_from(["-x", "--pre", "--dev", "-E"])))  # fmt: skip
def test_flags_never_hide_a_package(command: str, before: list[str], after: list[str]) -> None:
    if command in ("poetry add", "pip install"):
        before, after = [word for word in before if word != "-x"], [word for word in after if word != "-E"]
    found = asked(f"{command} {' '.join(before)} lodash {' '.join(after)}")
    assert found is not None
    assert "lodash" in [each.name for each in found.packages]
