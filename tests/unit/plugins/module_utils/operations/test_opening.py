# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening makes commits wait for the replica; a server that is open already is left to its agent."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.operations.opening import open_for_writes
from ansible_collections.tandem.lemp.plugins.module_utils.state import ServerState

ALONE = ServerState(state="running", engine="mariadb", gtid="0-1-9", read_only=False, lineage="data", semi_sync_source=False)
PEER = Node("node-b", "192.0.2.2", ServerState(state="running", engine="mariadb", gtid="0-1-7", read_only=True, lineage="data"))


class Server:
    """Remembers what it was told of semi-sync."""

    def __init__(self, seen: ServerState) -> None:
        self.seen, self.told = seen, list[bool | None]()

    def observe(self) -> ServerState:
        return self.seen

    def set_semi_sync(self, *, replica: bool, source: bool | None = None) -> None:
        self.told.append(source)

    def open_for_writes(self) -> None:
        return

    def run_events(self) -> list[str]:
        return []

    def write_lineage(self, created_on: str) -> str:
        return created_on


@pytest.mark.parametrize(
    ("changes", "agent", "waits"),
    [({}, True, None), ({}, False, True), ({"read_only": True}, True, True), ({"lineage": ""}, True, True)],
    ids=["open, with an agent", "open, without one", "closed", "new data"],
)
def test_a_primary_that_went_alone_is_not_made_to_wait_again(changes: dict[str, Any], agent: bool, waits: bool | None) -> None:
    server = Server(dataclasses.replace(ALONE, **changes))
    peer = PEER if server.seen.lineage else Node("node-b", "192.0.2.2", ServerState(state="running", engine="mariadb", read_only=True))
    if server.seen.read_only:
        peer = dataclasses.replace(peer, server=dataclasses.replace(peer.server, gtid="0-1-9"))
    outcome, _verdict = open_for_writes(server, "node-a", peer, peer_is_dead=False, timeout=1, dry_run=False, agent=agent)  # type: ignore[arg-type]
    assert server.told == [waits]
    assert ("switch the source side of semi-sync on" in outcome.actions) is bool(waits)
