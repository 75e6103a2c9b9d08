# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one node does when an operation dies: before the point of no return it takes everything back, after it goes on.

Each node needs only its own journal for that. The old primary is told of the point of no return before the new one:
so when it takes back (opens again), the new one was never allowed to open.
"""

from __future__ import annotations

import typing as t

from ..errors import TandemError
from .journal import END, Journal

UNDONE = "undone"
FINISHED = "finished"


class Node(t.Protocol):
    """The actions that taking back and going on need."""

    def open(self, semi_sync: bool = True) -> None: ...
    def attach(self) -> None: ...
    def prove_open(self, token: str) -> None: ...
    def let_through(self, server: str, limit: int) -> None: ...
    def point_at(self, server: str, other: str, limit: int) -> dict[str, t.Any]: ...
    def watch_again(self, seconds: float = 5) -> None: ...


def recover(journal: Journal, node: Node, name: str, say: t.Callable[[str], None]) -> str:
    """Bring this node to one of the two ends. Returns "undone" or "finished"; raises what an action raises."""
    outcome = FINISHED if journal.committed else UNDONE
    say(f"operation {journal.operation} was broken off: {'going on' if journal.committed else 'taking back'}")
    (_forward if journal.committed else _back)(journal, node, name, say)
    journal.write(END, {"outcome": outcome, "by": "recovery"})
    return outcome


def _back(journal: Journal, node: Node, name: str, say: t.Callable[[str], None]) -> None:
    request = journal.request
    done = [entry["do"] for entry in journal.actions()]
    if "close" in done and name == request["old"]:
        say("opening the database again")
        node.open()
        node.prove_open(f"undo {journal.operation}"[:64])
    if "hold" in done:
        say("letting connections through again")
        node.let_through(request["old"], _limit(journal))


def _forward(journal: Journal, node: Node, name: str, say: t.Callable[[str], None]) -> None:
    request = journal.request
    done = [entry["do"] for entry in journal.actions()]
    if name == request["new"]:
        say("opening the database: the other one is closed for good")
        node.open()
    elif name == request["old"]:
        say("following the new primary")
        try:
            node.attach()
        except TandemError as error:
            say(f"not yet: {error}")
    if "hold" in done:
        say(f"sending connections to {request['new']}")
        node.point_at(request["new"], request["old"], _limit(journal))
        node.watch_again()


def _limit(journal: Journal) -> int:
    """What the proxy let through before it held."""
    return next(int(entry["with"]["limit"]) for entry in journal.actions() if entry["do"] == "hold")
