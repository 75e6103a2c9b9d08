# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import types

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node, Verdict
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused, StatementFailed
from ansible_collections.tandem.lemp.plugins.module_utils.fence import fencing
from ansible_collections.tandem.lemp.plugins.module_utils.fence.read_only import ReadOnly
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record, holds
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, Replication, ServerState


class Port:
    """A driver in memory."""

    sufficient = True

    def __init__(self, name="haproxy", closed=False, leaks=False, breaks=False) -> None:
        self.name, self.closed, self.leaks, self.breaks = name, closed, leaks, breaks
        self.recorded = None
        self.calls: list[str] = []

    def fenced(self):
        return self.closed

    def plan(self):
        return {"servers": ["node-a"]}

    def fence(self, planned):
        self.calls.append("fence")
        if self.breaks:
            raise StatementFailed("Somebody has a transaction open.")
        self.closed = True

    def prove(self):
        if self.leaks:
            raise OperationFailed("A write came through.")
        return "refused"

    def unfence(self, recorded):
        self.calls.append("unfence")
        self.closed, self.recorded = False, recorded


class Database(ReadOnly):
    def __init__(self, closed=True, may=True, replaced=False, follows="", peer_fenced=()) -> None:
        self.closed, self.may, self._replaced = closed, may, replaced
        self.opened = False
        told = Replication(follows, 3306) if follows else None
        self._server = types.SimpleNamespace(observe=lambda: ServerState(state=RUNNING, read_only=True, replication=told))
        self._actions = types.SimpleNamespace(config=types.SimpleNamespace(node=types.SimpleNamespace(name="node-a")))
        self._peer = lambda: Node("node-b", "", ServerState(state=RUNNING, read_only=True), peer_fenced)

    def fenced(self):
        return self.closed

    def plan(self):
        return {"was_open": not self.closed}

    def fence(self, planned):
        self.closed = True

    def prove(self):
        return "refused"

    def _open(self, *, dry_run):
        if not self.may:
            raise Refused("node-b takes writes.")
        if not dry_run:
            self.closed, self.opened = False, True
        return Verdict(True, "node-b is closed for writes.")


@pytest.fixture
def record(tmp_path) -> Record:
    return Record(tmp_path / "fence.json")


def test_fence_and_back(record) -> None:
    port = Port()
    done = fencing.fence([port], record, dry_run=False)
    assert (done.actions, done.proof) == (["fence by haproxy"], {"haproxy": "refused"})
    assert fencing.fence([port], record, dry_run=False).changed is False
    assert fencing.unfence([port], record, dry_run=False).changed
    assert port.recorded == {"servers": ["node-a"]}
    assert fencing.unfence([port], record, dry_run=False).changed is False
    assert record.read() == {}


def test_check_mode_touches_nothing(record) -> None:
    port = Port()
    done = fencing.fence([port], record, dry_run=True)
    assert (done.before, done.after) == ({"haproxy": "unfenced"}, {"haproxy": "fenced"})
    assert (port.calls, record.read()) == ([], {})
    port.closed = True
    assert fencing.unfence([port], record, dry_run=True).actions == ["unfence by haproxy"]
    assert port.calls == []


def test_a_fence_that_leaks_is_an_error_and_stays_recorded(record) -> None:
    port = Port(leaks=True)
    with pytest.raises(OperationFailed, match="came through"):
        fencing.fence([port], record, dry_run=False)
    assert "haproxy" in record.read()


def test_a_fence_that_cannot_be_made_is_taken_back_and_forgotten(record) -> None:
    port = Port(breaks=True)
    with pytest.raises(OperationFailed, match=r"could not be made: Somebody has a transaction open. haproxy was taken back"):
        fencing.fence([port], record, dry_run=False)
    assert (port.calls, record.read()) == (["fence", "unfence"], {})


def test_those_that_stand_when_a_later_one_fails_are_named(record) -> None:
    first, second = Port("atlas"), Port("grants", breaks=True)
    with pytest.raises(OperationFailed, match=r"grants was taken back. Still fenced by atlas: playbooks/unfence.yml, .* -e drivers=atlas\."):
        fencing.fence([second, first], record, dry_run=False)
    assert first.closed and set(record.read()) == {"atlas"}


def test_a_half_made_fence_is_not_forgotten_when_it_fails_again(record) -> None:
    record.keep("haproxy", {"servers": ["node-a", "node-b"]})
    with pytest.raises(StatementFailed):
        fencing.fence([Port(breaks=True)], record, dry_run=False)
    assert record.read() == {"haproxy": {"servers": ["node-a", "node-b"]}}


def test_a_fenced_primary_that_was_replaced_can_be_unfenced(record) -> None:
    """It is a replica now: it stays closed, and nothing remembers the fence any more."""
    database = Database(closed=True, may=False, replaced=True)
    record.keep("read_only", {"was_open": True})
    done = fencing.unfence([database], record, dry_run=False)
    assert done.actions == ["forget the fence by read_only"] and "stays closed" in done.proof["read_only"]
    assert not database.opened and record.read() == {}


def test_fences_that_stay_are_named(record) -> None:
    """Whoever says no drivers takes away read_only alone."""
    record.keep("grants", {"accounts": []})
    record.keep("read_only", {"was_open": True})
    for dry_run in (True, False):
        (warning,) = fencing.unfence([Database()], record, dry_run=dry_run).warnings
        assert "by grants is still recorded" in warning and "-e drivers=grants" in warning
    assert fencing.unfence([Port("grants", closed=True)], record, dry_run=False).warnings == []


def test_the_first_record_counts(record) -> None:
    """A fence that was half made, and is made again, must not forget what was open at first."""
    record.keep("grants", {"accounts": [["app", "%"], ["web", "%"]]})
    record.keep("grants", {"accounts": [["web", "%"]]})
    assert record.read()["grants"]["accounts"] == [["app", "%"], ["web", "%"]]


def test_unfencing_asks_before_anything_is_changed(record) -> None:
    port, database = Port(closed=True), Database(closed=True, may=False)
    record.keep("haproxy", {"servers": ["node-a"]})
    record.keep("read_only", {"was_open": True})
    with pytest.raises(Refused, match="node-b takes writes"):
        fencing.unfence([database, port], record, dry_run=False)
    assert port.calls == []
    assert set(record.read()) == {"haproxy", "read_only"}


def test_a_primary_opens_again_and_a_replica_stays_closed(record) -> None:
    primary = Database(closed=False)
    fencing.fence([primary], record, dry_run=False)
    fencing.unfence([primary], record, dry_run=False)
    assert primary.opened
    record.keep("read_only", {"was_open": False})
    replica = Database(closed=True, may=False)
    done = fencing.unfence([replica], record, dry_run=False)
    assert not replica.opened
    assert (done.after, record.read()) == ({"read_only": "fenced"}, {})


def test_a_replica_that_is_closed_already_is_held_and_stays_closed(record, tmp_path) -> None:
    """Otherwise its agent would make a node the primary that somebody believes fenced."""
    replica = Database(closed=True)
    assert fencing.fence([replica], record, dry_run=True).changed and record.read() == {}
    done = fencing.fence([replica], record, dry_run=False)
    assert (done.actions, done.before, done.after) == (["keep it closed by read_only"], {"read_only": "closed"}, {"read_only": "fenced"})
    assert record.read() == {"read_only": {"was_open": False}} and holds(tmp_path / "fence.json")
    assert not fencing.fence([replica], record, dry_run=False).changed
    done = fencing.unfence([replica], record, dry_run=False)
    assert done.actions == ["forget the fence by read_only"] and "was closed before" in done.proof["read_only"]
    assert not replica.opened and record.read() == {}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"follows": "192.0.2.12"}, "it follows 192.0.2.12: there is nothing to take back"),
        ({"peer_fenced": ("read_only",)}, r"node-b is \(by read_only\): there is nothing to take back"),
    ],
    ids=["follows", "the other one is fenced"],
)
def test_a_standby_that_nobody_fenced_is_not_made_the_primary(record, seen, said) -> None:
    """Else a wrong name of a node would go past the fence of the other one."""
    standby, atlas = Database(**seen), weak(closed=True)
    for dry_run in (True, False, False):
        with pytest.raises(Refused, match=f"node-a was not fenced, {said}.*Nothing was changed.*playbooks/switchover.yml or playbooks/failover.yml"):
            fencing.unfence([atlas, standby], record, dry_run=dry_run)
    assert (standby.opened, atlas.calls, record.read()) == (False, [], {})


def test_what_is_open_and_not_recorded_is_left_as_it_is(record) -> None:
    for dry_run in (True, False):
        assert not fencing.unfence([Database(closed=False, peer_fenced=("read_only",))], record, dry_run=dry_run).changed


def test_a_primary_that_came_back_closed_and_follows_nobody_may_be_opened(record) -> None:
    primary = Database()
    assert fencing.unfence([primary], record, dry_run=False).changed and primary.opened


def test_accounts_that_somebody_else_locked_stay_locked(record) -> None:
    grants = Port("grants", closed=True)
    assert fencing.unfence([grants], record, dry_run=False).changed is False
    assert grants.calls == []


def test_accounts_are_locked_last_and_unlocked_first(record) -> None:
    """The canary's account is among them, and it proves the other fences."""
    grants, port = Port("grants"), Port()
    assert fencing.fence([grants, port], record, dry_run=False).actions == ["fence by haproxy", "fence by grants"]
    assert fencing.unfence([grants, port], record, dry_run=False).actions == ["unfence by grants", "unfence by haproxy"]


def weak(**more) -> Port:
    port = Port("atlas", **more)
    port.sufficient = False
    return port


def test_what_is_never_enough_is_not_taken_alone(record) -> None:
    atlas = weak()
    for dry_run in (True, False):
        with pytest.raises(Refused, match="atlas alone is no fence"):
            fencing.fence([atlas], record, dry_run=dry_run)
    assert (atlas.calls, record.read()) == ([], {})


def test_what_is_not_enough_comes_first_is_proven_last_and_goes_last(record) -> None:
    database, atlas, grants = Database(closed=False), weak(), Port("grants")
    done = fencing.fence([grants, database, atlas], record, dry_run=False)
    assert done.actions == ["fence by atlas", "fence by read_only", "fence by grants"]
    assert list(done.proof) == ["read_only", "grants", "atlas"]
    assert fencing.unfence([atlas, database, grants], record, dry_run=False).actions[-1] == "unfence by atlas"


def test_what_is_not_enough_and_leaks_does_not_keep_the_database_open(record) -> None:
    database, atlas = Database(closed=False), weak(leaks=True)
    with pytest.raises(OperationFailed, match="came through"):
        fencing.fence([atlas, database], record, dry_run=False)
    assert database.closed and set(record.read()) == {"atlas", "read_only"}


def test_a_record_that_cannot_be_read_is_no_empty_record(tmp_path) -> None:
    (tmp_path / "fence.json").write_text("{")
    with pytest.raises(OperationFailed, match="cannot be read"):
        Record(tmp_path / "fence.json").read()


def test_no_fence_leaves_no_file(tmp_path) -> None:
    """The agent looks whether it is there."""
    record = Record(tmp_path / "fence.json")
    record.keep("read_only", {"was": False})
    record.keep("grants", {})
    record.drop("read_only")
    assert (tmp_path / "fence.json").exists()
    record.drop("grants")
    assert not (tmp_path / "fence.json").exists()


def test_only_what_closes_the_database_holds_the_agent(tmp_path) -> None:
    """The agent may not read the record."""
    record = Record(tmp_path / "fence.json")
    seen = [holds(tmp_path / "fence.json")]
    for act, driver in (
        ("keep", "haproxy"), ("keep", "atlas"), ("keep", "read_only"), ("drop", "read_only"), ("keep", "restore"), ("drop", "haproxy"),
        ("drop", "restore"), ("drop", "atlas"), ("keep", "grants"), ("keep", "atlas"), ("drop", "grants"),
    ):  # fmt: skip
        if act == "keep":
            record.keep(driver, {})
        else:
            record.drop(driver)
        seen.append(holds(tmp_path / "fence.json"))
    assert seen == [False, False, False, True, False, True, True, False, False, True, True, False]
    record.drop("atlas")
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_an_earlier_version_holds_the_agent(tmp_path) -> None:
    (tmp_path / "fence.json").write_text('{"haproxy": {}}')
    assert holds(tmp_path / "fence.json")
