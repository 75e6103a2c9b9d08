# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open a server for writes, or close it."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field, replace

from ..connection import Endpoint
from ..decide import Node, Verdict, may_open
from ..errors import OperationFailed, Refused, Unreachable
from ..runner import Service
from ..server import Server
from ..state import ServerState

_POLL = 0.1


@dataclass
class Outcome:
    """What an operation found, did, and left."""

    before: dict[str, t.Any]
    after: dict[str, t.Any]
    actions: list[str] = field(default_factory=list)
    reason: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.actions)


def role_of(state: ServerState) -> dict[str, t.Any]:
    """The part of a state that a role change changes."""
    return {
        "read_only": state.read_only,
        "super_read_only": state.super_read_only,
        "semi_sync_source": state.semi_sync_source,
        "source": state.replication.source_host if state.replication else None,
        "lineage": "present" if state.lineage else "missing",
    }


def open_for_writes(
    server: Server, name: str, peer: Node, *, peer_is_dead: bool, timeout: float, dry_run: bool, was_open: bool = False, agent: bool = False
) -> tuple[Outcome, Verdict]:
    """Open, after having made sure that the peer is closed. Raises Refused with everything as it was.

    agent: one looks after the pair: whether a server that is open already waits for its replica is left to it.
    """
    seen = server.observe()
    if seen.replication is not None and seen.read_only:
        # What it received counts as its own; it is just not applied yet.
        server.apply_received(timeout)
        seen = server.observe()
    local = Node(name, "", seen)
    verdict = may_open(local, peer, peer_is_dead=peer_is_dead, was_open=was_open)
    if not verdict.allowed:
        raise Refused(verdict.reason, verdict.remedy)
    wanted = {**role_of(seen), "read_only": False, "source": None, "lineage": "present"}
    if seen.super_read_only is not None:
        wanted["super_read_only"] = False
    arm = bool(seen.read_only) or not seen.lineage or not agent
    if arm and seen.semi_sync_source is not None:
        wanted["semi_sync_source"] = True
    outcome = Outcome(role_of(seen), wanted, reason=verdict.reason)
    if seen.replication is not None:
        outcome.actions.append(f"stop replicating from {seen.replication.source_host}")
    if seen.read_only:
        outcome.actions.append("open for writes")
    if not seen.lineage:
        outcome.actions.append("name the data")
    if arm and seen.semi_sync_source is False:
        outcome.actions.append("switch the source side of semi-sync on")
    if not dry_run:
        _open(server, seen, arm)
    return outcome, verdict


def restart_and_open(
    endpoint: Endpoint,
    service: Service,
    name: str,
    look_at_peer: t.Callable[[], Node],
    *,
    timeout: float,
    clock: t.Callable[[], float] = time.monotonic,
) -> Outcome:
    """Restart an open server, which comes back closed, and open it again: all in one process, so that the pause is short."""
    server = Server.at(endpoint)
    try:
        before = server.observe()
    finally:
        server.close()
    if not before.writable:
        raise Refused(f"{name} is not open.", "Restart its service.")
    # Whether it may be opened again is asked before it is closed.
    verdict = may_open(Node(name, "", replace(before, read_only=True)), look_at_peer(), was_open=True)
    if not verdict.allowed:
        raise Refused(f"{name} was not restarted, because it could not be opened again. {verdict.reason}", verdict.remedy)
    service.restart()
    deadline = clock() + timeout
    while True:
        try:
            server = Server.at(endpoint)
            break
        except Unreachable as error:
            if clock() > deadline:
                raise OperationFailed(f"{name} does not answer after its restart: {error}", "See the log of its service.") from error
            time.sleep(_POLL)
    try:
        outcome, _verdict = open_for_writes(
            server, name, look_at_peer(), peer_is_dead=False, timeout=timeout, dry_run=False, was_open=True
        )
    finally:
        server.close()
    return Outcome(role_of(before), role_of(before), ["restart", *outcome.actions], verdict.reason)


def _open(server: Server, seen: ServerState, arm: bool) -> None:
    if seen.replication is not None:
        server.stop_replica()
        server.forget_source()
    if seen.lineage:
        # Before the first write, so that no commit is acknowledged without the replica.
        server.set_semi_sync(source=True if arm else None, replica=True)
        if seen.read_only:
            server.open_for_writes()
        server.run_events()
        return
    # New data: no replica exists that semi-sync could wait for.
    if seen.read_only:
        server.open_for_writes()
    server.write_lineage(seen.hostname)
    server.set_semi_sync(source=True, replica=True)


def close_for_writes(server: Server, *, dry_run: bool) -> Outcome:
    """Close. Always allowed."""
    seen = server.observe()
    wanted = {**role_of(seen), "read_only": True}
    if seen.super_read_only is not None:
        wanted["super_read_only"] = True
    if seen.semi_sync_source is not None:
        wanted["semi_sync_source"] = False
    outcome = Outcome(role_of(seen), wanted, reason="Asked to.")
    if not seen.read_only or seen.super_read_only is False:
        outcome.actions.append("close for writes")
    if seen.semi_sync_source:
        outcome.actions.append("switch the source side of semi-sync off")
    if not dry_run:
        if outcome.actions:
            server.close_for_writes()
        server.set_semi_sync(source=False, replica=True)
    return outcome
