# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence driver against what a real Atlas said: one on each node of a pair."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.atlas import admin as engine
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import READ, WRITE, Account
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wire import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused
from ansible_collections.tandem.lemp.plugins.module_utils.fence import atlas as module
from ansible_collections.tandem.lemp.plugins.module_utils.fence import fencing
from ansible_collections.tandem.lemp.plugins.module_utils.fence.atlas import AtlasOffline, require_open
from ansible_collections.tandem.lemp.plugins.module_utils.fence.driver import Driver
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import AtlasPort, HandConfig, Side
from ansible_collections.tandem.lemp.plugins.module_utils.operations.running import offline_writers
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server as DatabaseServer
from ansible_collections.tandem.lemp.plugins.module_utils.state import ServerState
from ansible_collections.tandem.lemp.plugins.modules import write_fence

from .replay import Faults, Server, Transcript, free_port, recorded, replaying
from .test_admin import M1, M2, there, undone_by_a_probe

SEQ = recorded("admin_seq_offline_online")
BOTH = "atlas: the writers of both nodes' Atlas"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine, "_POLL", 0.01)
    yield


class Database:
    """Another driver, in memory."""

    name = "read_only"
    sufficient = True
    closed = False

    def fenced(self) -> bool:
        return self.closed

    def plan(self) -> dict[str, object]:
        return {}

    def fence(self, planned: object) -> None:
        self.closed = True

    def prove(self) -> str:
        return "refused"

    def unfence(self, recorded: object) -> None:
        self.closed = False


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "fence.json")


def told(server) -> list[str]:
    return [command for command in server.heard if not command.startswith("SELECT")]


def test_alone_it_is_refused(record: Record) -> None:
    with replaying(SEQ) as server:
        driver: Driver = AtlasOffline([there(server)])
        assert driver.sufficient is False
        with pytest.raises(Refused, match="atlas alone is no fence"):
            fencing.fence([driver], record, dry_run=False)
        assert server.heard == [] and record.read() == {}


def test_both_go_offline_and_come_back_and_are_seen_up(record: Record) -> None:
    with replaying(SEQ, 10) as one, replaying(SEQ, 10) as two:
        drivers = [AtlasOffline([there(one), there(two)]), Database()]
        done = fencing.fence(drivers, record, dry_run=False)
        assert done.actions == [f"fence by {BOTH}", "fence by read_only"]
        assert f"{M1} at 127.0.0.1:{one.port}, {M1} at 127.0.0.1:{two.port}" in done.proof["atlas"]
        assert "pinned are not stopped" in done.proof["atlas"]
        assert told(one) == told(two) == ["SET OFFLINE 1"]
        assert fencing.fence(drivers, record, dry_run=False).changed is False
        assert fencing.unfence(drivers, record, dry_run=False).actions == ["unfence by read_only", f"unfence by {BOTH}"]
        assert told(one) == told(two) == ["SET OFFLINE 1", "SET ONLINE 1"]
        assert record.read() == {}
        for server in (one, two):
            assert b"127.0.0.1:13306\x02up" in b"".join(server.story.answer(SEQ.commands[0].asked).answers)


def test_check_mode_only_looks(record: Record) -> None:
    with replaying(SEQ) as server:
        assert fencing.fence([AtlasOffline([there(server)]), Database()], record, dry_run=True).actions == [f"fence by {BOTH}", "fence by read_only"]
        assert told(server) == [] and record.read() == {}


def test_what_was_offline_before_stays_offline(record: Record) -> None:
    """Somebody had taken the writer offline. The reader is fenced by its address, and only that comes back."""
    slave = recorded("admin_seq_offline_online_slave")
    with replaying(SEQ.only(SEQ.commands[2])) as one, replaying(slave, 20) as two:
        first, second = AtlasOffline([there(one)]), AtlasOffline([there(two)], addresses=[M2])
        assert first.plan() == {"offline_before": {str(there(one)): [[M1, "rw"]]}}
        first.unfence(first.plan())
        assert told(one) == []
        second.fence(second.plan())
        assert second.fenced()
        second.unfence({"offline_before": {str(there(two)): []}})
        assert told(two) == ["SET OFFLINE 2", "SET ONLINE 2"]


def test_without_a_record_it_is_as_open_as_it_can_be() -> None:
    with replaying(SEQ.only(*SEQ.commands[2:]), 20) as server:
        driver = AtlasOffline([there(server)])
        assert driver.fenced()
        driver.unfence(None)
        assert told(server) == ["SET ONLINE 1"] and not driver.fenced()


def test_the_fence_of_a_node_that_died_is_taken_away_on_the_other_one(record: Record) -> None:
    """The record is on the dead one, and its Atlas does not answer."""
    dead = there(free_port())
    with replaying(SEQ.only(*SEQ.commands[2:]), 20) as server:
        drivers = [AtlasOffline([dead, there(server)]), Database()]
        planned = fencing.unfence(drivers, record, dry_run=True)
        assert planned.actions == [f"unfence by {BOTH}"] and told(server) == []
        done = fencing.unfence(drivers, record, dry_run=False)
        assert done.actions == [f"unfence by {BOTH}"] and told(server) == ["SET ONLINE 1"]
        for outcome in (planned, done):
            (warning,) = outcome.warnings
            assert f"the Atlas of {dead} uses its writer is not known: Nobody takes connections" in warning
        assert fencing.unfence(drivers, record, dry_run=False).changed is False


def test_a_recorded_fence_is_taken_away_where_one_does_not_answer(record: Record) -> None:
    record.keep("atlas", {"offline_before": {}})
    with replaying(SEQ.only(*SEQ.commands[2:]), 20) as server:
        done = fencing.unfence([AtlasOffline([there(server), there(free_port())])], record, dry_run=False)
        assert told(server) == ["SET ONLINE 1"] and len(done.warnings) == 1
    assert record.read() == {}


def pair(*servers: Server | int) -> HandConfig:
    """As role operations writes it."""
    ports = tuple(AtlasPort(one.host, one.port, one.user, one.password) for one in map(there, servers))
    return HandConfig(
        node=Side("node-a", "192.0.2.1"), peer=Side("node-b", "192.0.2.2"),
        engine="mariadb", service="mariadb", socket="/nowhere", datadir="/nowhere", replication_user="repl",
        canary_user="canary", own_accounts=(), ca="/nowhere", atlas=ports,
    )  # fmt: skip


def asked(state: str) -> AnsibleModule:
    return t.cast(AnsibleModule, SimpleNamespace(params={"state": state, "drivers": ["atlas"]}, check_mode=False))


def database(*, writable: bool) -> DatabaseServer:
    """Of this node: only asked what it is."""
    state = ServerState(state="running", read_only=not writable)
    return t.cast(DatabaseServer, SimpleNamespace(observe=lambda: state))


def test_a_fence_that_was_recorded_before_the_pair_left_atlas_is_forgotten(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_fence, "Record", lambda: record)
    with pytest.raises(Refused, match="has no Atlas"):
        write_fence.run(asked("unfenced"), pair(), database(writable=False))
    record.keep("atlas", {"offline_before": {}})
    assert write_fence.run(asked("unfenced"), pair(), database(writable=False)).actions == [f"unfence by {BOTH}"]
    assert record.read() == {}


@pytest.mark.parametrize("known", [{}, {"read_only": {"was_open": False}}], ids=["fresh", "fenced as a replica"])
def test_of_a_node_that_is_not_the_open_one_it_is_refused(
    record: Record, monkeypatch: pytest.MonkeyPatch, known: dict[str, dict[str, bool]]
) -> None:
    """The writers of both lead to the other one."""
    monkeypatch.setattr(write_fence, "Record", lambda: record)
    for driver, changed in known.items():
        record.keep(driver, changed)
    with replaying(SEQ) as server:
        with pytest.raises(Refused, match=r"of node-a is not the open one.* both nodes' Atlas .*Nothing was changed.*Leave out the driver atlas"):
            write_fence.run(asked("fenced"), pair(server), database(writable=False))
        assert server.heard == [] and record.read() == known
        # The open one gets as far as the next question.
        with pytest.raises(Refused, match="atlas alone is no fence"):
            write_fence.run(asked("fenced"), pair(server), database(writable=True))


def test_one_that_is_closed_by_its_fence_is_fenced_again_unless_it_was_replaced() -> None:
    closed, opened = (Node(f"node-{letter}", "", ServerState(state="running", read_only=letter == "a")) for letter in "ab")
    silent = Node("node-b", "", ServerState(reason="nobody answers"))
    for peer in (closed, silent):
        require_open(closed, ["read_only"], lambda peer=peer: peer)
    with pytest.raises(Refused, match="not the open one"):
        require_open(closed, ["atlas"], lambda: opened)


def test_a_report_names_the_writers_that_are_offline() -> None:
    """One is fenced, one is not, one is dead."""
    with replaying(SEQ.only(SEQ.commands[2])) as fenced, replaying(recorded("admin_select_backends")) as well:
        (warning,) = offline_writers(pair(free_port(), fenced, well), "node-b")
    assert f"The Atlas of {there(fenced)} keeps its writer {M1} offline" in warning
    assert "playbooks/unfence.yml -e node=node-b -e drivers=atlas" in warning


def test_one_that_does_not_answer_does_not_keep_the_rest_open(record: Record) -> None:
    database = Database()
    with replaying(SEQ) as server:
        drivers = [AtlasOffline([there(free_port()), there(server)]), database]
        with pytest.raises(OperationFailed, match=r"Not every Atlas is known .* Nobody takes connections"):
            fencing.fence(drivers, record, dry_run=False)
        assert told(server) == ["SET OFFLINE 1"] and database.closed
        assert set(record.read()) == {"atlas", "read_only"}


def test_one_that_does_not_answer_is_waited_for_as_seldom_as_can_be(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is open meanwhile: it is asked whether it is fenced, and what has to be kept, and not once more."""
    asked: list[str] = []

    class Counted(engine.Admin):
        def __init__(self, endpoint: Endpoint) -> None:
            asked.append(str(endpoint))
            super().__init__(endpoint)

    monkeypatch.setattr(module, "Admin", Counted)
    dead = there(free_port())
    with replaying(SEQ) as server, pytest.raises(OperationFailed):
        fencing.fence([AtlasOffline([there(server), dead]), Database()], record, dry_run=False)
    assert asked.count(str(dead)) == 1


def test_what_is_proven_is_not_lost_with_the_error_about_atlas(record: Record) -> None:
    drivers = [AtlasOffline([there(free_port())]), Database()]
    with pytest.raises(OperationFailed, match=r"^\(?'?Fenced and proven by read_only\. Not every Atlas is known") as told:
        fencing.fence(drivers, record, dry_run=False)
    # Nobody is told to do what the same call has done.
    assert told.value.remedy == "The database is fenced, which holds whatever that does."


def test_one_that_hangs_gets_two_seconds() -> None:
    driver = write_fence.of_both_nodes(pair(1, 2))
    assert [one.timeout for one in driver._instances] == [2.0, 2.0] and driver._application is None
    own = AtlasPort("127.0.0.1", 1234, "app", "app_pw")
    assert write_fence.of_both_nodes(replace(pair(1, 2), atlas_application=own))._application == ("127.0.0.1", 1234, Account("app", "app_pw", 2.0))


APP = Account("app", "app_pw", 2.0)


def application(port: int) -> tuple[str, int, Account]:
    return "127.0.0.1", port, APP


def test_this_nodes_own_is_tried_as_an_application_would() -> None:
    through = recorded("proxy_select_port")
    with replaying(SEQ.only(SEQ.commands[2])) as admin, replaying(through, faults=Faults(hangs_up_at="/*master*/"), quits=True) as proxy:
        said = AtlasOffline([there(admin)], application=application(proxy.port)).prove()
        assert f"a statement for the writer through 127.0.0.1:{proxy.port}: hangs up" in said
        assert proxy.heard == [WRITE]


def test_one_that_lets_a_write_through_is_no_proof_whatever_it_says() -> None:
    through = recorded("proxy_select_port")
    (read,) = (one for one in through.commands if one.command == READ)
    write = replace(read, asked=(len(WRITE) + 1).to_bytes(3, "little") + b"\0\3" + WRITE.encode())
    with (
        replaying(SEQ.only(SEQ.commands[2])) as admin,
        replaying(through.only(write), quits=True) as proxy,
        pytest.raises(OperationFailed, match="was not refused: it came through"),
    ):
        AtlasOffline([there(admin)], application=application(proxy.port)).prove()


def test_a_login_that_is_refused_or_hangs_says_nothing_of_writes() -> None:
    for name, word in (("proxy_bad_password", "refuses the login"), ("proxy_select_port", "no answer within")):
        faults = Faults(falls_silent_at="/*master*/")
        with (
            replaying(SEQ.only(SEQ.commands[2])) as admin,
            replaying(recorded(name), faults=faults, quits=True, any_login=True) as proxy,
            pytest.raises(OperationFailed, match=f"was not refused: .*{word}"),
        ):
            AtlasOffline([there(admin)], application=application(proxy.port)).prove()


def test_one_to_which_nobody_can_connect_lets_nobody_through() -> None:
    with replaying(SEQ.only(SEQ.commands[2])) as admin:
        assert "Connection refused" in AtlasOffline([there(admin)], application=application(free_port())).prove()


@pytest.mark.parametrize("fault", ["falls_silent_at", "hangs_up_at"])
def test_one_that_breaks_off_is_no_proof(record: Record, fault: str) -> None:
    database = Database()
    with replaying(SEQ, faults=Faults(**{fault: "SET OFFLINE"})) as server:
        with pytest.raises(OperationFailed, match=r"broke at 'SET OFFLINE 1'.*not known"):
            fencing.fence([AtlasOffline([there(server, timeout=1)]), database], record, dry_run=False)
        assert database.closed and "atlas" in record.read()


def down_and_undone() -> Transcript:
    """A writer that is being probed, not up, when it is taken offline."""
    talk = undone_by_a_probe(1)
    unknown = replace(SEQ.commands[4], at=0)
    return talk.only(unknown, *talk.commands[1:])


def test_a_probe_that_undoes_it_is_waited_for(record: Record) -> None:
    with replaying(down_and_undone(), 20) as server:
        driver = AtlasOffline([there(server)], settle=0.6)
        done = fencing.fence([driver, Database()], record, dry_run=False)
        assert told(server) == ["SET OFFLINE 1"] * 2
        assert driver.fenced() and "atlas" in done.proof


def test_one_that_is_online_again_is_no_proof() -> None:
    with replaying(recorded("admin_select_backends")) as server, pytest.raises(OperationFailed, match="13306 is up at the Atlas"):
        AtlasOffline([there(server)]).prove()


def test_one_that_does_not_come_up_again_stays_recorded(record: Record) -> None:
    add = recorded("admin_add_slave")
    drivers = [AtlasOffline([there(free_port())], timeout=0.1), Database()]
    record.keep("atlas", {"offline_before": {}})
    with pytest.raises(OperationFailed, match="Not every Atlas uses the writer again"):
        fencing.unfence(drivers, record, dry_run=False)
    with replaying(add.only(add.commands[2])) as server:
        down = AtlasOffline([there(server)], addresses=["127.0.0.1:13399"], timeout=0.1)
        with pytest.raises(OperationFailed, match="13399 is down"):
            fencing.unfence([down], record, dry_run=False)
    assert "atlas" in record.read()


def test_an_atlas_without_a_writer_is_fenced(record: Record) -> None:
    empty = recorded("admin_select_backends").commands[0]
    rows = replace(empty, answers=(*empty.answers[:6], bytes([5, 0, 0, 7]) + empty.answers[-1][4:]))
    with replaying(SEQ.only(rows)) as server:
        driver = AtlasOffline([there(server)])
        assert driver.fenced() and "no writer is listed" in driver.prove()
