# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binary logs that nobody here can read (encrypted, or with tags) are in the way of points in time, and of nothing else."""

from __future__ import annotations

import struct
import types
import uuid

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.backup import making, restoring
from ansible_collections.tandem.lemp.plugins.module_utils.backup.binlog import BinlogError, read_head
from ansible_collections.tandem.lemp.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.tandem.lemp.plugins.module_utils.backup.store import Store
from ansible_collections.tandem.lemp.plugins.module_utils.backup.stream import Packed
from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, ServerState

COPY = making._copy
A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
SEEN = ServerState(state=RUNNING, engine=MYSQL, version="9.7.4", log_bin=True, read_only=True, gtid=f"{A}:1-9,{A}:blue:1-3")
BACKUP = Manifest(
    name="20261121T100000Z", engine=MYSQL, version="9.7.4", node="node-b", role="replica", gtid=f"{A}:1-5,{A}:blue:1-2",
    started="2026-11-21 10:00:00", taken="2026-11-21 10:00:05", finished="2026-11-21 10:00:20", duration=20.0, file="data.gz", size=4,
    unpacked=10, sha256="00", verified="2026-11-21 10:00:20",
)  # fmt: skip


def event(kind, body):
    return struct.pack("<IBIIIH", 0, kind, 12, 19 + len(body), 0, 0) + body


FORMAT = event(15, b"format")
FILES = {
    "encrypted": b"\xfdbin" + bytes(512),
    "tags": b"\xfebin" + FORMAT + event(35, struct.pack("<Q", 1 << 56 | 1)),
    "garbage": b"\xfebin" + FORMAT + event(35, struct.pack("<Q", 9)),
}


@pytest.fixture(params=list(FILES))
def log(request, tmp_path):
    path = tmp_path / "binlog.000007"
    path.write_bytes(FILES[request.param])
    return path


@pytest.fixture
def wish(monkeypatch, tmp_path, log):
    """Of a backup on a node with such a file."""

    class Open:
        def __init__(self, _endpoint):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            pass

    monkeypatch.setattr(making, "look", lambda *_arguments: SEEN)
    monkeypatch.setattr(making, "Connection", Open)
    monkeypatch.setattr(making, "_size", lambda wish: 10)
    monkeypatch.setattr(making.engines, "binary_logs", lambda _server: [str(log)])
    for name in ("require_tools", "require_copyable"):
        monkeypatch.setattr(making.engines, name, lambda *_arguments: None)
    monkeypatch.setattr(making.scratch, "remove", lambda *_arguments: None)
    monkeypatch.setattr(making, "_copy", lambda *_arguments: BACKUP)
    return making.Wish("node-b", Endpoint(), "/nowhere", str(tmp_path / "backups"), 7, "quick", True, True, 60, lambda text: None)


def test_such_a_file_is_told(log):
    with pytest.raises(BinlogError, match=r"binlog\.000007"):
        read_head(log, MYSQL)


def test_a_list_of_mariadb_that_is_none_is_told(tmp_path):
    path = tmp_path / "binlog.000007"
    path.write_bytes(b"\xfebin" + FORMAT + event(163, b"\xff\xff\xff\x0f"))
    with pytest.raises(BinlogError, match=r"binlog\.000007 is damaged"):
        read_head(path, MARIADB)


@pytest.mark.parametrize("dry_run", [True, False], ids=["plan", "done"])
def test_the_backup_is_made_without_the_archive(wish, dry_run):
    made = making.make(wish, dry_run=dry_run)
    assert "The binary logs of node-b are not archived: " in made.warnings[0] and "binlog.000007" in made.warnings[0]
    assert (made.backup is None) is dry_run and not made.binlogs
    assert not any("archive" in action for action in made.actions)


def test_where_only_the_archive_is_wanted_it_is_an_error(wish):
    with pytest.raises(BinlogError, match=r"binlog\.000007"):
        making.make(making.replace(wish, copy=False, archive_or_fail=True), dry_run=True)
    made = making.make(making.replace(wish, copy=False), dry_run=False)
    assert made.warnings and not made.actions


@pytest.fixture
def restored(monkeypatch, log):
    def plan(until):
        monkeypatch.setattr(restoring, "_own_logs", lambda *_arguments: [str(log)])
        monkeypatch.setattr(restoring.engines, "require_tools", lambda _engine: None)
        wish = restoring.Wish("node-b", Endpoint(), "/nowhere", "", None, "latest", until, "", 60, lambda text: None, None, lambda: 1795300000.0)
        store = types.SimpleNamespace(backups=lambda: ([BACKUP], []), binlogs=log.parent / "binlogs")
        done = restoring.plan(wish, store, SEEN)
        restoring._tell_loss(wish, done, SEEN)
        restoring._keep_logs(wish, store, SEEN, done)
        return done

    return plan


def test_the_backup_as_it_is_can_be_restored(restored):
    done = restored("")
    assert (done.gtid, done.replay.files) == (str(BACKUP.transactions), [])
    assert "Nobody can tell what, and none of it is archived: " in " ".join(done.story)
    assert "stays readable" not in " ".join(done.story)


@pytest.mark.parametrize("until", ["latest", "2026-11-21 10:30:00"])
def test_no_point_can_be_reached(restored, until):
    with pytest.raises(BinlogError, match=r"binlog\.000007"):
        restored(until)


@pytest.mark.parametrize("readable", [True, False])
def test_a_backup_says_when_its_newest_transaction_was_written(wish, monkeypatch, log, tmp_path, readable):
    if readable:
        gtid = b"\0" + uuid.UUID(A).bytes + struct.pack("<Q", 5)
        log.write_bytes(b"\xfebin" + FORMAT + struct.pack("<IBIIIH", 1795255200, 33, 12, 19 + len(gtid), 0, 0) + gtid)
    place = Store(str(tmp_path / "backups"))
    place.path.mkdir()
    monkeypatch.setattr(making.scratch, "tables_of", lambda _server: [])
    monkeypatch.setattr(making.engines, "settings_of", lambda *_arguments: {})
    monkeypatch.setattr(making.engines, "executed_by", lambda _endpoint: SEEN.transactions)
    monkeypatch.setattr(making.engines, "take", lambda *arguments: Packed(4, 10, "00"))
    monkeypatch.setattr(making, "_prove", lambda *_arguments: (f"{A}:1-5", 0, "restored"))
    assert COPY(wish, place, SEEN, 10).newest == ("2026-11-21 10:00:00" if readable else "")
