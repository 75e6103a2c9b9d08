# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the survivor the primary when the old one is dead, stopped or beyond reach. Runs on the survivor.

Nothing that the survivor has received is thrown away, and what only the old one has is fetched while its host lives.
Silence is no proof of death: without the old one's hand somebody has to say that it is off.
"""

from __future__ import annotations

import base64
import contextlib
import time
import typing as t
from dataclasses import dataclass, field

from ..decide import Node, follows
from ..errors import OperationFailed, TandemError
from ..gates import Gate, Limits, SeenAlone, not_fenced, of_failover, require
from ..gtid import GtidSet
from ..hand.client import HandClient, HandLost, local_command, peer_command
from ..hand.config import HandConfig
from ..hand.evidence import rows_of_replica
from ..hand.journal import new_name
from ..plan import InDoubt, Plan, Step, Undone
from ..state import RUNNING, STOPPED, UNKNOWN, ServerState
from . import running

# Seconds.
_APPLY = 600.0
_CATCH_UP = 30.0
_RESCUE = 1800.0
_VIP = 10.0
_EVIDENCE = 20.0


@dataclass(frozen=True)
class Wish:
    """What the operator wants, and what is said about the old primary.

    outside: its outside address, to knock there as well. evidence: rows of somebody who has looked all the time, so
    that nobody has to knock now. may_open: asked at the point of no return. deadline: seconds until then.
    """

    peer_is_dead: bool = False
    force_fence: bool = False
    give_up_rescue: bool = False
    move_vips: bool = True
    outside: str = ""
    evidence: tuple[dict[str, t.Any], ...] | None = None
    may_open: t.Callable[[], bool] | None = None
    deadline: float | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass
class Report:
    """What happened. lost: "none", "unknown", or the transactions that are known not to be here. without_writer: seconds."""

    operation: str = ""
    kind: str = "failover"
    old: str = ""
    new: str = ""
    result: str = "not begun"  # done, planned, nothing to do, refused, undone, half done
    evidence: list[dict[str, t.Any]] = field(default_factory=list)
    gates: list[dict[str, t.Any]] = field(default_factory=list)
    steps: list[dict[str, t.Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    executed: str = ""
    rescued: int = 0
    rescue_file: str = ""
    lost: str = "unknown"
    without_writer: float | None = None
    vips_ms: float | None = None
    next: str = ""


class Failover:
    """One failover. old is None when its hand does not answer; why says what it said instead."""

    def __init__(
        self,
        new: HandClient,
        old: HandClient | None,
        old_name: str,
        wish: Wish,
        why: str = "",
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self.new, self.old, self.old_name, self.wish, self.why = new, old, old_name, wish, why
        self.clock = clock
        self.report = Report(operation=new_name(), old=old_name, new=new.name)
        self._seen: SeenAlone | None = None
        self._unit: dict[str, t.Any] = {}
        self._old_observed: dict[str, t.Any] = {}
        self._new_observed: dict[str, t.Any] = {}
        self._scheduled: dict[str, str] | None = None
        self.stopped_unit = False
        self.plan = self._make_plan()

    # Before.

    def look(self) -> list[Gate]:
        """Every gate with its answer. Changes nothing."""
        self._new_observed = self.new.call("observe")
        new = Node(self.new.name, self._new_observed["address"], ServerState.from_dict(self._new_observed["server"]))
        old = self._look_at_old()
        known, reason = self._known(old)
        rows = self.wish.evidence
        if rows is None:
            rows = self.new.call("evidence", _EVIDENCE, outside=self.wish.outside)
        self.report.evidence = [*self._rows_of_old(old), *rows, *rows_of_replica(new.server)]
        self._seen = SeenAlone(new, self.old_name, tuple(self.report.evidence), old, known, reason, self._new_observed["disk_free"])
        gates = of_failover(
            self._seen,
            peer_is_dead=self.wish.peer_is_dead,
            force_fence=self.wish.force_fence,
            give_up_rescue=self.wish.give_up_rescue,
            limits=self.wish.limits,
        )
        gates.append(not_fenced(self.new.name, self._new_observed))
        self.report.gates = [gate.as_dict() for gate in gates]
        self._tell_loss(new.server.transactions)
        self._tell_left_out(new.server)
        return gates

    def _look_at_old(self) -> Node | None:
        if self.old is None:
            return None
        try:
            self._old_observed = self.old.call("observe")
            self._unit = self.old.call("unit")
        except HandLost as error:
            self.old, self.why = None, str(error)
            return None
        return Node(self.old_name, self._old_observed["address"], ServerState.from_dict(self._old_observed["server"]))

    def _known(self, old: Node | None) -> tuple[GtidSet | None, str]:
        """What the old primary has executed."""
        if old is None or self.old is None:
            return None, "its hand does not answer"
        if old.server.running:
            return old.server.transactions, ""
        if old.server.state != STOPPED:
            return None, old.server.reason or old.server.state
        try:
            return GtidSet.parse(self.old.call("log_executed")["executed"], self._engine()), ""
        except TandemError as error:
            return None, str(error)

    def _engine(self) -> str:
        return str(self._new_observed["server"]["engine"])

    def _rows_of_old(self, old: Node | None) -> list[dict[str, t.Any]]:
        path = "its hand, by ssh inside"
        if old is None:
            return [{"path": path, "answer": self.why, "alive": None}]
        state = "takes writes" if old.server.writable else "closed for writes" if old.server.running else old.server.state
        return [{"path": path, "answer": f"database {state}; unit {self._unit['state']} ({self._unit['sub']})", "alive": True}]

    def _tell_loss(self, here: GtidSet) -> None:
        known = self._seen.known if self._seen else None
        if known is None:
            self.report.lost = "unknown"
            return
        lacking = here.lacks(known)
        self.report.lost = f"{lacking} transactions: {known - here}" if lacking and self.wish.give_up_rescue else "none"

    def _tell_left_out(self, server: ServerState) -> None:
        """Only told: what never arrived does not come by waiting, and somebody chose it."""
        if not server.running or server.writable:
            return
        try:
            found = self.new.call("left_out")
        except TandemError as error:
            self.report.warnings.append(f"Whether replication leaves anything out on {self.new.name} cannot be seen: {error}")
            return
        if found:
            self.report.warnings.append(f"What replication leaves out never came to {self.new.name}: {'; '.join(found)}.")

    def nothing_to_do(self) -> bool:
        """The survivor takes writes already, and the other one surely does not."""
        server = self._new_observed["server"]
        return bool(server["writable"]) and not (self._old_observed.get("server") or {}).get("writable")

    def rehearse(self) -> Report:
        """The plan and the gates. Raises Refused where a gate says no."""
        gates = self.look()
        if self.nothing_to_do():
            self.report.result = "nothing to do"
            return self.report
        self.report.result = "refused"
        require(gates, "failover")
        self.report.result = "planned"
        self.report.steps = [
            {"name": step.name, "title": step.title, "began_ms": 0.0, "ms": 0.0, "state": "planned", "said": ""}
            for step in (*self.plan.before, *self.plan.after)
        ]
        return self.report

    def run(self) -> Report:
        """Do it. Raises Refused (nothing was changed), Undone or HalfDone; the report says how far it came in every case."""
        self.report.result = "refused"
        if self.wish.deadline is not None:
            self.plan.within(self.wish.deadline, "deadline")
        self._begin()
        try:
            gates = self.look()
            if self.nothing_to_do():
                self.report.result = "nothing to do"
                self._end()
                return self.report
            require(gates, "failover")
        except TandemError:
            self._end()
            raise
        try:
            self.plan.run()
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
        self.report.next = f"Rejoin {self.old_name} with playbooks/rejoin.yml when it is back. Its database starts closed."
        return self.report

    def _begin(self) -> None:
        request = {"operation": self.report.operation, "kind": "failover", "old": self.old_name, "new": self.new.name}
        # The old one first: if it was to open again by an operation that had been broken off, the gates see it open.
        if self.old is not None:
            try:
                self.report.warnings += self.old.call("begin", 60, **request)
            except HandLost as error:
                self.old, self.why = None, str(error)
        self.report.warnings += self.new.call("begin", 60, **request)

    def _end(self) -> None:
        for hand in filter(None, (self.old, self.new)):
            try:
                hand.call("end", outcome=self.report.result)
            except TandemError as error:
                self.report.warnings.append(str(error))

    # The plan.

    def _make_plan(self) -> Plan:
        old, new = self.old_name, self.new.name
        before = [
            Step("fence", f"{old} takes no writes, and that is proven where it can be", self._fence, self._unfence),
            Step("drain", f"{new} applies everything it has received", self._drain),
            Step("rescue", f"Fetch what only {old} has", self._rescue, self._follow_again),
        ]
        after = [
            Step("open", f"Open {new}", self._open),
            Step("point", f"Send connections to {new}", self._point, essential=False),
            Step("events", f"{new} runs the scheduled events", self._events, essential=False),
            Step("forget", f"{new} forgets {old} as its source", self._forget),
            Step("verify", f"An application can write on {new}", self._verify),
            Step("vips", f"Addresses on {new}", self._vips, essential=False),
        ]
        return Plan(before=before, commit=self._commit, after=after, clock=self.clock)

    def _fence(self) -> str:
        seen = self._observed_old()
        if seen is None or self.old is None:
            return "declared dead"
        self._scheduled = running.scheduled(self.old, self.plan.warn) if seen.running else None
        if seen.writable:
            self.old.call("kill_sessions", seconds=0.05)
            return str(self.old.call("close")["reason"])
        if seen.running:
            return str(self.old.call("prove_closed")["reason"])
        if seen.state == UNKNOWN or self._unit["state"] in ("activating", "deactivating", "reloading"):
            # It hangs, or systemd keeps restarting what dies at once.
            self.old.call("stop_unit", 150)
            self.stopped_unit = True
            self.plan.warnings.append(f"The database of {self.old_name} was {self._unit['state']} without answering: its unit is stopped.")
            return "its unit is stopped"
        return "no database runs there; it starts closed"

    def _unfence(self) -> None:
        seen = self._observed_old()
        if seen is None or self.old is None:
            return
        if seen.writable:
            self.old.call("open", semi_sync=None)
            self.plan.warn(self.old.call("prove_open", token=f"undo {self.report.operation}"[:64], may_wait=True))
        elif seen.state == UNKNOWN or self._unit["state"] in ("activating", "deactivating", "reloading"):
            self.old.call("start_unit")

    def _observed_old(self) -> ServerState | None:
        return self._seen.old.server if self._seen and self._seen.old else None

    def _apply_received(self) -> None:
        seconds = self.plan.left(_APPLY)
        self.report.executed = self.new.call("apply_received", seconds + 10, seconds=seconds)["executed"]

    def _drain(self) -> str:
        self._apply_received()
        if self.old is None:
            return ""
        known = self._executed_of_old()
        seen = self._seen.new if self._seen else None
        old = self._seen.old if self._seen else None
        told = seen.server.replication if seen else None
        if known is None or seen is None or old is None or not old.server.running:
            return ""
        if told is not None and told.healthy and follows(seen, old) and self._lacking(known):
            # It sends the rest by itself.
            with contextlib.suppress(OperationFailed):
                seconds = self.plan.left(_CATCH_UP)
                self.new.call("wait_for", seconds + 5, transactions=str(known), seconds=seconds)
            # Raises where something was received that cannot be applied.
            self._apply_received()
        return ""

    def _executed_of_old(self) -> GtidSet | None:
        """Asked again, now that it is fenced."""
        if self.old is None:
            return None
        state = self.old.call("observe")["server"]["state"]
        try:
            if state == RUNNING:
                return GtidSet.parse(self.old.call("executed"), self._engine())
            if state == STOPPED:
                return GtidSet.parse(self.old.call("log_executed")["executed"], self._engine())
        except HandLost:
            raise
        except TandemError as error:
            if not self.wish.give_up_rescue:
                raise
            self.plan.warnings.append(f"What {self.old_name} has is not known: {error}")
            return None
        if state == UNKNOWN and not self.wish.give_up_rescue:
            raise OperationFailed(f"What {self.old_name} has cannot be seen.", "Look at its database, then run this again.")
        return None

    def _lacking(self, known: GtidSet) -> int:
        return GtidSet.parse(self.report.executed, self._engine()).lacks(known)

    def _rescue(self) -> str:
        known = self._executed_of_old()
        if known is None or self.old is None:
            self.report.lost = "unknown"
            return f"{self.old_name} cannot be asked" if self.old is None else "given up"
        here = GtidSet.parse(self.report.executed, self._engine())
        lacking = self._lacking(known)
        self.report.lost = "none"
        if not lacking:
            return "nothing is missing"
        if self.wish.give_up_rescue:
            self.report.lost = f"{lacking} transactions: {known - here}"
            return f"given up: {self.report.lost}"
        return self._carry(known)

    def _carry(self, known: GtidSet) -> str:
        old = t.cast(HandClient, self.old)
        # From here on nothing comes by another way, so that nothing comes twice. The old one still has all that is dropped.
        self.new.call("stop_replication")
        here = self.report.executed = self.new.call("executed")
        if not self._lacking(known):
            return "nothing is missing: the rest came by replication meanwhile"
        name = self.report.operation
        seconds = self.plan.left(_RESCUE)
        made = old.call("rescue_extract", seconds + 10, name=name, known=here, seconds=seconds)
        if not made["bytes"]:
            raise OperationFailed(
                f"{self.new.name} lacks {self._lacking(known)} transactions of {self.old_name}, whose binary log does not hold them.",
                "Start that database: it starts closed. Or give them up: -e give_up_rescue=true.",
            )
        offset = 0
        while offset < made["bytes"]:
            data = old.call("rescue_read", name=name, offset=offset)
            self.new.call("rescue_write", name=name, offset=offset, data=data)
            offset += len(base64.b64decode(data))
        seconds = self.plan.left(_RESCUE)
        applied = self.new.call("rescue_apply", seconds + 10, name=name, sha256=made["sha256"], seconds=seconds)
        self.report.executed = applied["executed"]
        left = self._lacking(known)
        if left:
            raise OperationFailed(
                f"{self.new.name} still lacks {left} transactions of {self.old_name}.", f"They are in {made['file']} on both nodes."
            )
        self.report.rescued, self.report.rescue_file = made["transactions"], made["file"]
        return f"{made['transactions']} transactions, {made['bytes']} bytes"

    def _follow_again(self) -> None:
        if any(record.name == "rescue" for record in self.plan.records):
            self.new.call("resume_replication", 60)

    def _commit(self) -> None:
        if self.wish.may_open is not None and not self.wish.may_open():
            raise OperationFailed("It took too long: whether this node may open has to be asked again.", "Run this again.")
        # The old one first: from here on it does not open again by itself, so the new one may.
        if self.old is not None:
            self.old.call("commit")
        try:
            self.new.call("commit", scheduled=self._scheduled)
        except HandLost as error:
            raise InDoubt(f"{self.new.name} was lost at the point of no return: {error}") from error

    def _open(self) -> str:
        self.new.call("open", 60, semi_sync=False, forget=False)
        down = self._unit.get("down")
        if down is not None:
            self.report.without_writer = round(float(down) + self.plan.records[-1].began, 1)
        return "semi-sync is off while it is alone"

    def _point(self) -> str:
        told = []
        for hand in filter(None, (self.new, self.old)):
            try:
                limit = hand.call("limit", server=self.new.name)
                hand.call("point_at", server=self.new.name, other=self.old_name, limit=limit)
                told.append(hand.name)
            except TandemError as error:
                self.plan.warnings.append(f"The writer port of {hand.name}: {error}")
        return f"on {' and '.join(told)}" if told else "no proxy answers"

    def _forget(self) -> None:
        self.new.call("forget_source", 60)

    def _events(self) -> str:
        said = ", ".join(self.new.call("run_events", before=self._scheduled))
        if said and self._scheduled is None:
            self.plan.warn(f"Scheduled events on {self.new.name} now: {said}. One that was switched off on {self.old_name} cannot be told from the others.")
        return said or "there are none"

    def _vips(self) -> str:
        if not self.wish.move_vips:
            return "not asked for"
        if self.new.call("has_addresses", seconds=0):
            return "here already"
        if self.old is not None and self._old_observed.get("holds_any_vip"):
            moved = self.old.call("give_addresses", _VIP + 5, seconds=_VIP)
            self.report.vips_ms = round(moved["seconds"] * 1000, 1)
        if not self.new.call("has_addresses", _VIP + 5, seconds=_VIP):
            raise OperationFailed(f"{self.new.name} has not taken the addresses within {_VIP:g} s.", "See playbooks/status.yml.")
        return "moved"

    def _verify(self) -> None:
        self.new.call("prove_open", token=self.report.operation)
        # Each proxy asks both nodes, so both daemons have to know before either proxy believes them.
        for what in ("health_agrees", "watch_again"):
            for hand in filter(None, (self.new, self.old)):
                try:
                    hand.call(what, 15)
                except TandemError as error:
                    self.plan.warnings.append(f"The health checks of {hand.name}: {error}")


@contextlib.contextmanager
def hands(config: HandConfig) -> t.Iterator[tuple[HandClient, HandClient | None, str]]:
    """The hand of this node; the peer's, or None and what was said instead."""
    here = HandClient(config.node.name, local_command())
    there: HandClient | None = HandClient(config.peer.name, peer_command(config.peer))
    started = there
    why = ""
    try:
        here.greet()
        try:
            t.cast(HandClient, there).greet()
        except HandLost as error:
            there, why = None, str(error)
        yield here, there, why
    finally:
        # The peer first: an old primary that was closed opens again before this one takes anything back.
        if started is not None:
            started.close()
        here.close()


def story(report: t.Mapping[str, t.Any]) -> list[str]:
    """The report for a person, line by line; the evidence comes first."""
    lines = running.story(report)
    marks = {True: "ALIVE ", False: "silent", None: "?     "}
    shown = [f"  {marks[row['alive']]} {row['path']}: {row['answer']}" for row in report["evidence"]]
    end = []
    if report["result"] in ("done", "half done", "planned"):
        end.append(f"  transactions that may be lost: {report['lost']}")
    if report["rescued"]:
        end.append(f"  {report['rescued']} transactions were rescued from {report['old']}; they are kept in {report['rescue_file']}")
    if report["without_writer"] is not None:
        end.append(f"  there was no writer for about {report['without_writer']:g} s")
    if report["next"]:
        end.append(f"  {report['next']}")
    return [lines[0], *shown, *lines[1:], *end]
