"""Versions of Cargo, Go, Maven and RubyGems against ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.packages import Answer, pattern, unreadable, within
from supervisor.invariants.ranges import ranges

NO, MAYBE, YES = Answer

CARGO = [
    ("<1.0.200", "^1.0", MAYBE),
    ("<1.0.200", "^0.9", YES),
    ("<1.0.200", "1.0.193", YES),
    ("<1.0.200", "=1.0.200", NO),
    ("<0.10.55", ">=0.10, <0.10.50", YES),
    ("^1", "1.2.3", YES),
    ("<2", "*", MAYBE),
    ("<2", "1.*", YES),
    ("<2", "2.0.0-rc.1", NO),
    ("<2.0.0", "2.0.0-rc.1", YES),
]
GO = [
    ("<0.17.0", "v0.16.0", YES),
    ("<0.17.0", "v0.17.0", NO),
    ("<0.17.0", "v0.0.0-20191109021931-daa7c04131f5", YES),
    ("<1.2.4", "v1.2.4-0.20191109021931-daa7c04131f5", YES),
    (">=2", "v2.0.0+incompatible", YES),
    ("<2", "v2.0.0+incompatible", NO),
    ("<2", "v1", YES),
    ("<1.5", ">=v1.2", MAYBE),
    ("<1.5", "latest", MAYBE),
    ("<1.5", "master", MAYBE),
    ("<v1.5", "v1.4.9", YES),
]
MAVEN = [
    ("<2.17.1", "2.17.0", YES),
    ("<2.17.1", "2.17", YES),
    ("<2.17.1", "2.17.1", NO),
    ("<2.17.1", "2.17.1-rc1", YES),
    ("<2.17.1", "2.17.1-SNAPSHOT", YES),
    ("<2.17.1", "${log4j.version}", MAYBE),
    ("<2.17.1", "[2.0,2.17.0]", YES),
    ("<2.17.1", "[2.0,2.17.1)", YES),
    ("<2.17.1", "[2.0,)", MAYBE),
    ("<2.17.1", "(,1.2],[1.4,2.0)", YES),
    ("<2.17.1", "[2.18]", NO),
    ("<2.17.1", "[2.0,2.17.1[", YES),
    ("<2.17.1", "]2.17.1,3]", NO),
    ("<2.17.1", "2.16.+", YES),
    ("<2.17.1", "2.+", MAYBE),
    ("<2.17.1", "+", MAYBE),
    ("<2.17.1", "latest.release", MAYBE),
    ("<2.17.1", "[2.0", MAYBE),
    ("2.0", "2.0.0.Final", YES),
    ("2.0", "2.0.1", NO),
    ("<31", "30.1.1-jre", YES),
    ("<=31.1", "31.1-jre", NO),
    ("~2.1", "2.1.9", YES),
    ("^2.1", "2.9", YES),
    ("^2.1", "3.0-alpha", NO),
]
GEMS = [
    ("<2.3", "~> 2.2.0", YES),
    ("<2.3", "~> 2.2", MAYBE),
    ("<2.3", "~> 2.3", NO),
    ("<3", "~> 2.2", YES),
    ("<3", "~> 2", YES),
    ("<2.3", ">= 1, < 2", YES),
    ("<2.3", "2.3.0.rc1", YES),
    ("<2.3", "2.3.0-rc1", YES),
    ("<2.3", "< 2.3", YES),
    ("<=2.3.0.a", "< 2.3", YES),
    ("2.3", "2.3.0", YES),
    ("2.3", "2.3.1", NO),
    ("~> 2.3.1", "2.3.9.4", YES),
    ("<2.3", "", MAYBE),
    ("<1.0.10", "1.0.9.1", YES),
]
CASES = [
    (e, *case) for e, cases in (("cargo", CARGO), ("go", GO), ("maven", MAVEN), ("rubygems", GEMS)) for case in cases
]


@pytest.mark.parametrize(("ecosystem", "forbidden", "asked", "expected"), CASES)
def test_versions(ecosystem: str, forbidden: str, asked: str, expected: Answer) -> None:
    assert within(forbidden, ecosystem, asked) is expected


# In the order of Maven's and RubyGems' own comparison; the last of each were put in order by the programs themselves.
ORDERED = {
    "maven": [
        "1-alpha-1", "1-beta-2", "1.0-milestone1", "1-rc1", "1.0-cr2", "1-SNAPSHOT", "1.0.0", "1-sp1", "1-abc", "1-jre",
        "1.0.1-alpha", "1.0.1", "1.1", "1.9", "1.10", "1.10.1", "2.0-a1", "2",
    ],
    "rubygems": [
        "1.0.a", "1.0.a.2", "1.0.a.10", "1.0.b", "1.0.0-rc1", "1.0.0.rc1", "1.0", "1.0.0.1", "1.0.1.pre", "1.0.1",
        "1.1", "1.9", "1.10", "2.a", "2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("ecosystem", ORDERED)
def test_order(ecosystem: str) -> None:
    versions = ORDERED[ecosystem]
    for at, low in enumerate(versions):
        assert within(f"={low}", ecosystem, low) is YES
        for high in versions[at + 1 :]:
            assert within(f"<{high}", ecosystem, low) is YES, (low, high)
            assert within(f"<{low}", ecosystem, high) is NO, (low, high)
            assert within(f">={low}", ecosystem, high) is YES, (low, high)


NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda each: ".".join(map(str, each)))
TEXTS = st.text("0123456789.,-+*[]()<>=~^ |!vxarcpost${}\n", max_size=40)


@given(st.sampled_from(["cargo", "go", "maven", "rubygems"]), TEXTS, TEXTS)
def test_any_text_is_answered(ecosystem: str, forbidden: str, asked: str) -> None:
    assert within(forbidden, ecosystem, asked) in Answer
    assert unreadable(pattern(f"{ecosystem}:x {forbidden}")) in (True, False)


@given(st.sampled_from(["maven", "rubygems"]), NUMBERS, NUMBERS)
def test_numbers_compare_part_by_part(ecosystem: str, one: str, other: str) -> None:
    def parts(text: str) -> list[int]:
        return ([int(each) for each in text.split(".")] + [0] * 4)[:4]

    assert (within(f"<{other}", ecosystem, one) is YES) is (parts(one) < parts(other))


def test_long_texts_are_not_read() -> None:
    for ecosystem in ("maven", "rubygems", "cargo", "go"):
        assert ranges(ecosystem, "1," * 5_000) is None
