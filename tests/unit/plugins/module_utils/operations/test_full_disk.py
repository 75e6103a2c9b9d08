# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full, or fills while something large comes: one clear sentence, and everything as it was."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils import errant, room
from ansible_collections.tandem.lemp.plugins.module_utils.backup import archive, making, stream
from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL, GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.operations import attaching, rejoin
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, Replication, ServerState

GIB = 2**30
SOURCE = attaching.Source("node-a", Endpoint(host="192.0.2.1"), "tandem_repl", "secret", "ca.pem")


@pytest.fixture
def disk(monkeypatch):
    """What is free, for the test to say; each look may find less."""
    state = types.SimpleNamespace(free=[100 * GIB])

    def usage(_path):
        left = state.free.pop(0) if len(state.free) > 1 else state.free[0]
        return types.SimpleNamespace(free=left)

    monkeypatch.setattr(room.shutil, "disk_usage", usage)
    return state


@pytest.fixture
def local(tmp_path, monkeypatch):
    (tmp_path / "mysql").mkdir()
    (tmp_path / "ibdata1").write_text("old", encoding="ascii")
    monkeypatch.setattr(attaching.mariadb, "tools_missing", list)
    service = types.SimpleNamespace(stop=lambda: pytest.fail("the server was stopped"), start=lambda: pytest.fail("started"))
    return attaching.Local("node-b", Endpoint(socket="/run/sock"), str(tmp_path), service, None, None, 60, lambda text: None)


class Remote:
    """A server as far as its size is asked for."""

    def __init__(self, engine, size) -> None:
        self.dialect = types.SimpleNamespace(engine=engine)
        self.size = size
        self.closed = []

    def data_size(self):
        return self.size

    def close_for_writes(self, wait=5):
        self.closed.append(wait)

    def close(self):
        return None


def contents(local) -> list[str]:
    return sorted(path.name for path in Path(local.datadir).rglob("*"))


def test_a_copy_that_fills_the_disk_ends_and_leaves_nothing(local, disk, monkeypatch):
    def receive(_donor, target, _timeout, progress, _clock):
        (target / "ibdata1").write_text("half", encoding="ascii")
        disk.free = [3 * 2**20]
        progress(1)
        pytest.fail("it went on")

    monkeypatch.setattr(attaching.mariadb, "receive", receive)
    with pytest.raises(OperationFailed) as told:
        attaching._seed_mariadb(local, SOURCE, ServerState(state=RUNNING, engine=MARIADB), attaching.DataDirectory(local.datadir), GIB)
    assert f"The disk of {local.datadir} is full: 3 MiB free. Make room." in str(told.value)
    assert "as they were" in str(told.value) and "node-b" in str(told.value)
    assert contents(local) == ["ibdata1", "mysql"]


def test_whatever_breaks_because_the_disk_is_full_is_told_as_that(local, disk, monkeypatch):
    """Of a tool that dies because it cannot write, only a broken pipe is heard here."""

    def receive(*_arguments):
        disk.free = [0]
        raise OperationFailed("The copy from 192.0.2.1 broke: [Errno 32] Broken pipe")

    monkeypatch.setattr(attaching.mariadb, "receive", receive)
    with pytest.raises(OperationFailed, match="is full: 0 MiB free") as told:
        attaching._seed_mariadb(local, SOURCE, ServerState(state=RUNNING, engine=MARIADB), attaching.DataDirectory(local.datadir), GIB)
    assert "pipe" not in str(told.value)
    assert contents(local) == ["ibdata1", "mysql"]


def test_a_copy_that_breaks_leaves_nothing_either(local, disk, monkeypatch):
    monkeypatch.setattr(attaching.mariadb, "receive", lambda *_arguments: 1)

    def prepare(*_arguments):
        raise OperationFailed("mariadb-backup ended with 1: bad page.")

    monkeypatch.setattr(attaching.mariadb, "prepare", prepare)
    with pytest.raises(OperationFailed, match="bad page"):
        attaching._seed_mariadb(local, SOURCE, ServerState(state=RUNNING, engine=MARIADB), attaching.DataDirectory(local.datadir), GIB)
    assert contents(local) == ["ibdata1", "mysql"]


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
@pytest.mark.parametrize("dry_run", [True, False], ids=["plan", "done"])
def test_a_rejoin_whose_copy_does_not_fit_refuses_before_it_gives_anything_up(local, disk, monkeypatch, engine, dry_run):
    """Not even what only this server has is saved: nothing was changed, and the plan says so already."""
    errant_set = {MARIADB: "0-12-8", MYSQL: "22222222-2222-2222-2222-222222222222:1"}[engine]
    known = {MARIADB: "0-11-7", MYSQL: "11111111-1111-1111-1111-111111111111:1-7"}[engine]
    told = Replication(source_host="192.0.2.1", io_running=True, io_connected=True, sql_running=True)
    here = ServerState(
        state=RUNNING, engine=engine, version="10.11.1", server_id=12, server_uuid="22222222-2222-2222-2222-222222222222", read_only=True,
        gtid=f"{known},{errant_set}", replication=told, lineage="data", log_bin=True,
    )  # fmt: skip
    there = ServerState(state=RUNNING, engine=engine, version="10.11.1", server_id=11, read_only=False, gtid=known, lineage="data", log_bin=True)
    monkeypatch.setattr(rejoin, "look", lambda endpoint, datadir="": here if endpoint.socket else there)
    monkeypatch.setattr(attaching.Server, "at", lambda endpoint: Remote(engine, GIB))
    monkeypatch.setattr(attaching.mysql, "size_of", lambda endpoint: GIB)
    monkeypatch.setattr(attaching.mysql, "require_clonable", lambda *_arguments: None)
    disk.free = [200 * 2**20]
    with pytest.raises(Refused, match=r"has 200 MiB free; the copy needs .* Nothing was changed"):
        rejoin.rejoin(
            local, SOURCE, replace=True, discard=True, dry_run=dry_run, save_them=lambda *_arguments: pytest.fail("something was saved")
        )
    assert contents(local) == ["ibdata1", "mysql"]


def test_extra_transactions_that_cannot_be_saved_leave_no_half_file(tmp_path, monkeypatch):
    def extract(_files, _errant, sql, *_more):
        yield from ()
        sql.write("-- half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(errant, "_extract", extract)
    with pytest.raises(OperationFailed, match=r"1 transactions could not be saved in .*No space left on device.* Nothing was replaced"):
        errant.save(types.SimpleNamespace(binlogs=list, columns=None), GtidSet.parse("0-12-1", MARIADB), tmp_path / "errant")
    assert list((tmp_path / "errant").iterdir()) == []


def test_a_backup_whose_file_cannot_be_written_says_so_once(tmp_path):
    """The file says it once more when it is closed: that must not be all that is told."""
    target = tmp_path / "data.gz"
    target.symlink_to("/dev/full")
    with pytest.raises(OperationFailed, match=r"The copy broke: .*No space left on device"):
        stream.pack([sys.executable, "-c", "import os; os.write(1, os.urandom(100))"], target, 30, lambda done: None)


@pytest.fixture
def wish(tmp_path, monkeypatch):
    seen = ServerState(state=RUNNING, engine=MARIADB, version="10.11.1", log_bin=True, read_only=True)
    monkeypatch.setattr(making, "look", lambda *_arguments: seen)
    monkeypatch.setattr(making.engines, "require_tools", lambda engine: None)
    monkeypatch.setattr(making, "_size", lambda wish: GIB)
    monkeypatch.setattr(making, "_unarchived", lambda *_arguments: [])
    monkeypatch.setattr(making.scratch, "remove", lambda *_arguments: None)
    return making.Wish("node-b", Endpoint(), "/nowhere", str(tmp_path / "backups"), 7, "quick", True, True, 60, lambda text: None)


def test_a_backup_that_does_not_fit_refuses_before_it_begins(wish, disk):
    disk.free = [GIB]
    with pytest.raises(Refused, match=r"has 1024 MiB free; the backup, .* needs about 2508 MiB. Nothing was changed"):
        making.make(wish, dry_run=False)
    assert not Path(wish.directory).exists()


def test_a_disk_that_fills_during_a_backup_leaves_no_half_backup(wish, disk, monkeypatch):
    def copy(wish, store, _seen, size):
        (store.fresh() / "half").write_text("half", encoding="ascii")
        disk.free = [5 * 2**20]
        making._progress(wish, store, size)(1)
        pytest.fail("it went on")

    monkeypatch.setattr(making, "_copy", copy)
    with pytest.raises(OperationFailed) as told:
        making.make(wish, dry_run=False)
    assert f"No backup of node-b was made. The disk of {wish.directory} is full: 5 MiB free." in str(told.value)
    assert "Nothing was published" in str(told.value)
    assert [path.name for path in Path(wish.directory).iterdir()] == [".lock"]


def test_a_disk_that_is_full_for_the_binary_logs_does_not_hide_the_backup(wish, disk, monkeypatch, tmp_path):
    made = types.SimpleNamespace(name="20261121T100000Z")
    monkeypatch.setattr(making, "_copy", lambda *_arguments: made)
    source = tmp_path / "binlog.000001"
    source.write_bytes(b"x" * 10)
    one = archive.LogFile(str(source), source.name, 0, "", 10)

    def keep_binlogs(_endpoint, _engine, store, _say):
        monkeypatch.setattr(archive, "sync", full)
        return [archive.keep(one, store.binlogs)]

    def full(_path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making, "keep_binlogs", keep_binlogs)
    with pytest.raises(OperationFailed) as told:
        making.make(wish, dry_run=False)
    assert "The binary logs of node-b could not be archived. No space left on device." in str(told.value)
    assert "20261121T100000Z is whole, and stays" in str(told.value)
    assert list((Path(wish.directory) / "binlogs").iterdir()) == []


UUID = "11111111-1111-1111-1111-111111111111"
PRIMARY = ServerState(
    state=RUNNING, engine=MYSQL, version="9.7.4", server_id=11, server_uuid=UUID, read_only=False, gtid=f"{UUID}:1-9", lineage="data",
    schemas=("blog",), log_bin=True,
)  # fmt: skip
FOLLOWS = Replication(source_host="192.0.2.1", io_running=True, io_connected=True, sql_running=True, follows_gtid=True)


@pytest.fixture
def clone(local, disk, monkeypatch):
    """A replica of MySQL whose CLONE does what the test says to its state."""
    world = types.SimpleNamespace(
        here=ServerState(state=RUNNING, engine=MYSQL, version="9.7.4", server_id=12, read_only=True, gtid=f"{UUID}:1-8", replication=FOLLOWS,
                         lineage="data", schemas=("blog",), log_bin=True),
        cloned=0, does=lambda: None, unclonable="",
    )  # fmt: skip

    def run(*_arguments):
        world.cloned += 1
        assert attaching.DataDirectory(local.datadir).clone_broken()
        world.does()

    def require(_donor, _name):
        if world.unclonable:
            raise Refused(world.unclonable)

    monkeypatch.setattr(attaching.mysql, "require_clonable", require)
    monkeypatch.setattr(attaching, "look", lambda endpoint, datadir="": PRIMARY)
    monkeypatch.setattr(attaching.Local, "observe", lambda self: (world.here, None))
    monkeypatch.setattr(attaching.Server, "at", lambda endpoint: Remote(MYSQL, GIB))
    monkeypatch.setattr(attaching.mysql, "size_of", lambda endpoint: GIB)
    monkeypatch.setattr(attaching.mysql, "clone", run)
    monkeypatch.setattr(attaching, "_follow", lambda *_arguments, **_more: None)
    return world


def test_the_remains_of_a_broken_clone_are_no_data(clone, local):
    """MySQL has dropped the schemas and keeps a position: it looks like a replica that is a little behind."""

    def breaks():
        clone.here = attaching.replace(clone.here, schemas=(), lineage="", gtid=f"{UUID}:1-4")
        raise OperationFailed("CLONE from 192.0.2.1 failed: disk full.")

    clone.does = breaks
    with pytest.raises(OperationFailed, match="disk full"):
        attaching._seed(local, SOURCE, clone.here, PRIMARY, attaching.DataDirectory(local.datadir), GIB)
    planned = attaching.attach(local, SOURCE, "auto", dry_run=True)
    assert planned.actions == ["copy all data from node-a", "replicate from node-a as tandem_repl"]

    def works():
        clone.here = attaching.replace(PRIMARY, read_only=True)

    clone.does = works
    attaching.attach(local, SOURCE, "auto", dry_run=False)
    assert clone.cloned == 2
    assert not attaching.DataDirectory(local.datadir).clone_broken()


def test_what_was_written_since_a_copy_that_nobody_saw_end_is_not_copied_over(clone, local):
    """CLONE went on to its end without the module; its node was promoted, and wrote."""
    own = "22222222-2222-2222-2222-222222222222"
    attaching.DataDirectory(local.datadir).begin_clone()
    clone.here = attaching.replace(clone.here, server_uuid=own, gtid=f"{UUID}:1-8,{own}:1-3", replication=None)
    with pytest.raises(Refused):
        attaching.attach(local, SOURCE, "auto", dry_run=False)
    assert clone.cloned == 0


def test_a_clone_that_never_began_leaves_the_replica_a_replica(clone, local):
    def breaks():
        raise OperationFailed("CLONE from 192.0.2.1 failed: it cannot be reached.")

    clone.does = breaks
    with pytest.raises(OperationFailed, match="cannot be reached"):
        attaching._seed(local, SOURCE, clone.here, PRIMARY, attaching.DataDirectory(local.datadir), GIB)
    assert not attaching.DataDirectory(local.datadir).clone_broken()
    assert "copy all data" not in " ".join(attaching.attach(local, SOURCE, "auto", dry_run=True).actions)


@pytest.mark.parametrize("dry_run", [True, False], ids=["plan", "done"])
def test_a_clone_that_would_lack_rows_is_refused_before_anything_is_given_up(clone, local, dry_run):
    clone.unclonable = "blog.old would be empty."
    clone.here = attaching.replace(clone.here, replication=None)
    with pytest.raises(Refused, match="would be empty"):
        attaching.attach(local, SOURCE, "always", dry_run=dry_run)
    assert (clone.cloned, contents(local)) == (0, ["ibdata1", "mysql"])
