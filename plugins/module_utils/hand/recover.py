# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one node does when an operation dies: before the point of no return it takes everything back, after it goes on.

Each node needs only its own journal for that. The old primary is told of the point of no return before the new one:
so when it takes back (opens again), the new one was never allowed to open.

That holds for the moment at which the operation dies. A node that lost its power finds its journal much later, and by then
somebody may have made the other one the primary. So no node opens by its journal while the other one takes writes; and
late it opens only if the other one says that it does not.
"""

from __future__ import annotations

import typing as t

from ..errors import TandemError
from .journal import END, Journal

UNDONE = "undone"
FINISHED = "finished"
CLOSED = "left closed"
_FAILOVER = "failover"
_HOLDS = ("prepare_hold", "hold")


class Node(t.Protocol):
    """The actions that taking back and going on need."""

    def open(self, semi_sync: bool = True) -> None: ...
    def attach(self) -> None: ...
    def settle(self) -> None: ...
    def prove_open(self, token: str) -> None: ...
    def let_through(self, server: str, limit: int) -> None: ...
    def point_at(self, server: str, other: str, limit: int) -> dict[str, t.Any]: ...
    def watch_again(self, seconds: float = 5) -> None: ...
    def peer_open(self) -> bool | None: ...
    def resume_replication(self) -> None: ...
    def start_unit(self) -> None: ...


def recover(journal: Journal, node: Node, name: str, say: t.Callable[[str], None], late: bool = False) -> str:
    """Bring this node to one of the two ends, or leave it closed. Returns the outcome; raises what an action raises.

    late: the operation did not die just now.
    """
    say(f"operation {journal.operation} was broken off: {'going on' if journal.committed else 'taking back'}")
    outcome = (_forward if journal.committed else _back)(journal, node, name, say, late)
    journal.write(END, {"outcome": outcome, "by": "recovery"})
    return outcome


def _may_open(node: Node, say: t.Callable[[str], None], late: bool) -> bool:
    peer = node.peer_open()
    if peer is False or (peer is None and not late):
        return True
    say("the database stays closed: " + ("the other one takes writes" if peer else "whether the other one takes writes cannot be seen"))
    return False


def _back(journal: Journal, node: Node, name: str, say: t.Callable[[str], None], late: bool) -> str:
    request = journal.request
    done = [entry["do"] for entry in journal.actions()]
    outcome = UNDONE
    if "stop_unit" in done:
        say("starting the database again, closed")
        node.start_unit()
    if "close" in done and name == request["old"]:
        if _may_open(node, say, late):
            say("opening the database again")
            node.open()
            node.prove_open(f"undo {journal.operation}"[:64])
        else:
            outcome = CLOSED
    if "stop_replication" in done and name == request["new"]:
        say("following the same source as before")
        node.resume_replication()
    if _held(done):
        say("letting connections through again")
        node.let_through(request["old"], _limit(journal))
    return outcome


def _forward(journal: Journal, node: Node, name: str, say: t.Callable[[str], None], late: bool) -> str:
    request = journal.request
    done = [entry["do"] for entry in journal.actions()]
    outcome = FINISHED
    if name == request["new"]:
        if _may_open(node, say, late):
            say("opening the database: the other one is closed for good")
            # After a failover nobody follows yet: a commit would wait in vain.
            node.open(semi_sync=request.get("kind") != _FAILOVER)
        else:
            outcome = CLOSED
    elif name == request["old"] and request.get("kind") != _FAILOVER:
        say("following the new primary")
        try:
            node.attach()
            node.settle()
        except TandemError as error:
            say(f"not yet: {error}")
    if _held(done):
        say(f"sending connections to {request['new']}")
        node.point_at(request["new"], request["old"], _limit(journal))
        node.watch_again()
    return outcome


def _limit(journal: Journal) -> int:
    """What the proxy let through before it held."""
    return next(int(entry["with"]["limit"]) for entry in journal.actions() if entry["do"] in _HOLDS)


def _held(done: t.Collection[str]) -> bool:
    return any(action in _HOLDS for action in done)
