# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An open server that follows its future primary must not come back following from a crash, where the engine can be told so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.hand.actions import Actions
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server

HOLD, RELEASE = "SET PERSIST_ONLY skip_replica_start = ON", "RESET PERSIST IF EXISTS skip_replica_start"


class Database:
    """Remembers what it was told; follows somebody from CHANGE REPLICATION SOURCE on."""

    def __init__(self, version: str) -> None:
        self.endpoint = Endpoint(socket="/run/sock")
        self.version = version
        self.told: list[str] = []

    def rows(self, statement: str, arguments: Any = ()) -> list[dict[str, Any]]:
        if "VERSION()" in statement:
            return [{"version": self.version, "comment": ""}]
        if statement.startswith("SHOW"):
            return [{"Source_Host": "192.0.2.2"}] if "REPLICA STATUS" in statement and self.told else []
        if statement.startswith("SELECT"):
            return []
        self.told.append(statement.partition(" SOURCE_")[0])
        return []

    def value(self, statement: str, arguments: Any = ()) -> Any:
        return None


def hand(version: str) -> tuple[Actions, Database]:
    peer = SimpleNamespace(name="node-b", address="192.0.2.2", port=3306)
    config = SimpleNamespace(peer=peer, replication_user="repl", replication_password="x", ca="/ca.pem", semi_sync_timeout=0)
    actions, database = Actions(config, SimpleNamespace()), Database(version)  # type: ignore[arg-type]
    actions._server = Server(database)  # type: ignore[arg-type]
    return actions, database


def test_replication_is_held_before_there_is_a_source_and_let_go_when_both_are_equal() -> None:
    actions, database = hand("9.7.0")
    assert actions.follow_ahead() is True
    assert database.told.index(HOLD) < database.told.index("CHANGE REPLICATION SOURCE TO") < database.told.index("START REPLICA")
    actions.settle()
    assert database.told[-1] == RELEASE


def test_taking_it_back_lets_go_when_there_is_no_source_any_more() -> None:
    actions, database = hand("8.4.3")
    actions.follow_ahead()
    actions.forget_source()
    assert database.told[-2:] == ["RESET REPLICA ALL", RELEASE]


@pytest.mark.parametrize("version", ["8.0.25", "5.7.44", "10.11.6-MariaDB", "11.8.3-MariaDB"])
def test_one_that_cannot_be_held_does_not_follow_ahead(version) -> None:
    actions, database = hand(version)
    assert actions.follow_ahead() is False
    assert not database.told
