# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is primary, may it open, how is the other one attached: told as incidents."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.decide import (
    CONFIGURE,
    COPY_ANEW,
    NOTHING,
    REFUSE,
    SEED,
    START,
    Node,
    choose_primary,
    may_open,
    plan_attach,
)
from ansible_collections.tandem.lemp.plugins.module_utils.state import (
    ABSENT,
    RUNNING,
    STOPPED,
    UNKNOWN,
    Replication,
    ServerState,
)

NEW = ServerState(state=RUNNING, engine="mariadb", version="10.11.19", read_only=True, log_bin=True, server_id=11)
HELD = dataclasses.replace(NEW, schemas=("blog",), lineage="one", gtid="0-11-100")
OPEN = dataclasses.replace(HELD, read_only=False)
SILENT = ServerState(state=UNKNOWN, reason="timed out.")
DOWN = ServerState(state=STOPPED, reason="connection refused.", datadir="/var/lib/mysql")
GONE = ServerState(state=ABSENT)


def following(state, source, **changes):
    healthy = {"io_running": True, "io_connected": True, "sql_running": True, **changes}
    return dataclasses.replace(state, server_id=12, replication=Replication(source_host=source, **healthy))


def pair(first, second):
    return Node("server1", "192.0.2.11", first), Node("server2", "192.0.2.12", second)


def chosen(first, second):
    decision = choose_primary(pair(first, second))
    assert decision.reason
    assert decision.primary or decision.remedy, "a no must say what to do"
    return decision.primary


def test_of_two_new_servers_the_first_host_starts():
    assert chosen(NEW, NEW) == "server1"
    assert chosen(GONE, GONE) == "server1"


def test_of_two_new_servers_that_still_take_writes_the_first_host_starts():
    fresh = dataclasses.replace(NEW, read_only=False)
    assert chosen(fresh, fresh) == "server1"


def test_a_single_server_with_data_becomes_the_primary_of_the_pair():
    brown = dataclasses.replace(NEW, read_only=False, schemas=("shop",))
    fresh = dataclasses.replace(NEW, read_only=False)
    assert chosen(brown, fresh) == "server1"
    assert chosen(fresh, brown) == "server2"
    assert chosen(GONE, brown) == "server2"


def test_the_role_stays_where_it_was_moved_by_hand():
    assert chosen(following(HELD, "192.0.2.12"), OPEN) == "server2"
    assert chosen(HELD, OPEN) == "server2"


def test_after_a_power_cut_the_replica_points_to_the_primary():
    assert chosen(HELD, following(HELD, "192.0.2.11")) == "server1"
    assert chosen(following(HELD, "192.0.2.12"), HELD) == "server2"


def test_after_a_power_cut_the_one_with_newer_transactions_is_the_primary():
    newer = dataclasses.replace(HELD, gtid="0-11-100,0-12-120")
    assert chosen(HELD, following(newer, "192.0.2.11")) == "server2"
    assert chosen(HELD, newer) == "server2"


def test_two_that_take_writes_are_nobodys_decision():
    assert chosen(OPEN, OPEN) is None


def test_a_replica_that_was_left_open_is_still_the_replica():
    assert chosen(OPEN, following(OPEN, "192.0.2.11")) == "server1"


def test_a_replica_that_was_left_open_and_written_to_is_nobodys_decision():
    written = dataclasses.replace(OPEN, gtid="0-11-100,0-12-101")
    assert chosen(OPEN, following(written, "192.0.2.11")) is None


def test_two_sets_of_data_without_a_relation_are_nobodys_decision():
    assert chosen(HELD, dataclasses.replace(HELD, lineage="other")) is None
    assert chosen(dataclasses.replace(HELD, lineage=""), dataclasses.replace(HELD, lineage="")) is None


def test_diverged_data_are_nobodys_decision():
    one, other = (dataclasses.replace(HELD, gtid=f"0-11-100,0-{n}-120") for n in (12, 13))
    assert chosen(one, other) is None


def test_a_lost_primary_leaves_the_role_to_the_replica():
    assert chosen(GONE, following(HELD, "192.0.2.11")) == "server2"
    assert chosen(NEW, following(HELD, "192.0.2.11")) == "server2"


def test_a_closed_server_is_not_chosen_while_the_other_one_is_silent():
    assert chosen(HELD, SILENT) is None
    assert chosen(DOWN, following(HELD, "192.0.2.11")) is None
    assert chosen(SILENT, DOWN) is None


def test_a_no_names_what_the_documents_name():
    lost = "If it is lost for good (powered off): playbooks/failover.yml -e to=server1 -e peer_is=dead."
    assert choose_primary(pair(HELD, SILENT)).remedy.endswith(lost)
    assert may_open(*pair(HELD, SILENT)).remedy.endswith(lost)
    for other in (dataclasses.replace(HELD, lineage="other"), dataclasses.replace(HELD, gtid="0-11-99,0-13-1")):
        remedy = choose_primary(pair(HELD, other)).remedy
        assert "With an agent: `tandem open --yes` on the node that has them" in remedy and "Then run playbooks/rejoin.yml. server1: " in remedy
    assert "playbooks/fence.yml -e node=THAT" in choose_primary(pair(OPEN, OPEN)).remedy


def test_an_open_server_stays_primary_while_the_other_one_is_silent():
    assert chosen(OPEN, SILENT) == "server1"
    assert chosen(DOWN, OPEN) == "server2"


STATES = st.builds(
    lambda base, gtid, lineage, open_, told: dataclasses.replace(
        base,
        gtid=gtid,
        lineage=lineage,
        schemas=("blog",) if lineage else (),
        read_only=not open_,
        replication=Replication(source_host=told, io_running=True, sql_running=True) if told else None,
    ),
    st.just(NEW),
    st.sampled_from(["", "0-11-5", "0-11-9", "0-11-9,0-12-10", "0-12-9"]),
    st.sampled_from(["", "one", "other"]),
    st.booleans(),
    st.sampled_from(["", "192.0.2.11", "192.0.2.12"]),
) | st.sampled_from([SILENT, DOWN, GONE])


@given(STATES, STATES)
def test_an_open_server_with_data_never_loses_the_role_to_a_closed_one(first, second):
    primary = chosen(first, second)
    if first.writable and not first.virgin and not second.writable:
        assert primary == "server1"
    if second.writable and not second.virgin and not first.writable:
        assert primary == "server2"


@given(STATES, STATES)
def test_a_closed_primary_never_lacks_a_transaction_of_a_related_peer(first, second):
    nodes = {node.name: node.server for node in pair(first, second)}
    primary = chosen(first, second)
    if primary and first.running and second.running and not first.writable and not second.writable:
        (other,) = (server for name, server in nodes.items() if name != primary)
        if not other.virgin and first.lineage == second.lineage:
            assert other.transactions <= nodes[primary].transactions


@pytest.mark.parametrize(
    ("local", "peer", "dead", "allowed"),
    [
        (HELD, HELD, False, True),
        (HELD, OPEN, False, False),
        (HELD, OPEN, True, False),  # it answers: so it is not dead
        (OPEN, OPEN, False, False),
        (HELD, SILENT, False, False),
        (HELD, SILENT, True, True),
        (OPEN, SILENT, False, True),
        (HELD, DOWN, False, False),  # it may have been the primary since
        (HELD, DOWN, True, True),
        (HELD, dataclasses.replace(DOWN, engine="mariadb", gtid="0-11-100"), False, True),
        (HELD, dataclasses.replace(DOWN, engine="mariadb", gtid="0-12-500"), False, False),
        (HELD, dataclasses.replace(DOWN, engine="mariadb", gtid="0-12-500"), True, True),
        (HELD, GONE, False, True),
        (HELD, NEW, False, True),
        (HELD, dataclasses.replace(HELD, gtid="0-11-101"), False, False),
        (HELD, dataclasses.replace(HELD, gtid="0-12-500"), True, False),
        (NEW, dataclasses.replace(NEW, gtid="0-12-1"), False, True),
    ],
)
def test_a_server_opens_only_when_the_other_one_is_closed_and_has_nothing_more(local, peer, dead, allowed):
    verdict = may_open(*pair(local, peer), peer_is_dead=dead)
    assert verdict.allowed is allowed
    assert verdict.reason
    assert allowed or verdict.remedy


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [(HELD, True), (dataclasses.replace(HELD, gtid="0-11-101"), True), (DOWN, True), (OPEN, False), (SILENT, False)],
)
def test_a_primary_opens_again_after_its_restart_unless_the_other_one_may_be_open(peer, allowed):
    assert may_open(*pair(HELD, peer), was_open=True).allowed is allowed


def attached(here, there=OPEN, seed="auto", differ=False):
    source, local = pair(there, dataclasses.replace(here, server_id=12))
    plan = plan_attach(local, source, seed, differ)
    assert plan.reason
    assert plan.action != REFUSE or plan.remedy, "a no must say what to do"
    return plan.action


def test_a_healthy_replica_is_left_alone_whatever_seed_says():
    replica = following(HELD, "192.0.2.11")
    for seed in ("auto", "never", "always"):
        assert attached(replica, seed=seed) == NOTHING


def test_a_replica_is_copied_anew_by_what_the_checks_say():
    """By check.yml and the gates, of one that follows and lacks what was left out."""
    assert "STOP REPLICA there" in COPY_ANEW and "-e tandem_database_seed=always" in COPY_ANEW
    stopped = following(HELD, "192.0.2.11", io_running=False, io_connected=False, sql_running=False)
    assert attached(stopped, seed="always") == SEED


def test_a_stopped_replica_is_started():
    assert attached(following(HELD, "192.0.2.11", io_running=False, io_connected=False, sql_running=False)) == START


def test_a_replica_with_other_settings_is_told_anew():
    assert attached(following(HELD, "192.0.2.11"), differ=True) == CONFIGURE


def test_a_replica_that_took_writes_is_closed_again():
    assert attached(following(OPEN, "192.0.2.11")) != NOTHING


def test_an_old_primary_whose_transactions_are_all_known_is_attached_as_it_is():
    assert attached(HELD) == CONFIGURE
    assert attached(OPEN) == CONFIGURE


def test_a_new_server_is_copied():
    assert attached(NEW) == SEED
    assert attached(GONE) == SEED
    assert attached(NEW, seed="never") == REFUSE


def test_errant_transactions_are_not_overwritten_unless_told_so():
    errant = dataclasses.replace(HELD, gtid="0-11-90,0-12-91")
    assert attached(errant) == REFUSE
    assert attached(errant, seed="never") == REFUSE
    assert attached(errant, seed="always") == SEED


def test_foreign_data_are_not_overwritten_unless_told_so():
    foreign = dataclasses.replace(HELD, lineage="other", gtid="0-11-50")
    assert attached(foreign) == REFUSE
    assert attached(foreign, seed="always") == SEED


def test_a_server_without_a_lineage_is_never_taken_for_a_copy():
    # Two servers that were numbered alike can look like subsets of each other.
    assert attached(dataclasses.replace(HELD, lineage="")) == REFUSE


def test_a_dead_database_is_not_overwritten_unless_told_so():
    assert attached(DOWN) == REFUSE
    assert attached(DOWN, seed="always") == SEED


def test_a_mysql_source_that_has_purged_what_is_needed_is_copied():
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    source = dataclasses.replace(OPEN, engine="mysql", version="9.7.4", gtid=f"{uuid}:1-100", gtid_purged=f"{uuid}:1-50")
    local = dataclasses.replace(source, read_only=True, gtid=f"{uuid}:1-40", gtid_purged="")
    assert attached(local, source) == SEED
    assert attached(dataclasses.replace(local, gtid=f"{uuid}:1-60"), source) == CONFIGURE
    assert attached(local, source, seed="never") == REFUSE


@pytest.mark.parametrize(
    "source",
    [
        SILENT,
        DOWN,
        HELD,  # closed
        dataclasses.replace(OPEN, log_bin=False),
        dataclasses.replace(OPEN, engine="mysql", gtid=""),
        dataclasses.replace(OPEN, version="11.8.6"),
        dataclasses.replace(OPEN, server_id=12),
        dataclasses.replace(following(OPEN, "192.0.2.12"), server_id=11),
    ],
)
def test_an_unfit_source_is_refused_even_with_seed_always(source):
    for here, seed in itertools.product((HELD, NEW), ("auto", "always")):
        assert attached(here, source, seed) == REFUSE


def test_a_primary_with_replicas_of_its_own_is_never_attached():
    feeding = dataclasses.replace(OPEN, replicas=("192.0.2.13",))
    assert attached(feeding) == REFUSE
    assert attached(feeding, seed="always") == REFUSE


@given(STATES, STATES.filter(lambda state: state.running), st.sampled_from(["auto", "never"]))
def test_nothing_but_seed_always_loses_a_transaction(here, there, seed):
    there = dataclasses.replace(there, read_only=False, replication=None)
    if attached(here, there, seed) == SEED:
        assert here.virgin
