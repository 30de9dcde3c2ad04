"""rename, renameat, renameat2."""

from __future__ import annotations

import os

import kit
from kit import AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, case, look, names, put, raw, t, text


def _re(old: bytes, new: bytes, flags: int = 0) -> object:
    return raw("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)


def _scene() -> None:
    for where in ("empty", "empty2", "full", "full2"):
        os.mkdir(where)
    for path in ("f", "g", "full/in", "full2/in"):
        put(path, path)
    os.symlink("f", "lf")
    os.symlink("full", "ld")
    os.symlink("nowhere", "dangling")
    os.mkfifo("p")
    os.link("f", "same")


@case
def matrix() -> object:
    """Every kind over every kind, with every flag."""
    kinds = (
        b"f",
        b"empty",
        b"full",
        b"lf",
        b"ld",
        b"dangling",
        b"p",
        b"same",
        b"missing",
        b"missing/x",
        b"f/x",
        b"full/in",
    )
    seen = {}
    number = 0
    for flags in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
        for old in kinds:
            for new in (
                b"g",
                b"empty2",
                b"full2",
                b"full2/in",
                b"lf",
                b"p",
                b"same",
                b"new",
                b"full/new",
                b"missing/y",
                b"g/y",
                *kinds,
            ):
                number += 1
                os.mkdir(f"{number}")
                os.chdir(f"{number}")
                _scene()
                result = _re(old, new, flags)
                here = [n for where in (".", "full", "full2") for n in names(where) if os.path.isdir(where)]
                seen[f"{flags} {old.decode()} {new.decode()}"] = [
                    result,
                    "".join(n[0] for n in here),
                    len(here),
                    text("f"),
                    text("g"),
                ]
                os.chdir("..")
    return seen


@case
def plain_calls() -> object:
    _scene()
    return [
        raw("rename", b"f", b"h"),
        raw("renameat", AT_FDCWD, b"h", AT_FDCWD, b"full/h"),
        t(os.replace, "full/h", "g"),
        names(),
        text("g"),
        look("same")["nlink"],
    ]


@case
def content_moves() -> object:
    put("old", "old")
    put("new", "new")
    fd = os.open("old", os.O_RDONLY)
    inode = os.stat("old").st_ino
    os.rename("old", "new")
    return [text("new"), os.stat("new").st_ino == inode, os.path.basename(os.readlink(f"/proc/self/fd/{fd}")), names()]


@case
def exchange() -> object:
    put("a", "1")
    put("b", "2")
    os.makedirs("d/sub")
    first = _re(b"a", b"b", RENAME_EXCHANGE)
    second = _re(b"a", b"d", RENAME_EXCHANGE)
    third = _re(b"b", b"d/missing", RENAME_EXCHANGE)
    fourth = _re(b"a", b"a/sub", RENAME_EXCHANGE)
    return [first, second, third, fourth, text("b"), text("d"), names("a"), names()]


@case
def odd_flags() -> object:
    put("a", "1")
    put("b", "2")
    return [
        _re(b"a", b"b", RENAME_NOREPLACE | RENAME_EXCHANGE),
        _re(b"a", b"c", 8),
        _re(b"a", b"c", 1 << 31),
        _re(b"a", b"b", RENAME_EXCHANGE | RENAME_WHITEOUT),
        _re(b"a", b"b", RENAME_NOREPLACE),
        _re(b"a", b"c", RENAME_NOREPLACE),
        _re(b"c", b"c", RENAME_NOREPLACE),
        _re(b"c", b"c", 0),
        _re(b"c", b"c", RENAME_EXCHANGE),
        names(),
    ]


@case
def into_itself() -> object:
    os.makedirs("a/b/c")
    return [
        _re(b"a", b"a/b/x"),
        _re(b"a", b"a/b/c"),
        _re(b"a/b/c", b"a"),
        _re(b"a/b", b"a"),
        _re(b"a", b"a"),
        _re(b"a/.", b"x"),
        _re(b"a/..", b"x"),
        _re(b".", b"x"),
        _re(b"..", b"x"),
        _re(b"a", b"."),
        _re(b"a", b"b/.."),
        names(),
    ]


@case
def slashes() -> object:
    put("f", "1")
    os.mkdir("d")
    return [
        _re(b"f/", b"x"),
        _re(b"f", b"x/"),
        _re(b"d/", b"e/"),
        _re(b"e", b"g//"),
        _re(b"g/", b"f"),
        _re(b"g/", b"f/"),
        _re(b"f", b"g/"),
        names(),
    ]


@case
def across_directories() -> object:
    os.makedirs("a/deep/er")
    os.makedirs("b")
    put("a/deep/er/f", "1")
    first = _re(b"a/deep", b"b/deep")
    second = _re(b"b/deep/er", b"a/er")
    os.chdir("a/er")
    third = _re(b"f", b"../../top")
    return [first, second, third, names("../.."), names("../../b/deep"), names("../../a")]


@case
def directory_with_open_and_working_users() -> object:
    os.makedirs("a/w")
    put("a/f", "1")
    fd = os.open("a/f", os.O_WRONLY | os.O_APPEND)
    os.chdir("a/w")
    os.rename("../../a", "../../z")
    os.write(fd, b"2")
    put("here", "3")
    return [text("../f"), names("../.."), names("../../z/w")]


@case
def over_many_links() -> object:
    put("f", "1")
    os.link("f", "g")
    return [_re(b"f", b"g"), names(), look("g")["nlink"], raw("rename", b"g", b"f"), names()]


@case
def moved_to_another_device() -> object:
    """EXDEV sends mv to copying: must be the same answer."""
    import shutil
    import tempfile

    put("f", "1")
    there = tempfile.mkdtemp(dir="/dev/shm").encode()
    try:
        seen = [
            _re(b"f", there + b"/f"),
            raw("linkat", AT_FDCWD, b"f", AT_FDCWD, there + b"/f", 0),
            _re(b"f", there + b"/f", RENAME_EXCHANGE),
        ]
        shutil.move("f", os.fsdecode(there) + "/f")
        return [seen, names(), names(there), t(os.rename, there + b"/f", there + b"/g"), names(there)]
    finally:
        shutil.rmtree(there)


@case
def large_directory() -> object:
    """A directory of thousands of files moves like any other."""
    os.makedirs("big/deep")
    for number in range(3000):
        os.close(os.open(f"big/deep/{number}", os.O_WRONLY | os.O_CREAT, 0o644))
    return [_re(b"big", b"moved"), _re(b"moved/deep", b"deep"), len(os.listdir("deep")), names()]


@case
def directories_nobody_can_list() -> object:
    """Moving needs write access to the parents, not to what lies inside."""
    for mode in (0, 0o300, 0o100, 0o700):
        os.makedirs(f"d{mode:o}/in/ner")
        os.chmod(f"d{mode:o}/in", mode)
    seen = [_re(b"d%o" % mode, b"e%o" % mode) for mode in (0, 0o300, 0o100, 0o700)]
    inner = [_re(b"e%o/in" % mode, b"e%o/out" % mode) for mode in (0, 0o300, 0o100, 0o700)]
    return [seen, inner, names()]


kit.main()
