"""Escape 385: git believes the index of a pack, and looks into packs first. A pack that is added, never one that is
there, makes an existing object id stand for other content: of a note, which the next one would then be built on, or of
what a commit is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

# `lie(ID, TYPE, CONTENT)` adds a pack whose index says that CONTENT is ID.
LIE = r"""
import hashlib, struct, subprocess, sys, zlib
def git(*words):
    return subprocess.run(["git", *words], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
def lie(name, number, content):
    size, byte, head = len(content), (number << 4) | (len(content) & 15), b""
    size >>= 4
    while size:
        head, byte, size = head + bytes([byte | 0x80]), size & 0x7F, size >> 7
    body = head + bytes([byte]) + zlib.compress(content)
    pack = b"PACK" + struct.pack(">II", 2, 1) + body
    ends = hashlib.sha1(pack).digest()
    oid = bytes.fromhex(name)
    fan = b"".join(struct.pack(">I", at >= oid[0]) for at in range(256))
    index = b"\xfftOc" + struct.pack(">I", 2) + fan + oid + struct.pack(">II", zlib.crc32(body), 12) + ends
    for suffix, data in ((".pack", pack + ends), (".idx", index + hashlib.sha1(index).digest())):
        with open(".git/objects/pack/pack-" + ends.hex() + suffix, "wb") as file:
            file.write(data)
"""
NOTE = r"""
head = git("rev-parse", "HEAD")
blob = git("rev-parse", "refs/notes/govrun:" + head)
lie(blob, 3, git("cat-file", "blob", blob).replace("PASSED", "FORGED").encode() + b"\n")
"""
TREE = r"""
tree = git("rev-parse", "refs/notes/govrun^{tree}")
lie(tree, 2, b"100644 " + git("rev-parse", "HEAD").encode() + b"\0" + bytes.fromhex(git("hash-object", "-w", "evil")))
"""


@pytest.mark.parametrize("script", [NOTE, TREE])
def test_notes_are_not_built_on_a_lie(cage: Cage, script: str) -> None:
    """The second run makes no commit, so that it is noted on the same one."""
    assert cage.run("git commit -q --allow-empty -m first").code == 0
    (cage.tree / "lie.py").write_text(LIE + script)
    outcome = cage.run("python3 lie.py")
    show = ("git", "notes", "--ref", "govrun", "show", "HEAD")
    shown = cage.govrun.bare(*show, cwd=cage.tree).stdout
    assert b" PASSED " not in shown, "the lie is there, and believed"
    assert "an object is not what its id says" in outcome.stderr
    for each in (cage.tree / ".git/objects/pack").iterdir():
        each.unlink()
    cage.govrun.cli("recover").ok()
    shown = cage.govrun.bare(*show, cwd=cage.tree).stdout
    assert shown.count(b" 0 govrun/1 PASSED ") == 2, shown
    assert b"FORGED" not in shown


def test_commits_are_judged_by_what_they_are(cage: Cage) -> None:
    """The file is no manifest that says so, as long as the lie is there."""
    cage.both(
        'printf \'version = 1\\n[[dependency]]\\nid = "d"\\nwhy = "w"\\ndeny = ["pypi:requests"]\\n\' > govrun.toml'
    )
    cage.both("git add govrun.toml && git commit -qm policy")
    script = 'blob = git("hash-object", "-w", "bad"); lie(blob, 3, b"httpx\\n")\n'
    script += 'git("update-index", "--add", "--cacheinfo", "100644," + blob + ",requirements.txt")\n'
    (cage.tree / "lie.py").write_text(LIE + script)
    outcome = cage.run(
        "printf 'requests\\n' > bad; python3 lie.py && git commit -qm x requirements.txt; git commit -qm x"
    )
    assert outcome.code != 0
    assert cage.govrun.bare("git", "log", "--format=%s", "-1", cwd=cage.tree).stdout == b"policy\n"
