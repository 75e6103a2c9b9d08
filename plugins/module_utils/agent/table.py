# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine as a table. In each state the first row whose condition holds decides; where none does, the state stays."""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass

from .model import Action, State

A, S = Action, State


class Effect(enum.Enum):
    """What a row changes in the memory besides the state."""

    PROMOTION_TERM = "new term: this node, alone; an automatic failover"
    ORDERED_TERM = "new term: this node, alone; a person has said so"
    SOLO_TERM = "new term: this node, alone"
    ARMED_TERM = "new term: this node; everything acknowledged is on both"
    OPENING_TERM = "new term: this node; alone or not as before"
    GIVE_BACK = "new term: as it was before the promotion"
    SEAL = "the other one cannot open"
    ASK = "ask to be taken over, and cede"
    WITHDRAW = "ask no more"


E = Effect


@dataclass(frozen=True)
class Row:
    """condition: the name of a property of Facts."""

    state: State
    condition: str
    next: State
    actions: tuple[Action, ...]
    effects: tuple[Effect, ...]
    reason: str


def _row(state: State, condition: str, to: State, what: t.Iterable[Action | Effect], reason: str) -> Row:
    things = tuple(what)
    actions = tuple(thing for thing in things if isinstance(thing, Action))
    return Row(state, condition, to, actions, tuple(thing for thing in things if isinstance(thing, Effect)), reason)


def _fences(state: State, ask: bool) -> list[Row]:
    """What ends the writing of an open node, first of all."""
    gone = (A.CLOSE_SELF, A.KEEP_ADDRESSES_AWAY, E.ASK) if ask else (A.CLOSE_SELF,)
    return [
        _row(state, "superseded", S.CLOSED, [A.CLOSE_SELF], "the peer is the writer of a newer term"),
        _row(state, "database_gone", S.CLOSED, gone, "the database server has ended"),
        _row(state, "authority_lost", S.ISOLATED, [A.CLOSE_SELF, A.KEEP_ADDRESSES_AWAY],
             "nothing proves any more that the peer stays closed: this node fences itself"),
        _row(state, "database_closed", S.CLOSED, [A.CLOSE_SELF], "somebody else has closed the database"),
    ]  # fmt: skip


def _not_ours(state: State) -> list[Row]:
    """What a closed node looks at first."""
    return [
        _row(state, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
        _row(state, "opened_by_somebody", S.CLOSED, [A.CLOSE_SELF], "the database is open, and not by this agent"),
    ]


TABLE: tuple[Row, ...] = (
    # Just started. The database is closed, unless only the daemon was restarted.
    _row(S.STARTING, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
    _row(S.STARTING, "first_with_replica", S.PRIMARY, [E.ARMED_TERM], "a new pair: opened by a person, the peer is closed and acknowledges"),
    _row(S.STARTING, "first", S.ALONE, [A.GO_ALONE, E.ORDERED_TERM, E.SEAL], "a new pair: opened by a person, and the peer is closed"),
    _row(S.STARTING, "resumes_alone", S.ALONE, [A.GO_ALONE], "the daemon was restarted beside the only writer"),
    _row(S.STARTING, "resumes", S.PRIMARY, [], "the daemon was restarted beside the primary, and the peer is closed"),
    _row(S.STARTING, "start_over", S.CLOSED, [A.CLOSE_SELF], "closed, or open without a sign that it may be; who is primary is not known"),
    # Closed.
    *_not_ours(S.CLOSED),
    _row(S.CLOSED, "person_says_open", S.PROMOTING, [A.PROMOTE, E.ORDERED_TERM, E.SEAL], "a person has said: open here"),
    _row(S.CLOSED, "person_says_rejoin", S.REJOINING, [A.REPLACE], "a person has said: replace the data of this node"),
    _row(S.CLOSED, "takeover_granted", S.PROMOTING, [A.PROMOTE, E.PROMOTION_TERM, E.SEAL], "the primary's server has ended, and its agent asks"),
    _row(S.CLOSED, "peer_open", S.REJOINING, [], "the peer is the primary"),
    _row(S.CLOSED, "give_up_takeover", S.CLOSED, [E.WITHDRAW], "the peer does not take over, and the own database is back"),
    _row(S.CLOSED, "peer_seizing", S.CLOSED, [], "the peer is about to open"),
    _row(S.CLOSED, "claim_due", S.CLAIMING, [], "both are closed, and this node has everything: asking the peer to stay closed"),
    _row(S.CLOSED, "sole_may_open", S.OPENING, [A.OPEN_SELF, E.OPENING_TERM], "only this node has everything, and it was alone before"),
    _row(S.CLOSED, "silence_proves_death", S.PROMOTING, [A.PROMOTE, E.PROMOTION_TERM, E.SEAL],
         "the peer is silent and does not answer, and the gateway does"),
    _row(S.CLOSED, "lease_is_free", S.ACQUIRING, [A.RENEW_LEASE], "the peer is silent and its lease has ended"),
    _row(S.CLOSED, "boot_alone_due", S.PROMOTING, [A.PROMOTE, E.ORDERED_TERM, E.SEAL], "the peer was never heard, and the policy is to open then"),
    # Asking the peer, which is closed as well.
    *_not_ours(S.CLAIMING),
    _row(S.CLAIMING, "claim_refused", S.CLOSED, [], "the peer did not agree"),
    _row(S.CLAIMING, "agreed", S.OPENING, [A.OPEN_SELF, E.OPENING_TERM], "the peer is closed and knows of the claim"),
    # Waiting for the lease.
    *_not_ours(S.ACQUIRING),
    _row(S.ACQUIRING, "heard", S.CLOSED, [A.RELEASE_LEASE], "the peer is heard again"),
    _row(S.ACQUIRING, "lease_mine_as_writer", S.OPENING, [A.OPEN_SELF, E.OPENING_TERM], "this node holds the lease, and was the writer"),
    _row(S.ACQUIRING, "lease_mine_as_replica", S.PROMOTING, [E.PROMOTION_TERM], "this node holds the lease, and was in step"),
    _row(S.ACQUIRING, "lease_lost", S.CLOSED, [A.RELEASE_LEASE], "the lease is not to be had, or not for this node"),
    # Opening what was open here before.
    _row(S.OPENING, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
    *_fences(S.OPENING, ask=False)[:3],
    _row(S.OPENING, "sole_is_open", S.ALONE, [A.GO_ALONE, A.ALLOW_ADDRESSES], "open, alone"),
    _row(S.OPENING, "database_open", S.PRIMARY, [A.ALLOW_ADDRESSES], "open"),
    _row(S.OPENING, "operation_too_long", S.CLOSED, [A.CLOSE_SELF], "it did not open in time"),
    _row(S.OPENING, "operation_missing", S.OPENING, [A.OPEN_SELF], "opening has not begun: once more"),
    # Promoting the replica.
    *_fences(S.PROMOTING, ask=False)[:2],
    _row(S.PROMOTING, "published", S.PROMOTING, [A.PROMOTE, E.SEAL], "the witness knows the new term"),
    _row(S.PROMOTING, "authority_lost", S.ISOLATED, [A.CLOSE_SELF, A.KEEP_ADDRESSES_AWAY], "cut off while promoting"),
    _row(S.PROMOTING, "sole_is_open", S.ALONE, [A.GO_ALONE, A.ALLOW_ADDRESSES], "promoted; there is no replica yet"),
    _row(S.PROMOTING, "operation_failed", S.CLOSED, [A.CLOSE_SELF, E.GIVE_BACK], "the promotion failed, and nothing was open"),
    _row(S.PROMOTING, "operation_too_long", S.CLOSED, [A.CLOSE_SELF], "the promotion does not end"),
    _row(S.PROMOTING, "sealed_but_missing", S.PROMOTING, [A.PROMOTE], "the promotion has not begun: once more"),
    # The primary, with a replica that has each acknowledged write.
    _row(S.PRIMARY, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
    *_fences(S.PRIMARY, ask=True),
    _row(S.PRIMARY, "stall_decides", S.CLOSED, [A.KILL_SELF, A.KEEP_ADDRESSES_AWAY, E.ASK], "the database has stalled for too long, and the peer is able"),
    _row(S.PRIMARY, "peer_ceded_unused", S.PRIMARY, [E.ARMED_TERM], "the replica acknowledges again: it may be promoted again"),
    _row(S.PRIMARY, "unacknowledged", S.GOING_ALONE, [], "no replica acknowledges: asking to go on alone"),
    # The governor: alone only where the peer cannot open.
    _row(S.GOING_ALONE, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
    *_fences(S.GOING_ALONE, ask=True),
    _row(S.GOING_ALONE, "acknowledged", S.PRIMARY, [E.ARMED_TERM], "the replica acknowledges again"),
    _row(S.GOING_ALONE, "peer_ceded", S.ALONE, [A.GO_ALONE, E.SOLO_TERM, E.SEAL], "the peer has ceded: it will not open"),
    _row(S.GOING_ALONE, "published", S.ALONE, [A.GO_ALONE, E.SEAL], "the witness knows that only this node has everything"),
    _row(S.GOING_ALONE, "to_publish", S.GOING_ALONE, [A.RENEW_LEASE, E.SOLO_TERM], "telling the witness first"),
    _row(S.GOING_ALONE, "alone_on_evidence", S.ALONE, [A.GO_ALONE, E.SOLO_TERM, E.SEAL],
         "the peer is silent, does not answer, and has not taken the address although it had the time"),
    # The primary without a replica.
    _row(S.ALONE, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
    *_fences(S.ALONE, ask=False),
    _row(S.ALONE, "still_waits", S.ALONE, [A.GO_ALONE], "commits may still wait for the replica: once more"),
    _row(S.ALONE, "peer_in_step", S.REARMING, [A.REARM], "the replica is in step: waiting for it again"),
    _row(S.REARMING, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
    *_fences(S.REARMING, ask=False),
    _row(S.REARMING, "rearmed", S.PRIMARY, [E.ARMED_TERM], "the replica has acknowledged everything"),
    _row(S.REARMING, "rearm_failed", S.ALONE, [A.GO_ALONE], "the replica does not acknowledge"),
    # Cut off.
    _row(S.ISOLATED, "foreign_operation", S.OPERATION, [], "an operation of a person works on this node"),
    _row(S.ISOLATED, "person_says_open", S.PROMOTING, [A.PROMOTE, E.ORDERED_TERM, E.SEAL], "a person has said: open here"),
    _row(S.ISOLATED, "reachable_and_shut", S.CLOSED, [A.ALLOW_ADDRESSES], "closed, and no longer cut off"),
    # The replica.
    *_not_ours(S.REPLICA),
    _row(S.REPLICA, "person_says_open", S.PROMOTING, [A.PROMOTE, E.ORDERED_TERM, E.SEAL], "a person has said: open here"),
    _row(S.REPLICA, "extra_transactions", S.DIVERGED, [], "this node has transactions that the primary never had"),
    _row(S.REPLICA, "takeover_granted", S.PROMOTING, [A.PROMOTE, E.PROMOTION_TERM, E.SEAL], "the primary's server has ended, and its agent asks"),
    _row(S.REPLICA, "silence_proves_death", S.PROMOTING, [A.PROMOTE, E.PROMOTION_TERM, E.SEAL],
         "the primary is silent and does not answer, and the gateway does"),
    _row(S.REPLICA, "lease_is_free", S.ACQUIRING, [A.RENEW_LEASE], "the primary is silent and its lease has ended"),
    _row(S.REPLICA, "paused", S.PAUSED, [], "maintenance: nothing is decided"),
    _row(S.REPLICA, "peer_idle", S.CLOSED, [], "the peer is closed as well"),
    _row(S.REPLICA, "out_of_step_long", S.REJOINING, [], "replication does not catch up"),
    _row(S.REPLICA, "failback_due", S.REPLICA, [A.FAILBACK], "in step, and this node is preferred"),
    # On the way to be the replica.
    *_not_ours(S.REJOINING),
    _row(S.REJOINING, "person_says_rejoin", S.REJOINING, [A.REPLACE], "a person has said: replace the data of this node"),
    _row(S.REJOINING, "extra_transactions", S.DIVERGED, [], "this node has transactions that the primary never had"),
    _row(S.REJOINING, "no_primary", S.CLOSED, [], "the primary is not open, or silent"),
    _row(S.REJOINING, "in_step", S.REPLICA, [A.ALLOW_ADDRESSES], "in step"),
    _row(S.REJOINING, "rejoin_due", S.REJOINING, [A.REJOIN], "following the primary"),
    # Transactions too many: a person decides, unless nobody was ever told of them.
    *_not_ours(S.DIVERGED),
    _row(S.DIVERGED, "person_says_rejoin", S.REJOINING, [A.REPLACE], "a person has said: replace the data of this node"),
    _row(S.DIVERGED, "person_says_open", S.PROMOTING, [A.PROMOTE, E.ORDERED_TERM, E.SEAL], "a person has said: open here"),
    _row(S.DIVERGED, "replace_due", S.REJOINING, [A.REPLACE], "nobody was told of them: they are saved, and the data are copied from the primary"),
    _row(S.DIVERGED, "no_extra_transactions", S.CLOSED, [], "nothing is too many any more"),
    # An operation of a person has the pen. Self-fencing stays.
    _row(S.OPERATION, "open_and_unheard", S.ISOLATED, [A.CLOSE_SELF, A.KEEP_ADDRESSES_AWAY], "cut off during an operation: this node fences itself"),
    _row(S.OPERATION, "foreign_operation", S.OPERATION, [], "the operation goes on"),
    _row(S.OPERATION, "open_and_acknowledged", S.PRIMARY, [A.ALLOW_ADDRESSES, E.ARMED_TERM], "the operation has left this node open, with a replica"),
    _row(S.OPERATION, "sole_is_open", S.ALONE, [A.GO_ALONE, A.ALLOW_ADDRESSES], "the operation has left the only writer open"),
    _row(S.OPERATION, "own_is_open", S.GOING_ALONE, [A.ALLOW_ADDRESSES],
         "the operation has left the primary open, and no replica acknowledges: asking to go on alone"),
    _row(S.OPERATION, "database_open", S.ALONE, [A.GO_ALONE, A.ALLOW_ADDRESSES, E.ORDERED_TERM, E.SEAL],
         "the operation has moved the role here, and there is no replica"),
    _row(S.OPERATION, "database_known", S.CLOSED, [], "the operation has ended, and the database is closed"),
    # Maintenance, beside a primary that was told so.
    *_not_ours(S.PAUSED),
    _row(S.PAUSED, "person_says_open", S.PROMOTING, [A.PROMOTE, E.ORDERED_TERM, E.SEAL], "a person has said: open here"),
    _row(S.PAUSED, "not_paused", S.CLOSED, [], "the maintenance is over"),
)  # fmt: skip


_BY_STATE: dict[State, tuple[Row, ...]] = {state: tuple(row for row in TABLE if row.state is state) for state in State}


def rows(state: State) -> tuple[Row, ...]:
    return _BY_STATE[state]


def choose(state: State, holds: t.Callable[[str], bool]) -> Row | None:
    """The row that decides; None: the state stays as it is."""
    return next((row for row in rows(state) if holds(row.condition)), None)
