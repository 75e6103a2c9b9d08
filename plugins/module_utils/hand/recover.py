# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one node does when an operation dies: before the point of no return it takes everything back, after it goes on.

Each node needs only its own journal for that. The old primary is told of the point of no return before the new one:
so when it takes back (opens again), the new one was never allowed to open.

That holds for the moment at which the operation dies. A node that lost its power finds its journal much later, and by then
somebody may have made the other one the primary. So no node opens by its journal while the other one takes writes; and
late it opens only if the other one says that it does not. Nor does one open that a person has fenced meanwhile.
"""

from __future__ import annotations

import typing as t

from ..errors import TandemError
from ..fence.record import Record
from ..fence.restoring import of_persons
from ..state import RUNNING, ServerState
from .haproxy import ProxySilent
from .journal import END, Journal

UNDONE = "undone"
FINISHED = "finished"
CLOSED = "left closed"
_FAILOVER = "failover"
_HOLDS = ("prepare_hold", "hold")
# Seconds. The old primary recovers at the same time, and may follow already.
_FOLLOWED = 1.0


class Node(t.Protocol):
    """The actions that taking back and going on need."""

    def reconnect(self) -> None: ...
    def observe(self) -> dict[str, t.Any]: ...
    def open(self, semi_sync: bool | None = True, forget: bool = True) -> None: ...
    def forget_source(self) -> None: ...
    def attach(self) -> None: ...
    def settle(self) -> None: ...
    def prove_open(self, token: str, may_wait: bool = False) -> str: ...
    def let_through(self, server: str, limit: int) -> None: ...
    def point_at(self, server: str, other: str, limit: int) -> dict[str, t.Any]: ...
    def watch_again(self, seconds: float = 5) -> None: ...
    def peer_open(self) -> bool | None: ...
    def resume_replication(self) -> None: ...
    def followed(self, seconds: float) -> bool: ...
    def run_events(self, before: dict[str, str] | None = None) -> list[str]: ...
    def start_unit(self) -> None: ...
    def atlas_online(self, addresses: list[str]) -> None: ...


def recover(journal: Journal, node: Node, name: str, say: t.Callable[[str], None], late: bool = False) -> str:
    """Bring this node to one of the two ends, or leave it closed. Returns the outcome; raises what an action raises.

    A database that does not run stays as it is: it comes up closed, and must not be in the way of the next operation.
    late: the operation did not die just now.
    """
    node.reconnect()
    say(f"operation {journal.operation} was broken off: {'going on' if journal.committed else 'taking back'}")
    try:
        outcome = (_forward if journal.committed else _back)(journal, node, name, say, late)
    finally:
        _use_atlas(journal, node, say)
    journal.write(END, {"outcome": outcome, "by": "recovery"})
    return outcome


def _use_atlas(journal: Journal, node: Node, say: t.Callable[[str], None]) -> None:
    """Whoever was taken offline by this operation, unless it has put them back."""
    taken = [entry for entry in journal.actions() if entry["do"] in ("atlas_offline", "atlas_online")]
    if taken and taken[-1]["do"] == "atlas_offline":
        try:
            if "atlas" in Record().read():
                say("Atlas stays offline: a person has fenced it")
                return
        except TandemError as error:
            say(f"Atlas stays as it is: {error}")
            return
        say("Atlas uses its writer again")
        try:
            node.atlas_online(taken[-1]["with"]["addresses"])
        except TandemError as error:
            say(f"not yet: {error}")


def _may_open(node: Node, say: t.Callable[[str], None], late: bool) -> bool:
    fences = of_persons(Record())
    if fences:
        say(f"the database stays closed: it is fenced by {' and '.join(fences)}")
        return False
    peer = node.peer_open()
    if peer is False or (peer is None and not late):
        return True
    say("the database stays closed: " + ("the other one takes writes" if peer else "whether the other one takes writes cannot be seen"))
    return False


def _back(journal: Journal, node: Node, name: str, say: t.Callable[[str], None], late: bool) -> str:
    request = journal.request
    done = [entry["do"] for entry in journal.actions()]
    outcome = UNDONE
    failed: TandemError | None = None
    if "stop_unit" in done:
        say("starting the database again, closed")
        node.start_unit()
    if "close" in done and name == request["old"]:
        try:
            if not (_may_open(node, say, late) and _open_again(journal, node, done, say, late)):
                outcome = CLOSED
        except TandemError as error:
            failed = error
    if "stop_replication" in done and name == request["new"]:
        say("following the same source as before")
        try:
            node.resume_replication()
        except TandemError as error:
            failed = None if _is_dead(node, say, error) else error
    # Whatever became of the database: nobody waits for it for ever.
    if _held(done):
        say("letting connections through again")
        _tell_proxy(say, lambda: node.let_through(request["old"], _limit(journal)))
    if request.get("kind") == "switchover" and name == request["new"] and not late:
        # The old one may have listened here already, and died: what is applied here would wait for it.
        try:
            node.settle()
        except TandemError as error:
            failed = failed or (None if _is_dead(node, say, error) else error)
    if "follow_ahead" in done and outcome != CLOSED and name == request["old"] and not (late and _is_closed(node)):
        say("following nobody, as before")
        try:
            node.forget_source()
        except TandemError as error:
            failed = failed or (None if _is_dead(node, say, error) else error)
    if failed is not None:
        raise failed
    return outcome


def _open_again(journal: Journal, node: Node, done: t.Collection[str], say: t.Callable[[str], None], late: bool) -> bool:
    say("opening the database again")
    try:
        # Semi-sync as it was; a server that was restarted since does not know any more, and starts without.
        node.open(semi_sync=True if late else None, forget="follow_ahead" not in done)
        warning = node.prove_open(f"undo {journal.operation}"[:64], may_wait=True)
        if warning:
            say(warning)
    except TandemError as error:
        if _is_dead(node, say, error):
            return False
        raise
    return True


def _is_closed(node: Node) -> bool:
    """One that follows by now was compared; one that was restarted since does not follow until it is."""
    return not ServerState.from_dict(node.observe()["server"]).writable


def _is_dead(node: Node, say: t.Callable[[str], None], error: TandemError) -> bool:
    """Whether that failed because there is no server to do it to."""
    state = node.observe()["server"]["state"]
    if state == RUNNING:
        return False
    say(f"its database is {state}: {error}")
    return True


def _tell_proxy(say: t.Callable[[str], None], tell: t.Callable[[], t.Any]) -> None:
    try:
        tell()
    except ProxySilent as error:
        say(f"nobody is held by it: {error}")


def _forward(journal: Journal, node: Node, name: str, say: t.Callable[[str], None], late: bool) -> str:
    request = journal.request
    done = [entry["do"] for entry in journal.actions()]
    outcome = FINISHED
    if name == request["new"]:
        if _may_open(node, say, late):
            say("opening the database: the other one is closed for good")
            try:
                # After a failover nobody follows yet: a commit would wait in vain.
                node.open(semi_sync=request.get("kind") != _FAILOVER)
            except TandemError as error:
                if not _is_dead(node, say, error):
                    raise
                outcome = CLOSED
        else:
            outcome = CLOSED
    elif name == request["old"] and request.get("kind") != _FAILOVER:
        say("following the new primary")
        try:
            # First: its applier may wait for one that does not acknowledge any more, and could not be stopped.
            node.settle()
            node.attach()
        except TandemError as error:
            say(f"not yet: {error}")
    if _held(done):
        say(f"sending connections to {request['new']}")
        _tell_proxy(say, lambda: node.point_at(request["new"], request["old"], _limit(journal)))
        _tell_proxy(say, node.watch_again)
    if name == request["new"] and outcome == FINISHED:
        try:
            # What is changed waits for a replica, except after a failover; and whoever waits here keeps the agent from going on alone.
            if request.get("kind") != _FAILOVER and not node.followed(_FOLLOWED):
                say("scheduled events do not run yet: the other node does not follow; playbooks/database.yml lets them run")
                return outcome
            say(f"scheduled events: {', '.join(node.run_events(journal.scheduled)) or 'there are none'}")
        except TandemError as error:
            say(f"scheduled events do not run yet: {error}")
    return outcome


def _limit(journal: Journal) -> int:
    """What the proxy let through before it held."""
    return next(int(entry["with"]["limit"]) for entry in journal.actions() if entry["do"] in _HOLDS)


def _held(done: t.Collection[str]) -> bool:
    return any(action in _HOLDS for action in done)
