# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step: a policy, a memory and a view in; a decision out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .facts import Facts
from .model import (
    OPEN_STATES,
    SEIZING,
    Action,
    Blocker,
    Database,
    Memory,
    Running,
    Said,
    State,
    Term,
    View,
    with_durable,
)
from .own import NOT_OPEN
from .policy import AUTOMATIC, Policy
from .table import Effect, Row, choose

STAY = "stay"
UNKEPT = "memory_not_kept"
# Seconds: site.yml brings a new daemon some minutes before its hand.
_HANDS_MAY_BE_SILENT = 300.0
CLOSING = frozenset({Action.CLOSE_SELF, Action.KILL_SELF, Action.KEEP_ADDRESSES_AWAY})


@dataclass(frozen=True)
class Decision:
    """What one step says. memory first to disk (where durable changed), then the actions, then the heartbeat.

    open_until: whoever opens the database, or leaves it open, must not do so after this time (View.now).
    """

    memory: Memory
    actions: tuple[Action, ...]
    alarms: tuple[str, ...]  # names; as long as it is so
    rule: str  # the condition of the row that decided
    reason: str
    facts: Facts
    open_until: float
    said: Said

    @property
    def state(self) -> State:
        return self.memory.state

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """Why this node does not become the primary: each condition with what was found and what is needed."""
        facts = self.facts
        return (*facts.preconditions, *(facts.of_takeover if facts.heard else facts.of_silence))


# In these a node may let the other one go on without it.
_CEDES = frozenset(State) - SEIZING - OPEN_STATES - {State.CLAIMING}


def step(policy: Policy, memory: Memory, view: View) -> Decision:
    """Decide. Call it at least every policy.tick, and at once when something has changed."""
    memory = _observe(policy, memory, view)
    facts = Facts(policy, memory, view)
    row = choose(memory.state, lambda condition: bool(getattr(facts, condition)))
    actions: list[Action] = list(row.actions) if row else []
    if row:
        memory = _follow(policy, memory, view, row)
        facts = Facts(policy, memory, view)
    memory, actions = _reflexes(facts, actions)
    if memory != facts.memory:
        facts = Facts(policy, memory, view)
    return Decision(
        memory,
        tuple(dict.fromkeys(actions)),
        _alarms(facts, row.condition if row else STAY),
        row.condition if row else STAY,
        row.reason if row else f"nothing to change: {memory.state.value}",
        facts,
        facts.open_until,
        say(facts),
    )


def hold(policy: Policy, memory: Memory, view: View, decision: Decision) -> Decision:
    """What is left of a decision that could not be written down: the node may close, and says what is.

    Term and ceding stay as they are on the disk. A node that is closed and knows no more than its disk does nothing that it would not
    do after a restart, and its peer learns nothing that it could not learn then.
    """
    kept = replace(with_durable(_observe(policy, memory, view), memory), closing_since=decision.memory.closing_since)
    if decision.state in (State.CLOSED, State.ISOLATED) and decision.state is not memory.state:
        kept = replace(kept, state=decision.state, since=view.now)
    facts = Facts(policy, kept, view)
    actions = tuple(action for action in decision.actions if action in CLOSING)
    reason = f"{decision.reason}; that cannot be written down"
    return Decision(kept, actions, _alarms(facts, decision.rule), decision.rule, reason, facts, facts.open_until, say(facts))


def unkept(decision: Decision) -> Decision:
    """While the memory cannot be written, as far as is known: this node could not take over."""
    return replace(decision, alarms=(*decision.alarms, UNKEPT), said=replace(decision.said, able=False))


def settled(decision: Decision) -> bool:
    """A primary whose replica acknowledges, or a replica in step: only what others say or do can change anything."""
    facts = decision.facts
    if decision.state is State.PRIMARY:
        return facts.heard and facts.database_open and facts.acknowledged and facts.promised
    return decision.state is State.REPLICA and facts.peer_open and facts.database_closed and facts.in_step and not facts.peer.takeover


def say(facts: Facts) -> Said:
    """What the next heartbeat says. The daemon adds the echo."""
    memory, view = facts.memory, facts.view
    shut = memory.last_sure in NOT_OPEN and memory.state not in OPEN_STATES - {State.OPERATION}
    return Said(
        state=memory.state,
        database=view.database,
        term=memory.term,
        ceded=memory.ceded,
        fenced=shut and memory.state not in SEIZING and view.database is not Database.OPEN,
        takeover=memory.takeover,
        able=facts.able,
        in_step=view.in_step,
        ahead=view.ahead,
        paused_until=max(view.paused_until, 0.0),
        paused_at=max(view.paused_at, 0.0),
        failover_at=memory.failover_at,
        acknowledged_at=max(view.acknowledged_at, 0.0),
        common=facts.policy.common,
    )


# Before the table.


def _observe(policy: Policy, memory: Memory, view: View) -> Memory:
    """Take over what others know, and note since when things are as they are."""
    now = view.now
    if memory.since < 0:
        memory = replace(memory, since=now, started=now)
    memory = _adopt(memory, policy, view)
    facts = Facts(policy, memory, view)
    watched = memory.watched
    frozen = view.frozen or (memory.stepped is not None and now - memory.stepped > policy.evidence_fresh)
    if frozen or (not facts.heard and not facts.gateway_ok):
        watched = False
    elif facts.in_contact:
        watched = True
    known = view.database in (Database.OPEN, *NOT_OPEN)
    return replace(
        memory,
        stepped=now,
        watched=watched,
        last_sure=view.database if known else memory.last_sure,
        opened=memory.opened or view.database is Database.OPEN,
        unacknowledged_since=_since(memory.unacknowledged_since, view.acknowledged is False, now),
        stalled_since=_since(memory.stalled_since, view.database is Database.STALLED, now),
        in_step_since=_since(memory.in_step_since, view.in_step, now),
        out_of_step_since=_since(memory.out_of_step_since, not view.in_step, now),
        differ_since=_since(memory.differ_since, facts.policies_differ, now),
        apart_since=_since(memory.apart_since, facts.peer_apart, now),
        mute_since=_since(memory.mute_since, facts.peer_is_mute, now),
        nobody_since=_since(memory.nobody_since, not facts.writes_here and not facts.peer_writes, now),
    )


def _adopt(memory: Memory, policy: Policy, view: View) -> Memory:
    """The highest term is true."""
    heard = [view.peer.term if view.peer else Term(), Term() if _is_of_an_earlier_pair(memory, view) else _witnessed(view)]
    term = max([memory.term, *heard], key=lambda each: each.rank)
    failover_at = max(memory.failover_at, view.peer.failover_at if view.peer else 0.0)
    if term == memory.term:
        return replace(memory, failover_at=failover_at)
    mine = term.writer == policy.name
    # Its own term, and it does not know of it: its disk was exchanged, so it has not got what it had then.
    return replace(memory, term=term, sealed=False, takeover=memory.takeover and mine, failover_at=failover_at)


def _witnessed(view: View) -> Term:
    return view.witness.term if view.witness.reachable else Term()


def _is_of_an_earlier_pair(memory: Memory, view: View) -> bool:
    """What the witness says may be from before the agents were switched off, and the role may have moved since.

    Who has no memory asks the other node, while its machine lives, and believes an open database: a person has opened it.
    """
    return memory.term.epoch == 0 and (view.database is Database.OPEN or view.knock is not False)


def _since(since: float | None, holds: bool, now: float) -> float | None:
    return None if not holds else now if since is None else since


# What a row does.


def _follow(policy: Policy, memory: Memory, view: View, row: Row) -> Memory:
    entered = row.next is not memory.state
    if entered:
        memory = replace(memory, state=row.next, since=view.now)
        if row.next in (State.PROMOTING, State.OPENING):
            memory = replace(memory, opened=view.database is Database.OPEN)
        if row.next is State.ALONE and row.state in (State.REARMING, State.GOING_ALONE):
            memory = replace(memory, rearm_pause=_longer(policy, memory, view))
        elif row.next in (State.ALONE, State.REJOINING) and row.state is not State.REJOINING:
            memory = replace(memory, tried_at=None)
        if row.next is State.REPLICA:
            memory = replace(memory, together=False)
        if row.next is not State.CLOSED:
            memory = replace(memory, takeover=False)
    if row.condition == "operation_failed":
        memory = replace(memory, failed_at=view.now)
    if {Action.REJOIN, Action.REPLACE, Action.REARM, Action.FAILBACK} & set(row.actions):
        memory = replace(memory, tried_at=view.now)
    if Action.GO_ALONE in row.actions:
        memory = replace(memory, alone_at=view.now)
    if Action.REPLACE in row.actions:
        memory = replace(memory, replaced_at=view.now)
    for effect in row.effects:
        memory = _apply(effect, policy, memory, view)
    return memory


def _longer(policy: Policy, memory: Memory, view: View) -> float:
    """Twice the pause where the last attempt to wait for the replica again has failed, or came to nothing soon; none where it held."""
    if memory.tried_at is None or view.now - memory.tried_at > max(policy.rearm_held, 4 * memory.rearm_pause):
        return 0.0
    return min(max(2 * memory.rearm_pause, policy.rearm_every), policy.rearm_at_most_every)


def _apply(effect: Effect, policy: Policy, memory: Memory, view: View) -> Memory:
    term, me = memory.term, policy.name
    # The witness may know a later one, from before the agents were switched off.
    epoch = max(term.epoch, _witnessed(view).epoch) + 1
    if effect in (Effect.PROMOTION_TERM, Effect.ORDERED_TERM):
        at = view.wall if effect is Effect.PROMOTION_TERM else memory.failover_at
        return replace(memory, previous=term, term=Term(epoch, me, True, False), sealed=False, failover_at=at, together=False)
    if effect is Effect.SOLO_TERM:
        return replace(memory, term=Term(epoch, me, True, False), sealed=False, together=False)
    if effect is Effect.ARMED_TERM:
        return replace(memory, term=Term(epoch, me, False), sealed=False, together=True)
    if effect is Effect.OPENING_TERM:
        alone = term.solo and memory.sealed
        return replace(memory, term=Term(epoch, me, alone), together=not alone)
    if effect is Effect.GIVE_BACK:
        back = memory.previous
        if back.solo:
            return memory  # a person had said: open here, although the other one may have more
        return replace(memory, term=Term(epoch, back.writer or me, False), sealed=False)
    if effect is Effect.SEAL:
        return replace(memory, term=replace(term, firm=True), sealed=True)
    if effect is Effect.ASK:
        if memory.term.solo:
            return memory
        return replace(memory, takeover=True, ceded=memory.term.epoch)
    return replace(memory, takeover=False, since=view.now)


# Whatever the row.


def _reflexes(facts: Facts, actions: list[Action]) -> tuple[Memory, list[Action]]:
    """Closing until it is closed, ceding, and the lease: in every state."""
    memory, view, policy = facts.memory, facts.view, facts.policy
    closing = Action.CLOSE_SELF in actions or Action.KILL_SELF in actions
    must_be_shut = memory.state not in OPEN_STATES and memory.state is not State.STARTING
    if must_be_shut and view.database not in NOT_OPEN and (memory.closing_since is not None or view.database is Database.OPEN):
        actions, closing = [*actions, Action.CLOSE_SELF], True
    if closing or (memory.closing_since is not None and must_be_shut and view.database not in NOT_OPEN):
        since = view.now if memory.closing_since is None else memory.closing_since
        memory = replace(memory, closing_since=since)
        if view.now - since >= policy.close_within and view.database not in NOT_OPEN:
            actions = [*actions, Action.KILL_SELF]
    else:
        memory = replace(memory, closing_since=None)
    memory = _cede(facts, memory)
    return _lease(facts if memory == facts.memory else Facts(policy, memory, view), actions)


def _cede(facts: Facts, memory: Memory) -> Memory:
    """Let the writer go on without this node: it asks, or this node's server has ended anyway."""
    held = memory.state is State.OPERATION and facts.view.held and facts.database_shut
    if not (held or memory.state in _CEDES) or memory.term.writer != facts.policy.peer or memory.term.solo:
        return memory
    asked = facts.heard and facts.peer.state is State.GOING_ALONE and facts.peer.term == memory.term
    if (asked or facts.database_gone) and memory.ceded < memory.term.epoch:
        return replace(memory, ceded=memory.term.epoch)
    return memory


def _lease(facts: Facts, actions: list[Action]) -> tuple[Memory, list[Action]]:
    """The writer renews; whoever is not may not keep it."""
    memory, view, policy = facts.memory, facts.view, facts.policy
    if not policy.witness:
        return memory, [a for a in actions if a not in (Action.RENEW_LEASE, Action.RELEASE_LEASE)]
    writes = memory.state in OPEN_STATES | {State.ACQUIRING} and memory.term.writer == policy.name
    seeks = memory.state is State.ACQUIRING
    holds = view.witness.holder == policy.name and view.witness.left > 0
    if writes or seeks:
        asked = Action.RENEW_LEASE in actions
        unpublished = memory.term != view.witness.term or seeks
        wait = 2 * policy.tick if unpublished else policy.renew_every
        due = memory.renewed_at is None or view.now - memory.renewed_at >= wait
        if asked or due:
            actions = [*actions, Action.RENEW_LEASE]
            memory = replace(memory, renewed_at=view.now)
    elif holds and facts.database_shut and view.running is not Running.OWN and Action.RELEASE_LEASE not in actions:
        actions = [*actions, Action.RELEASE_LEASE]
    return memory, actions


def _nothing_comes(facts: Facts) -> bool:
    """From a silent primary. One whose agent alone has ended lives on, and its replica follows it."""
    since = facts.memory.out_of_step_since
    return facts.view.knock is False or (since is not None and facts.view.now - since >= facts.policy.alarm_after)


def _nobody(facts: Facts) -> bool:
    """No database of the pair has been open for too long, as far as this node can know."""
    memory, now, policy = facts.memory, facts.view.now, facts.policy
    waited = now - memory.since
    if memory.state is State.OPERATION:
        return waited >= policy.alarm_held_after and facts.database_shut and not facts.peer_writes
    if memory.state in (State.CLOSED, State.ISOLATED) and waited >= policy.alarm_after:
        return True
    lasted = now - (now if memory.nobody_since is None else memory.nobody_since)
    return lasted >= 2 * policy.alarm_after if facts.heard else lasted >= policy.alarm_after and _nothing_comes(facts)


def _alarms(facts: Facts, rule: str) -> tuple[str, ...]:
    """Names of what a person should know, as long as it is so."""
    memory, view, policy = facts.memory, facts.view, facts.policy
    waited = view.now - memory.since
    asked = view.now - (view.now if memory.started is None else memory.started)
    dead = not facts.heard and facts.silence >= policy.promote_after and view.knock is False
    waits = memory.state is State.ALONE and facts.commits_wait and waited >= policy.alone_after
    in_vain = view.now - (view.now if memory.unacknowledged_since is None else memory.unacknowledged_since)
    waits = waits or (memory.state is State.OPERATION and facts.database_open and facts.commits_wait and in_vain >= policy.alarm_after)
    mute = memory.mute_since is not None and view.now - memory.mute_since >= policy.alarm_after
    manual = policy.failover != AUTOMATIC and memory.state is State.REPLICA
    rows = [
        ("manual_failover_needed", manual and (facts.peer.takeover or dead)),
        ("database_stalled", facts.stalled_too_long),
        ("peer_agent_silent", mute or (not facts.heard and view.knock is True and facts.silence >= policy.promote_after)),
        ("replica_not_in_step", memory.apart_since is not None and view.now - memory.apart_since >= 2 * policy.alarm_after),
        ("hands_silent", view.hands_silent >= _HANDS_MAY_BE_SILENT),
        # While a play gives both another one, the one node is a little ahead of the other.
        ("policies_differ", memory.differ_since is not None and view.now - memory.differ_since >= policy.alarm_after),
        ("diverged", memory.state is State.DIVERGED),
        ("data_comparison_failed", memory.state is State.CLOSED and view.ahead is False and facts.heard and facts.peer.ahead is False),
        ("both_open", facts.heard and facts.database_open and facts.peer.database is Database.OPEN),
        ("both_masters", view.both_masters),
        ("address_elsewhere", facts.taken_elsewhere),
        ("isolated", memory.state is State.ISOLATED),
        ("alone", memory.state is State.ALONE and not waits),
        ("writes_wait_for_the_replica", waits or (memory.state is State.GOING_ALONE and waited >= policy.alone_after)),
        ("nobody_is_primary", _nobody(facts)),
        ("opened_by_somebody_else", rule == "opened_by_somebody"),
        ("witness_not_reachable", policy.witness and not view.witness.reachable and asked >= policy.start_wait),
    ]
    return (*(name for name, holds in rows if holds), *view.atlas)
