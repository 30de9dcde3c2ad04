"""Escape 104: names that draw on the reader's terminal or pretend to be other lines of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


NAMES = [
    "new\\nline",
    "esc\\x1b[2J\\x1b[31mred",
    "cr\\rgovrun: allowed",
    "bidi\\xe2\\x80\\xaetxt.exe",
    "bell\\x07",
    "bad\\xff\\xfebytes",
    "c1\\xc2\\x9b31m",
    '{"kind":"run.end","verdict":"allow"}',
]


def test_names_in_log_and_reasons(cage: Cage) -> None:
    words = " ".join(f"$'{name}'" for name in NAMES)
    outcome = cage.run(f'for n in {words}; do echo x > "$OUT/$n"; echo x > "$n"; true "$n"; rm -f "$n"; done')
    assert outcome.run_dir is not None
    raw = (outcome.run_dir / "journal.jsonl").read_bytes()
    assert all(line.startswith(b"{") and line.endswith(b"}") for line in raw.splitlines())
    assert len(outcome.denied(cage.WRITE)) >= len(NAMES)
    log = cage.govrun.cli("log", "latest")
    # The shell's own complaints name the file as it is; what govrun says does not.
    reasons = b"\n".join(line for line in outcome.process.stderr.split(b"\n") if line.startswith(b"govrun: denied"))
    assert reasons
    for text in (raw, log.stdout, reasons):
        told = text.replace(b"\n", b"")
        assert not any(byte < 32 or byte == 127 for byte in told), told
        assert "\u202e".encode() not in told and "\x9b".encode() not in told
    assert not [each for each in outcome.records(kind="run.end") if each.get("verdict") == "allow" and "op" not in each]
    assert sorted(cage.outside.iterdir()) == sorted(cage.outside / name for name in ("victim", "other", "sub"))


def test_arguments_in_log(cage: Cage) -> None:
    outcome = cage.run("""/bin/true $'a\\nb' $'\\x1b]0;title\\x07' $'\\xff'""").ok()
    assert outcome.run_dir is not None
    log = cage.govrun.cli("log", "latest")
    assert log.code == 0
    assert not any(byte < 32 or byte == 127 for byte in log.stdout.replace(b"\n", b""))
