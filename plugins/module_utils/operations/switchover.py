# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the role of the primary to the other server while everybody works.

What clients feel lies between "hold" and "point": all of it happens in this process. Requests are held, not refused.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..decide import Node
from ..errors import NotYet, OperationFailed, TandemError
from ..gates import Gate, Limits, Seen, not_fenced, of_switchover, require, work
from ..hand.client import HandClient, HandLost, both
from ..hand.journal import new_name
from ..plan import InDoubt, Plan, Step, Undone
from ..state import ServerState, Session
from .running import scheduled

# Seconds.
_CATCH_UP = 60.0
# The replica has to be as close as this before anybody waits for it. A busy one comes close only now and then: it is given the
# chance for so long, and what counts as close doubles as the seconds go by.
_CLOSE_BEHIND = 0.03
_COMING_CLOSE = 30.0
_DOUBLES_EVERY = 5.0
# What a pause holds besides the wait for the replica.
_OTHER_STEPS = 0.5
# The proxy refuses whoever has waited for sql_proxy_queue_timeout (10 s), and a server whoever has not logged in by then.
_LONGEST_PAUSE = 8.0
# How long an answer may take at most; and how much longer than clients may wait, while they do.
_ANSWER = 30.0
_SLACK = 0.5
# Closing: a server gives up by itself, on MySQL after two waits of 2 s, and the canary has its time too.
_CLOSING = 10.0
# A hand that waits does not notice that its operation has died: it waits in slices.
_SLICE = 0.25
_FOLLOWED = 0.5
# Nobody waits for this one.
_FOLLOWED_AHEAD = 3.0
VIP_WAIT = 10.0
_VERIFY = 30.0


@dataclass(frozen=True)
class Wish:
    """What the operator wants. Seconds.

    drain: how long connections in flight may take to end by themselves; then they are ended.
    atlas_offline: the writers of both nodes' Atlas are offline meanwhile: who comes then is refused, not held.
    max_pause: from the moment when new connections are held until the point of no return. deadline: from the very beginning until then.
    """

    drain: float = 2.0
    max_pause: float = 5.0
    deadline: float | None = None
    move_vips: bool = False
    atlas_offline: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass
class Report:
    """What happened."""

    operation: str = ""
    began_at: str = ""  # of its steps, which tell when they began from here on; UTC
    kind: str = "switchover"
    old: str = ""
    new: str = ""
    result: str = "not begun"  # done, planned, refused, undone, half done
    gates: list[dict[str, t.Any]] = field(default_factory=list)
    steps: list[dict[str, t.Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pause_ms: float | None = None
    held: int = 0
    closed_between: int = 0
    closed_broken: int = 0
    executed: str = ""
    canary_ms: float | None = None
    vips_ms: float | None = None


class Switchover:
    """One switchover, from the hand on the old primary to the hand on the new one."""

    def __init__(self, old: HandClient, new: HandClient, wish: Wish, clock: t.Callable[[], float] = time.monotonic) -> None:
        self.old, self.new, self.wish = old, new, wish
        self.clock = clock
        self.report = Report(operation=new_name(),
                             old=old.name, new=new.name)  # fmt: skip
        self._writers: dict[str, list[str]] = {}
        self._scheduled: dict[str, str] | None = None
        self._held_at = 0.0
        self._limit = 0
        self._follows = self._told = self._ahead = False
        self.plan = self._make_plan()

    # Before.

    def look(self) -> list[Gate]:
        """Every gate with its answer. Changes nothing."""
        # The replica first: seen after its source it could seem to be ahead of it.
        new, old = self.new.call("observe"), self.old.call("observe")
        seen = Seen(
            old=Node(self.old.name, old["address"], ServerState.from_dict(old["server"])),
            new=Node(self.new.name, new["address"], ServerState.from_dict(new["server"])),
            sessions=self._sessions(self.old, old),
            new_sessions=self._sessions(self.new, new),
            new_disk_free=new["disk_free"],
            proxies={self.old.name: old["proxy"], self.new.name: new["proxy"]},
            logins=self._of_both("logins", old, new),
            left_out=self._of_both("left_out", old, new),
        )
        gates = [*of_switchover(seen, self.wish.limits), self._pause_gate(), not_fenced(self.new.name, new), *self._atlas_gate()]
        self.report.gates = [gate.as_dict() for gate in gates]
        return gates

    def _pause_gate(self) -> Gate:
        return Gate("max-pause", 0 < self.wish.max_pause <= _LONGEST_PAUSE, f"{self.wish.max_pause:g} s", f"more than 0 and at most {_LONGEST_PAUSE:g} s",
                    "A client that has waited for 10 s is refused. Set another max_pause.")  # fmt: skip

    def _atlas_gate(self) -> list[Gate]:
        if not self.wish.atlas_offline:
            return []
        try:
            self._writers = {hand.name: hand.call("atlas_writers") for hand in (self.old, self.new)}
            found = ", ".join(f"{name} uses {' '.join(used) or 'no writer'}" for name, used in self._writers.items())
        except TandemError as error:
            found = str(error)
        return [Gate("atlas", bool(self._writers), found, "an Atlas on each node that answers", "Mend that, or leave out atlas_offline.")]

    def _of_both(self, what: str, old: dict[str, t.Any], new: dict[str, t.Any]) -> dict[str, list[str]]:
        """Asked where both databases run; where one does not, that is said already."""
        if not (old["server"]["state"] == new["server"]["state"] == "running"):
            return {}
        return dict(zip((self.old.name, self.new.name), both(self.old, self.new, what), strict=True))

    @staticmethod
    def _sessions(hand: HandClient, observed: dict[str, t.Any]) -> tuple[Session, ...]:
        if observed["server"]["state"] != "running":
            return ()
        return tuple(Session(**session) for session in hand.call("sessions"))

    def rehearse(self) -> Report:
        """The plan and the gates. Raises Refused where a gate says no."""
        gates = self.look()
        self.report.result = "refused"
        require(gates, "switchover")
        self.report.result = "planned"
        self.report.steps = [
            {"name": step.name, "title": step.title, "began_ms": 0.0, "ms": 0.0, "state": "planned", "said": ""}
            for step in (*self.plan.before, *self.plan.after, *self._last_steps())
        ]
        return self.report

    def _last_steps(self) -> list[Step]:
        """What comes when clients have gone on; for the plan that is shown."""
        addresses = [Step("vips", f"Addresses on {self.new.name}", self._move_vips)] if self.wish.move_vips else []
        return [*addresses, Step("verify", f"{self.old.name} replicates; a write on {self.new.name} is read there", self._verify)]

    def run(self) -> Report:
        """Do it. Raises Refused (nothing was changed), Undone or HalfDone; the report says how far it came in every case."""
        if self.wish.deadline is not None:
            self.plan.within(self.wish.deadline, "deadline")
        for hand in (self.old, self.new):
            self.report.warnings += hand.call(
                "begin", operation=self.report.operation, kind="switchover", old=self.old.name, new=self.new.name
            )
        try:
            require(self.look(), "switchover")
            self._limit = self.old.call("limit", server=self.old.name)
        except TandemError:
            self.report.result = "refused"
            self._end()
            raise
        self.report.began_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            self.plan.run()
            if self.wish.move_vips:
                self._move_vips()
            self._verify()
            self.report.result = "done"
        except Undone:
            self.report.result = "undone"
            raise
        except BaseException:
            # A mistake of ours too: the journals stay open, and each hand brings its node to an end.
            self.report.result = "half done"
            raise
        finally:
            self.report.steps = [record.as_dict() for record in self.plan.records]
            self.report.warnings += self.plan.warnings
            if self.report.result in ("done", "undone"):
                self._end()
        return self.report

    def _end(self) -> None:
        for hand in (self.old, self.new):
            try:
                hand.call("end", outcome=self.report.result)
            except TandemError as error:
                self.report.warnings.append(str(error))

    # The plan.

    def _make_plan(self) -> Plan:
        old, new = self.old.name, self.new.name
        return Plan(
            before=[
                Step("presync", f"{new} applies what {old} has written so far", self._presync),
                Step("ahead", f"{old} connects to {new}", self._follow_ahead, self._follow_nobody),
                Step("work", "Nothing long has begun meanwhile", self._look_again),
                # Before what holds: taken back after it, when its writer, which is the proxy, serves again.
                *self._with_atlas(Step("atlas-offline", "No Atlas sends new writes on: they are refused", self._atlas_offline, self._atlas_online)),
                Step("prepare", "Get ready to hold new connections", self._prepare, self._let_through),
                Step("hold", "Hold new connections on both nodes", self._hold),
                Step("drain", "Let connections in flight end", self._drain),
                Step("close", f"Close {old} and prove it", self._close, self._reopen),
                Step("catch-up", f"{new} applies the rest", self._catch_up),
            ],
            commit=self._commit,
            after=[
                Step("promote", f"Open {new}; {old} follows it", self._promote),
                Step("point", f"Send held connections to {new}", self._point),
                Step("settle", f"{new} waits for {old} with every commit", self._settle, essential=False),
                Step("leave", f"{new} follows nobody, {old} sends to nobody", self._leave, essential=False),
                *self._with_atlas(Step("atlas-online", "Every Atlas uses its writer again", self._atlas_online, essential=False)),
                Step("events", f"{new} runs the scheduled events", self._events, essential=False),
            ],
            clock=self.clock,
            in_doubt="playbooks/database.yml opens the right one when both answer; repeating this would be refused.",
        )

    def _with_atlas(self, step: Step) -> list[Step]:
        return [step] if self.wish.atlas_offline else []

    def _presync(self) -> str:
        # A canary that cannot write while the server is open would prove nothing when it is closed.
        self.old.call("prove_open", token=f"before {self.report.operation}")
        self._wait(self.old.call("executed"), self.plan.left(_CATCH_UP))
        # The old one will follow from the beginning of this file, and the first commits wait for it.
        self.new.call("rotate_binlog")
        began = self.clock()
        while True:
            started = self.clock()
            self._wait(self.old.call("executed"), self.plan.left(_CATCH_UP))
            behind, passed = self.clock() - started, self.clock() - began
            if behind <= _CLOSE_BEHIND * 2 ** (passed / _DOUBLES_EVERY):
                return f"{behind * 1000:.0f} ms behind"
            if passed >= _COMING_CLOSE:
                break
        if behind + _OTHER_STEPS > self.wish.max_pause:
            raise OperationFailed(
                f"{self.new.name} stays {behind:.1f} s behind {self.old.name}: the pause would be longer than max_pause ({self.wish.max_pause:g} s).",
                "Nobody had to wait yet. Run this again when there is less load.",
            )
        return f"stays {behind:.1f} s behind"

    def _wait(self, position: str, seconds: float) -> None:
        until = self.clock() + seconds
        while True:
            left = until - self.clock()
            patience = min(_ANSWER, max(_SLICE, left) + _SLACK)
            try:
                self.new.call("wait_for", patience, transactions=position, seconds=max(0.0, min(_SLICE, left)))
                return
            except NotYet:
                if left <= _SLICE:
                    raise

    def _patience(self) -> float:
        """Seconds that an answer may take while clients wait: a node that hangs holds them no longer than the pause may be.

        Its line is closed then. The hand takes back by itself what it had done, and the other node is told to here.
        """
        return self.plan.left(_ANSWER) + _SLACK

    def _follow_ahead(self) -> str:
        """The longest part of exchanging the roles comes before anybody waits, where the engine allows it."""
        self._told = True
        try:
            self._told = self.old.call("follow_ahead")
        except OperationFailed as error:
            # A gain of time, and no more.
            self._follow_nobody()
            return f"when the roles change: {error}"
        if not self._told:
            return "when the roles change"
        self._ahead = self.new.call("followed", seconds=_FOLLOWED_AHEAD)
        if not self._ahead:
            self._follow_nobody()
            return "not in time: when the roles change"
        self._wait(self.old.call("executed"), self.plan.left(_CATCH_UP))
        return ""

    def _follow_nobody(self) -> None:
        if not self._told:
            return
        self._told = False
        try:
            # What it applies waits for whoever listens to it, even if that has died: with an agent for an hour.
            self.new.call("settle")
        except TandemError as error:
            self.plan.warn(f"{self.new.name} may still send to {self.old.name}: {error}")
        self.old.call("forget_source")

    def _look_again(self) -> None:
        """Replication may have taken a minute to come close: what has begun since is not broken off either."""
        self._scheduled = scheduled(self.old, self.plan.warn)
        old, new = ([Session(**session) for session in seen] for seen in both(self.old, self.new, "sessions"))
        closed = [str(gate) for gate in work(old, new, self.wish.limits) if not gate.passed]
        if closed:
            raise OperationFailed(f"It has begun meanwhile: {' '.join(closed)}", "Nobody had to wait yet. Run this again.")

    def _prepare(self) -> None:
        both(self.old, self.new, "prepare_hold", limit=self._limit)

    def _atlas_offline(self) -> str:
        return "; ".join(hand.call("atlas_offline", addresses=self._writers[hand.name]) for hand in (self.old, self.new))

    def _atlas_online(self) -> None:
        failed = []
        for hand in (self.old, self.new):
            try:
                hand.call("atlas_online", addresses=self._writers[hand.name])
            except TandemError as error:
                failed.append(f"{hand.name}: {error}")
        if failed:
            raise OperationFailed(" ".join(failed), "playbooks/status.yml shows what each Atlas uses; playbooks/unfence.yml -e drivers=atlas sets it online.")

    def _hold(self) -> str:
        self.plan.within(self.wish.max_pause)
        self._held_at = self.clock()
        flights = both(self.old, self.new, "hold", self._patience(), server=self.old.name, limit=self._limit)
        return f"{sum(flight['active'] for flight in flights)} connections in flight"

    def _let_through(self) -> None:
        both(self.old, self.new, "let_through", server=self.old.name, limit=self._limit)
        if not self._held_at:
            return
        self.report.pause_ms = round((self.clock() - self._held_at) * 1000, 1)

    def _drain(self) -> str:
        until = self.clock() + self.plan.left(self.wish.drain)
        while True:
            slice_ = max(0.0, min(_SLICE, until - self.clock()))
            seen = both(self.old, self.new, "drain", self._patience(), server=self.old.name, seconds=slice_)
            left, kept = (sum(answer[what] for answer in seen) for what in ("left", "kept"))
            if not left or self.clock() >= until:
                return f"{left} requests have not ended, {kept} connections are kept open by their clients"

    def _close(self) -> str:
        ended = self.old.call("kill_sessions", self._patience(), seconds=0.05)
        self.report.closed_between, self.report.closed_broken = ended["between"], ended["broken"]
        # Not bounded by the pause: while the old primary hangs nobody is served anyway, and a hand that is lost now would open
        # again where nobody sees it.
        closed = self.old.call("close", _CLOSING)
        self.report.executed = closed["executed"]
        return t.cast(str, closed["reason"])

    def _reopen(self) -> None:
        # As it was: where semi-sync was off, a commit would wait in vain.
        # To stop asking a dead machine takes 2 s: that comes when nobody waits any more.
        self.old.call("open", semi_sync=None, forget=not self._told)
        self.plan.warn(self.old.call("prove_open", token=f"undo {self.report.operation}", may_wait=True))

    def _catch_up(self) -> None:
        self._wait(self.report.executed, self.plan.left(_CATCH_UP))
        if self.old.call("executed", _CLOSING) != self.report.executed:
            raise OperationFailed(
                f"{self.old.name} was written to after it was closed. An administrator (root) is working there: MariaDB's read_only does not stop one.",
                "Let that end, then run this again.",
            )

    def _commit(self) -> None:
        # The old one first: from here on it does not open again by itself, so the new one may.
        # With all their patience: the new one has just answered, and a slow disk must not leave it in doubt who opens.
        self.old.call("commit")
        try:
            self.new.call("commit", scheduled=self._scheduled)
        except HandLost as error:
            raise InDoubt(f"{self.new.name} was lost at the point of no return: {error}") from error

    def _promote(self) -> None:
        if self._ahead:
            # What it followed is forgotten when nobody waits any more.
            self.new.call("open", forget=False)
            self._follows = True
            return
        self.new.send("open")
        self.old.send("attach")
        try:
            self.new.receive()
        finally:
            try:
                self.old.receive()
                self._follows = True
            except TandemError as error:
                self.plan.warnings.append(f"{self.old.name} does not follow {self.new.name} yet: {error}")
        if not self._follows:
            self._go_on_alone()

    def _go_on_alone(self) -> None:
        # A commit would wait in vain for a replica that is not there.
        self.new.call("semi_sync", source=False)
        self.plan.warnings.append(f"{self.new.name} went on before {self.old.name} listened: semi-sync is off for the moment.")

    def _point(self) -> str:
        queued = both(self.old, self.new, "point_at", server=self.new.name, other=self.old.name, limit=self._limit, few=True)
        self.report.pause_ms = round((self.clock() - self._held_at) * 1000, 1)
        both(self.old, self.new, "let_in", server=self.new.name, limit=self._limit)
        self.report.held = sum(answer["queued"] for answer in queued)
        return f"{self.report.held} connections had waited"

    def _settle(self) -> None:
        # The first commits wait for the old one, which may still be connecting.
        if self._follows and not self.new.call("followed", seconds=_FOLLOWED):
            self._go_on_alone()

    def _leave(self) -> None:
        try:
            if self._ahead:
                self.new.call("forget_source")
        finally:
            # Also when the new one is lost: what is applied here would wait for its acknowledgement.
            self.old.call("settle")

    def _events(self) -> str:
        return ", ".join(self.new.call("run_events", before=self._scheduled)) or "there are none"

    # Afterwards.

    def _move_vips(self) -> None:
        try:
            moved = self.old.call("give_addresses", VIP_WAIT + 5, seconds=VIP_WAIT)
            if not self.new.call("has_addresses", VIP_WAIT + 5, seconds=VIP_WAIT):
                self.report.warnings.append(f"{self.new.name} has not taken the addresses within {VIP_WAIT:g} s.")
            self.report.vips_ms = round(moved["seconds"] * 1000, 1)
        except TandemError as error:
            self.report.warnings.append(f"The addresses did not move: {error}")

    def _verify(self) -> None:
        """Replication runs the other way, and what is written now arrives."""
        # Each proxy asks both: one that believes a daemon which has not looked since would send writers to the closed one.
        both(self.old, self.new, "health_agrees", 15)
        both(self.old, self.new, "watch_again", 15)
        self.old.send("attached", seconds=_VERIFY)
        seen = self.old.receive(_VERIFY + 5)
        if not seen["healthy"]:
            self.report.warnings.append(f"{self.old.name} does not replicate from {self.new.name}: {seen['reason']}")
            return
        self.new.call("semi_sync", source=True)
        self.new.call("prove_open", token=self.report.operation)
        arrived = self.old.call("canary_arrives", _VERIFY + 5, token=self.report.operation, seconds=_VERIFY)
        self.report.canary_ms = round(arrived * 1000, 1)
