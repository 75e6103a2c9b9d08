# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a view means under a policy and a memory: the conditions of the table, and until when the database may be open. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from .contact import answers, yes
from .model import OPEN_STATES, SEIZING, Blocker, Database, Order, Running, State
from .own import Own
from .persons import Persons
from .policy import AUTOMATIC, WHEN_IN_SYNC

# A peer that is fenced, and will not open while this node asks whether it may.
_WAITING = frozenset(
    {State.STARTING, State.CLOSED, State.ISOLATED, State.REPLICA, State.REJOINING, State.DIVERGED, State.PAUSED, State.CLAIMING}
)

# Seconds.
_HANDS_SILENT = 30.0
_STUCK_EVERY = 60.0


@dataclass(frozen=True)
class Facts(Own, Persons):
    """Each public property that says True or False is a condition of the table."""

    # Authority.

    @cached_property
    def lease_mine(self) -> bool:
        return self.policy.witness and self.view.witness.holder == self.policy.name and self.view.witness.left > self.policy.close_budget

    @cached_property
    def cut_off(self) -> bool:
        """The peer is silent, and there is no sign that anybody else can be reached."""
        return not self.heard and not self.gateway_ok and not self.lease_mine

    @cached_property
    def taken_elsewhere(self) -> bool:
        """The peer is silent, and the gateway sends the service address to somebody else: so somebody lives."""
        return not self.heard and self.view.address_here is False and not self.lease_mine

    @cached_property
    def sole(self) -> bool:
        """This node alone has everything, and the other one cannot open."""
        return self.memory.term.writer == self.policy.name and self.memory.term.solo and self.memory.sealed

    @cached_property
    def promised(self) -> bool:
        """The peer's last beat was a promise."""
        peer = self.peer
        opens = peer.state in SEIZING or (peer.state in OPEN_STATES and peer.state is not State.OPERATION)
        return not opens and peer.database is not Database.OPEN and peer.term.rank <= self.memory.term.rank

    @cached_property
    def evidence(self) -> bool:
        """Without a witness: the peer seems dead, and this node has watched it go without being cut off itself."""
        return not self.policy.witness and not self.heard and self.memory.watched and self.gateway_ok and not self.taken_elsewhere

    @cached_property
    def authority(self) -> float:
        """Until when nobody else opens (View.now)."""
        now, until = self.view.now, -math.inf
        if self.policy.witness and self.view.witness.holder == self.policy.name:
            until = max(until, now + self.view.witness.left)
        if self.promised and self.peer.echo is not None:
            until = max(until, self.peer.echo + self.policy.promise)
        if self.evidence:
            until = max(until, min(now + 2 * self.policy.close_budget, self.proven))
        if self.sole and not self.cut_off and not self.taken_elsewhere:
            until = max(until, now + 2 * self.policy.close_budget)
        return until

    @cached_property
    def open_until(self) -> float:
        """The last moment at which the database may be opened: closing has to be done when the authority ends."""
        if self.memory.state is State.PROMOTING and not self.memory.sealed:
            return -math.inf
        return self.authority - self.policy.close_budget

    @cached_property
    def authority_lost(self) -> bool:
        return self.view.now > self.authority - self.policy.close_budget

    @cached_property
    def open_without_authority(self) -> bool:
        return self.database_open and self.authority_lost

    @cached_property
    def open_and_unheard(self) -> bool:
        """During an operation only silence counts: both databases change, and what is heard of the peer's is a moment old."""
        return self.open_without_authority and not self.heard and self.silence >= self.policy.self_fence_after

    @cached_property
    def first(self) -> bool:
        """No agent has decided anything yet; a person has opened this database, and the peer's is closed.

        The new term has to be later than one that a witness may keep from before the agents were switched off.
        """
        new = self.memory.term.epoch == 0 and self.peer.term.epoch == 0 and (not self.policy.witness or self.view.witness.reachable)
        return new and self.database_open and self.heard and self.promised

    @cached_property
    def first_with_replica(self) -> bool:
        return self.first and self.acknowledged

    @cached_property
    def sole_is_open(self) -> bool:
        return self.database_open and self.sole

    @cached_property
    def own_is_open(self) -> bool:
        """In a term of its own: the peer may be promoted in that, so nobody may say without asking that it cannot."""
        return self.database_open and self.memory.term.writer == self.policy.name

    @cached_property
    def open_and_acknowledged(self) -> bool:
        return self.database_open and self.acknowledged

    @cached_property
    def reachable_and_shut(self) -> bool:
        return self.database_shut and not self.cut_off and not self.taken_elsewhere

    @cached_property
    def superseded(self) -> bool:
        return self.memory.term.writer == self.policy.peer

    # The own database and the peer.

    @cached_property
    def stall_decides(self) -> bool:
        return self.stalled_too_long and self.policy.stall_failover and self.able_peer

    @cached_property
    def replace_due(self) -> bool:
        tried = self.memory.replaced_at
        due = tried is None or self.view.now - tried >= self.policy.replace_every
        may = self.policy.replace_unacknowledged and self.memory.together and not self.paused
        return may and due and self.extra_transactions and self.peer_open and self.view.running is Running.NONE

    @cached_property
    def peer_open(self) -> bool:
        """The peer is the writer, and says so."""
        opened = self.peer.database is Database.OPEN or self.peer.state in OPEN_STATES - {State.OPERATION}
        return self.heard and opened and self.memory.term.writer == self.policy.peer

    @cached_property
    def peer_writes(self) -> bool:
        """Whoever the writer should be."""
        return self.peer_open or (self.heard and self.peer.database is Database.OPEN)

    @cached_property
    def writes_here(self) -> bool:
        """The own database takes writes. Of a primary's that is slow or cannot be asked nothing else is believed."""
        primary = self.memory.state in OPEN_STATES - SEIZING - {State.OPERATION}
        return self.database_open or (primary and not self.database_shut)

    @cached_property
    def no_primary(self) -> bool:
        return not self.peer_open

    @cached_property
    def peer_idle(self) -> bool:
        return self.heard and self.peer.state in (State.CLOSED, State.CLAIMING) and self.peer.fenced and not self.peer.takeover

    @cached_property
    def peer_seizing(self) -> bool:
        return self.heard and self.peer.state in SEIZING

    @cached_property
    def peer_ceded(self) -> bool:
        return self.peer.ceded >= self.memory.term.epoch and self.view.peer is not None

    @cached_property
    def peer_ceded_unused(self) -> bool:
        """A replica whose server has ended cedes each term anew: only one that is in step ends that."""
        return self.acknowledged and self.peer_ceded and self.heard and self.peer.in_step

    @cached_property
    def peer_apart(self) -> bool:
        """It should follow this primary and does not; what has an alarm of its own is left out, and what a person does."""
        known = self.peer.state in (State.DIVERGED, State.OPERATION, State.PAUSED)
        return self.memory.state is State.PRIMARY and self.heard and not self.peer.in_step and not known

    @cached_property
    def able_peer(self) -> bool:
        return self.heard and self.peer.able and self.peer.term == self.memory.term

    @cached_property
    def peer_in_step(self) -> bool:
        tried = self.memory.tried_at
        due = tried is None or self.view.now - tried >= max(self.policy.rearm_every, self.memory.rearm_pause)
        return self.heard and self.peer.in_step and self.peer.state is State.REPLICA and self.peer.term == self.memory.term and due

    @cached_property
    def rearmed(self) -> bool:
        return self.acknowledged and self.heard and self.peer.in_step

    # A promotion.

    @cached_property
    def complete(self) -> bool:
        """Nobody has acknowledged what is not here."""
        term = self.memory.term
        # A firm term of its own that this node does not remember: its disk was exchanged.
        forgotten = term.solo and term.firm and not self.memory.sealed
        return not forgotten if term.writer == self.policy.name else not term.solo

    @cached_property
    def failed_lately(self) -> bool:
        """A promotion: what made it fail is not over a moment later."""
        failed = self.memory.failed_at
        return failed is not None and self.view.now - failed < self.policy.promote_again

    @cached_property
    def preconditions(self) -> list[Blocker]:
        """What every automatic promotion of this node needs."""
        term, silent = self.memory.term, self.view.hands_silent
        rows = [
            ("policy", self.policy.failover, AUTOMATIC, self.policy.failover == AUTOMATIC),
            ("pause", "paused" if self.paused else "none", "none", not self.paused),
            ("operation", self.view.running.value, "none", self.view.running in (Running.NONE, Running.FAILED)),
            ("last promotion", "failed" if self.failed_lately else "none that failed", f"none that failed within {self.policy.promote_again:g} s",
             not self.failed_lately),
            ("own hands", f"do not answer for {silent:.0f} s" if silent else "answer", "answer", silent < _HANDS_SILENT),
            ("own database", self.view.database.value, Database.CLOSED.value, self.database_closed),
            ("complete", f"term {term.epoch}: {term.writer or 'nobody'}{' alone' if term.solo else ''}",
             "every acknowledged write is here", self.complete),
            ("in step", yes(self.view.promotable), "yes, when the primary was last heard with an open database", self.view.promotable),
            ("extra transactions", yes(self.view.extra), "no", self.view.extra is not True),
        ]  # fmt: skip
        return [Blocker(*row) for row in rows]

    @cached_property
    def of_takeover(self) -> list[Blocker]:
        """The primary's node lives and asks for it."""
        peer = self.peer
        rows = [
            ("primary asks", yes(self.heard and peer.takeover and peer.fenced), "yes: its server has ended", self.heard and peer.takeover and peer.fenced),
            ("primary cedes", f"term {peer.ceded}", f"term {self.memory.term.epoch}", peer.term == self.memory.term and self.peer_ceded),
            ("contact", f"{self.contact:.2f} s", f"both ways within {self.policy.self_fence_after:.2f} s", self.in_contact),
        ]  # fmt: skip
        return [*(Blocker(*row) for row in rows), self.cool_down]

    @cached_property
    def cool_down(self) -> Blocker:
        """Only against following the end of the database alone: a node that is dead is followed at once."""
        return Blocker("cool-down", "running" if self.cooling else "over", "over, or acknowledged", not self.cooling)

    @cached_property
    def of_silence(self) -> list[Blocker]:
        """The primary's node says nothing."""
        view, policy = self.view, self.policy
        rows = [
            ("silence", f"{self.silence:.2f} s", f"{policy.promote_after:g} s on all networks", self.silence >= policy.promote_after and not self.heard),
            ("primary's machine", answers(view.knock), "does not answer", view.knock is False),
        ]  # fmt: skip
        if self.policies_differ:
            rows.append(("same policy", self.peer.common, policy.common, False))
        if policy.witness:
            witness = view.witness
            free = witness.reachable and (witness.holder in ("", policy.name) or witness.left <= 0)
            found = f"held by {witness.holder}" if witness.left > 0 else "free" if witness.reachable else "witness not reachable"
            rows += [
                ("lease", found, "free", free),
                ("not ceded", f"term {self.memory.ceded}", f"below {self.memory.term.epoch}", self.memory.ceded < self.memory.term.epoch),
            ]
        else:
            known = self.gateway_ok if policy.gateway and view.gateway is not None else None
            rows += [
                ("own gateway", answers(known) if policy.gateway else "not configured", "answers", known is True),
                ("watched", yes(self.memory.watched), "this node was not cut off or asleep since the primary was last heard", self.memory.watched),
                ("service address", yes(view.address_here), "not sent elsewhere by the gateway", view.address_here is not False),
                ("not ceded", f"term {self.memory.ceded}", f"below {self.memory.term.epoch}", self.memory.ceded < self.memory.term.epoch),
            ]  # fmt: skip
        return [Blocker(*row) for row in rows]

    @cached_property
    def able(self) -> bool:
        return all(row.met for row in self.preconditions) and not self.cooling

    @cached_property
    def takeover_granted(self) -> bool:
        return all(row.met for row in [*self.preconditions, *self.of_takeover])

    @cached_property
    def silence_proves_death(self) -> bool:
        return not self.policy.witness and all(row.met for row in [*self.preconditions, *self.of_silence])

    @cached_property
    def lease_is_free(self) -> bool:
        """It may be acquired, to open what is here: as the replica, or as the writer that comes back first."""
        if not self.policy.witness or not all(row.met for row in self.of_silence):
            return False
        if self.memory.term.writer == self.policy.name:
            return self.complete and self.database_closed and not self.paused and self.view.running in (Running.NONE, Running.FAILED)
        return all(row.met for row in self.preconditions)

    @cached_property
    def lease_lost(self) -> bool:
        return not self.lease_mine and not self.lease_is_free

    @cached_property
    def lease_mine_as_writer(self) -> bool:
        return self.lease_mine and self.memory.term.writer == self.policy.name

    @cached_property
    def lease_mine_as_replica(self) -> bool:
        return self.lease_mine and all(row.met for row in self.preconditions)

    @cached_property
    def published(self) -> bool:
        """The witness holds this node's solo term."""
        return self.lease_mine and self.view.witness.term == self.memory.term and self.memory.term.solo and not self.memory.sealed

    @cached_property
    def to_publish(self) -> bool:
        return self.lease_mine and not self.memory.term.solo

    @cached_property
    def alone_on_evidence(self) -> bool:
        dead = self.silence >= self.policy.alone_after and self.view.knock is False
        return self.policy.alone_on_evidence and self.evidence and dead and not self.policies_differ

    # Opening again.

    @cached_property
    def give_up_takeover(self) -> bool:
        waited = self.view.now - self.memory.since
        unable = self.heard and not self.peer.able and waited > 3 * self.policy.tick
        return self.memory.takeover and self.database_closed and (unable or waited >= self.policy.takeover_wait)

    @cached_property
    def claim_due(self) -> bool:
        """Both are closed, both know the same term, and this node is the one that should open."""
        peer, term = self.peer, self.memory.term
        both = self.heard and self.database_closed and peer.fenced and peer.state in _WAITING and peer.state is not State.CLAIMING
        if not both or self.memory.takeover or peer.takeover or peer.term != term or self.contact > self.policy.self_fence_after:
            return False
        if self.view.running not in (Running.NONE, Running.FAILED) or self.view.now - self.memory.since < 2 * self.policy.tick:
            return False
        return self._chosen() and (not self.paused or term.writer == self.policy.name)

    def _chosen(self) -> bool:
        term, mine = self.memory.term, self.memory.term.writer == self.policy.name
        if term.solo:
            return mine and self.complete
        # The peer's server does not run: it was the replica, so everything acknowledged is here.
        if mine and self.peer.database is Database.GONE:
            return True
        if self.view.ahead is not True or self.peer.ahead is None:
            return False
        if self.peer.ahead is False:
            return True
        return mine if term.writer else self.policy.outranks_peer

    @cached_property
    def agreed(self) -> bool:
        """The peer has heard the claim, is closed, and makes none itself."""
        peer = self.peer
        heard_claim = peer.echo is not None and peer.echo >= self.memory.since and self.contact <= self.policy.self_fence_after / 2
        waits = peer.state in _WAITING and peer.state is not State.CLAIMING
        return self.heard and heard_claim and waits and peer.fenced and self.promised and self.database_closed

    @cached_property
    def claim_refused(self) -> bool:
        peer = self.peer
        rival = peer.state is State.CLAIMING and not self.policy.outranks_peer
        seizes = peer.state in SEIZING or peer.database is Database.OPEN
        return not self.heard or rival or seizes or peer.term.rank > self.memory.term.rank or not self.database_closed or self._waited_claim

    @cached_property
    def _waited_claim(self) -> bool:
        return self.view.now - self.memory.since >= self.policy.claim_wait

    @cached_property
    def sole_may_open(self) -> bool:
        """The peer is silent, and it cannot open: what this node opened before, it opens again."""
        waited = self.silence >= self.policy.start_wait and not self.heard
        may = self.sole and self.database_closed and not self.cut_off and not self.taken_elsewhere and self.gateway_ok
        return waited and may and self.view.running in (Running.NONE, Running.FAILED)

    @cached_property
    def boot_alone_due(self) -> bool:
        after = self.policy.boot_alone
        if after is None or self.heard or self.paused or self.policy.failover != AUTOMATIC:
            return False
        alone = self.silence >= after and self.view.knock is False and self.gateway_ok and not self.policy.witness
        return alone and self.database_closed and not self.failed_lately and self.view.running is Running.NONE

    @cached_property
    def resumes(self) -> bool:
        """The daemon has been restarted beside an open database that is rightly open."""
        mine = self.memory.term.writer == self.policy.name
        return self.database_open and mine and not self.authority_lost and not self.memory.term.solo

    @cached_property
    def resumes_alone(self) -> bool:
        return self.database_open and self.sole and not self.authority_lost

    @cached_property
    def start_over(self) -> bool:
        """Nothing more can be expected from waiting at the start."""
        waited = self.view.now - self.memory.since
        if self.database_open:
            if self.memory.term.epoch == 0:
                return False  # nobody but a person can have opened it
            return self.superseded or waited >= self.policy.self_fence_after
        return self.database_shut and (self.heard or waited >= self.policy.contact_fresh)

    # Replication, operations, persons.

    @cached_property
    def rejoin_due(self) -> bool:
        """At once, and again while it does not follow. One that follows is only behind: it is left to catch up, but for a look now and then."""
        tried = self.memory.tried_at
        waited = self.view.now - (self.memory.since if tried is None else tried)
        again = waited >= self.policy.rejoin_every
        # One that follows may be stuck in what was there before; that is looked for now and then, and costs nothing where it is not.
        due = (again if tried is None else waited >= _STUCK_EVERY) if self.view.follows else (again or tried is None)
        return self.peer_open and self.peer.database is Database.OPEN and not self.view.in_step and due and self.view.running in (Running.NONE, Running.FAILED)

    @cached_property
    def out_of_step_long(self) -> bool:
        since = self.memory.out_of_step_since
        return self.peer_open and since is not None and self.view.now - since >= self.policy.rejoin_every

    @cached_property
    def rearm_failed(self) -> bool:
        return not self.heard or self.view.now - self.memory.since >= self.policy.rearm_wait

    @cached_property
    def failback_due(self) -> bool:
        since = self.memory.in_step_since
        settled = since is not None and self.view.now - since >= self.policy.failback_after
        wanted = self.policy.failback == WHEN_IN_SYNC and self.policy.preferred == self.policy.name
        armed = self.peer.state is State.PRIMARY and self.peer_open
        tried = self.memory.tried_at
        due = tried is None or self.view.now - tried >= self.policy.failback_after
        # A person has asked for this one: failover: manual is about promotions.
        able = all(row.met for row in self.preconditions if row.name != "policy") and not self.cooling
        return wanted and settled and armed and due and able

    @cached_property
    def foreign_operation(self) -> bool:
        return self.view.running is Running.FOREIGN

    @cached_property
    def operation_missing(self) -> bool:
        """It was asked for, and nothing runs."""
        return self.view.running in (Running.NONE, Running.FAILED) and self.view.now - self.memory.since >= 4 * self.policy.tick

    @cached_property
    def sealed_but_missing(self) -> bool:
        return self.memory.sealed and self.operation_missing

    @cached_property
    def operation_failed(self) -> bool:
        """Certain: it has ended, and this database was never open."""
        return self.view.running is Running.FAILED and not self.memory.opened and self.database_closed

    @cached_property
    def operation_too_long(self) -> bool:
        return self.view.now - self.memory.since >= self.policy.operation_wait

    @cached_property
    def person_says_open(self) -> bool:
        return self.view.order is Order.OPEN and self.database_closed and not self.peer_writes and not self.failed_lately

    @cached_property
    def person_says_rejoin(self) -> bool:
        return self.view.order is Order.REJOIN and self.peer_open

    @cached_property
    def not_paused(self) -> bool:
        return not self.paused
