# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers seen together: told as incidents."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL, GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.inspection import ANSWERED, Inspection, Work
from ansible_collections.tandem.lemp.plugins.module_utils.pair import by_origin, lacking, see
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, UNKNOWN, Replication, ServerState

ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"
OPEN = ServerState(
    state=RUNNING, engine=MARIADB, version="10.11.19", read_only=False, gtid="0-11-100", schemas=("blog",), lineage="one", semi_sync_active=True
)
TOLD = Replication("192.0.2.11", io_running=True, io_connected=True, sql_running=True, lag_seconds=0, retrieved="0-11-100")
HELD = dataclasses.replace(OPEN, read_only=True, replication=TOLD, semi_sync_active=False)
SILENT = ServerState(state=UNKNOWN, reason="timed out")


def seen(first, second, inspections=None):
    return see((Node("server1", "192.0.2.11", first), Node("server2", "192.0.2.12", second)), inspections)


def changed(state, told=None, **changes):
    if told:
        changes["replication"] = dataclasses.replace(state.replication, **told)
    return dataclasses.replace(state, **changes)


def test_a_healthy_pair():
    pair = seen(OPEN, HELD)
    assert (pair.primary, pair.replica) == ("server1", "server2")
    assert pair.roles == {"server1": "primary", "server2": "replica"}
    assert pair.follows == {"server1": None, "server2": "server1"}
    assert (pair.lag_transactions, pair.lag_seconds, pair.not_received, pair.at_risk) == (0, 0, 0, 0)
    assert pair.errant == {"server1": (), "server2": ()}


def test_the_order_of_the_nodes_does_not_matter():
    one, other = Node("server1", "192.0.2.11", OPEN), Node("server2", "192.0.2.12", HELD)
    assert see((one, other)).as_dict() == see((other, one)).as_dict()


def test_received_but_not_applied_is_lag_and_no_risk():
    pair = seen(changed(OPEN, gtid="0-11-120", semi_sync_active=False), changed(HELD, told={"retrieved": "0-11-120", "sql_running": False}))
    assert (pair.lag_transactions, pair.not_received, pair.at_risk) == (20, 0, 0)
    assert pair.lag_seconds is None, "a stopped applier has no lag in seconds"


def test_not_received_is_at_risk_unless_commits_wait():
    assert seen(changed(OPEN, gtid="0-11-103", semi_sync_active=False), HELD).at_risk == 3
    waiting = seen(changed(OPEN, gtid="0-11-103"), HELD)
    assert (waiting.not_received, waiting.at_risk) == (3, 0), "what is not acknowledged is not lost"


def test_a_silent_replica_leaves_unknown_what_only_it_knows():
    pair = seen(changed(OPEN, semi_sync_active=False), SILENT)
    assert (pair.primary, pair.replica, pair.roles["server2"]) == ("server1", None, "unknown")
    assert (pair.lag_transactions, pair.not_received, pair.at_risk, pair.errant["server2"]) == (None, None, None, None)
    assert pair.pause.total is None and pair.pause.reason
    assert seen(OPEN, SILENT).at_risk == 0, "a replica confirms all commits, whoever it is"


def test_a_silent_primary_leaves_a_replica_and_no_primary():
    pair = seen(SILENT, HELD)
    assert (pair.primary, pair.replica) == (None, "server2")
    assert pair.lag_transactions is None and pair.at_risk is None


def test_an_errant_transaction_does_not_hide_that_one_is_missing():
    """MariaDB: both servers have a transaction 101 of the domain, and they are not the same."""
    pair = seen(changed(OPEN, gtid="0-11-101", semi_sync_active=False), changed(HELD, gtid="0-11-100,0-12-101"))
    assert [one.transactions for one in pair.errant["server2"] or ()] == ["0-12-101"]
    assert pair.errant["server1"] == ()
    assert (pair.lag_transactions, pair.at_risk) == (1, 1)


def test_a_writable_replica_is_a_stray_and_the_primary_stays_the_primary():
    pair = seen(OPEN, changed(HELD, read_only=False))
    assert pair.roles == {"server1": "primary", "server2": "stray"}
    assert (pair.primary, pair.replica) == ("server1", "server2")


def test_two_open_servers_are_no_pair():
    pair = seen(OPEN, changed(OPEN, gtid="0-12-50"))
    assert (pair.primary, pair.replica) == (None, None)
    assert pair.errant["server1"] and pair.errant["server2"]


def test_errant_transactions_of_mysql_are_told_by_uuid_and_tag():
    found = by_origin(GtidSet.parse(f"{ONE}:1-3:7:app:1-2,{TWO}:5", MYSQL))
    assert [(one.origin, one.transactions, one.at_most) for one in found] == [
        (ONE, f"{ONE}:1-3:7", 4),
        (f"{ONE}:app", f"{ONE}:app:1-2", 2),
        (TWO, f"{TWO}:5", 1),
    ]


def test_errant_transactions_of_mariadb_are_told_by_domain_and_server():
    more = GtidSet.parse("0-11-100,0-12-110,1-12-3", MARIADB) - GtidSet.parse("0-11-100,0-12-105", MARIADB)
    assert [(one.origin, one.transactions, one.at_most) for one in by_origin(more)] == [("0-12", "0-12-106..110", 5), ("1-12", "1-12-3", 3)]


INTERVALS = st.lists(st.tuples(st.sampled_from([ONE, TWO, f"{ONE}:app"]), st.integers(1, 40), st.integers(0, 9)), max_size=8)


@given(INTERVALS)
def test_the_parts_are_the_whole(intervals):
    whole = GtidSet.parse(",".join(f"{origin}:{first}-{first + more}" for origin, first, more in intervals), MYSQL)
    parts = by_origin(whole)
    assert GtidSet.parse(",".join(part.transactions for part in parts), MYSQL) == whole
    assert sum(part.at_most for part in parts) == whole.count()


@given(INTERVALS, INTERVALS)
def test_of_mysql_exactly_the_missing_ones_are_counted(one, other):
    sets = [GtidSet.parse(",".join(f"{origin}:{first}-{first + more}" for origin, first, more in each), MYSQL) for each in (one, other)]
    assert lacking(sets[0], sets[1]) == (sets[1] - sets[0]).count()


def looked(**changes):
    return Inspection(access=ANSWERED, round_trip_ms=0.5, transactions=(), **changes)


def test_the_pause_is_the_sum_of_its_parts():
    pair = seen(changed(OPEN, gtid="0-11-105"), HELD, {"server1": looked(), "server2": looked()})
    pause = pair.pause
    assert pause.total == pytest.approx((pause.fence or 0) + (pause.drain or 0) + (pause.catch_up or 0) + (pause.promote or 0))
    assert pause.catch_up == 5.0 and pause.drain == 0


def test_an_open_transaction_and_lag_lengthen_the_pause():
    short = seen(OPEN, HELD, {"server1": looked(), "server2": looked()}).pause
    busy = dataclasses.replace(looked(), transactions=(Work(7, "app", 3, "1 rows changed"), Work(8, "app", 1, "")))
    long = seen(OPEN, changed(HELD, told={"lag_seconds": 2}), {"server1": busy, "server2": looked()}).pause
    assert (long.drain, long.catch_up) == (3000.0, 2000.0)
    assert (long.total or 0) > 4900 + (short.total or 0)


def test_without_replication_nobody_can_tell_the_pause():
    pause = seen(OPEN, changed(HELD, told={"sql_running": False}), {"server1": looked(), "server2": looked()}).pause
    assert pause.total is None and pause.catch_up is None and pause.reason
