# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation has begun is found again, whatever cut the file off."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed
from ansible_collections.tandem.lemp.plugins.module_utils.hand import journal as journals
from ansible_collections.tandem.lemp.plugins.module_utils.hand.journal import DOING, END, Journal, unfinished

NAME = "20261121T100000Z-0001"


@pytest.fixture
def begun(tmp_path):
    made = Journal.create(NAME, {"old": "node-a", "new": "node-b"}, tmp_path)
    made.write(DOING, {"do": "close", "with": {}})
    return made


@pytest.mark.parametrize("torn", [b'{"at":17', b"\0\0\0\0", b'{"at":17,"event":"commit"}'], ids=["half", "zeros", "no line end"])
def test_an_operation_with_a_torn_line_can_be_ended(tmp_path, begun, torn):
    path = tmp_path / f"{NAME}.jsonl"
    with path.open("ab") as file:
        file.write(torn)
    (found,) = unfinished(tmp_path)
    assert not found.committed
    assert [entry["do"] for entry in found.actions()] == ["close"]
    found.write(END, {"outcome": "undone"})
    assert unfinished(tmp_path) == []
    assert Journal.load(path).entries[:2] == begun.entries


def full(monkeypatch):
    def fsync(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journals.os, "fsync", fsync)


def test_an_operation_that_could_not_be_written_down_was_never_begun(tmp_path, monkeypatch):
    full(monkeypatch)
    with pytest.raises(OperationFailed, match="No space left"):
        Journal.create(NAME, {"old": "node-a", "new": "node-b"}, tmp_path)
    assert unfinished(tmp_path) == []


def test_what_could_not_be_written_down_is_not_done(tmp_path, begun, monkeypatch):
    with monkeypatch.context() as patched:
        full(patched)
        with pytest.raises(OperationFailed, match="No space left"):
            begun.write(DOING, {"do": "open", "with": {}})
    begun.write(END, {"outcome": "undone"})
    assert [entry["event"] for entry in Journal.load(tmp_path / f"{NAME}.jsonl").entries] == ["begin", "doing", "end"]
