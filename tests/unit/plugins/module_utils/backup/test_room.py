# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What grows beside the database is reckoned before, and ends before the disk is full."""

from __future__ import annotations

import threading
import time
import types

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.backup import engines, replay, restoring
from ansible_collections.tandem.lemp.plugins.module_utils.backup.archive import LogFile
from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused, StatementFailed
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, ServerState

GIB = 2**30


def full():
    raise OperationFailed("The disk is full.")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A reader that writes on and on, and a client as the test says."""

    def write(client):
        for name, text in (("reader", "exec yes"), ("client", client)):
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
            (tmp_path / name).chmod(0o700)
        monkeypatch.setattr(replay, "_READER", {MARIADB: str(tmp_path / "reader")})
        monkeypatch.setattr(replay, "_CLIENT", {MARIADB: str(tmp_path / "client")})
        return replay.Replay(replay.Point("latest"), [LogFile("binlog.000001", "binlog.000001", 0, "", 1)])

    return write


def test_a_replay_that_fills_the_disk_ends(programs):
    began = time.monotonic()
    with pytest.raises(OperationFailed, match="disk is full"):
        replay.replay(programs("exec cat > /dev/null"), MARIADB, Endpoint(), 60, full)
    assert time.monotonic() - began < 20


def test_a_replay_that_takes_too_long_ends(programs):
    with pytest.raises(OperationFailed, match=r"not done after 0\.1 s"):
        replay.replay(programs("exec cat > /dev/null"), MARIADB, Endpoint(), 0.1, lambda: None)


def test_a_transaction_that_is_refused_is_told(programs):
    with pytest.raises(OperationFailed, match="refused: ERROR 1062"):
        replay.replay(programs("echo ERROR 1062 >&2; exit 1"), MARIADB, Endpoint(), 60, lambda: None)


class Server:
    """A server that copies until it is told to end."""

    killed = threading.Event()

    def __init__(self, _endpoint):
        return

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def value(self, _statement):
        return 7

    def rows(self, statement, _arguments=()):
        if statement == "KILL QUERY 7":
            self.killed.set()
        elif not self.killed.wait(20):
            pytest.fail("it went on")
        else:
            raise StatementFailed("Query execution was interrupted.", code=1317)


def test_a_clone_that_fills_the_disk_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "Connection", Server)
    monkeypatch.setattr(engines, "require_rest", lambda path: full())
    with pytest.raises(OperationFailed, match="disk is full"):
        engines._clone_local(Endpoint(), tmp_path / "data", 60)
    assert Server.killed.is_set()


def test_room_is_needed_for_what_is_replayed_too(monkeypatch, tmp_path):
    log = LogFile("binlog.000001", "binlog.000001", 0, "", 3 * GIB)
    done = restoring.Restored(types.SimpleNamespace(name="b", engine=MARIADB, series="10.11", unpacked=10), replay.Replay(replay.Point("latest"), [log]), [])
    monkeypatch.setattr(restoring, "plan", lambda *_arguments: done)
    monkeypatch.setattr(restoring, "look", lambda *_arguments: ServerState(state=RUNNING, engine=MARIADB, version="10.11.1", read_only=True))
    for module in (restoring.Store.__module__, restoring.DataDirectory.__module__):
        monkeypatch.setattr(f"{module}.free", lambda path: 2 * GIB)
    wish = restoring.Wish("node-b", Endpoint(), str(tmp_path), None, str(tmp_path), "latest", "latest", "", 60, lambda text: None, None)
    for way in (restoring.to_scratch, restoring.to_server):
        with pytest.raises(Refused, match=r"has 2048 MiB free; .* needs .*3635 MiB"):
            way(wish, dry_run=True)
