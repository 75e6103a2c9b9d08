# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of one node: what the daemon sees goes through the state machine, and what that says is done.

Everything here runs in the daemon's event loop, and nothing waits: operations have a thread of their own, so has closing,
which must never wait for an operation, and so has killing, which must never wait for a close that hangs.
"""

from __future__ import annotations

import logging
import math
import time
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import Refused, TandemError
from ..hand import lock
from ..plan import Undone
from . import orders, reading
from .acts import Acts, Compared, Errant
from .catching_up import CatchingUp
from .ears import Ears
from .journald import event
from .machine import CLOSING, STAY, Decision, hold, settled, step, unkept
from .model import Action, Database, Memory, Order, Running, Said, State, View, Witness
from .policy import Policy
from .seen import Seen
from .store import Store
from .witness.keeper import Keeper
from .words import spoken

LOG = logging.getLogger("tandem.agent")
# Seconds.
_COMPARE_EVERY = 1.0
_WARM_EVERY = 3.0
_REARM_EVERY = 10.0
# A hand of this agent's own ends, and lets the lock go, a moment after its operation has.
_LETS_GO = 1.0
_KEEP_AGAIN = 1.0
# A dying primary breaks the connection of its replica before it falls silent. What it acknowledged until then had been received.
_STILL_IN_STEP = 3.0
_MAY_ACKNOWLEDGE = (Database.OPEN, Database.STALLED)
_OPENING = {Action.OPEN_SELF, Action.PROMOTE}
# Only the last of these counts, and it is done as soon as nothing else runs.
_LATER = {Action.GO_ALONE, Action.REARM}
_COMPARED_IN = {State.STARTING, State.CLOSED, State.CLAIMING, State.ISOLATED, State.REJOINING, State.DIVERGED, State.PAUSED}

Event = t.Callable[[str, dict[str, t.Any]], None]


def clock() -> float:
    """Seconds since boot, those asleep included (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Agent:
    """note: told of every transition and event, by kind and details. witness: there where the policy says so."""

    def __init__(
        self,
        policy: Policy,
        acts: Acts,
        store: Store,
        note: Event,
        held: t.Callable[[], bool] = lambda: False,
        witness: Keeper | None = None,
    ) -> None:
        self.policy, self._acts, self._store, self._note = policy, acts, store, note
        self._held, self._witness = held, witness
        self.memory: Memory = store.recall()
        store.reserve()
        self.decision: Decision | None = None
        self.addresses_away = False
        self._ears = Ears()
        self._peer_at = 0.0
        self._in_step_at: float | None = None
        self._peer_open_at = clock()  # the last beat that said that the peer's database may be open
        self._compared, self._compared_at = Compared(), 0.0
        self._follows = False
        self._catching_up = CatchingUp()
        self._last_step = clock()
        self._said: dict[str, t.Any] = {}
        self._unkept_at: float | None = None  # since the memory could not be written: when that was tried last
        self._boot = orders.boot()
        self._forgotten: t.Any = None  # the moment of the order that has been followed, or does not count any more
        self._alarms: set[str] = set()
        self._operations = ThreadPoolExecutor(1, thread_name_prefix="operation")
        self._closer = ThreadPoolExecutor(1, thread_name_prefix="closing")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="killing")
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="comparing")
        self._job: Future[None] | None = None
        self._doing: Action | None = None
        self._later: Action | None = None
        self._closing: Future[None] | None = None
        self._killing: Future[None] | None = None
        self._looking: Future[None] | None = None
        self._warm_at = 0.0
        self._armed, self._armed_at = True, 0.0
        self._failed = self._went_alone = False
        self._ended_at, self._foreign_at = 0.0, -math.inf
        self._complaint: tuple[Action, str, int] | None = None
        self._errant = self._lock_complaint = ""
        self.last_story: list[str] = []

    # Between the nodes.

    def says(self) -> dict[str, t.Any]:
        """For the next heartbeat."""
        said = self.decision.said if self.decision else Said(term=self.memory.term)
        return spoken(said, round(clock(), 4), None if self._peer is None else round(self._peer[1], 4))

    def peer_says(self, plain: t.Any) -> bool:
        """True when that is news. A beat that came late says nothing new."""
        return self._ears.hear(plain)

    def peer_restarted(self) -> None:
        self._ears.begin()

    @property
    def _peer(self) -> tuple[Said, float] | None:
        return self._ears.newest

    # One step.

    def step(self, seen: Seen) -> Decision:
        now = clock()
        self._said = self._store.said()
        self._hear_acknowledgement()
        self._hear_pause()
        view = self._view(seen, now)
        decision = step(self.policy, self.memory, view)
        if not self._kept(decision.memory, now):
            decision = hold(self.policy, self.memory, view, decision)
        decision = decision if self._unkept_at is None else unkept(decision)
        self._tell(decision)
        self.memory, self.decision = decision.memory, decision
        self._last_step = now
        for action in decision.actions:
            self._do(action, decision)
        if view.order is Order.OPEN and decision.facts.peer_writes:
            LOG.warning("the order to open is forgotten: the peer lives, and its database is open")
            self.forget_order()
        self._look(seen, now)
        return decision

    def _kept(self, memory: Memory, now: float) -> bool:
        """Is on the disk what must not be forgotten? What is not written down was not decided."""
        changed = memory.durable != self.memory.durable
        if not changed and (self._unkept_at is None or now - self._unkept_at < _KEEP_AGAIN):
            return True
        try:
            self._store.keep(memory)
        except OSError as error:
            if self._unkept_at is None:
                LOG.error("the memory cannot be written: %s", error)
            self._unkept_at = now
            return not changed
        self._unkept_at = None
        return True

    def _view(self, seen: Seen, now: float) -> View:
        self._catching_up.look(seen)
        self._follows = seen.follows
        in_step = seen.up_to_date and self._catching_up.done
        if in_step:
            self._in_step_at = now
        elif seen.database in (Database.GONE, Database.OPEN):
            self._in_step_at = None
        # While the peer's database is shut nothing is acknowledged that this node could lack.
        if self._peer is None or self._peer[0].database in _MAY_ACKNOWLEDGE:
            self._peer_open_at = max((now - age for age in seen.heard.values() if age is not None), default=now)
        promotable = self._in_step_at is not None and self._in_step_at >= self._peer_open_at - _STILL_IN_STEP
        said = self._said
        if said.get("order") and orders.standing(said, now, self._boot) is Order.NONE:
            self.forget_order()
        if (self._order() is Order.REJOIN and seen.up_to_date) or (self._order() is Order.OPEN and seen.database is Database.OPEN):
            self.forget_order()
        extra = True if self._errant else self._compared.extra
        return View(
            now=now,
            wall=time.time(),
            database=seen.database,
            promotable=promotable and seen.database is Database.CLOSED and not seen.sql_error,
            in_step=in_step,
            acknowledged=seen.acknowledged,
            extra=False if in_step else extra,
            ahead=self._compared.ahead,
            heard=seen.heard,
            peer=self._peer[0] if self._peer else None,
            knock=seen.knock,
            gateway=seen.gateway,
            address_here=seen.address_here,
            both_masters=seen.both_masters,
            witness=self._witness.view(now) if self._witness else Witness(),
            running=self._running(seen.looked),
            order=self._order(),
            paused_until=reading.number(said, "paused_until") or 0.0,
            paused_at=reading.number(said, "paused_at") or 0.0,
            acknowledged_at=reading.number(said, "acknowledged_at") or 0.0,
            frozen=now - self._last_step > self.policy.evidence_fresh,
            held=self._held() and not self._lock_is_taken(),
            went_alone=self._went_alone,
            follows=seen.follows,
            hands_silent=self._acts.silent,
            unanswered=seen.unanswered,
            atlas=seen.atlas,
        )

    def _hear_acknowledgement(self) -> None:
        """What a person has said on the other node is kept on this one's disk too: the other one may be gone when it matters."""
        theirs = self._peer[0].acknowledged_at if self._peer else 0.0
        if theirs > (reading.number(self._said, "acknowledged_at") or 0.0) and theirs >= self.memory.failover_at > 0:
            try:
                self._store.say(acknowledged_at=theirs)
            except OSError as error:
                LOG.error("an acknowledgement cannot be kept: %s", error)
                return
            self._said = self._store.said()
            LOG.info("the last failover was acknowledged at the other node", extra=event("acknowledged"))
            self._note("acknowledged", {"reason": "a person has said so at the other node"})

    def _hear_pause(self) -> None:
        """The same of a pause, and of its end."""
        theirs = self._peer[0] if self._peer else Said()
        if theirs.paused_at <= (reading.number(self._said, "paused_at") or 0.0):
            return
        try:
            self._store.say(paused_at=theirs.paused_at, paused_until=theirs.paused_until)
        except OSError as error:
            LOG.error("a pause cannot be kept: %s", error)
            return
        self._said = self._store.said()
        kind = "paused" if theirs.paused_until > time.time() else "resumed"
        LOG.info("%s at the other node", kind, extra=event(kind))
        self._note(kind, {"reason": "a person has said so at the other node"})

    def _order(self) -> Order:
        """It is not followed twice, even if it cannot be taken off the disk."""
        given = self._said.get("order_at")
        return Order.NONE if given is not None and given == self._forgotten else orders.standing(self._said, clock(), self._boot)

    def _running(self, looked: float = math.inf) -> Running:
        """looked: an operation of a person lasts until its outcome has been seen."""
        if self._job is not None and not self._job.done():
            if self._doing is Action.FAILBACK:
                # A switchover like a person's: it opens the database here, and neither agent may be in its way.
                self._foreign_at = clock()
                return Running.FOREIGN
            return Running.OWN
        if self._held() or (self._lock_is_taken() and clock() - self._ended_at > _LETS_GO):
            self._foreign_at = clock()
            return Running.FOREIGN
        if looked <= self._foreign_at:
            return Running.FOREIGN
        return Running.FAILED if self._failed else Running.NONE

    def _lock_is_taken(self) -> bool:
        """One that cannot be read holds nothing up: no failover for ever is worse. The hands still keep two operations apart."""
        try:
            taken, complaint = lock.is_taken(), ""
        except OSError as error:
            taken, complaint = False, f"whether an operation runs cannot be seen, so none is believed to: {error}"
        if complaint and complaint != self._lock_complaint:
            LOG.error("%s", complaint)
        self._lock_complaint = complaint
        return taken

    @property
    def busy(self) -> bool:
        """An operation works on this node, or the agent is paused: nothing is touched that it may stand on. From any thread."""
        return self.memory.state in (State.OPERATION, State.PAUSED) or (self._job is not None and not self._job.done())

    def forget_order(self) -> None:
        """It has been followed, or it does not count any more."""
        if (given := self._said.get("order_at", "")) == self._forgotten:
            return
        self._forgotten = given
        try:
            self._store.say(order="")
        except OSError as error:
            LOG.error("an order that does not count any more cannot be forgotten: %s", error)

    @property
    def calm(self) -> bool:
        """A pair as it should be, and nothing under way."""
        decision = self.decision
        if decision is None or decision.rule != STAY or decision.actions or decision.alarms:
            return False
        busy = self._later is not None or any(job is not None and not job.done() for job in (self._job, self._closing, self._killing))
        return settled(decision) and not busy

    @property
    def undisturbed(self) -> bool:
        """Nobody has said anything since the last step, and no operation has begun."""
        return self._said is self._store.said() and not self._held() and not self._lock_is_taken()

    # Telling.

    def _tell(self, decision: Decision) -> None:
        before = self.memory.state
        if decision.state is not before:
            details = {"from": before.value, "to": decision.state.value, "rule": decision.rule, "reason": decision.reason,
                       "epoch": decision.memory.term.epoch}  # fmt: skip
            LOG.warning("%s -> %s: %s", before.value, decision.state.value, decision.reason, extra=event("transition", **details))
            self._note("transition", details)
            if decision.state in (State.PRIMARY, State.GOING_ALONE) and before in (State.STARTING, State.OPERATION):
                # Whoever opened it may have left its server free to stop waiting for the replica.
                self._armed = False
        alarms = set(decision.alarms)
        for name in sorted(alarms - self._alarms):
            LOG.warning("alarm: %s", name, extra=event("alarm", name=name))
            self._note("alarm", {"name": name, "state": decision.state.value, "reason": decision.reason})
        for name in sorted(self._alarms - alarms):
            LOG.info("over: %s", name, extra=event("over", name=name))
            self._note("over", {"name": name})
        self._alarms = alarms

    # Doing.

    def _do(self, action: Action, decision: Decision) -> None:
        if action is Action.KEEP_ADDRESSES_AWAY:
            self.addresses_away = True
        elif action is Action.ALLOW_ADDRESSES:
            self.addresses_away = False
        elif action is Action.RENEW_LEASE:
            if self._witness is not None:
                self._witness.renew(decision.memory.term)
        elif action is Action.RELEASE_LEASE:
            if self._witness is not None:
                self._witness.release()
        elif action is Action.CLOSE_SELF:
            if self._closing is None or self._closing.done():
                self._closing = self._closer.submit(self._run, action, lambda: self._acts.close(self.policy.close_within))
        elif action is Action.KILL_SELF:
            if self._killing is None or self._killing.done():
                self._killing = self._killer.submit(self._run, action, self._acts.kill)
        elif action in _LATER:
            self._later, self._went_alone = action, False
        elif self._job is None or self._job.done():
            self._start(action, decision)
        self._do_later()

    def _do_later(self) -> None:
        if self._later is not None and (self._job is None or self._job.done()):
            action, self._later = self._later, None
            # Only a node that may be alone stops waiting: the peer of a primary may be promoted in its term.
            give_up = self.memory.term.solo
            self._submit(action, self._acts.go_alone if action is Action.GO_ALONE else lambda: self._acts.rearm(give_up))

    def _start(self, action: Action, decision: Decision) -> None:
        if action is Action.OPEN_SELF:
            self._submit(action, lambda: self._acts.open(self._may_open))
        elif action is Action.PROMOTE:
            peer_answers = decision.rule in ("takeover_granted", "person_says_open") and self._peer_alive()
            rows = [{"path": b.name, "answer": b.found, "alive": False if not peer_answers else None} for b in decision.blockers if b.met]
            self._submit(action, lambda: self._promote(peer_answers, rows))
        elif action is Action.REJOIN:
            self._submit(action, self._acts.rejoin)
        elif action is Action.FAILBACK:
            self._submit(action, lambda: "\n".join(self._acts.switch_to(self.policy.name)[1]))
        elif action is Action.REPLACE:
            self._submit(action, self._acts.replace)

    def _peer_alive(self) -> bool:
        blockers = self.decision.blockers if self._peer is not None and self.decision is not None else ()
        return any(blocker.name == "primary asks" and blocker.met for blocker in blockers)

    def _promote(self, peer_answers: bool, rows: list[dict[str, t.Any]]) -> str:
        report, story = self._acts.promote(peer_answers, rows, self._may_open)
        self.last_story = story
        self._note("failover", {"report": report})
        return "\n".join(story)

    def _may_open(self) -> bool:
        """Asked by an operation, right before it opens."""
        decision = self.decision
        return decision is not None and clock() < decision.open_until

    def _submit(self, action: Action, what: t.Callable[[], str]) -> None:
        self._failed = False
        self._doing = action
        if action is Action.REPLACE or (action is Action.REJOIN and not self._follows):
            self._catching_up.begin()
        self._job = self._operations.submit(self._run, action, what)

    def _run(self, action: Action, what: t.Callable[[], str]) -> None:
        """In a thread."""
        began = time.monotonic()
        try:
            said = what()
            self._ended(action)
        except TandemError as error:
            if isinstance(error, Errant):
                self._errant = str(error)
            complaint = (action, str(error), self.memory.term.epoch)  # each promotion has a term of its own, and is told of
            if self._complaint != complaint:
                LOG.error("%s: %s", action.value, error, extra=event("failed", action=action.value))
                self._note("failed", {"action": action.value, "reason": str(error)})
            self._complaint = complaint
            # Any other error may have come after the point of no return: whether it is open is seen, not guessed.
            self._failed = action in _OPENING and isinstance(error, (Refused, Undone))
            self._ended(action)
            return
        except Exception as error:
            # The thread's last line: a fault of ours must be seen, and may be tried again.
            LOG.exception("%s", action.value, extra=event("failed", action=action.value))
            self._note("failed", {"action": action.value, "reason": repr(error)})
            self._ended(action)
            return
        self._complaint = None
        if action in (Action.REJOIN, Action.REPLACE):
            self._errant, self._compared = "", Compared()
        self._armed = self._armed or action is Action.REARM
        self._went_alone = self._went_alone or action is Action.GO_ALONE
        took = round((time.monotonic() - began) * 1000)
        LOG.warning("%s: done in %d ms: %s", action.value, took, said.replace("\n", " | "), extra=event("done", action=action.value, ms=took))
        self._note("done", {"action": action.value, "ms": took, "said": said})

    def _ended(self, action: Action) -> None:
        if action not in CLOSING:  # closing takes no lock
            self._ended_at = clock()

    # Looking further than the daemon does.

    def _look(self, seen: Seen, now: float) -> None:
        if self.memory.state is State.PRIMARY and not self._armed and now - self._armed_at >= _REARM_EVERY:
            self._armed_at, self._later = now, Action.REARM
        self._do_later()
        if self._looking is not None and not self._looking.done():
            return
        peer_there = self._peer is not None and any(age is not None and age <= self.policy.contact_fresh for age in seen.heard.values())
        if self.memory.state is State.OPERATION and not seen.follows:
            # What an operation has not interrupted is as it was: a primary that dies in one is followed.
            self._catching_up.begin()
        compared = self.memory.state in _COMPARED_IN or (self.memory.state is State.REPLICA and not self._catching_up.done)
        wanted = compared and seen.database is Database.CLOSED and peer_there
        if not wanted:
            self._compared = Compared()
        if wanted and now - self._compared_at >= _COMPARE_EVERY and self._running() is Running.NONE:
            self._looking = self._looker.submit(self._compare)
        elif now - self._warm_at >= _WARM_EVERY:
            self._warm_at = now
            self._looking = self._looker.submit(self._acts.warm, peer_there)

    def _compare(self) -> None:
        turn = self._catching_up.turn
        before, self._compared = self._compared, self._acts.compare()
        if self._compared.why not in ("", before.why):
            LOG.warning("the nodes' data cannot be compared: %s", self._compared.why)
        self._compared_at = clock()
        self._catching_up.compared(turn, self._compared.applied, self._compared.theirs)
        if self._compared.extra is False:
            self._errant = ""

    # For people.

    def status(self) -> dict[str, t.Any]:
        decision, memory = self.decision, self.memory
        wall = time.time()
        return {
            "state": memory.state.value,
            "since": round(wall - (clock() - memory.since), 1) if memory.since >= 0 else None,
            "epoch": memory.term.epoch,
            "writer": memory.term.writer,
            "alone": memory.term.solo,
            "rule": decision.rule if decision else "",
            "reason": decision.reason if decision else "",
            "policy": {"failover": self.policy.failover, "failback": self.policy.failback},
            "paused_until": (decision.facts.paused_until if decision else reading.number(self._said, "paused_until")) or None,
            "held": self._held(),
            "lease": self._witness.status(clock()) if self._witness else {"configured": False, "holder": None, "left": None, "reachable": None},
            "blockers": [
                {"condition": b.name, "found": b.found, "needed": b.needed, "ok": b.met} for b in (decision.blockers if decision else ())
            ],
            "operation": self._operation(),
            "last_failover": memory.failover_at or None,
            "acknowledged_at": (decision.facts.acknowledged_at if decision else 0.0) or None,
            "cooldown_until": memory.failover_at + self.policy.cooldown if decision and decision.facts.cooling else None,
            "alarms": sorted(self._alarms),
            "errant": self._errant,
        }

    def _operation(self) -> dict[str, str] | None:
        """What works on this node. Whether commits wait is no operation."""
        running = self._running()
        if running is Running.FOREIGN:
            return {"action": "an operation of a person"}
        return {"action": self._doing.value} if running is Running.OWN and self._doing and self._doing not in _LATER else None

    def close(self) -> None:
        """The end of the daemon. An operation that runs is ended by its hands."""
        for pool in (self._operations, self._closer, self._killer, self._looker):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._witness is not None:
            self._witness.close()
        self._acts.forget()
