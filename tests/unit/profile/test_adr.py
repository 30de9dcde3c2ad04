"""Decision records: what a reference means, what binds, what a record carries itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem
from pyfakefs.helpers import reset_ids, set_uid

import supervisor.profile.frontmatter  # noqa: F401 - pyfakefs unloads what is first imported inside it; C extensions break
from supervisor.profile.load import load, packs_dir
from supervisor.profile.model import Profile
from supervisor.vocabulary.errors import ProfileError

RULE = "[[rule]]\nid = 'a'\nadr = '{ref}'\nmatch = 'x'\n"


@pytest.fixture
def tree(fs: FakeFilesystem) -> Iterator[Path]:
    set_uid(0)  # else the fake parents of the real folder belong to somebody else; no case here is about permissions
    fs.add_real_directory(packs_dir())
    fs.create_dir("/tree/docs/adr")
    yield Path("/tree")
    reset_ids()


def write(tree: Path, name: str, text: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def loaded(tree: Path, ref: str = "7", head: str = "") -> Profile:
    write(tree, "govrun.toml", head + RULE.format(ref=ref))
    return load(tree)


def refused(tree: Path, ref: str = "7", head: str = "") -> list[str]:
    with pytest.raises(ProfileError) as caught:
        loaded(tree, ref, head)
    return caught.value.why.splitlines()


@pytest.mark.parametrize("ref", ["7", "0007", "ADR-7", "ADR-007", "adr-0007", "0007-x.md", "docs/adr/0007-x.md"])
def test_spellings_of_a_reference(tree: Path, ref: str) -> None:
    write(tree, "docs/adr/0007-x.md", "---\nstatus: accepted\n---\n# Seven\n")
    write(tree, "docs/adr/0070-y.md", "---\nstatus: accepted\n---\n# Seventy\n")
    adr = loaded(tree, ref).rules[0].adr
    assert adr is not None
    assert (adr.ref, adr.path, adr.status, adr.title) == (ref, "docs/adr/0007-x.md", "accepted", "Seven")


def test_an_exact_id_goes_before_a_number(tree: Path) -> None:
    write(tree, "docs/adr/0007-x.md", "---\nstatus: accepted\n---\n")
    write(tree, "docs/adr/use-tabs.md", "---\nid: '7'\nstatus: accepted\n---\n")
    adr = loaded(tree, "7").rules[0].adr
    assert adr is not None
    assert adr.path == "docs/adr/use-tabs.md"
    assert refused(tree, "8")[0].startswith(
        'govrun.toml:3: "8" is no decision record in docs/adr; there are: 0007-x.md'
    )


def test_an_id_is_taken_as_written(tree: Path) -> None:
    write(tree, "docs/adr/a.md", "---\nid: 0010\nstatus: accepted\n---\n")  # YAML would say 8
    assert loaded(tree, "0010").adrs[0].id == "0010"
    assert len(refused(tree, "8")) == 1


def test_several_candidates(tree: Path) -> None:
    write(tree, "docs/adr/0007-x.md", "---\nstatus: accepted\n---\n")
    write(tree, "docs/adr/old/7-y.md", "---\nstatus: accepted\n---\n")
    assert refused(tree) == [
        'govrun.toml:3: "7" means several decision records: docs/adr/0007-x.md, docs/adr/old/7-y.md'
    ]


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("../7.md", '"../7.md": a decision record lies inside the tree'),
        ("/etc/7.md", '"/etc/7.md": a decision record lies inside the tree'),
        ("0008-x.md", '"0008-x.md" does not exist (did you mean "0007-x.md"?)'),
        ("seven", '"seven" is no decision record in docs/adr; there are: 0007-x.md'),
    ],
)
def test_references_to_nothing(tree: Path, ref: str, told: str) -> None:
    write(tree, "docs/adr/0007-x.md", "---\nstatus: accepted\n---\n")
    assert refused(tree, ref) == [f"govrun.toml:3: {told}"]


def test_no_folder(tree: Path) -> None:
    os.rmdir(tree / "docs/adr")
    (line,) = refused(tree)
    assert line.startswith('govrun.toml:3: "7": there is no folder of decision records; set "adr_dir"')


@pytest.mark.parametrize("folder", ["docs/decisions", "doc/adr", "adr"])
def test_default_folders(tree: Path, folder: str) -> None:
    os.rmdir(tree / "docs/adr")
    write(tree, f"{folder}/7.md", "Status: accepted\n")
    assert loaded(tree).adrs[0].path == f"{folder}/7.md"


def test_adr_dir(tree: Path) -> None:
    write(tree, "records/7.md", "* Status: accepted\n")
    assert loaded(tree, head="adr_dir = 'records'\n").adrs[0].path == "records/7.md"


ACCEPTED = [
    "---\nstatus: accepted\n---\n",
    "---\nstatus: 'Accepted'\n---\n## Status\n\nRejected\n",
    "\n---\nstatus: accepted\n...\n",
    "# 7. X\n\n## Status\n\nAccepted\n\n## Context\n\nsuperseded\n",
    "# X\r\n\r\n## Status\r\n\r\nAccepted\r\n",
    "# X\n\n## Status ##\n**Accepted** (2026-01-01)\n",
    "# X\n\n* Status: accepted\n* Date: 2026-01-01\n",
    "# X\n\n## Status\n\nAccepted\n\nAmends [3](3.md)\n",
    "\ufeff---\nstatus: accepted\n---\n",
]
IDLE = [
    ("---\nstatus: proposed\n---\n", "proposed"),
    ("---\nstatus: superseded by ADR-0012\n---\n", "superseded by ADR-0012"),
    ("# X\n\n## Status\n\nAccepted\n\nSuperceded by [12](12.md)\n", "Superceded by [12](12.md)"),
    ("# X\n\n## Status\n\nDeprecated\n", "Deprecated"),
    ("# X\n\nStatus: rejected\n", "rejected"),
    ("---\nstatus: [accepted]\n---\n", "not a word"),
    ("---\nstatus: {a: b}\n---\n", "not a word"),
    ("---\nstatus: draft\n---\n## Status\n\nAccepted\n", "draft"),
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_binds(tree: Path, text: str) -> None:
    write(tree, "docs/adr/7.md", text)
    profile = loaded(tree)
    assert profile.adrs[0].status == "accepted"
    assert profile.warnings == ()


@pytest.mark.parametrize(("text", "status"), IDLE)
def test_anything_else_does_not_bind(tree: Path, text: str, status: str) -> None:
    write(tree, "docs/adr/7.md", text)
    assert refused(tree) == [
        f'govrun.toml:3: docs/adr/7.md does not bind: its status is "{status}", only "accepted" does'
    ]


def test_a_misspelt_status(tree: Path) -> None:
    write(tree, "docs/adr/7.md", "---\nstatus: acepted\n---\n")
    assert 'its status is "acepted" (did you mean "accepted"?)' in refused(tree)[0]


@pytest.mark.parametrize("text", ["# 7. X\n\nWe decided.\n", "---\ndate: 2026-01-01\n---\n", "---\nstatus:\n---\n", ""])
def test_no_status_counts_with_a_warning(tree: Path, text: str) -> None:
    write(tree, "docs/adr/7.md", text)
    profile = loaded(tree)
    assert profile.adrs[0].status == ""
    assert profile.warnings == ("docs/adr/7.md: has no status; taken as accepted",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("---\nstatus: accepted\nfoo: [1\n---\n", "docs/adr/7.md:4: is not valid YAML: "),
        ("---\n- a\n---\n", "docs/adr/7.md:2: front matter must be a mapping"),
        ("---\nstatus: accepted\nstatus: accepted\n---\n", 'docs/adr/7.md:3: the key "status" stands twice'),
        ("---\nx: !!python/object:os.system a\n---\n", "docs/adr/7.md:2: is not valid YAML: "),
        ("---\nx: " + "[" * 100_000 + "\n---\n", "docs/adr/7.md:"),
        (
            "---\na: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8))
            + "---\n",
            "docs/adr/7.md:2: front matter has too many elements",
        ),
    ],
    ids=["open", "list", "twice", "tag", "deep", "aliases"],
)
def test_bad_front_matter(tree: Path, text: str, told: str) -> None:
    write(tree, "docs/adr/7.md", text)
    lines = refused(tree)
    assert [line for line in lines if line.startswith(told)], lines


def enforcing(entries: str, status: str = "accepted") -> str:
    return f"---\nstatus: {status}\nenforces:\n{entries}---\n# Nine\n"


ENTRY = "  - dependency: { id: no-x, deny: ['pypi:x'] }\n"


def own(profile):
    """Rules that no pack brings."""
    return [rule for rule in profile.rules if not rule.layer.startswith("pack:")]


def test_a_record_carries_rules(tree: Path) -> None:
    write(tree, "docs/adr/9.md", enforcing(ENTRY + "  - secrets:\n      id: no-keys\n      then: warn\n"))
    write(tree, "docs/adr/7.md", "Status: accepted\n")
    profile = loaded(tree, head="default = { then = 'observe' }\n")
    assert [(rule.id, rule.then, rule.source) for rule in own(profile)] == [
        ("a", "observe", "govrun.toml:2"),
        ("no-x", "revert", "docs/adr/9.md:4"),
        ("no-keys", "warn", "docs/adr/9.md:5"),
    ]
    assert own(profile)[1].adr == own(profile)[2].adr
    assert {adr.path for adr in profile.adrs} == {"docs/adr/7.md", "docs/adr/9.md"}
    assert [source.name for source in profile.sources] == [
        *("govrun.toml", "pack:default", "docs/adr/7.md", "docs/adr/9.md"),
    ]
    assert profile.protected_files == ("/tree/govrun.toml", "/tree/docs/adr/7.md", "/tree/docs/adr/9.md")


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ("  - dependancy: { id: x }\n", '9.md:4: unknown kind "dependancy" (did you mean "dependency"?)'),
        ("  - dependency: { id: x, deny: ['x'] }\n", '9.md:4: "x" names no ecosystem'),
        (
            "  - dependency:\n      id: x\n      dny: ['x']\n      install: lock-only\n",
            '9.md:6: unknown key "dny" in [[dep',
        ),
        ("  - dependency: { id: x, install: lock-only, adr: '7' }\n", '9.md:4: "adr" has no meaning here'),
        ("  - dependency: [1]\n", '9.md:4: "dependency" must be a table, not a list'),
        ("  - scope: { write: [] }\n", '9.md:4: unknown kind "scope"'),
        ("  - 5\n", '9.md:4: an element of "enforces" is one kind with its fields'),
        ("  - { rule: {}, deploy: {} }\n", '9.md:4: an element of "enforces" is one kind with its fields'),
        ("  - 5: { id: x }\n", '9.md:4: unknown kind "?"'),
        (ENTRY + ENTRY, '9.md:5: duplicate id "no-x", already used at docs/adr/9.md:4'),
        ("  - rule: { id: a, match: x }\n", '9.md:4: duplicate id "a", already used at govrun.toml:1'),
        ("  - rule: { id: b, match: x, until: 2020-01-01 }\n", "9.md:4: expired on 2020-01-01"),
    ],
)
def test_what_a_record_gets_wrong(tree: Path, entries: str, told: str) -> None:
    write(tree, "docs/adr/7.md", "Status: accepted\n")
    write(tree, "docs/adr/9.md", enforcing(entries))
    lines = refused(tree)
    assert len(lines) == 1, lines
    assert lines[0].startswith("docs/adr/" + told)


def test_enforces_must_be_a_list(tree: Path) -> None:
    write(tree, "docs/adr/7.md", "---\nstatus: accepted\nenforces: yes\n---\n")
    assert refused(tree) == ['docs/adr/7.md:3: "enforces" must be a list of one-key tables, not true or false']


def test_idle_records_do_not_bind_and_say_so(tree: Path) -> None:
    write(tree, "docs/adr/7.md", "Status: accepted\n")
    write(tree, "docs/adr/9.md", enforcing(ENTRY, "proposed"))
    profile = loaded(tree)
    assert [rule.id for rule in own(profile)] == ["a"]
    assert profile.warnings == ("docs/adr/9.md: is proposed; what it enforces does not bind",)


def test_an_unknown_status_does_not_unbind_silently(tree: Path) -> None:
    write(tree, "docs/adr/7.md", enforcing(ENTRY, "acepted"))
    assert 'docs/adr/7.md:2: unknown status "acepted" (did you mean "accepted"?); only "accepted" binds' in refused(
        tree
    )


def test_a_misspelt_enforces(tree: Path) -> None:
    write(tree, "docs/adr/7.md", "---\nstatus: accepted\nenforce:\n" + ENTRY + "---\n")
    assert loaded(tree).warnings == ('docs/adr/7.md: "enforce" binds nothing (did you mean "enforces"?)',)


def test_enforces_outside_front_matter(tree: Path) -> None:
    write(tree, "docs/adr/7.md", "# X\n\nStatus: accepted\n\nenforces:\n  - x\n")
    assert loaded(tree).warnings == ('docs/adr/7.md: "enforces" stands outside the front matter and does not bind',)


def test_front_matter_that_never_ends(tree: Path) -> None:
    write(tree, "docs/adr/7.md", "Status: accepted\n")
    write(tree, "docs/adr/9.md", "---\nstatus: accepted\nenforces:\n" + ENTRY + "# Nine\n\nText: here: and: there\n")
    assert refused(tree)[0].startswith("docs/adr/9.md:7: is not valid YAML: ")


def test_prose_in_other_encodings_is_no_error(tree: Path) -> None:
    write(tree, "docs/adr/7.md", "Status: accepted\n")
    (tree / "docs/adr/8.md").write_bytes(b"# caf\xe9\n")
    assert loaded(tree).warnings == ()
    (tree / "docs/adr/8.md").write_bytes(b"---\nenforces:\n# caf\xe9\n---\n")
    assert refused(tree) == ["docs/adr/8.md:3: is not UTF-8 (byte 0xe9)"]


def test_links(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside.md"
    write(tree, "real/seven.md", "Status: accepted\n")
    (tree / "adr").mkdir()
    (tree / "adr/7.md").symlink_to("../real/seven.md")
    assert set(loaded(tree).protected_files) == {
        *(str(tree / name) for name in ("govrun.toml", "adr/7.md", "real/seven.md")),
    }
    outside.write_text("Status: accepted\n")
    (tree / "adr/7.md").unlink()
    (tree / "adr/7.md").symlink_to(outside)
    lines = refused(tree)
    assert "adr/7.md: is a link that leads out of the tree" in lines
    os.unlink(tree / "adr/7.md")
    os.mkfifo(tree / "adr/7.md")
    assert "adr/7.md: is a FIFO, not a regular file" in refused(tree)


def test_yaml_is_imported_only_for_records(tmp_path: Path) -> None:
    """PyYAML costs more than everything else the loader does."""
    write(tmp_path, "adr/1.md", "# no front matter is read\n")
    write(tmp_path, "govrun.toml", "[scope]\nwrite = ['a']\n")
    code = "import sys; from supervisor.profile.load import load; load(sys.argv[1]); print(sorted(sys.modules))"
    root = str(Path(__file__).parents[3])
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": root, "PATH": os.environ["PATH"]},
    ).stdout
    assert "'tomllib'" in out
    for name in (
        "yaml",
        "difflib",
        "pathspec",
        "pathlib",
        "dataclasses",
        "subprocess",
        "shlex",
        "ipaddress",
        "logging",
    ):
        assert f"'{name}'" not in out, name
