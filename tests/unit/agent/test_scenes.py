# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenes that the rules were made for, one by one, and the times."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.machine import step
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import (
    Action,
    Database,
    Memory,
    Order,
    Running,
    Said,
    State,
    Term,
    View,
    Witness,
)
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy

from .sim import NETWORKS, A, B, Setup, World

BOTH_WAYS = ((A, B), (B, A))


def pair(seed: int = 1, **setup: object) -> World:
    """A calm pair: a is the primary."""
    options = {"slow_beats": 0.0, "action_failures": 0.0, "slow_close": 0.0, **setup}
    world = World(seed, Setup(**options))  # type: ignore[arg-type]
    world.until(world.calm, 30)
    world.run_until(world.now + 2.5 + seed * 0.037)
    assert world.writers() == [A]
    return world


def cut(world: World, *networks: str, ways: tuple[tuple[str, str], ...] = BOTH_WAYS) -> None:
    world.cut |= {(network, *way) for network in networks for way in ways}


def isolate(world: World, name: str) -> None:
    world.link_down.add(name)
    cut(world, "inside")


def never(world: World, name: str, seconds: float) -> None:
    """It does not open."""
    end = world.now + seconds
    while world.now < end:
        world.run_until(world.now + 0.02)
        assert not world.servers[name].open, "\n".join(world.lines[-30:])


# Times.


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_killed_node_is_followed_within_2_2_seconds_without_a_witness(seed: int) -> None:
    world = pair(seed)
    world.crash(world.servers[A], None)
    assert world.until(lambda: world.state(B) is State.PROMOTING, 5) <= 2.2
    world.until(lambda: world.state(B) is State.ALONE, 3)


@pytest.mark.parametrize("seed", range(1, 9))
def test_with_the_default_lease_writes_are_back_within_6_seconds(seed: int) -> None:
    world = pair(seed, witness=True)
    world.crash(world.servers[A], None)
    died = world.now
    world.until(lambda: world.acked_at[-1] > died, 8)
    assert world.now - died <= 6.0


@pytest.mark.parametrize("witness", [False, True])
@pytest.mark.parametrize("seed", range(1, 5))
def test_the_end_of_the_server_is_answered_by_one_heartbeat(seed: int, witness: bool) -> None:
    world = pair(seed, witness=witness)
    world.kill_database(world.servers[A], restart=2.0)
    assert world.until(lambda: world.state(B) is State.PROMOTING, 2) <= 0.05
    world.until(world.calm_with_a_person, 30)
    assert world.writers() == [B]


@pytest.mark.parametrize("seed", range(1, 5))
def test_an_isolated_primary_is_closed_before_the_other_one_decides(seed: int) -> None:
    world = pair(seed, slow_close=1.0)
    isolate(world, A)
    began = world.now
    world.until(lambda: not world.servers[A].open, 3)
    closed = world.now - began
    world.until(lambda: world.state(B) is State.PROMOTING, 3)
    assert closed < world.now - began
    world.heal()
    world.until(lambda: world.servers[B].open, 5)


# The witness.


def test_the_loss_of_the_witness_alone_changes_nothing() -> None:
    world = pair(witness=True)
    world.witness_up = False
    acked = len(world.acked_at)
    world.run_until(world.now + 30)
    assert world.state(A) is State.PRIMARY
    assert max(b - a for a, b in itertools.pairwise(world.acked_at[acked:])) < 0.5


@pytest.mark.parametrize("without", [A, B])
def test_a_witness_that_only_one_node_knows_makes_no_second_primary(without: str) -> None:
    """The play failed on the other one. The one holds the lease and goes on; the other one has only the evidence."""
    world = pair(witness=True, arbiter=False)
    one = world.servers[without]
    one.policy = replace(one.policy, witness=False)
    world.run_until(world.now + 31)
    assert all("policies_differ" in server.decision.alarms for server in world.servers.values())
    cut(world, *NETWORKS)
    never(world, B, 20)
    world.heal()
    one.policy = replace(one.policy, witness=True)
    world.until(world.calm_with_a_person, 60)
    assert all("policies_differ" not in server.decision.alarms for server in world.servers.values())


def test_a_holder_does_not_go_alone_before_the_witness_has_heard_of_it() -> None:
    world = pair(witness=True)
    cut(world, *NETWORKS)
    world.witness_cut.add(A)
    world.until(lambda: world.servers[B].open, 10)
    world.run_until(world.now + 5)
    assert world.writers() == [B]


def test_what_the_peer_ceded_survives_the_restart_of_its_daemon() -> None:
    world = pair(witness=True)
    a, b = world.servers[A], world.servers[B]
    world.witness_up = False
    world.stall(b, 2.5)
    world.until(lambda: b.memory.ceded >= a.memory.term.epoch, 5)
    cut(world, *NETWORKS, ways=((A, B),))
    world.until(lambda: world.state(A) is State.ALONE, 3)
    world.run_until(world.now + 1)
    world.restart_agent(b, 0.5)
    world.run_until(world.now + 1)
    world.crash(a, None)
    world.witness_up = True
    never(world, B, 12)


def test_both_networks_cut_and_the_witness_decides_for_one() -> None:
    world = pair(witness=True)
    cut(world, *NETWORKS)
    world.run_until(world.now + 10)
    assert world.state(A) is State.ALONE
    assert world.writers() == [A]
    world.crash(world.servers[A], None)
    never(world, B, 12)


# Without a witness.


def test_what_the_peer_ceded_is_ceded_also_when_it_hears_nothing_more() -> None:
    world = pair()
    a, b = world.servers[A], world.servers[B]
    world.stall(b, 2.5)
    world.until(lambda: b.memory.ceded >= a.memory.term.epoch, 5)
    cut(world, *NETWORKS, ways=((A, B),))
    world.until(lambda: world.state(A) is State.ALONE, 3)
    world.run_until(world.now + 0.5)
    world.crash(a, None)
    never(world, B, 8)
    assert "not ceded" in [blocker.name for blocker in b.decision.blockers if not blocker.met]


def test_a_replica_that_was_cut_off_itself_proves_nothing() -> None:
    world = pair()
    isolate(world, B)
    world.until(lambda: world.state(A) is State.ALONE, 5)
    world.run_until(world.now + 1)
    world.crash(world.servers[A], None)
    world.heal_networks()
    never(world, B, 8)


def test_a_replica_that_slept_believes_no_heartbeat_from_before() -> None:
    world = pair()
    world.inbox_limit = 6
    world.freeze(world.servers[B], 6.0, True)
    world.until(lambda: world.state(A) is State.ALONE, 5)
    world.run_until(world.now + 0.5)
    world.crash(world.servers[A], None)
    never(world, B, 12)


@pytest.mark.parametrize("seed", range(1, 31))
def test_a_busy_primary_goes_on_alone_although_its_gateway_answers_late(seed: int) -> None:
    """As late as it may be: evidence_fresh (0.86 s) less the longest tick (0.28 s)."""
    world = pair(seed, slow_gateway=1.0, slowness=(0.45, 0.56))
    world.run_until(world.now + 2)
    isolate(world, B)
    world.until(lambda: world.state(A) is State.ALONE, 5)
    world.run_until(world.now + 10)
    assert world.state(A) is State.ALONE
    assert State.ISOLATED.value not in "\n".join(world.lines)


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_primary_that_gets_no_processor_for_a_moment_goes_on_alone(seed: int) -> None:
    world = pair(seed)
    isolate(world, B)
    world.run_until(world.now + 0.7)
    world.freeze(world.servers[A], 0.55, False)
    world.until(lambda: world.state(A) is State.ALONE, 6)
    world.run_until(world.now + 10)
    assert world.state(A) is State.ALONE
    assert State.ISOLATED.value not in "\n".join(world.lines)


def test_both_networks_cut_and_the_address_decides_for_one() -> None:
    world = pair()
    cut(world, *NETWORKS)
    world.until(lambda: world.servers[B].open, 5)
    world.run_until(world.now + 5)
    assert world.writers() == [B]


def test_both_networks_cut_without_any_arbiter_is_the_split_that_remains() -> None:
    world = pair(2, arbiter=False)
    world.split_is_open = True
    cut(world, *NETWORKS)
    world.until(lambda: len(world.writers()) == 2, 5)


def test_even_then_nothing_acknowledged_is_lost_where_the_primary_does_not_go_alone_on_evidence() -> None:
    world = pair(arbiter=False, policy={"alone_on_evidence": False})
    world.split_is_open = True
    cut(world, *NETWORKS)
    world.run_until(world.now + 8)
    world.heal()
    world.until(lambda: world.writers() == [B] and world.state(A) is State.DIVERGED, 20)
    assert world.servers[B].rows >= world.acked


def test_one_way_the_primary_that_is_not_heard_closes() -> None:
    world = pair()
    cut(world, *NETWORKS, ways=((A, B),))
    world.until(lambda: world.servers[B].open, 5)
    assert world.writers() == [B]


def test_a_dead_replica_stops_writes_for_a_moment_only() -> None:
    world = pair()
    world.crash(world.servers[B], None)
    assert world.until(lambda: world.state(A) is State.ALONE, 5) <= 3.5
    world.heal()
    world.until(world.calm_with_a_person, 30)
    assert world.writers() == [A]


@pytest.mark.parametrize("witness", [False, True])
def test_a_primary_never_closes_because_its_replica_dies(witness: bool) -> None:
    for seed in range(1, 31):
        world = pair(seed, witness=witness)
        world.crash(world.servers[B], None)
        while world.state(A) is not State.ALONE:
            world.run_until(world.now + 0.02)
            assert world.servers[A].open, seed


def test_an_agent_that_is_silent_on_a_living_machine_is_not_dead() -> None:
    for witness in (False, True):
        world = pair(witness=witness)
        world.restart_agent(world.servers[A], 9.0)
        never(world, B, 8.9)
        assert "peer_agent_silent" in world.servers[B].decision.alarms


def test_a_stalled_database_is_not_dead() -> None:
    world = pair()
    world.stall(world.servers[A], 40.0)
    never(world, B, 39)
    assert "database_stalled" in world.servers[A].decision.alarms


def test_unless_the_policy_says_so() -> None:
    world = pair(policy={"stall_failover": True, "stall_patience": 5.0})
    world.stall(world.servers[A], 60.0)
    world.until(lambda: world.servers[B].open, 8)


def test_a_node_that_slept_closes_before_it_does_anything_else() -> None:
    world = pair()
    a = world.servers[A]
    world.freeze(a, 5.0, True)
    world.until(lambda: not a.node_frozen, 6)
    assert a.memory.state is State.CLOSED or a.memory.state is State.ISOLATED
    assert Action.CLOSE_SELF in a.decision.actions
    world.until(world.calm_with_a_person, 30)


# Persons, and rest.


def test_a_replica_that_cannot_take_over_lets_the_primary_open_again() -> None:
    world = pair()
    world.servers[B].sql_error = True
    world.run_until(world.now + 0.3)
    world.kill_database(world.servers[A], restart=1.0)
    world.until(lambda: world.servers[A].open, 5)
    never(world, B, 5)


def test_no_second_failover_back_within_the_cool_down() -> None:
    world = pair()
    world.kill_database(world.servers[A], restart=0.5)
    world.until(world.calm_with_a_person, 30)
    assert world.writers() == [B]
    world.run_until(world.now + 2)
    world.kill_database(world.servers[B], restart=0.5)
    world.until(lambda: bool(world.writers()), 8)
    assert world.writers() == [B]
    world.until(world.calm_with_a_person, 30)
    world.crash(world.servers[B], None)
    world.until(lambda: world.servers[A].open, 5)


def test_what_is_acknowledged_on_one_node_counts_for_both() -> None:
    world = pair()
    world.kill_database(world.servers[A], restart=0.5)
    world.until(world.calm_with_a_person, 30)
    world.servers[B].acknowledged_at = 1e6 + world.now
    world.run_until(world.now + 2)
    world.kill_database(world.servers[B], restart=0.5)
    assert world.until(lambda: world.state(A) is State.PROMOTING, 5) < 0.3


def test_an_acknowledged_failover_may_be_followed_by_another() -> None:
    world = pair()
    world.kill_database(world.servers[A], restart=0.5)
    world.until(world.calm_with_a_person, 30)
    world.servers[A].acknowledged_at = 1e6 + world.now
    world.run_until(world.now + 2)
    world.kill_database(world.servers[B], restart=0.5)
    assert world.until(lambda: world.state(A) is State.PROMOTING, 5) < 0.3


def test_manual_promotes_nobody_until_a_person_does() -> None:
    world = pair(policy={"failover": "manual"})
    world.crash(world.servers[A], None)
    never(world, B, 6)
    assert "manual_failover_needed" in world.servers[B].decision.alarms
    world.servers[B].order = Order.OPEN
    world.until(lambda: world.servers[B].open, 4)


@pytest.mark.parametrize("witness", [False, True])
def test_a_primary_that_cannot_write_its_memory_tells_the_truth(witness: bool) -> None:
    world = pair(witness=witness)
    a, b = world.servers[A], world.servers[B]
    a.disk_full = True
    world.kill_database(a, restart=3600.0)
    world.run_until(world.now + 35)
    assert (a.decision.said.database, a.decision.said.fenced) == (Database.GONE, True)
    assert "memory_not_kept" in a.decision.alarms and "nobody_is_primary" in b.decision.alarms
    assert world.writers() == []
    a.disk_full = False
    world.start_database(a, 0.0)
    world.until(world.calm_with_a_person, 30)


@pytest.mark.parametrize("witness", [False, True])
def test_what_a_full_disk_has_not_kept_opens_nothing_after_a_restart(witness: bool) -> None:
    world = pair(witness=witness)
    a, b = world.servers[A], world.servers[B]
    a.disk_full = True
    world.kill_database(a, restart=2.0)
    world.run_until(world.now + 5)
    b.order = Order.OPEN
    world.until(lambda: b.open, 5)
    world.run_until(world.now + 3)
    world.crash(b, None)
    world.restart_agent(a, 0.5)
    world.run_until(world.now + 5)
    a.disk_full = False
    never(world, A, 20)
    world.boot(b)
    world.until(world.calm_with_a_person, 30)


def test_a_replica_that_cannot_write_its_memory_lets_the_primary_open_again() -> None:
    world = pair()
    world.servers[B].disk_full = True
    world.kill_database(world.servers[A], restart=0.5)
    world.until(lambda: world.servers[A].open, 5)
    world.run_until(world.now + 5)
    assert world.writers() == [A] and not world.servers[B].decision.said.able


@pytest.mark.parametrize("seconds", [0.3, 60.0])
def test_an_order_that_was_given_while_the_primary_is_open_opens_nothing_later(seconds: float) -> None:
    world = pair()
    world.servers[B].order = Order.OPEN
    world.run_until(world.now + seconds)
    cut(world, *NETWORKS)
    world.run_until(world.now + 0.8)
    world.heal()
    world.run_until(world.now + 5)
    assert world.writers() == [A]


def test_an_order_that_could_not_be_followed_is_forgotten_after_a_minute() -> None:
    world = pair(policy={"failover": "manual"})
    b = world.servers[B]
    world.crash(world.servers[A], None)
    world.stall(b, 62.0)
    b.order = Order.OPEN
    world.run_until(world.now + 61)
    never(world, B, 10)
    b.order = Order.OPEN
    world.until(lambda: b.open, 4)


def test_an_order_does_not_survive_a_reboot() -> None:
    world = pair(policy={"failover": "manual"})
    b = world.servers[B]
    world.crash(world.servers[A], None)
    world.stall(b, 9.0)
    b.order = Order.OPEN
    world.crash(b, 3.0)
    never(world, B, 15)


def test_a_moment_of_silence_calls_for_no_manual_failover() -> None:
    """Every restart of the primary's daemon is one."""
    world = pair(policy={"failover": "manual"})
    b = world.servers[B]
    world.run_until(world.now + 5)
    world.restart_agent(world.servers[A], 4.0)
    end = world.now + 8
    while world.now < end:
        world.run_until(world.now + 0.02)
        assert "manual_failover_needed" not in b.decision.alarms


def test_a_primary_without_its_agent_is_a_primary() -> None:
    world = pair()
    world.restart_agent(world.servers[A], 3600.0)
    world.run_until(world.now + 40)
    alarms = world.servers[B].decision.alarms
    assert "peer_agent_silent" in alarms and "nobody_is_primary" not in alarms
    world.servers[A].database = Database.CLOSED  # and now somebody stops that as well
    world.servers[A].stalled = True
    world.run_until(world.now + 32)
    assert "nobody_is_primary" in world.servers[B].decision.alarms


def test_a_promotion_that_fails_again_and_again_is_told_and_is_no_hot_loop() -> None:
    world = pair()
    b = world.servers[B]
    world.setup.action_failures = 1.0
    world.crash(world.servers[A], None)
    world.run_until(world.now + 36)
    begun, epoch = world.now, b.memory.term.epoch
    assert b.memory.failed_at is not None and epoch <= 20
    while world.now < begun + 60:
        world.run_until(world.now + 0.05)
        assert "nobody_is_primary" in b.decision.alarms, b.memory.state
    assert b.memory.term.epoch - epoch <= 26  # two for each attempt
    world.setup.action_failures = 0.0
    world.until(lambda: b.open, 6)
    world.run_until(world.now + 0.5)
    assert "nobody_is_primary" not in b.decision.alarms


@pytest.mark.parametrize("state", [State.PROMOTING, State.OPENING, State.ACQUIRING, State.STARTING, State.DIVERGED], ids=lambda state: state.value)
def test_nobody_is_primary_is_told_in_every_state(state: State) -> None:
    policy = Policy(A, B, witness=state is State.ACQUIRING)
    memory = Memory(state, 99.0, Term(3, A, True), sealed=True, started=0.0, stepped=99.9, nobody_since=69.0, out_of_step_since=1.0)
    view = View(now=100.0, database=Database.CLOSED, knock=False, gateway=0.1, running=Running.OWN, extra=True)
    view = replace(view, database=Database.UNKNOWN) if state is State.STARTING else view
    held = replace(view, witness=Witness(True), running=Running.NONE) if policy.witness else view
    decision = step(policy, memory, held)
    assert decision.state is state and "nobody_is_primary" in decision.alarms
    assert "nobody_is_primary" not in step(policy, replace(memory, nobody_since=71.0), held).alarms


def test_a_replica_that_acknowledges_and_applies_nothing_is_told() -> None:
    """Its SQL thread has stopped: nobody's writes wait, and nobody could take over."""
    policy = Policy(A, B)
    peer = Said(State.REJOINING, Database.CLOSED, Term(3, A), fenced=True, echo=99.9)
    memory = Memory(State.PRIMARY, 10.0, Term(3, A), started=0.0, stepped=99.9, apart_since=39.0)
    view = View(now=100.0, database=Database.OPEN, acknowledged=True, heard={"inside": 0.1}, peer=peer, gateway=0.1)
    assert step(policy, memory, view).alarms == ("replica_not_in_step",)
    assert step(policy, replace(memory, apart_since=41.0), view).alarms == ()
    assert step(policy, memory, replace(view, peer=replace(peer, in_step=True))).alarms == ()
    for known in (State.DIVERGED, State.OPERATION, State.PAUSED):
        assert step(policy, memory, replace(view, peer=replace(peer, state=known))).alarms == ()
    assert step(policy, replace(memory, apart_since=None), view).memory.apart_since == 100.0


@pytest.mark.parametrize("knock", [True, None])
def test_beats_without_an_agent_in_them_are_told(knock: bool | None) -> None:
    """The daemon beats on where its agent could not start."""
    memory = Memory(State.PRIMARY, 10.0, Term(3, A, True), sealed=True, started=0.0, stepped=99.9, mute_since=60.0)
    view = View(now=100.0, database=Database.OPEN, heard={"inside": 0.1, "outside": None}, knock=knock, gateway=0.1)
    assert "peer_agent_silent" in step(Policy(A, B), memory, view).alarms
    assert "peer_agent_silent" not in step(Policy(A, B), replace(memory, mute_since=99.0), view).alarms
    gone = step(Policy(A, B), memory, replace(view, heard={"inside": 5.0, "outside": None}, knock=False))
    assert "peer_agent_silent" not in gone.alarms and gone.memory.mute_since is None


def test_a_replica_whose_daemon_is_restarted_closes_no_primary() -> None:
    """Its first words may echo nothing yet."""
    for seed in range(1, 21):
        world = pair(seed)
        world.restart_agent(world.servers[B], 0.3)
        end = world.now + 3
        while world.now < end:
            world.run_until(world.now + 0.02)
            assert world.servers[A].open, (seed, world.lines[-10:])


def test_a_primary_that_is_held_closed_for_long_is_none() -> None:
    """By a fence of a person, or by what a restore that was killed has left."""
    world = pair()
    a, b = world.servers[A], world.servers[B]
    a.running, a.database = Running.FOREIGN, Database.CLOSED
    world.run_until(world.now + 50)
    assert "nobody_is_primary" not in b.decision.alarms
    world.run_until(world.now + 12)
    assert "nobody_is_primary" in b.decision.alarms


def test_maintenance_decides_nothing_and_ends_by_itself() -> None:
    world = pair()
    for server in world.servers.values():
        server.paused_until = 1e6 + world.now + 8
    world.run_until(world.now + 0.5)
    assert world.state(B) is State.PAUSED
    isolate(world, A)
    world.until(lambda: not world.servers[A].open, 3)
    never(world, B, 5)
    world.heal()
    world.until(world.calm_with_a_person, 30)


def test_what_a_person_says_last_counts_on_whichever_node() -> None:
    """Also where the other node, which was paused, falls silent before it has heard that the pause is over."""
    for told in (True, False):
        world = pair()
        server = world.servers[A]
        server.paused_at, server.paused_until = 1e6 + world.now, 1e6 + world.now + 600
        world.run_until(world.now + 0.5)
        assert world.state(B) is State.PAUSED
        if not told:
            world.crash(server, None)
        world.servers[B].paused_at = 1e6 + world.now
        world.until(lambda world=world: world.servers[B].open if not world.servers[A].up else world.state(B) is State.REPLICA, 8)
        if told:
            world.kill_database(server, restart=None)
            world.until(lambda world=world: world.servers[B].open, 4)


def test_after_a_power_cut_exactly_one_opens() -> None:
    for witness in (False, True):
        world = pair(witness=witness)
        for server in world.servers.values():
            world.crash(server, 3.0)
        world.until(world.calm_with_a_person, 30)


def test_one_that_boots_alone_waits() -> None:
    world = pair()
    for server in world.servers.values():
        world.crash(server, None)
    world.boot(world.servers[B])
    never(world, B, 35)
    assert "nobody_is_primary" in world.servers[B].decision.alarms
    world.servers[B].order = Order.OPEN
    world.until(lambda: world.servers[B].open, 4)


def test_unless_the_policy_gives_it_a_time() -> None:
    world = pair(policy={"boot_alone": 20.0})
    for server in world.servers.values():
        world.crash(server, None)
    world.boot(world.servers[B])
    assert 20 <= world.until(lambda: world.servers[B].open, 30) < 23


def test_the_last_writer_boots_alone_with_the_lease() -> None:
    world = pair(witness=True)
    for server in world.servers.values():
        world.crash(server, None)
    world.boot(world.servers[A])
    world.until(lambda: world.state(A) is State.ALONE, 12)


def test_the_only_one_with_everything_boots_alone() -> None:
    world = pair()
    world.crash(world.servers[B], None)
    world.until(lambda: world.state(A) is State.ALONE, 5)
    world.crash(world.servers[A], 1.0)
    world.run_until(world.now + 1.1)
    world.until(lambda: world.servers[A].open, 8)


def test_a_replica_that_never_acknowledges_is_waited_for_less_and_less_often() -> None:
    world = pair()
    a, b = world.servers[A], world.servers[B]
    b.mute = True
    began, tries, before = world.now, list[float](), a.memory.state
    while world.now < began + 600:
        world.run_until(world.now + 0.1)
        if a.memory.state is State.REARMING and before is not State.REARMING:
            tries.append(world.now - began)
        before = a.memory.state
    assert 4 <= len(tries) <= 7, tries
    b.mute = False
    world.until(world.calm, 400)


def test_a_replica_that_has_held_since_is_not_waited_for_as_one_that_never_acknowledged() -> None:
    world = pair()
    a, b = world.servers[A], world.servers[B]
    b.mute = True
    world.until(lambda: a.memory.rearm_pause >= 40, 300)
    b.mute = False
    world.until(world.calm, 200)
    world.run_until(world.now + 4 * a.memory.rearm_pause + 60)
    for _loss in range(2):
        world.crash(b, None)
        world.until(lambda: a.memory.state is State.ALONE, 20)
        world.boot(b)
        world.until(world.calm, 60)


def test_extra_transactions_that_nobody_was_told_of_are_replaced() -> None:
    world = pair(policy={"cooldown": 0.0})
    a, b = world.servers[A], world.servers[B]
    world.crash(a, None)
    a.rows.add(next(world.numbers))
    world.until(lambda: world.state(B) is State.ALONE, 5)
    world.boot(a)
    world.until(world.calm, 30)
    assert b.open
    assert world.state(A) is State.REPLICA


def test_extra_transactions_of_a_primary_that_was_alone_wait_for_a_person() -> None:
    world = pair(policy={"cooldown": 0.0})
    a, b = world.servers[A], world.servers[B]
    world.crash(b, None)
    world.until(lambda: world.state(A) is State.ALONE, 5)
    world.run_until(world.now + 1)
    world.crash(a, None)
    world.boot(b)
    world.run_until(world.now + 5)
    world.acked.clear()  # a person gives up what only the dead node has
    b.order = Order.OPEN
    world.until(lambda: b.open, 5)
    world.boot(a)
    world.until(lambda: world.state(A) is State.DIVERGED, 10)
    world.run_until(world.now + 70)
    assert world.state(A) is State.DIVERGED


def test_extra_transactions_of_a_replica_wait_for_a_person() -> None:
    """Somebody with more rights than an application has written there, and was told so."""
    world = pair(policy={"cooldown": 0.0})
    b = world.servers[B]
    b.rows.add(next(world.numbers))
    world.until(lambda: world.state(B) is State.DIVERGED, 10)
    world.run_until(world.now + 70)
    assert world.state(B) is State.DIVERGED


def test_extra_transactions_wait_for_a_person() -> None:
    world = pair(policy={"cooldown": 0.0, "replace_unacknowledged": False})
    a, b = world.servers[A], world.servers[B]
    world.crash(a, None)
    a.rows.add(next(world.numbers))
    world.until(lambda: world.state(B) is State.ALONE, 5)
    world.boot(a)
    world.until(lambda: world.state(A) is State.DIVERGED, 10)
    world.run_until(world.now + 10)
    assert world.state(A) is State.DIVERGED
    assert "diverged" in a.decision.alarms
    a.order = Order.REJOIN
    world.until(world.calm_with_a_person, 30)
    assert b.open


def test_a_database_that_somebody_opened_is_closed() -> None:
    world = pair()
    world.servers[A].exempt = True
    world.servers[B].database = Database.OPEN
    assert world.until(lambda: not world.servers[B].open, 2) < 1


@pytest.mark.parametrize("failover", ["automatic", "manual"])
def test_failback_when_in_step(failover: str) -> None:
    world = pair(policy={"failover": failover, "failback": "when_in_sync", "preferred": A, "failback_after": 5.0, "cooldown": 3.0})
    if failover == "manual":
        world.hand_over(world.servers[A], world.servers[B], works=True)
        world.run_until(world.now + 1)
    else:
        world.kill_database(world.servers[A], restart=0.5)
    world.until(lambda: world.calm_with_a_person() and world.writers() == [B], 30)
    world.until(lambda: world.calm_with_a_person() and world.writers() == [A], 30)


@pytest.mark.parametrize("name", [A, B])
def test_a_switchover_of_a_person_is_followed(name: str) -> None:
    world = pair()
    a, b = world.servers[A], world.servers[B]
    world.hand_over(a, b, works=name == B)
    world.until(lambda: world.calm_with_a_person() and world.writers() == [name], 20)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 2.8])
def test_the_end_of_an_operation_does_not_say_that_the_other_one_cannot_open(seconds: float) -> None:
    """Such as a switchover that was undone, beside a replica and a witness that have fallen silent, while the gateway answers."""
    world = pair(witness=True)
    a = world.servers[A]
    a.running = Running.FOREIGN
    world.run_until(world.now + 0.3)
    cut(world, *NETWORKS)
    world.witness_cut.add(A)
    world.run_until(world.now + seconds)
    a.running = Running.NONE
    world.until(lambda: world.servers[B].open, 10)
    world.run_until(world.now + 5)
    assert world.writers() == [B] and not a.went_alone
    world.heal()
    world.until(world.calm_with_a_person, 30)


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("held", [False, True])
def test_a_replica_that_a_person_holds_lets_the_primary_go_on_alone(held: bool, gone: bool) -> None:
    """Only an operation that works there may still need it."""
    world = pair()
    b = world.servers[B]
    b.running, b.held, b.mute = Running.FOREIGN, held, True
    if gone:
        world.kill_database(b, restart=3600.0)
        b.running = Running.FOREIGN
    world.run_until(world.now + 4)
    assert world.state(B) is State.OPERATION
    assert world.state(A) is (State.ALONE if held else State.GOING_ALONE)
    b.running, b.held, b.mute = Running.NONE, False, False
    if gone:
        world.start_database(b, 0.0)
    world.until(world.calm, 60)
    assert world.writers() == [A]


def test_an_operation_beside_the_only_writer_leaves_it_so() -> None:
    world = pair()
    a = world.servers[A]
    loses_its_replica(world)
    world.run_until(world.now + 1)
    term = a.memory.term
    a.running = Running.FOREIGN
    world.run_until(world.now + 2)
    a.running = Running.NONE
    world.run_until(world.now + 2)
    assert world.state(A) is State.ALONE and a.memory.term == term and not a.armed


def test_a_primary_whose_replica_dies_in_an_operation_goes_on_alone_after_it() -> None:
    world = pair()
    a = world.servers[A]
    a.running = Running.FOREIGN
    world.run_until(world.now + 0.3)
    world.crash(world.servers[B], None)
    world.run_until(world.now + 0.5)
    a.running = Running.NONE
    world.until(lambda: world.state(A) is State.ALONE, 4)


def test_a_primary_that_was_not_answered_does_not_go_alone() -> None:
    world = pair()
    world.stall(world.servers[B], 60.0)
    world.run_until(world.now + 0.95)
    cut(world, *NETWORKS, ways=((A, B),))
    world.run_until(world.now + 1.0)
    world.servers[B].stalled = False
    world.until(lambda: world.servers[B].open, 6)
    assert world.servers[B].rows >= world.acked


def loses_its_replica(world: World) -> None:
    world.crash(world.servers[B], None)
    world.until(lambda: world.state(A) is State.ALONE, 6)


def test_going_alone_is_asked_for_again_where_it_fails() -> None:
    world = pair()
    world.setup.action_failures = 1.0
    loses_its_replica(world)
    world.run_until(world.now + 4)
    a = world.servers[A]
    assert a.armed and a.decision is not None
    assert "writes_wait_for_the_replica" in a.decision.alarms and "alone" not in a.decision.alarms
    world.setup.action_failures = 0.0
    world.until(lambda: not a.armed, 1.6)
    world.run_until(world.now + 1)
    assert a.decision.alarms == ("alone",) and a.decision.actions == ()


def test_commits_that_wait_although_it_went_alone_are_let_go() -> None:
    """Somebody has switched semi-sync on again, and the replica has died since."""
    world = pair()
    loses_its_replica(world)
    a = world.servers[A]
    world.until(lambda: not a.armed, 1.6)
    a.armed = True
    world.until(lambda: a.view().unanswered, 6)
    world.run_until(world.now + 0.2)
    assert a.decision is not None and (not a.armed or "writes_wait_for_the_replica" in a.decision.alarms)
    world.until(lambda: not a.armed and not a.pending, 3)
    world.run_until(world.now + 1)
    assert a.decision.alarms == ("alone",)


def test_a_daemon_that_is_restarted_beside_the_only_writer_says_again_that_commits_wait_for_nobody() -> None:
    """The one before may have ended before it could say so."""
    world = pair()
    a = world.servers[A]
    loses_its_replica(world)
    world.until(lambda: not a.armed, 1.6)
    a.armed = True
    world.restart_agent(a, 0.5)
    world.until(lambda: a.agent_up and world.state(A) is State.ALONE, 10)
    world.until(lambda: not a.armed, 1.6)
    assert "[resumes_alone]" in "\n".join(world.lines)


def test_a_claim_needs_the_answer_of_the_other_one() -> None:
    world = pair()
    for server in world.servers.values():
        world.crash(server, 1.0)
    world.run_until(world.now + 1.05)
    world.until(lambda: State.CLAIMING in (world.state(A), world.state(B)), 5)
    cut(world, *NETWORKS)
    end = world.now + 8
    while world.now < end:
        world.run_until(world.now + 0.02)
        assert world.writers() == []


def test_a_proposal_that_came_to_nothing_does_not_outrank_a_promotion() -> None:
    """Found by a random run: the primary proposes to go alone, and is cut off before the witness has heard of it."""
    world = pair(witness=True)
    a, b = world.servers[A], world.servers[B]
    world.stall(b, 1.5)
    world.until(lambda: a.memory.unacknowledged_since is not None, 3)
    world.run_until(world.now + 0.7)
    cut(world, *NETWORKS)
    world.witness_cut.add(A)
    world.until(lambda: world.state(A) is State.ISOLATED, 6)
    assert not a.memory.term.firm
    world.until(lambda: world.state(B) is State.ALONE, 10)
    world.run_until(world.now + 2)
    world.heal()
    world.until(world.calm_with_a_person, 30)
    assert world.writers() == [B]


def test_a_node_with_an_exchanged_disk_does_not_open() -> None:
    world = pair()
    a, b = world.servers[A], world.servers[B]
    world.crash(b, None)
    world.until(lambda: world.state(A) is State.ALONE, 5)
    world.boot(b)
    world.until(lambda: b.memory.term == a.memory.term, 3)
    world.crash(a, None)
    a.disk, a.rows = type(a.disk)(), set()
    world.boot(a)
    never(world, A, 20)


def switched_off_and_moved(world: World, solo: bool) -> None:
    """tandem_failover: none; then a runbook moves the role from a to b, and nobody notes it."""
    a, b = world.servers[A], world.servers[B]
    if solo:
        world.crash(b, None)
        world.until(lambda: world.state(A) is State.ALONE, 12)
        world.run_until(world.now + 2)
        world.boot(b)
        world.until(lambda: b.rows >= world.acked, 20)
    for server in (a, b):
        server.agent_up, server.exempt = False, False
        server.life += 1
        server.disk = type(server.disk)()
    a.database, a.following = Database.CLOSED, True
    world.drop_sessions(a)
    b.rows |= a.rows
    b.database, b.armed, b.following = Database.OPEN, True, False


@pytest.mark.parametrize("witness", [False, True])
@pytest.mark.parametrize("solo", [False, True])
@pytest.mark.parametrize("first", [A, B])
def test_agents_that_are_switched_on_again_leave_the_role_where_it_is(first: str, solo: bool, witness: bool) -> None:
    """The witness still names a, and perhaps as the only one with everything."""
    world = pair(witness=witness)
    switched_off_and_moved(world, solo)
    world.run_until(world.now + 6)
    assert not witness or (world.record[2].writer == A and world.record[2].epoch > 0)
    world.start_agent(world.servers[first])
    for _step in range(200):
        world.run_until(world.now + 0.02)
        assert world.writers() == [B]
    world.start_agent(world.servers[A if first == B else B])
    for _step in range(500):
        world.run_until(world.now + 0.02)
        assert world.writers() == [B], "\n".join(world.lines[-20:])
    assert world.state(B) is State.PRIMARY and world.state(A) is State.REPLICA
    assert world.servers[A].memory.term == world.servers[B].memory.term
    if witness:
        assert world.record[2] == world.servers[B].memory.term, "the witness knows as well"
        world.crash(world.servers[B], None)
        world.until(lambda: world.servers[A].open, 10)


def test_the_first_term_waits_for_the_witness() -> None:
    """It may know a later one, which would close the open database when it answers again."""
    world = pair(witness=True)
    switched_off_and_moved(world, solo=False)
    world.witness_up = False
    for server in world.servers.values():
        world.start_agent(server)
    world.run_until(world.now + 10)
    assert world.writers() == [B] and world.state(B) is State.STARTING
    world.witness_up = True
    world.until(lambda: world.state(B) is State.PRIMARY, 3)
    world.run_until(world.now + 10)
    assert world.writers() == [B]


def test_what_the_witness_says_counts_where_nobody_else_can_tell() -> None:
    """A node that has lost its disk, beside a dead one: it does not open in a later term of its own."""
    world = pair(witness=True)
    a, b = world.servers[A], world.servers[B]
    world.crash(b, None)
    world.until(lambda: world.state(A) is State.ALONE, 12)
    world.run_until(world.now + 1)
    world.crash(a, None)
    a.disk, a.rows = type(a.disk)(), set()
    world.boot(a)
    never(world, A, 20)
    assert a.memory.term == world.record[2]
