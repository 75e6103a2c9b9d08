# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that all checks share."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..decide import Node
from ..gtid import MARIADB
from ..inspection import Inspection
from ..pair import PRIMARY, REPLICA, STRAY, PairState
from ..state import Replication, ServerState

if t.TYPE_CHECKING:
    from .atlas import AtlasSeen

PASS = "pass"
WARN = "warn"
FAIL = "fail"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Limits:
    """Where a value stops being good."""

    lag_seconds: int = 10
    transaction_seconds: int = 10
    clock_seconds: float = 1.0
    certificate_days: int = 30
    retention_hours: int = 24
    disk_percent: int = 90
    connections_needed: int = 0
    administrators: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Seen:
    """One node, and what its server says of itself."""

    node: Node
    more: Inspection

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def server(self) -> ServerState:
        return self.node.server

    @property
    def told(self) -> Replication | None:
        return self.node.server.replication

    @property
    def mariadb(self) -> bool:
        return self.node.server.engine == MARIADB


@dataclass(frozen=True)
class Context:
    """What is judged: the node that asked, the other one, both together."""

    here: Seen
    there: Seen
    pair: PairState
    now: float = 0.0
    limits: Limits = field(default_factory=Limits)
    atlas: AtlasSeen | None = None  # of the node that asked; None: it has none

    @property
    def both(self) -> tuple[Seen, Seen]:
        return self.here, self.there

    def pair_order(self) -> tuple[Seen, Seen]:
        """By name, so that both nodes say the same of both."""
        return self.both if self.here.name <= self.there.name else (self.there, self.here)

    def role(self, seen: Seen) -> str:
        return self.pair.roles[seen.name]

    def is_primary(self, seen: Seen) -> bool:
        return self.role(seen) == PRIMARY

    def is_replica(self, seen: Seen) -> bool:
        return self.role(seen) in (REPLICA, STRAY)

    def other(self, seen: Seen) -> Seen:
        return self.there if seen is self.here else self.here

    @property
    def primary(self) -> Seen | None:
        return next((seen for seen in self.both if seen.name == self.pair.primary), None)

    @property
    def replica(self) -> Seen | None:
        return next((seen for seen in self.both if seen.name == self.pair.replica), None)


@dataclass(frozen=True)
class Finding:
    """What a check says."""

    state: str
    value: t.Any
    expected: t.Any
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Row:
    """A finding under the code of its check, and the nodes that it is about."""

    check: str
    state: str
    value: t.Any
    expected: t.Any
    reason: str
    remedy: str
    nodes: tuple[str, ...]

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "check": self.check,
            "state": self.state,
            "value": self.value,
            "expected": self.expected,
            "reason": self.reason,
            "remedy": self.remedy,
            "nodes": list(self.nodes),
        }


@dataclass(frozen=True)
class OnNode:
    """Judges each server alone. No finding: the check is not about a server of that role. engine: only about that one.

    blind: it knows nothing where the server does not answer.
    """

    code: str
    judge: t.Callable[[Context, Seen], Finding | None]
    engine: str = ""
    blind: bool = True


@dataclass(frozen=True)
class OnPair:
    """Judges both servers, and needs an answer of both."""

    code: str
    judge: t.Callable[[Context], Finding | None]
    engine: str = ""


Rule: t.TypeAlias = "OnNode | OnPair"


def unseen(seen: Seen, what: str, expected: t.Any) -> Finding:
    """The account that asked may not see it."""
    why = seen.more.unseen.get(what) or f"{seen.name} did not say."
    return Finding(
        UNKNOWN, None, expected, why, f"Run this check on {seen.name}, where the administrator of the database logs in by its socket."
    )


def compare(context: Context, what: str, expected: str, value: t.Callable[[Seen], t.Any], differ: str, reason: str, remedy: str) -> Finding:
    """Both have the same value; differ is the state if they have not."""
    here, there = (value(seen) for seen in context.both)
    found = f"{here} and {there}" if here != there else str(here)
    if here is None or there is None:
        return Finding(UNKNOWN, None, expected, f"Not both say their {what}.", "")
    if here == there:
        return Finding(PASS, found, expected)
    return Finding(differ, {context.here.name: here, context.there.name: there}, expected, reason, remedy)


def is_on(value: str | None) -> bool | None:
    """A switch as a server prints it; None: it has no such switch."""
    return None if value is None else value.upper() in ("ON", "1", "YES", "TRUE")


def some(items: t.Sequence[str], most: int = 5) -> str:
    """The first few."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
