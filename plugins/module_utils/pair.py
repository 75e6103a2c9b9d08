# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers seen together: roles, lag, divergence, what would be lost now, how long a switchover would pause. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass

from .decide import Decision, Node, choose_primary, follows
from .gtid import MYSQL, GtidSet
from .inspection import Inspection
from .state import ServerState

PRIMARY = "primary"  # takes writes
REPLICA = "replica"  # refuses writes and follows the other one
STRAY = "stray"  # takes writes although it follows somebody
CLOSED = "closed"  # refuses writes and does not follow the other one
UNKNOWN = "unknown"

# Assumptions of the predicted pause, in milliseconds: for each transaction to apply, and for what a promotion writes to disk.
_APPLY_MS = 1.0
_PROMOTE_MS = 30.0
# Statements, each a round trip, of fencing the old primary and of promoting the new one.
_FENCE_STATEMENTS, _PROMOTE_STATEMENTS = 3, 6
_TAG = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class Errant:
    """Transactions of one origin that only one server has. at_most is exact on MySQL."""

    origin: str
    transactions: str
    at_most: int


@dataclass(frozen=True)
class Pause:
    """How long writes would wait in a switchover now, in milliseconds. None: it cannot be told, and why."""

    fence: float | None = None
    drain: float | None = None
    catch_up: float | None = None
    promote: float | None = None
    reason: str = ""

    @property
    def total(self) -> float | None:
        parts = (self.fence, self.drain, self.catch_up, self.promote)
        return None if None in parts else round(sum(part for part in parts if part is not None), 1)


@dataclass(frozen=True)
class PairState:
    """Both servers at one moment. What cannot be told is None."""

    nodes: tuple[Node, Node]
    decision: Decision
    roles: t.Mapping[str, str]
    follows: t.Mapping[str, str | None]
    primary: str | None
    replica: str | None
    lag_transactions: int | None
    lag_seconds: int | None
    errant: t.Mapping[str, tuple[Errant, ...] | None]
    not_received: int | None
    at_risk: int | None
    pause: Pause

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data for a result, without the nodes."""
        return {
            "primary": self.primary,
            "replica": self.replica,
            "reason": self.decision.reason,
            "remedy": self.decision.remedy,
            "roles": dict(self.roles),
            "follows": dict(self.follows),
            "lag_transactions": self.lag_transactions,
            "lag_seconds": self.lag_seconds,
            "errant": {
                name: None if found is None else [asdict(one) for one in found] for name, found in self.errant.items()
            },
            "not_received": self.not_received,
            "at_risk": self.at_risk,
            "pause": {"total": self.pause.total, **asdict(self.pause)},
        }


def see(nodes: tuple[Node, Node], inspections: t.Mapping[str, Inspection] | None = None) -> PairState:
    """Judge two nodes. The replica should have been looked at before the primary, or what came between looks errant."""
    first, second = nodes
    told = {first.name: _follows(first, second), second.name: _follows(second, first)}
    roles = {one.name: _role(one, other) for one, other in ((first, second), (second, first))}
    primary, replica = _primary_and_replica(nodes, roles)
    source = primary or _followed(nodes)
    target = None if source is None else _other(nodes, source)
    lag_transactions, lag_seconds = _lag(source, target)
    missing = _not_received(source, target)
    return PairState(
        nodes=nodes,
        decision=choose_primary(nodes),
        roles=roles,
        follows=told,
        primary=primary.name if primary else None,
        replica=replica.name if replica else None,
        lag_transactions=lag_transactions,
        lag_seconds=lag_seconds,
        errant=_errant(nodes, source),
        not_received=missing,
        at_risk=0 if source is not None and source.server.writable and source.server.semi_sync_active else missing,
        pause=_pause(primary, replica, lag_transactions, lag_seconds, inspections or {}),
    )


def _follows(node: Node, other: Node) -> str | None:
    """Whom the node is told to follow: the other one's name, or an address; None: nobody, or unknown (see its role)."""
    told = node.server.replication
    if told is None:
        return None
    return other.name if follows(node, other) else told.source_host


def _role(node: Node, other: Node) -> str:
    if not node.server.running:
        return UNKNOWN
    told = node.server.replication is not None
    if node.server.writable:
        return STRAY if told else PRIMARY
    # With the other one silent, whose address it is cannot be told better than by its configuration.
    return REPLICA if told and (follows(node, other) or not other.server.running) else CLOSED


def _primary_and_replica(nodes: tuple[Node, Node], roles: t.Mapping[str, str]) -> tuple[Node | None, Node | None]:
    primaries = [node for node in nodes if roles[node.name] == PRIMARY]
    primary = primaries[0] if len(primaries) == 1 else None
    replicas = [node for node in nodes if roles[node.name] in (REPLICA, STRAY) and node is not primary]
    return primary, replicas[0] if len(replicas) == 1 else None


def _followed(nodes: tuple[Node, Node]) -> Node | None:
    """With no primary, whoever is followed is compared with."""
    first, second = nodes
    found = [other for one, other in ((first, second), (second, first)) if follows(one, other)]
    return found[0] if len(found) == 1 else None


def _other(nodes: tuple[Node, Node], node: Node) -> Node:
    return nodes[1] if node is nodes[0] else nodes[0]


def _comparable(one: Node | None, other: Node | None) -> bool:
    return one is not None and other is not None and one.server.running and other.server.running and one.server.engine == other.server.engine


def _lag(source: Node | None, replica: Node | None) -> tuple[int | None, int | None]:
    if replica is None or not replica.server.running or replica.server.replication is None:
        return None, None
    told = replica.server.replication
    seconds = told.lag_seconds if told.healthy else None
    if source is None or not _comparable(source, replica):
        return None, seconds
    return lacking(replica.server.transactions, source.server.transactions), seconds


def _not_received(source: Node | None, replica: Node | None) -> int | None:
    """Transactions of the source that the replica has not even received."""
    if source is None or replica is None or not _comparable(source, replica) or replica.server.replication is None:
        return None
    return lacking(received(replica.server), source.server.transactions)


def lacking(one: GtidSet, other: GtidSet) -> int:
    """How many of the other's transactions one lacks. Where both have their own, MariaDB's sequence hides some: rather too many."""
    behind = one.behind(other)
    return behind if one <= other else max(behind, (other - one).count())


def received(server: ServerState) -> GtidSet:
    """All transactions that a replica holds, applied or not."""
    retrieved = server.replication.retrieved if server.replication else ""
    return server.transactions | GtidSet.parse(retrieved, server.engine)


def _errant(nodes: tuple[Node, Node], source: Node | None) -> dict[str, tuple[Errant, ...] | None]:
    """What each one has that the other one lacks. A source has more than its replica because it is the source."""
    found: dict[str, tuple[Errant, ...] | None] = {}
    for node in nodes:
        other = _other(nodes, node)
        if not _comparable(node, other):
            found[node.name] = None
        elif node is source:
            found[node.name] = ()
        else:
            more = node.server.transactions - other.server.transactions
            if source is not None and source.server.engine == MYSQL:
                # With after-sync a replica has a commit a moment before its source counts it as executed.
                more = more.without_newest_of(source.server.server_uuid, source.server.transactions)
            found[node.name] = by_origin(more)
    return found


def by_origin(transactions: GtidSet) -> tuple[Errant, ...]:
    """A set in parts: for each uuid and tag on MySQL, for each domain and server on MariaDB."""
    texts: list[tuple[str, str]] = []
    for item in str(transactions).split(","):
        if item and transactions.flavor == MYSQL:
            texts += _by_tag(item)
        elif item:
            domain, server, _numbers = item.split("-", 2)
            texts.append((f"{domain}-{server}", item))
    return tuple(Errant(origin, text, GtidSet.parse(text, transactions.flavor).count()) for origin, text in texts)


def _by_tag(item: str) -> list[tuple[str, str]]:
    uuid, *parts = item.split(":")
    found: dict[str, list[str]] = {}
    origin = uuid
    for part in parts:
        if _TAG.fullmatch(part):
            origin = f"{uuid}:{part}"
        else:
            found.setdefault(origin, []).append(part)
    return [(name, ":".join([name, *numbers])) for name, numbers in found.items()]


def _pause(
    primary: Node | None,
    replica: Node | None,
    lag_transactions: int | None,
    lag_seconds: int | None,
    inspections: t.Mapping[str, Inspection],
) -> Pause:
    if primary is None or replica is None:
        return Pause(reason="There is no primary with a replica.")
    there, here = inspections.get(primary.name), inspections.get(replica.name)
    trips = [seen.round_trip_ms for seen in (there, here) if seen is not None and seen.round_trip_ms is not None]
    trip = max(trips) if len(trips) == 2 else None
    healthy = replica.server.replication is not None and replica.server.replication.healthy
    catch_up = None
    if healthy and lag_seconds is not None and lag_transactions is not None:
        catch_up = round(1000.0 * lag_seconds + _APPLY_MS * lag_transactions, 1)
    running = None if there is None or there.transactions is None else there.transactions
    return Pause(
        fence=None if trip is None else round(_FENCE_STATEMENTS * trip, 1),
        drain=None if running is None else 1000.0 * max((work.seconds for work in running), default=0),
        catch_up=catch_up,
        promote=None if trip is None else round(_PROMOTE_STATEMENTS * trip + _PROMOTE_MS, 1),
        reason="" if healthy else "Replication does not run.",
    )
