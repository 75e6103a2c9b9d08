"""What a person says as root, the daemon reads as somebody else."""

from __future__ import annotations

import json
import logging
import os
import stat

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Memory, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.store import Store
from ansible_collections.tandem.lemp.plugins.module_utils.agent.wire import from_memory


@pytest.fixture(params=[0o022, 0o027, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_everybody_of_the_directory_reads_what_was_written(tmp_path) -> None:
    store = Store(str(tmp_path))
    store.say(paused_until=1.0)
    store.keep(Memory(term=Term(4, "node-b")))
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("said.json", "memory.1")] == [0o644, 0o644]


def test_what_was_left_half_written_is_in_nobodys_way(tmp_path) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "said.new").symlink_to(tmp_path / "elsewhere")
    Store(str(tmp_path)).say(order="open")
    assert Store(str(tmp_path)).said() == {"order": "open"}
    assert (tmp_path / "elsewhere").read_text() == "kept"


def test_a_word_that_cannot_be_read_is_complained_about_once(tmp_path, caplog) -> None:
    store = Store(str(tmp_path))
    with caplog.at_level(logging.ERROR):
        assert store.said() == {}
        assert caplog.messages == []
        (tmp_path / "said.json").mkdir()
        for _turn in range(3):
            assert store.said() == {}
    assert len(caplog.messages) == 1
    assert "said.json cannot be read" in caplog.messages[0]
    (tmp_path / "said.json").rmdir()
    store.say(order="rejoin")
    assert store.said() == {"order": "rejoin"}


def epochs(directory, *, upto: int) -> Store:
    """A store as an agent has it, that has kept the terms 1, 2 ..."""
    store = Store(str(directory))
    store.recall()
    store.reserve()
    for epoch in range(1, upto + 1):
        store.keep(Memory(term=Term(epoch, "node-a")))
    return store


def taken(directory) -> list[tuple[str, int, int, int]]:
    return sorted((path.name, seen.st_ino, seen.st_size, seen.st_blocks) for path in directory.iterdir() for seen in [path.stat()])


def test_what_was_kept_is_recalled_and_needs_no_room_that_is_not_taken_at_the_start(tmp_path) -> None:
    """The blocks are there, and no file is made: a full disk is in nobody's way."""
    store = epochs(tmp_path, upto=0)
    before = taken(tmp_path)
    assert [(name, size) for name, _inode, size, _blocks in before] == [("memory.0", 4096), ("memory.1", 4096)]
    for epoch in range(1, 6):
        store.keep(Memory(term=Term(epoch, "node-a"), ceded=epoch))
        assert Store(str(tmp_path)).recall() == Memory(term=Term(epoch, "node-a"), ceded=epoch)
    assert taken(tmp_path) == before


@pytest.mark.parametrize("spoilt", [b"", b"\0" * 4096, b"00000000 {", b" " * 4096], ids=["empty", "zeros", "half", "spaces"])
@pytest.mark.parametrize("newest", [0, 1])
def test_power_that_fails_while_it_is_written_leaves_what_was_kept_before(tmp_path, newest: int, spoilt: bytes) -> None:
    epochs(tmp_path, upto=4 + newest)
    (tmp_path / f"memory.{newest}").write_bytes(spoilt)
    store = Store(str(tmp_path))
    assert store.recall().term.epoch == 3 + newest
    store.reserve()
    store.keep(Memory(term=Term(9, "node-b")))
    assert Store(str(tmp_path)).recall().term.epoch == 9


def test_what_could_not_be_written_spoils_nothing_the_next_time_either(tmp_path) -> None:
    store = epochs(tmp_path, upto=4)
    os.rename(tmp_path / "memory.1", tmp_path / "away")
    (tmp_path / "memory.1").mkdir()
    for _turn in range(2):
        with pytest.raises(OSError):
            store.keep(Memory(term=Term(5, "node-a")))
    (tmp_path / "memory.1").rmdir()
    os.rename(tmp_path / "away", tmp_path / "memory.1")
    assert Store(str(tmp_path)).recall().term.epoch == 4
    store.keep(Memory(term=Term(5, "node-a")))
    assert Store(str(tmp_path)).recall().term.epoch == 5


def test_two_that_are_spoilt_are_no_empty_memory(tmp_path) -> None:
    epochs(tmp_path, upto=2)
    for name in ("memory.0", "memory.1"):
        (tmp_path / name).write_bytes(b"\0" * 4096)
    with pytest.raises(ValueError, match=r"neither .*memory.0 nor .*memory.1 is whole"):
        Store(str(tmp_path)).recall()


@pytest.mark.parametrize("broken_off", [False, True])
def test_the_file_of_an_earlier_version_is_read_once(tmp_path, broken_off: bool) -> None:
    (tmp_path / "memory.json").write_text(json.dumps(from_memory(Memory(term=Term(7, "node-b"), ceded=6))))
    if broken_off:
        (tmp_path / "memory.1").write_bytes(b"00000000 {")
    store = Store(str(tmp_path))
    assert store.recall() == Memory(term=Term(7, "node-b"), ceded=6)
    store.reserve()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memory.0", "memory.1"]
    assert Store(str(tmp_path)).recall() == Memory(term=Term(7, "node-b"), ceded=6)


def test_an_agent_without_room_for_its_memory_begins_and_says_so(tmp_path, caplog) -> None:
    (tmp_path / "memory.1").mkdir()
    Store(str(tmp_path)).reserve()
    assert ["no room can be taken" in line for line in caplog.messages] == [True]
