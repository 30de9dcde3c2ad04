"""One act with its proof: it verifies without the repository, and not when anything of it was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.journal import store
from supervisor.journal.merkle import Tree, path, root_of
from supervisor.provenance.answers import Answer
from supervisor.provenance.keys import Trusted, own_public
from supervisor.provenance.packet import act_of, make, verify
from tests.unit.provenance.test_publish import END, World, moved, publish
from tests.unit.provenance.test_verifying import files_of

ADR = b"# No requests\n"


def leaves(count: int) -> list[bytes]:
    return [sha256(b"%d" % n).digest() for n in range(count)]


def test_a_path_gives_the_root_for_every_leaf_of_every_size() -> None:
    for size in range(1, 70):
        tree, hashes = Tree(), leaves(size)
        for each in hashes:
            tree.add(each)
        for index, leaf in enumerate(hashes):
            found = path(hashes, index)
            assert root_of(leaf, index, size, found) == tree.root()
            assert len(found) <= (size - 1).bit_length()
            assert root_of(sha256(leaf).digest(), index, size, found) != tree.root()
            assert root_of(leaf, index, size, [*found, leaf]) is None
            if found:
                assert root_of(leaf, index, size, found[:-1]) is None
            for other in {index - 1, index + 1, size}:
                assert root_of(leaf, other, size, found) != tree.root()


@given(st.integers(1, 300), st.data())
def test_no_path_of_one_leaf_leads_from_another(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    root = root_of(hashes[index], index, size, path(hashes, index))
    assert (root_of(hashes[index], other, size, path(hashes, other)) == root) == (index == other)


# ---- a packet ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Trusted], dict[str, bytes]]:
    """A packet, whose key it is, and the files of the record."""
    world = World(tmp_path_factory.mktemp("world"))
    folder = world.run()
    (world.top / "adr.md").write_bytes(ADR)
    blob = world.git("hash-object", "-w", "adr.md")
    lines = [
        {"v": 2, "run": folder.name, "seq": n + 1, "kind": "exec", "phase": "intent", "op": {"argv": ["true"]}}
        for n in range(9)
    ]
    lines[3] |= {"verdict": "deny", "invariant": "x", "adr": "ADR-1", "adr_blob": blob}
    lines[6] |= {"cause": 4, "phase": "outcome", "outcome": "blocked"}
    (folder / "journal.jsonl").write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines))
    profile = world.top / "govrun.toml"
    profile.write_text("version = 1\n")
    source = {"name": "govrun.toml", "sha256": sha256(profile.read_bytes()).hexdigest(), "path": str(profile)}
    store.update_meta(folder, sources=[source], tree=str(world.top))
    assert publish(folder, moved(world.commit("one")), END) == 0
    files = files_of(world, folder.name)
    key = own_public(world.state)
    assert key is not None
    packet = make(files, act_of(files, 7), (blob, ADR))
    return json.loads(json.dumps(packet)), [Trusted(key, "ada")], files


def test_it_verifies(made: tuple[dict[str, Any], list[Trusted], dict[str, bytes]]) -> None:
    packet, trusted, files = made
    found, events = verify(packet, trusted)
    assert found.answer is Answer.VERIFIED and found.status == "PASSED", found
    assert found.why == "records 4, 7, signed by ada"
    assert [each.described["seq"] for each in events] == [4, 7]
    assert [each["name"] for each in packet["texts"]] == ["policy/govrun.toml", "adr"]
    assert list(act_of(files, 4)) == list(act_of(files, 7)) == [3, 6] and list(act_of(files, 1)) == [0]
    assert len(json.dumps(packet)) < 8192
    for number in (0, 10, -1):
        with pytest.raises(LookupError):
            act_of(files, number)


def test_for_every_record(made: tuple[dict[str, Any], list[Trusted], dict[str, bytes]]) -> None:
    _, trusted, files = made
    for seq in range(1, 10):
        assert verify(make(files, act_of(files, seq)), trusted)[0].answer is Answer.VERIFIED


def test_nobody_is_believed_unasked(made: tuple[dict[str, Any], list[Trusted], dict[str, bytes]]) -> None:
    packet, _, _ = made
    assert verify(packet, [])[0].answer is verify(packet, [Trusted(bytes(32), "eve")])[0].answer is Answer.UNVERIFIABLE


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "a word of a record": lambda p: p["events"][0].update(line=p["events"][0]["line"].replace('"deny"', '"allow"')),
    "a record of no run": lambda p: p["events"][0].update(line="{}"),
    "places": lambda p: p["events"][0].update(index=5),
    "a place below": lambda p: p["events"][0].update(index=-1),
    "no place": lambda p: p["events"][0].update(index=None),
    "the way": lambda p: p["events"][0]["path"].reverse(),
    "a shorter way": lambda p: p["events"][0]["path"].pop(),
    "a longer way": lambda p: p["events"][0]["path"].append("00" * 32),
    "no hash": lambda p: p["events"][0]["path"].append("zz"),
    "ways of others": lambda p: p["events"][0].update(path=p["events"][1]["path"]),
    "records change places": lambda p: p["events"][0].update(line=p["events"][1]["line"]),
    "how many": lambda p: p.update(size=8),
    "no records": lambda p: p.update(events=[]),
    "records that are none": lambda p: p.update(events=[1, None, "x"]),
    "a policy": lambda p: p["texts"][0].update(text="version = 1\n[scope]\n"),
    "a policy by another name": lambda p: p["texts"][0].update(name="policy/other.toml"),
    "a file of the record as a policy": lambda p: p["texts"][0].update(name="run.json"),
    "a decision": lambda p: p["texts"][1].update(text="# Requests are fine\n"),
    "another decision": lambda p: p["texts"][1].update(blob="0" * 40),
    "no envelope": lambda p: p.update(bundle=""),
    "an envelope of nothing": lambda p: p.update(bundle="{}\n"),
    "signatures that are none": lambda p: p.update(
        bundle='{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[1]}\n'
    ),
    "a surrogate": lambda p: p["events"][0].update(line="\ud800"),
    "a surrogate in the envelope": lambda p: p.update(bundle="\ud800"),
    "another kind": lambda p: p.update(kind="govrun.packet/2"),
    "nothing": lambda p: p.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed(made: tuple[dict[str, Any], list[Trusted], dict[str, bytes]], change: str) -> None:
    packet = json.loads(json.dumps(made[0]))
    CHANGES[change](packet)
    assert packet != made[0]
    found, events = verify(packet, made[1])
    assert found.answer in (Answer.REFUTED, Answer.UNVERIFIABLE) and events == [], found


def test_a_record_of_another_run_under_this_statement(tmp_path: Path) -> None:
    """Each of two runs of one key is signed, and neither proves what the other did."""
    world, packets = World(tmp_path), []
    for word in ("a", "b"):
        folder = world.run()
        line = json.dumps({"v": 2, "run": folder.name, "seq": 1, "kind": "exec", "op": {"word": word}})
        (folder / "journal.jsonl").write_text(line + "\n")
        assert publish(folder, END) == 0
        files = files_of(world, folder.name)
        packets.append(make(files, act_of(files, 1)))
    key = own_public(world.state)
    assert key is not None
    trusted = [Trusted(key, "ada")]
    assert [verify(each, trusted)[0].answer for each in packets] == [Answer.VERIFIED] * 2
    assert verify(packets[0] | {"bundle": packets[1]["bundle"]}, trusted)[0].answer is Answer.REFUTED
