"""Escape 31: a mapping writes without write(2); its descriptor must have come from a judged open."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
import mmap
fd = os.open(VICTIM, os.O_RDONLY)
def store():
    with mmap.mmap(fd, 8, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as area:
        area[:1] = b"X"
def later():
    area = mmap.mmap(fd, 8, mmap.MAP_SHARED, mmap.PROT_READ)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    assert sc(10, address & ~4095, 4096, 3) == "ok"
print(json.dumps([attempt(store), attempt(os.open, VICTIM, os.O_RDWR)]))
"""


def test_shared_mapping(cage: Cage) -> None:
    cage.escape(cage.script(CODE), cage.WRITE, bare=False)
    code = "import mmap\nfd = os.open(VICTIM, os.O_RDWR)\nmmap.mmap(fd, 8)[:1] = b'X'"
    cage.escape(cage.script(code), cage.WRITE)


def test_mapping_in_the_tree_works(cage: Cage) -> None:
    code = "import mmap\nopen('m', 'wb').write(b'abc')\nwith open('m', 'r+b') as f: mmap.mmap(f.fileno(), 3)[:1] = b'X'"
    cage.run(cage.script(code)).ok()
    assert (cage.tree / "m").read_bytes() == b"Xbc"
