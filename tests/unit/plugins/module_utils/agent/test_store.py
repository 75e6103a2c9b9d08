"""What a person says as root, the daemon reads as somebody else."""

from __future__ import annotations

import logging
import os
import stat

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Memory, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.store import Store


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
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("said.json", "memory.json")] == [0o644, 0o644]


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
