"""What is shown of the output of a command that a contract runs."""

from supervisor.run.nested import last_said


def test_whole_lines_and_the_last_one_at_any_rate() -> None:
    lines = [f"line {number} " + "x" * 90 for number in range(20)]
    told = last_said("\n".join([*lines, "", "AssertionError: no"]))
    assert told.startswith("line 17 x") and told.endswith("x AssertionError: no") and len(told) <= 400


def test_a_long_last_line_is_told_by_its_beginning() -> None:
    assert last_said("before\n" + "y" * 500) == "y" * 400 + "…"


def test_nothing_said() -> None:
    assert last_said(" \n\n") == ""
