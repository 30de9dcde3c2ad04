"""Programs that are no tool of the catalogue and start no other one: the usual answer, without loading how the others
are read."""

from __future__ import annotations

import os

from supervisor.vocabulary.commands import Command

_CATALOGUE = os.path.join(os.path.dirname(__file__), "catalogue")
_PLAIN = frozenset(
    (
        b"true false test [ echo printf cat ls mkdir rmdir rm cp mv ln touch chmod chown stat readlink realpath "
        b"dirname basename pwd date sleep uname whoami id hostname head tail wc sort uniq cut tr sed grep egrep fgrep "
        b"awk gawk mawk diff cmp comm tee od xxd sum md5sum sha1sum sha256sum expr seq yes mktemp install cc gcc g++ "
        b"cpp clang ld as ar nm ranlib strip objdump cc1 cc1plus collect2 tput stty tty clear less more file which "
        b"getconf locale dircolors lesspipe nproc free df du ps"
    ).split()
)
_SHELLS = frozenset(b"sh bash dash".split())


def tools() -> frozenset[str]:
    """The names of the catalogue."""
    return frozenset(name[:-5] for name in os.listdir(_CATALOGUE) if name.endswith(".toml"))


def is_plain(argv: tuple[bytes, ...], program: bytes) -> bool:
    """Whether nothing more can be told of the exec than its words. A shell is that where it is given a command line or
    a script."""
    base, called = program.rpartition(b"/")[2], (argv[0] if argv else b"").rpartition(b"/")[2].removeprefix(b"-")
    if base in _PLAIN and called in _PLAIN:
        return True
    if base not in _SHELLS or called not in _SHELLS or len(argv) < 2:
        return False
    first = argv[1]
    return first == b"-c" or (not first.startswith((b"-", b"+", b"/dev/", b"/proc/")) and first != b"")


def plain_command(argv: tuple[bytes, ...], program: bytes) -> Command:
    """Its words, as rules compare them."""
    name = os.fsdecode(program.rpartition(b"/")[2])
    return Command(name, "", (name, *(os.fsdecode(word) for word in argv[1:])))
