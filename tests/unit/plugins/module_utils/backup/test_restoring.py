# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data are replaced only where nobody writes, and where nothing of before the point is lacking."""

from __future__ import annotations

import types
from dataclasses import replace

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.backup import restoring
from ansible_collections.tandem.lemp.plugins.module_utils.backup.binlog import Transaction
from ansible_collections.tandem.lemp.plugins.module_utils.backup.replay import NOW, Point, Replay, Span
from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.seed.datadir import DataDirectory
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, STOPPED, Replication, ServerState

CLOSED = ServerState(state=RUNNING, engine=MARIADB, version="10.11.1", server_id=12, read_only=True, gtid="0-11-20")
RECEIVES = replace(CLOSED, replication=Replication("10.0.0.11", io_running=True, io_connected=True, sql_running=True))
OPEN = ServerState(state=RUNNING, engine=MARIADB, version="10.11.1", server_id=12, read_only=False, gtid="0-11-20")
OFF = ServerState(state=STOPPED)
BACKUP = types.SimpleNamespace(
    name="b", engine=MARIADB, series="10.11", unpacked=10, transactions=GtidSet.parse("0-11-5", MARIADB), server_id=12, server_uuid=""
)
LAST = Transaction("0-11-20", 1795255200, 4, 5)


@pytest.fixture
def world(monkeypatch, tmp_path):
    """One node. It has transactions up to 20; `comes` says whether it receives what the other one has as well."""
    here = types.SimpleNamespace(seen=CLOSED, comes=False, waited=0, archived=0, replaced=0, built=lambda: None)
    here.replay = Replay(Point("2026-11-21 10:00:30", time=1795255230), replayed=Span(15, LAST, LAST), gtid="0-11-20")

    def wait_for(*_arguments):
        here.waited += 1
        return here.comes

    def archive(*_arguments):
        here.archived += 1

    def build(*_arguments):
        here.built()
        return types.SimpleNamespace(engine=MARIADB, endpoint=Endpoint(), tables=list, stop=lambda: None)

    def swap(*_arguments):
        here.replaced += 1

    here.swap, here.own_logs = restoring._swap, restoring._own_logs
    monkeypatch.setattr(restoring, "look", lambda *_arguments: here.seen)
    monkeypatch.setattr(restoring, "plan", lambda *_arguments: restoring.Restored(BACKUP, here.replay, [], gtid=here.replay.gtid))
    monkeypatch.setattr(restoring, "_require_whole", lambda *_arguments: None)
    monkeypatch.setattr(restoring, "_own_logs", lambda *_arguments: [])
    monkeypatch.setattr(restoring, "_forget_machine", lambda *_arguments: None)
    monkeypatch.setattr(restoring.engines, "wait_for", wait_for)
    monkeypatch.setattr(restoring, "keep_binlogs", archive)
    monkeypatch.setattr(restoring.scratch, "remove", lambda *_arguments: None)
    monkeypatch.setattr(restoring, "own", lambda *_arguments: None)
    monkeypatch.setattr(restoring, "_build", build)
    monkeypatch.setattr(restoring, "_swap", swap)
    (tmp_path / "data").mkdir()

    def restore(also_known="0-11-37", dry_run=False):
        wish = restoring.Wish(
            "node-b", Endpoint(), str(tmp_path / "data"), None, str(tmp_path / "backups"), "latest", "", also_known, 60, lambda text: None, None
        )
        return restoring.to_server(wish, dry_run=dry_run)

    here.restore = restore
    return here


def test_a_server_that_takes_writes_is_not_replaced(world):
    world.seen = OPEN
    with pytest.raises(Refused, match=r"node-b takes writes.*state=closed"):
        world.restore("")
    assert (world.archived, world.replaced) == (0, 0)
    assert world.restore("", dry_run=True).actions == ["replace the data of node-b by b"]


def test_nor_one_that_was_opened_meanwhile(world):
    def opened():
        world.seen = OPEN

    world.built = opened
    with pytest.raises(OperationFailed, match=r"node-b takes writes.* Its data are as they were"):
        world.restore("")
    assert world.replaced == 0


@pytest.mark.parametrize("point", [Point(NOW), Point("2026-11-21 10:00:30", time=1795255230)], ids=["latest", "time"])
def test_what_is_lacking_may_belong_before_the_point(world, point):
    world.replay.point = point
    with pytest.raises(Refused) as told:
        world.restore()
    assert "node-b lacks 17 transactions of the other server" in str(told.value)
    assert "name a point that it has passed: 2026-11-21 10:00:00 UTC, or transaction 0-11-20" in str(told.value)
    assert (world.waited, world.archived, world.replaced) == (1, 0, 0)
    world.seen = RECEIVES
    assert "node-b must receive 17 transactions of the other server first" in " ".join(world.restore(dry_run=True).story)
    world.comes = True
    world.restore()
    assert (world.archived, world.replaced) == (1, 1)


def test_nobody_is_closed_for_what_cannot_come(world):
    stands_still = replace(RECEIVES, replication=replace(RECEIVES.replication, sql_running=False))
    for seen in (stands_still, CLOSED, OFF):
        world.seen = seen
        with pytest.raises(Refused, match="lacks 17 transactions of the other server"):
            world.restore(dry_run=True)
    assert world.waited == 0


@pytest.mark.parametrize("change", [{"passed": True}, {"point": Point()}], ids=["a point it has passed", "the backup as it is"])
def test_what_comes_after_the_point_may_be_lacking(world, change):
    for name, value in change.items():
        setattr(world.replay, name, value)
    world.restore()
    assert (world.waited, world.archived, world.replaced) == (0, 1, 1)
    assert "LOST as well, unless node-b receives them before: 17 transactions" in " ".join(world.restore(dry_run=True).story)


def test_where_nothing_was_replayed_the_backup_itself_is_offered(world):
    world.replay.replayed = Span()
    with pytest.raises(Refused, match="restore the backup as it is"):
        world.restore()


def test_of_a_server_that_does_not_run_its_binary_logs_tell_what_is_lacking(world):
    world.seen = OFF
    with pytest.raises(Refused, match="lacks 17 transactions"):
        world.restore()
    world.restore("0-11-20")
    assert (world.waited, world.replaced) == (0, 1)


def test_going_back_from_an_interrupted_restore_is_told_before_it_is_done(world, tmp_path):
    directory = DataDirectory(str(tmp_path / "data"))
    directory.begin()
    directory.swap()
    told = world.restore("", dry_run=True)
    assert told.actions[0] == "go back to the data from before an interrupted restore"
    assert "node-b first goes back to its data from before an interrupted restore" in " ".join(told.story)


def test_a_server_that_does_not_stop_for_its_restored_data_is_started_again(world, tmp_path):
    def hangs():
        raise OperationFailed("systemctl stop mariadb ended with 124: not done after 120 s.")

    (tmp_path / "data" / "ibdata1").touch()
    directory = DataDirectory(str(tmp_path / "data"))
    directory.begin()
    started = []
    service = types.SimpleNamespace(stop=hangs, start=lambda: started.append(1))
    wish = types.SimpleNamespace(node="node-b", say=lambda text: None, service=service)
    with pytest.raises(OperationFailed, match=r"did not work on node-b: systemctl stop mariadb ended with 124"):
        world.swap(wish, None, directory, None, 0)
    assert started == [1] and (tmp_path / "data" / "ibdata1").exists() and not directory.work.exists()


def test_the_binary_logs_of_a_server_that_does_not_run_are_found_among_what_lies_beside_them(world, tmp_path):
    for name in ("binlog.000009", "binlog.1000000", "binlog.999999", "binlog.000009.idx", "binlog.index", "binlog.state"):
        (tmp_path / name).touch()
    found = world.own_logs(types.SimpleNamespace(datadir=str(tmp_path)), OFF)
    assert [path.rpartition("/")[2] for path in found] == ["binlog.000009", "binlog.999999", "binlog.1000000"]
