# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent does, through the hands of both nodes. Each call blocks and belongs in a thread; nothing here decides.

A hand is kept ready on each node, because starting one takes longer than what it is needed for.
"""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import asdict, dataclass

from ..decide import Node
from ..errant import SECONDS as SAVED_WITHIN
from ..errors import OperationFailed, Refused, TandemError
from ..gates import errant_of
from ..gtid import GtidSet
from ..hand.client import HandClient, HandLost, SocketLine
from ..hand.journal import new_name
from ..operations.failover import Failover, Wish
from ..operations.failover import story as failover_story
from ..operations.running import story as switchover_story
from ..operations.switchover import Switchover
from ..operations.switchover import Wish as SwitchoverWish
from ..state import ServerState

# Seconds.
_CLOSE = 1.0
_KILLED = 1.0
_ATTACHED = 10.0
_FOLLOWED = 0.5
_COPIED = 7200.0


class Errant(Refused):
    """This node has transactions that the primary never had."""


@dataclass(frozen=True)
class Compared:
    """ahead: this server has all that the peer's has. extra: it has what the primary never had. None: not known.

    applied: what is in this server's data. theirs: what is in the peer's, a moment later. why: neither could be asked; for the log.
    """

    ahead: bool | None = None
    extra: bool | None = None
    applied: GtidSet | None = None
    theirs: GtidSet | None = None
    why: str = ""


class Acts:
    """The operations of one agent.

    here, there: sockets behind which systemd starts the hand of this node, and ssh to the peer's.
    """

    def __init__(self, node: str, peer: str, here: str, there: str) -> None:
        self.node, self.peer = node, peer
        self._paths = {node: here, peer: there}
        self._ready: dict[str, HandClient] = {}
        self._executioner: HandClient | None = None
        self._silent_since: float | None = None

    # Hands.

    def warm(self, peer: bool) -> None:
        """Have a hand ready here, and at the peer if it is there. Raises nothing: who needs one tries again."""
        for name in [self.node, *([self.peer] if peer else [])]:
            if name not in self._ready:
                with contextlib.suppress(TandemError):
                    self._ready[name] = self._greeted(name)
        if self.node in self._ready:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
        if self._executioner is None:
            with contextlib.suppress(TandemError):
                self._executioner = self._greeted(self.node, same=False)

    @property
    def silent(self) -> float:
        """Seconds for which the hand of this node has not answered, or has spoken something else. From any thread."""
        since = self._silent_since
        return 0.0 if since is None else time.monotonic() - since

    def _greeted(self, name: str, same: bool = True) -> HandClient:
        """same: it has to be of this version. Any can close: a node in the middle of an upgrade must be able to."""
        hand = HandClient(name, SocketLine(self._paths[name]))
        try:
            hand.greet(same)
        except BaseException:
            hand.close()
            raise
        return hand

    def _take(self, name: str, same: bool = True) -> HandClient:
        """A hand of one's own. Raises HandLost."""
        ready = self._ready.pop(name, None)
        if ready is not None:
            try:
                ready.greet(same)
                return ready
            except TandemError:
                ready.close()
        return self._greeted(name, same)

    def forget(self) -> None:
        """Close all that is ready."""
        while self._ready:
            self._ready.popitem()[1].close()
        if self._executioner is not None:
            self._executioner.close()

    @contextlib.contextmanager
    def _hand(self, name: str, same: bool = True) -> t.Iterator[HandClient]:
        hand = self._take(name, same)
        try:
            yield hand
        finally:
            hand.close()

    @contextlib.contextmanager
    def _operation(self, kind: str, name: str = "") -> t.Iterator[HandClient]:
        """One node does something by itself; it is written down, and taken as ended however it ends."""
        with self._hand(name or self.node) as hand:
            hand.call("begin", 60, operation=new_name(), kind=kind, old="", new="")
            outcome = "failed"
            try:
                yield hand
                outcome = "done"
            finally:
                with contextlib.suppress(TandemError):
                    hand.call("end", outcome=outcome)

    # This node.

    def close(self, seconds: float = _CLOSE) -> str:
        """Close this node's database, whatever else runs here. What is not closed after so many seconds is killed."""
        with self._hand(self.node, same=False) as hand:
            return str(hand.call("shut", seconds + 10, seconds=seconds)["how"])

    def kill(self) -> str:
        """End the server of this node. It comes back closed.

        The hand for this does nothing else: the one that closes may hang. It is not greeted first: that would be a wait.
        """
        ready, self._executioner = self._executioner, None
        if ready is not None:
            with contextlib.suppress(TandemError), contextlib.closing(ready):
                return str(ready.call("shut", _KILLED, seconds=0)["how"])
        with contextlib.closing(self._greeted(self.node, same=False)) as hand:
            return str(hand.call("shut", seconds=0)["how"])

    def end_atlas(self) -> str:
        """End this node's Atlas. systemd starts it again."""
        with self._hand(self.node) as hand:
            return f"{hand.call('end_atlas', 30)['killed']} was killed"

    def open(self, may_open: t.Callable[[], bool]) -> str:
        """Open this node's database; commits wait for the replica. Raises Refused while the peer's server takes writes."""
        with self._operation("open") as hand:
            if hand.call("peer_open"):
                raise Refused(f"The database of {self.peer} takes writes.", "See playbooks/status.yml.")
            if not may_open():
                raise Refused("It took too long: whether this node may open has to be asked again.", "It is tried again.")
            hand.call("open", 60, semi_sync=True)
            with contextlib.suppress(TandemError):
                hand.call("point_at", server=self.node, other=self.peer, limit=hand.call("limit", server=self.node))
                hand.call("watch_again", 15)
            hand.call("run_events")
        return "open"

    def go_alone(self) -> str:
        """Commits wait for no replica."""
        with self._operation("semi-sync") as hand:
            hand.call("semi_sync", source=False)
        return "commits wait for no replica"

    def rearm(self, give_up: bool) -> str:
        """Commits wait for the replica again. Raises OperationFailed while none listens; give_up: then they wait for none."""
        with self._operation("semi-sync") as hand:
            hand.call("semi_sync", source=True)
            if not hand.call("followed", seconds=_FOLLOWED):
                if give_up:
                    hand.call("semi_sync", source=False)
                raise OperationFailed("No replica listens.", "It is tried again.")
        return "commits wait for the replica"

    def rejoin(self) -> str:
        """Follow the primary from where this server is. Raises Errant where it has more than the primary.

        Following anew throws away what was received and is not applied, and undoes what is being applied: not where it follows already.
        """
        with self._hand(self.peer) as there:
            theirs = there.call("observe")
        with self._operation("rejoin") as here:
            mine = here.call("observe")
            new, old = _node(self.peer, theirs), _node(self.node, mine)
            if not new.server.writable:
                raise Refused(f"{self.peer} does not take writes.", "It is tried again.")
            if old.server.state != "running":
                raise OperationFailed(f"The database here is {old.server.state}: {old.server.reason}", "It is tried again.")
            errant = errant_of(old, new)
            if errant:
                raise Errant(f"{self.node} has {errant.count()} transactions that {self.peer} never had: {errant}", "Run playbooks/rejoin.yml.")
            # First: its applier may wait for one that does not acknowledge any more, and could not be stopped.
            here.call("settle", 60)
            if _follows(old, new):
                return f"follows {self.peer} already"
            here.call("attach", 60)
            seen = here.call("attached", _ATTACHED + 5, seconds=_ATTACHED)
            if not seen["healthy"]:
                raise OperationFailed(f"It does not replicate from {self.peer}: {seen['reason']}", "See playbooks/check.yml.")
        return f"follows {self.peer}"

    def replace(self) -> str:
        """Save what this server has and the primary never had, and copy the primary's data over it. Takes as long as copying does."""
        with self._operation("rejoin") as here:
            done = here.call("replace", SAVED_WITHIN + _COPIED + 600, seconds=_COPIED)
        saved = f"; {done['errant']} saved in {done['saved']}" if done["saved"] else ""
        return f"{done['reason']} {'; '.join(done['actions'])}{saved}"

    def compare(self) -> Compared:
        """Both servers' transactions. Nothing is known of a pair of which one does not answer."""
        try:
            # The peer's first: where it is not there, the hand of this node stays ready.
            with self._lent(self.peer) as there:
                with self._lent(self.node) as here:
                    mine = _node(self.node, here.call("observe"))
                theirs = _node(self.peer, there.call("observe"))
        except TandemError as error:
            return Compared(why=str(error))
        if not (mine.server.running and theirs.server.running):
            return Compared()
        has = applied = mine.server.transactions
        told = mine.server.replication
        if told is not None and told.retrieved:
            # What was received counts: it is applied before anybody opens.
            has = has | GtidSet.parse(told.retrieved, mine.server.engine)
        extra = bool(errant_of(mine, theirs)) if theirs.server.writable else None
        return Compared(not has.lacks(theirs.server.transactions), extra, applied, theirs.server.transactions)

    @contextlib.contextmanager
    def _lent(self, name: str) -> t.Iterator[HandClient]:
        """A hand that only looks stays ready afterwards."""
        hand = self._take(name, same=False)
        try:
            yield hand
        except BaseException:
            hand.close()
            raise
        spare = self._ready.setdefault(name, hand)
        if spare is not hand:
            hand.close()

    # Both.

    def promote(
        self, peer_answers: bool, evidence: t.Sequence[t.Mapping[str, t.Any]], may_open: t.Callable[[], bool]
    ) -> tuple[dict[str, t.Any], list[str]]:
        """Make this node the primary. Returns the report and its story; raises what the operation raises."""
        here = self._take(self.node)
        there, why = self._peer_for_failover() if peer_answers else (None, "it is dead")
        wish = Wish(
            peer_is_dead=there is None, force_fence=True, give_up_rescue=True, move_vips=True, evidence=tuple(dict(row) for row in evidence), may_open=may_open,
        )  # fmt: skip
        operation = Failover(here, there, self.peer, wish, why)
        try:
            operation.run()
            if there is not None and operation.stopped_unit:
                # It comes up closed, and its own agent lets it follow.
                there.call("start_unit")
        finally:
            if there is not None:
                there.close()
            here.close()
        return asdict(operation.report), failover_story(asdict(operation.report))

    def _peer_for_failover(self) -> tuple[HandClient | None, str]:
        try:
            return self._take(self.peer), ""
        except HandLost as error:
            return None, str(error)

    def switch_to(self, name: str) -> tuple[dict[str, t.Any], list[str]]:
        """A switchover to one of the two, addresses included."""
        old_name = self.peer if name == self.node else self.node
        with self._hand(old_name) as old, self._hand(name) as new:
            operation = Switchover(old, new, SwitchoverWish(move_vips=True))
            operation.run()
        return asdict(operation.report), switchover_story(asdict(operation.report))


def _follows(old: Node, new: Node) -> bool:
    """Rightly, and closed to everybody: nothing is left to do but to wait."""
    told = old.server.replication
    if told is None or not told.healthy or old.server.read_only is False or old.server.super_read_only is False:
        return False
    return told.source_host == new.address and told.follows_gtid and told.tls and told.tls_verified


def _node(name: str, observed: t.Mapping[str, t.Any]) -> Node:
    return Node(name, observed["address"], ServerState.from_dict(observed["server"]))
