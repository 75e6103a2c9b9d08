# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database itself refuses writes. Proven by a write that is tried as an application."""

from __future__ import annotations

import typing as t

from ..connection import Connection
from ..decide import Node, Verdict, follows
from ..errors import AccessDenied, Refused
from ..hand.actions import Actions
from ..operations.opening import open_for_writes
from ..server import Server

# Seconds that the lock which closing takes is waited for.
_CLOSE_LOCK = 2


class ReadOnly:
    """The server of this node. peer: how the other server is seen, asked only when this one shall open."""

    name = "read_only"
    sufficient = True

    def __init__(
        self, actions: Actions, server: Server, peer: t.Callable[[], Node], *, peer_is_dead: bool, drain: float, timeout: float
    ) -> None:
        self._actions = actions
        self._server = server
        self._peer = peer
        self._peer_is_dead = peer_is_dead
        self._drain = drain
        self._timeout = timeout
        self._replaced: bool | None = None

    def fenced(self) -> bool:
        seen = self._server.observe()
        return bool(seen.read_only) and seen.super_read_only is not False

    def plan(self) -> dict[str, t.Any]:
        return {"was_open": self._server.observe().writable}

    def fence(self, planned: t.Mapping[str, t.Any]) -> None:
        if planned.get("was_open"):
            self._actions.kill_sessions(self._drain)
        self._server.close_for_writes(wait=_CLOSE_LOCK)
        if planned.get("was_open"):
            # Who had come back at once: its application shall look for the open one.
            self._actions.kill_sessions(0)

    def prove(self) -> str:
        try:
            Connection(self._actions.config.canary()).close()
        except AccessDenied as error:
            # Fenced by its account as well. A refusal for any other reason proves nothing.
            if "locked" in error.message and self.fenced():
                return "read_only is on, and the account of the canary is locked"
        return str(self._actions.prove_closed()["reason"])

    def stays_closed(self, recorded: t.Mapping[str, t.Any] | None) -> bool:
        """A replica, whether it was one before it was fenced or has become one since, is not opened by taking the fence away."""
        return recorded is not None and (not recorded.get("was_open") or self.replaced())

    def require_no_standby(self) -> None:
        """For a node that is closed without a record. Raises Refused where opening it would be a role change, past a fence of the other one."""
        name = self._actions.config.node.name
        told = self._server.observe().replication
        if told is not None:
            why = f"it follows {told.source_host}"
        elif (peer := self._peer()).fenced:
            why = f"{peer.name} is (by {' and '.join(peer.fenced)})"
        else:
            return
        raise Refused(
            f"{name} was not fenced, {why}: there is nothing to take back. Nothing was changed.",
            f"If {name} shall become the primary: playbooks/switchover.yml or playbooks/failover.yml.",
        )

    def replaced(self) -> bool:
        """Whether the other one has become the primary meanwhile, and is followed."""
        if self._replaced is None:
            peer = self._peer()
            self._replaced = peer.server.writable and follows(Node(self._actions.config.node.name, "", self._server.observe()), peer)
        return self._replaced

    def allowed(self) -> str:
        """Raises Refused where this server may not open; otherwise the reason why it may."""
        return self._open(dry_run=True).reason

    def unfence(self, recorded: t.Mapping[str, t.Any] | None) -> None:
        if not self.stays_closed(recorded):
            self._open(dry_run=False)

    def _open(self, *, dry_run: bool) -> Verdict:
        _outcome, verdict = open_for_writes(
            self._server, self._actions.config.node.name, self._peer(),
            peer_is_dead=self._peer_is_dead, timeout=self._timeout, dry_run=dry_run,
        )  # fmt: skip
        return verdict
