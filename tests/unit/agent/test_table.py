# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: for every state and every combination of what may be true, exactly one row; no state without a way out."""

from __future__ import annotations

import itertools
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.facts import Facts
from ansible_collections.tandem.lemp.plugins.module_utils.agent.machine import step
from ansible_collections.tandem.lemp.plugins.module_utils.agent.markdown import as_markdown
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import (
    OPEN_STATES,
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
    reborn,
)
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy
from ansible_collections.tandem.lemp.plugins.module_utils.agent.table import TABLE, Effect, choose, rows

ROOT = Path(__file__).resolve().parents[3]
POLICY = Policy("a", "b")
# Where one condition includes another, the row below it is for the rest.


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_every_combination_has_exactly_one_row_and_every_row_its_combination(state: State) -> None:
    own = rows(state)
    names = sorted({row.condition for row in own})
    used = set()
    for values in itertools.product([False, True], repeat=len(names)):
        truth = dict(zip(names, values, strict=True))
        row = choose(state, truth.__getitem__)
        first = [candidate for candidate in own if truth[candidate.condition]]
        assert row is (first[0] if first else None)
        used.add(row)
    assert used == {*own, None}


def test_conditions_are_facts_and_no_row_is_there_twice() -> None:
    facts = Facts(POLICY, Memory(since=0.0, started=0.0), View(now=1.0))
    for row in TABLE:
        assert isinstance(getattr(facts, row.condition), bool), row.condition
    assert len({(row.state, row.condition) for row in TABLE}) == len(TABLE)


def test_from_every_state_there_is_a_way_to_every_end() -> None:
    for start in State:
        reached, new = {start}, {start}
        while new:
            new = {row.next for row in TABLE if row.state in new} - reached
            reached |= new
        assert {State.PRIMARY, State.ALONE, State.REPLICA, State.CLOSED} <= reached, start
        assert start is State.STARTING or any(row.next is start and row.state is not start for row in TABLE), start


def test_each_way_out_of_writing_closes_and_only_a_reason_opens() -> None:
    opens = {Action.OPEN_SELF, Action.PROMOTE}
    for row in TABLE:
        if opens & set(row.actions):
            assert row.next in (State.OPENING, State.PROMOTING), row
        if row.state in OPEN_STATES - {State.OPERATION} and row.next not in OPEN_STATES:
            assert {Action.CLOSE_SELF, Action.KILL_SELF} & set(row.actions), row
        if row.next is State.ALONE and row.state in (State.PRIMARY, State.GOING_ALONE):
            assert Effect.SEAL in row.effects
    assert all(
        row.condition in ("authority_lost", "open_without_authority", "superseded", "database_gone", "foreign_operation")
        for state in (State.PRIMARY, State.ALONE, State.GOING_ALONE, State.REARMING)
        for row in rows(state)[:4]
    )


def test_a_node_that_becomes_the_primary_may_have_the_addresses() -> None:
    """It may have kept them away since it was cut off, or since its database ended."""
    writes = {State.PRIMARY, State.ALONE, State.GOING_ALONE}
    for row in TABLE:
        if row.next in writes and row.state in (State.OPENING, State.PROMOTING, State.OPERATION):
            assert Action.ALLOW_ADDRESSES in row.actions, row


def test_a_closed_state_never_goes_straight_to_writing() -> None:
    allowed = {State.OPENING, State.PROMOTING, State.STARTING, State.OPERATION}
    for row in TABLE:
        if row.next in (State.PRIMARY, State.ALONE) and row.state not in OPEN_STATES:
            assert row.state in allowed, row


def combinations() -> list[View]:
    said = [
        None,
        Said(State.REPLICA, Database.CLOSED, Term(3, "a"), fenced=True, echo=99.9, able=True, in_step=True, ahead=True),
        Said(State.PRIMARY, Database.OPEN, Term(3, "b"), echo=99.9),
        Said(State.CLOSED, Database.GONE, Term(3, "b"), ceded=3, fenced=True, takeover=True, echo=99.9),
        Said(State.CLOSED, Database.CLOSED, Term(3, "b"), fenced=True, echo=97.0, ahead=False),
    ]
    witnesses = [Witness(), Witness(True, "a", 3.0, Term(3, "a")), Witness(True, "b", 3.0, Term(3, "b")), Witness(True, "", 0.0)]
    views = []
    for database, peer, age, gateway, knock, witness, flag, running, order in itertools.product(
        Database, said, (0.1, 9.0), (0.1, 9.0), (None, False), witnesses, (True, False), (Running.NONE, Running.FOREIGN), (Order.NONE, Order.OPEN)
    ):
        views.append(
            View(100.0, 1e6, database, flag, flag, flag, not flag, flag, {"inside": age, "outside": None}, peer, knock, gateway, None, witness,
                 running, order)
        )  # fmt: skip
    return views


VIEWS = combinations()


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_no_view_makes_it_fail_or_act_in_a_way_that_contradicts_itself(state: State) -> None:
    terms = [Term(3, "a", False), Term(3, "b", False), Term(4, "a", True)]
    shift = list(State).index(state)
    for number, view in enumerate(VIEWS[shift % 9 :: 9]):
        policy = Policy("a", "b", witness=bool(number % 2))
        memory = Memory(state=state, since=90.0, started=80.0, stepped=99.9, term=terms[number % 3], sealed=number % 4 < 2, watched=True)
        decision = step(policy, memory, view)
        actions = set(decision.actions)
        closes = {Action.CLOSE_SELF, Action.KILL_SELF} & actions
        assert not (closes and actions & {Action.OPEN_SELF, Action.PROMOTE, Action.GO_ALONE}), decision
        assert not ({Action.RENEW_LEASE, Action.RELEASE_LEASE} <= actions), decision
        if decision.said.fenced:
            assert view.database is not Database.OPEN
            assert decision.state not in (State.PRIMARY, State.ALONE, State.PROMOTING, State.OPENING, State.ACQUIRING)
        if view.database is Database.OPEN and decision.state not in OPEN_STATES | {State.STARTING}:
            assert closes, decision
        if {Action.OPEN_SELF, Action.PROMOTE} & actions:
            assert decision.memory.term.epoch >= memory.term.epoch
        assert decision.memory.term.rank >= memory.term.rank
        again = step(policy, decision.memory, view)
        assert again.memory.term.epoch <= decision.memory.term.epoch + 1


def test_what_survives_a_restart_is_what_is_called_durable() -> None:
    memory = Memory(State.ALONE, 3.0, Term(2, "a", True), Term(1, "b"), 1, True, 5.0, True)
    assert reborn(memory).durable == memory.durable
    assert reborn(memory).state is State.STARTING
    assert len(memory.durable) == 6
    assert {"term", "previous", "ceded", "sealed", "failover_at"} <= {field.name for field in fields(Memory)}


def test_a_node_that_slept_is_too_late_to_open() -> None:
    memory = Memory(State.PROMOTING, 1.0, Term(3, "a", True), sealed=True, started=0.0)
    decision = step(POLICY, memory, View(now=2.0, gateway=0.1, database=Database.CLOSED, running=Running.OWN))
    assert decision.open_until < 2.0 + POLICY.close_budget + 0.01


def test_blockers_say_what_was_found_and_what_is_needed() -> None:
    peer = Said(State.PRIMARY, Database.OPEN, Term(3, "b"))
    view = View(now=101.0, wall=1e6, database=Database.CLOSED, heard={"inside": 3.0}, peer=peer, knock=True, gateway=0.1)
    decision = step(POLICY, Memory(State.REPLICA, 90.0, Term(3, "b"), stepped=100.9, started=0.0, watched=True), view)
    missing = {blocker.name: (blocker.found, blocker.needed) for blocker in decision.blockers if not blocker.met}
    assert missing == {
        "in step": ("no", "yes, when the primary was last heard with an open database"),
        "primary's machine": ("answers", "does not answer"),
    }


@pytest.mark.parametrize(
    ("view", "memory", "alarm"),
    [
        ({"database": Database.CLOSED}, {"since": 39.0}, "nobody_is_primary"),
        ({"database": Database.GONE}, {"since": 39.0}, "nobody_is_primary"),
        ({"database": Database.CLOSED}, {"since": 41.0}, None),
        ({"database": Database.CLOSED, "peer": Said(State.PRIMARY, Database.OPEN, Term(3, "b"))}, {"since": 39.0}, None),
        ({"database": Database.OPEN, "acknowledged": False}, {"since": 39.0, "unacknowledged_since": 69.0}, "writes_wait_for_the_replica"),
        ({"database": Database.OPEN, "acknowledged": False}, {"since": 39.0, "unacknowledged_since": 71.0}, None),
        ({"database": Database.OPEN, "acknowledged": False, "went_alone": True}, {"since": 39.0, "unacknowledged_since": 69.0}, None),
    ],
    ids=["closed", "gone", "not long", "the peer is open", "waits", "waits not long", "does not wait"],
)
def test_a_node_that_is_held_says_what_nobody_serves(view: dict[str, Any], memory: dict[str, Any], alarm: str | None) -> None:
    """A fence that was forgotten, or a restore that was killed."""
    peer = Said(State.OPERATION, Database.CLOSED, Term(3, "b"), fenced=True)
    seen = View(**{"now": 100.0, "heard": {"inside": 0.1}, "peer": peer, "gateway": 0.1, "running": Running.FOREIGN, **view})
    decision = step(POLICY, Memory(**{"state": State.OPERATION, "started": 0.0, "stepped": 99.9, "term": Term(3, "b"), **memory}), seen)
    assert decision.state is State.OPERATION
    assert set(decision.alarms) & {"nobody_is_primary", "writes_wait_for_the_replica"} == ({alarm} if alarm else set())


@pytest.mark.parametrize("in_step", [True, False])
def test_a_term_of_both_needs_a_replica_that_is_still_in_step(in_step: bool) -> None:
    """One that was started again is connected at once, and may lack hours."""
    peer = Said(State.REPLICA, Database.CLOSED, Term(3, "a", True), fenced=True, in_step=in_step)
    view = View(now=100.0, database=Database.OPEN, heard={"inside": 0.1}, peer=peer, gateway=0.1, acknowledged=True)
    decision = step(Policy("a", "b"), Memory(state=State.REARMING, since=99.0, started=0.0, stepped=99.9, term=Term(3, "a", True), sealed=True), view)
    assert (decision.state is State.PRIMARY) is in_step


@pytest.mark.parametrize("times", [{"promote_after": 1.5}, {"lease": 2.0}, {"alone_after": 2.0}])
def test_times_that_contradict_each_other_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(times))):
        Policy("a", "b", **times)


def test_the_document_is_up_to_date() -> None:
    written = (ROOT / "docs" / "agent-states.md").read_text(encoding="utf-8")
    assert written == as_markdown(), "run: python3 docs/write_states.py"
