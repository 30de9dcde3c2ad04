"""What is answered without the catalogue must be what the catalogue would answer."""

import pytest

from supervisor.commands import normal, plain, toolfiles, wrappers


@pytest.mark.parametrize("name", sorted(plain._PLAIN))
def test_a_plain_program_is_one_for_the_catalogue_too(name):
    program, argv = b"/usr/bin/" + name, (name, b"-x", b"word")
    assert plain.is_plain(argv, program)
    assert normal.commands(argv, program, dict, b"/", lambda _: None) == (plain.plain_command(argv, program),)
    assert not wrappers.interpreter((name,), program)
    assert name.decode() not in toolfiles.names()


@pytest.mark.parametrize("argv", [(b"sh", b"-c", b"x | y"), (b"bash", b"a.sh", b"push"), (b"-bash", b"run")])
def test_a_shell_with_a_script(argv):
    program = b"/usr/bin/bash"
    assert plain.is_plain(argv, program)
    assert not wrappers.interpreter(argv, program)


@pytest.mark.parametrize(
    "argv",
    [(b"sh",), (b"bash", b"-s"), (b"sh", b"-"), (b"sh", b"/dev/stdin"), (b"bash", b"/proc/self/fd/0"), (b"sh", b"")],
)
def test_a_shell_that_reads_its_commands_is_not_plain(argv):
    assert not plain.is_plain(argv, b"/usr/bin/bash")


@pytest.mark.parametrize("name", b"kubectl env timeout python3 find xargs git busybox make".split())
def test_tools_and_what_starts_others_are_not_plain(name):
    assert not plain.is_plain((name, b"x"), b"/usr/bin/" + name)
    assert not plain.is_plain((b"ls",), b"/usr/bin/" + name)


def test_the_names_are_those_of_the_catalogue():
    assert plain.tools() == toolfiles.names()
