"""References that are kept between runs."""

import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection.edgecache import EdgeCache, Key, tree_validity
from supervisor.vocabulary.content import Findings, Import, Reference

FOUND = Findings(references=(Reference("src/é.py", "a.b", 3), Reference("", "x", 4, True)), pending="half")
KEY = Key("ab" * 20, "python", b"src/a.py", b"v1")


def filled(folder, **options):
    cache = EdgeCache(folder / "deep" / "cache", **options)
    cache.put(KEY, FOUND)
    cache.flush()
    return cache


def file_of(folder):
    return folder / "deep" / "cache" / "edges"


def test_what_was_put_is_found_by_the_next(tmp_path):
    assert filled(tmp_path).get(KEY) == FOUND
    assert EdgeCache(tmp_path / "deep" / "cache").get(KEY) == FOUND
    assert stat.S_IMODE(file_of(tmp_path).stat().st_mode) == 0o600


@pytest.mark.parametrize("part", Key._fields)
def test_every_part_of_the_key_counts(tmp_path, part):
    other = KEY._replace(**{part: getattr(KEY, part)[:-1] or getattr(KEY, part) * 0})
    assert filled(tmp_path).get(other) is None
    assert Key("a", "bc", b"", b"").digest() != Key("ab", "c", b"", b"").digest()


def test_only_references_are_kept_and_no_refusal(tmp_path):
    cache = EdgeCache(tmp_path)
    cache.put(KEY, FOUND._replace(imports=(Import("pypi", "a", 1),)))
    assert cache.get(KEY) == FOUND
    cache.put(KEY._replace(path=b"b"), Findings(refusal="it takes too long"))
    assert cache.get(KEY._replace(path=b"b")) is None


def test_what_cannot_be_told_is_not_kept(tmp_path):
    cache = EdgeCache(tmp_path)
    cache.put(KEY, Findings(references=(Reference("\udce9", "a"),)))
    cache.put(KEY, Findings(references=(Reference("a" * 3000, "a"),)))
    assert cache.get(KEY) is None


def test_appending_leaves_what_was_there(tmp_path):
    filled(tmp_path)
    before = file_of(tmp_path).read_bytes()
    second = EdgeCache(tmp_path / "deep" / "cache")
    other = KEY._replace(path=b"other")
    second.put(other, Findings())
    second.put(KEY, FOUND)  # known
    second.flush()
    assert file_of(tmp_path).read_bytes().startswith(before)
    third = EdgeCache(tmp_path / "deep" / "cache")
    assert (third.get(KEY), third.get(other)) == (FOUND, Findings())
    second.flush()
    assert file_of(tmp_path).stat().st_size == len(before) + 24 + len(b'F[[], [], "", "", [], [], [], []]')


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_that_is_cut_or_changed_tells_nothing_wrong(tmp_path, data):
    folder = tmp_path / "deep" / "cache"
    keys = [KEY._replace(path=b"%d" % number) for number in range(3)]
    for left in folder.glob("*") if folder.exists() else ():
        left.unlink()
    cache = EdgeCache(folder)
    for number, key in enumerate(keys):
        cache.put(key, Findings(references=(Reference(f"to{number}", "x"),)))
    cache.flush()
    content = bytearray(file_of(tmp_path).read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file_of(tmp_path).write_bytes(content)
    again = EdgeCache(folder)
    for number, key in enumerate(keys):
        assert again.get(key) in (None, Findings(references=(Reference(f"to{number}", "x"),)))
    again.put(KEY, FOUND)
    again.flush()  # made anew: nothing broken is left
    last = EdgeCache(folder)
    assert last.get(KEY) == FOUND
    before = file_of(tmp_path).read_bytes()
    last.put(KEY._replace(path=b"last"), FOUND)
    last.flush()
    assert file_of(tmp_path).read_bytes().startswith(before)


def test_an_answer_of_another_shape_is_not_taken(tmp_path):
    import zlib

    from supervisor.inspection.edgecache import _HEAD, _MAGIC

    for body in (b"F[]", b'F[[], [], "", "", [["../x", 1, 2, 3]], [], [], []]', b"C", b"N", b"", b"[" * 100_000):
        digest = KEY.digest()
        record = _HEAD.pack(len(body), zlib.crc32(body, zlib.crc32(digest)), digest) + body
        (tmp_path / "edges").write_bytes(_MAGIC + record)
        assert EdgeCache(tmp_path).get(KEY) is None


def test_it_stays_small_and_keeps_what_is_used(tmp_path):
    folder = tmp_path / "deep" / "cache"
    most = 20_000
    filled(tmp_path, most=most)
    for number in range(200):
        cache = EdgeCache(folder, most=most)
        assert cache.get(KEY) == FOUND
        cache.put(KEY._replace(path=b"%d" % number), Findings(references=(Reference("x" * 500, "y"),)))
        cache.flush()
        assert file_of(tmp_path).stat().st_size <= most
    assert sorted(os.listdir(folder)) == ["edges"]


def test_no_link_no_device_and_no_folder_is_written(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / "edges").symlink_to(target)
    cache = EdgeCache(tmp_path)
    cache.put(KEY, FOUND)
    cache.flush()
    assert target.read_bytes() == b"mine"
    assert not (tmp_path / "edges").is_symlink()
    os.unlink(tmp_path / "edges")
    os.mkfifo(tmp_path / "edges")
    assert EdgeCache(tmp_path).get(KEY) is None
    os.unlink(tmp_path / "edges")
    (tmp_path / "edges").mkdir()
    broken = EdgeCache(tmp_path)
    broken.put(KEY, FOUND)
    broken.flush()
    assert broken.get(KEY) == FOUND
    assert [name for name in os.listdir(tmp_path) if name.endswith(".new")] == []


def test_validity():
    tree = [(b"a.py", 0o100644, b"1"), (b"go.mod", 0o100644, b"2"), (b"l", 0o120000, b"3")]
    told = tree_validity(b"/t", tree)
    assert told == tree_validity(b"/t", reversed(tree))
    assert told == tree_validity(b"/t", [(b"a.py", 0o100755, b"9"), *tree[1:]])  # what a source says moves no other
    assert told != tree_validity(b"/u", tree)
    assert told != tree_validity(b"/t", tree[1:])
    assert told != tree_validity(b"/t", [*tree, (b"b.py", 0o100644, b"1")])
    assert told != tree_validity(b"/t", [tree[0], (b"go.mod", 0o100644, b"9"), tree[2]])
    assert told != tree_validity(b"/t", [*tree[:2], (b"l", 0o120000, b"9")])
    assert told != tree_validity(b"/t", [*tree[:2], (b"l", 0o100644, b"3")])
    for name in (b"x/tsconfig.base.json", b"x/Cargo.toml", b"lib.rs", b"SETUP.CFG"):
        assert tree_validity(b"/t", [(name, 0o100644, b"1")]) != tree_validity(b"/t", [(name, 0o100644, b"2")])
