# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rejoin after a copy that was killed looks at the data from before, not at what the copy has left; and it ends when it has worked."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused, Unreachable
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB
from ansible_collections.tandem.lemp.plugins.module_utils.operations import attaching, rejoin
from ansible_collections.tandem.lemp.plugins.module_utils.operations.opening import Outcome
from ansible_collections.tandem.lemp.plugins.module_utils.seed.datadir import DataDirectory
from ansible_collections.tandem.lemp.plugins.module_utils.state import (
    RUNNING,
    STOPPED,
    UNKNOWN,
    Replication,
    ServerState,
)

SOURCE = attaching.Source("node-a", Endpoint(host="192.0.2.1"), "tandem_repl", "secret", "ca.pem")
PRIMARY = ServerState(state=RUNNING, engine=MARIADB, version="10.11.1", server_id=11, read_only=False, gtid="0-11-7", lineage="data", log_bin=True)
FOLLOWS = Replication(source_host="192.0.2.1", io_running=True, io_connected=True, sql_running=True)
ERRANT = "0-12-8"


class Machine:
    """A server of MariaDB whose state is what lies in its data directory: a file ``gtid``."""

    def __init__(self, path: Path) -> None:
        self.path, self.running, self.told, self.calls = path, False, None, list[str]()
        (path / "mysql").mkdir()
        self.write(f"0-11-7,{ERRANT}")

    def write(self, gtid: str) -> None:
        (self.path / "gtid").write_text(gtid, encoding="ascii")

    def state(self) -> ServerState:
        if not self.running:
            return ServerState(state=STOPPED)
        gtid = (self.path / "gtid").read_text(encoding="ascii")
        return dataclasses.replace(PRIMARY, server_id=12, read_only=True, gtid=gtid, replication=self.told)

    def start(self) -> None:
        self.calls.append("start")
        if (self.path / ".tandem" / "swapping").exists():
            raise OperationFailed("systemctl start mariadb: the condition of its unit is not met.")
        self.running = True

    def stop(self) -> None:
        self.calls.append("stop")
        self.running = False


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(rejoin, "look", lambda endpoint, datadir="": made.state() if endpoint.socket else PRIMARY)
    monkeypatch.setattr(attaching, "look", lambda endpoint, datadir="": PRIMARY)
    monkeypatch.setattr(attaching.Local, "observe", lambda self: (made.state(), None))
    monkeypatch.setattr(rejoin, "require_copyable", lambda *_arguments: 0)
    return made


def call(machine: Machine, *, dry_run: bool = False, arm: bool = True) -> rejoin.Rejoined:
    local = attaching.Local("node-b", Endpoint(socket="/run/sock"), str(machine.path), machine, None, None, 60, lambda text: None)
    return rejoin.rejoin(local, SOURCE, replace=False, discard=False, dry_run=dry_run, arm=arm)


def broken_off_while_names_moved(machine: Machine) -> None:
    """Power was lost when the first of them was out: the directory of the system tables is in place still."""
    directory = DataDirectory(str(machine.path))
    directory.begin()

    def dies(_entry: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DataDirectory(str(machine.path), dies).swap()


def broken_off_before_the_copy_was_adopted(machine: Machine) -> None:
    """The copy lies there and runs; it knows of no position, and the old data, with what only they have, are kept."""
    directory = DataDirectory(str(machine.path))
    seed = directory.begin()
    (seed / "mysql").mkdir()
    (seed / "gtid").write_text("0-11-7", encoding="ascii")
    directory.swap()
    machine.running = True


@pytest.mark.parametrize("broken_off", [broken_off_while_names_moved, broken_off_before_the_copy_was_adopted])
def test_the_data_from_before_are_back_before_they_are_judged(machine: Machine, broken_off) -> None:
    broken_off(machine)
    with pytest.raises(Refused, match=r"node-b has 1 transaction that node-a never had. Nothing was replaced"):
        call(machine)
    assert machine.running and (machine.path / "gtid").read_text(encoding="ascii") == f"0-11-7,{ERRANT}"
    assert not DataDirectory(str(machine.path)).interrupted()


@pytest.mark.parametrize("broken_off", [broken_off_while_names_moved, broken_off_before_the_copy_was_adopted])
def test_a_rehearsal_says_so_and_changes_nothing(machine: Machine, broken_off) -> None:
    broken_off(machine)
    before = sorted(str(path) for path in machine.path.rglob("*"))
    planned = call(machine, dry_run=True)
    assert planned.actions[0] == "go back to the data from before an interrupted copy"
    assert "seen when" in planned.reason
    assert sorted(str(path) for path in machine.path.rglob("*")) == before and machine.calls == []


def test_a_copy_that_works_is_kept(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_off_before_the_copy_was_adopted(machine)
    machine.told = FOLLOWS
    monkeypatch.setattr(rejoin, "attach", lambda *_arguments, **_more: Outcome({}, {}, [], "It follows."))
    monkeypatch.setattr(rejoin, "_arm", lambda *_arguments: None)
    assert call(machine, dry_run=True).actions == ["remove the data from before the copy"]
    done = call(machine)
    assert (done.way, done.actions) == ("attach", ["remove the data from before the copy"])
    assert not (machine.path / ".tandem").exists() and machine.calls == []


@pytest.mark.parametrize("discard", [False, True])
def test_what_cannot_be_saved_in_time_stops_nobody_who_said_discard(machine: Machine, monkeypatch: pytest.MonkeyPatch, discard: bool) -> None:
    machine.running = True
    attached: list[str] = []
    local = attaching.Local("node-b", Endpoint(socket="/run/sock"), str(machine.path), machine, None, None, 60, lambda text: None)
    monkeypatch.setattr(rejoin.Server, "at", lambda _endpoint: types.SimpleNamespace(close_for_writes=lambda: None, close=lambda: None))
    monkeypatch.setattr(rejoin, "attach", lambda _local, _source, seed, **_more: attached.append(seed) or Outcome({}, {}))
    monkeypatch.setattr(rejoin, "_arm", lambda *_arguments: None)

    def late(*_arguments: object) -> None:
        raise OperationFailed("The binary logs were not read within 3600 s.")

    if discard:
        done = rejoin.rejoin(local, SOURCE, replace=True, discard=True, dry_run=False, save_them=late)
        assert done.warnings == ["Not saved, as you said discard: The binary logs were not read within 3600 s."] and attached == ["always"]
    else:
        with pytest.raises(OperationFailed, match="not read within"):
            rejoin.rejoin(local, SOURCE, replace=True, discard=False, dry_run=False, save_them=late)
        assert attached == []


@pytest.mark.parametrize("running", [True, False])
def test_a_copy_that_was_written_to_is_not_given_up_for_the_data_from_before(machine: Machine, running: bool) -> None:
    """It was promoted, without anybody who said so here, and it may have crashed since."""
    broken_off_before_the_copy_was_adopted(machine)
    machine.write("0-11-7,0-12-9")
    machine.running = running
    with pytest.raises(Refused, match=r"node-b was interrupted: .*/old holds .* would lose .* node-a lacks: 0-12-8..9\. .* remove .*\.tandem and"):
        call(machine)
    assert DataDirectory(str(machine.path)).interrupted() and (machine.path / "gtid").read_text(encoding="ascii") == "0-11-7,0-12-9"


def test_nothing_is_given_up_while_nobody_can_tell_what_the_source_has(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_off_before_the_copy_was_adopted(machine)
    monkeypatch.setattr(attaching, "look", lambda endpoint, datadir="": ServerState(state=UNKNOWN, reason="no answer"))
    with pytest.raises(Refused, match=r"Whether .* node-a has cannot be seen: no answer"):
        call(machine)
    assert DataDirectory(str(machine.path)).interrupted()


def test_a_copy_that_does_not_start_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_off_before_the_copy_was_adopted(machine)
    machine.running = False
    start, answers = machine.start, [OperationFailed("systemctl start mariadb ended with 1.")]

    def starts() -> None:
        if answers:
            raise answers.pop()
        start()

    monkeypatch.setattr(machine, "start", starts)
    with pytest.raises(Refused, match="node-b has 1 transaction that node-a never had"):
        call(machine)
    assert not DataDirectory(str(machine.path)).interrupted()


@pytest.mark.parametrize("arm", [True, False])
def test_a_primary_with_an_agent_is_not_made_to_wait_behind_its_back(machine: Machine, monkeypatch: pytest.MonkeyPatch, arm: bool) -> None:
    """It may be alone, and its replica lack hours."""
    machine.running, machine.told = True, FOLLOWS
    machine.write("0-11-7")
    armed: list[str] = []
    monkeypatch.setattr(rejoin, "attach", lambda *_arguments, **_more: Outcome({}, {}, [], "It follows."))
    monkeypatch.setattr(rejoin, "_arm", lambda source, _done: armed.append(source.name))
    call(machine, arm=arm)
    assert armed == (["node-a"] if arm else [])


def test_a_primary_that_does_not_answer_at_the_end_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_endpoint: Endpoint) -> types.SimpleNamespace:
        raise Unreachable("Login as tandem at 192.0.2.1:3306 got no answer.")

    monkeypatch.setattr(rejoin.Server, "at", silent)
    done = rejoin.Rejoined("attach", "It follows.")
    rejoin._arm(SOURCE, done)
    assert "Semi-sync on node-a is not switched on: Login as" in done.warnings[0]


def test_a_server_that_does_not_stop_for_its_copy_is_started_again_with_its_data(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.running = True

    def hangs() -> None:
        machine.calls.append("stop")
        raise OperationFailed("systemctl stop mariadb ended with 124: not done after 120 s.")

    monkeypatch.setattr(machine, "stop", hangs)
    monkeypatch.setattr(attaching.mariadb, "tools_missing", list)
    monkeypatch.setattr(attaching.mariadb, "receive", lambda *_arguments: 1)
    monkeypatch.setattr(attaching.mariadb, "prepare", lambda *_arguments: PRIMARY.transactions)
    local = attaching.Local("node-b", Endpoint(socket="/run/sock"), str(machine.path), machine, None, None, 60, lambda text: None)
    with pytest.raises(OperationFailed, match=r"did not work on node-b: systemctl stop mariadb ended with 124.* Its old data are back"):
        attaching._seed_mariadb(local, SOURCE, PRIMARY, DataDirectory(str(machine.path)), 2**20)
    assert machine.calls == ["stop", "start"] and machine.state().gtid == f"0-11-7,{ERRANT}"
    assert not (machine.path / ".tandem").exists()


PURGED = dataclasses.replace(FOLLOWS, io_running=False, io_connected=False, io_errno=1236, io_error="Could not find the binary log")


@pytest.fixture
def behind(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """It lacks what the primary has purged, as whoever follows is told; and a copy is only written down."""
    machine.write("0-11-3")
    machine.running = True

    def follow(*_arguments: object, **_more: object) -> None:
        machine.told = PURGED
        raise attaching._Purged("node-a has purged binary logs that node-b needs.")

    monkeypatch.setattr(attaching, "require_copyable", lambda *_arguments: 0)
    monkeypatch.setattr(attaching, "_follow", follow)
    monkeypatch.setattr(attaching, "_seed", lambda *_arguments: machine.calls.append("copy"))
    monkeypatch.setattr(rejoin, "_arm", lambda *_arguments: None)
    return machine


@pytest.mark.parametrize("running", [True, False])
def test_data_are_not_replaced_before_anybody_was_asked(behind: Machine, running: bool) -> None:
    behind.running = running
    assert call(behind, dry_run=True).way == "attach"  # nobody has been told of it yet
    for refused in (OperationFailed, Refused):
        with pytest.raises(refused, match=r"has purged binary logs .* Nothing was replaced\. Run playbooks/rejoin\.yml \(again\)"):
            call(behind)
    planned = call(behind, dry_run=True)
    assert planned.way == "copy" and "copy all data from node-a" in planned.actions
    assert "copy" not in behind.calls


def test_data_are_replaced_when_somebody_said_yes(behind: Machine) -> None:
    behind.told = PURGED
    local = attaching.Local("node-b", Endpoint(socket="/run/sock"), str(behind.path), behind, None, None, 60, lambda text: None)
    done = rejoin.rejoin(local, SOURCE, replace=True, discard=False, dry_run=False)
    assert behind.calls == ["copy"]
    assert done.actions[-1].startswith("copy all data from node-a")
