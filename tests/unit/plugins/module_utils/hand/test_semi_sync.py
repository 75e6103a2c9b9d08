# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going alone lets go of the commits that wait, also for a replica that is connected and hangs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.hand.actions import Actions
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server


class Database:
    """Commits wait, as in MySQL, until no replica is connected; in MariaDB until semi-sync is off."""

    def __init__(self, version: str, variables: dict[str, str]) -> None:
        self.endpoint, self.version, self.variables = Endpoint(socket="/run/sock"), version, variables
        self.dumps, self.waits = [41], True
        self.told: list[str] = []

    def rows(self, statement: str, arguments: Any = ()) -> list[dict[str, Any]]:
        if "VERSION()" in statement:
            return [{"version": self.version, "comment": ""}]
        if statement.startswith("SHOW GLOBAL VARIABLES"):
            return [{"Variable_name": name, "Value": value} for name, value in self.variables.items()]
        if "Binlog Dump" in statement:
            return [{"id": dump} for dump in self.dumps]
        self.told.append(statement)
        if statement.startswith("KILL"):
            self.dumps.remove(int(statement.split()[1]))
            self.waits = self.waits and self.variables.get("rpl_semi_sync_source_wait_no_replica") != "OFF"
        if statement.startswith("SET GLOBAL"):
            name, value = statement.removeprefix("SET GLOBAL ").split(" = ")
            self.variables[name] = value
            if name == "rpl_semi_sync_master_enabled":
                self.waits = value == "ON"
        return []


@pytest.mark.parametrize(
    ("version", "variables", "killed"),
    [
        ("8.4.3", {"rpl_semi_sync_source_enabled": "ON", "rpl_semi_sync_source_wait_no_replica": "ON"}, True),
        ("11.8.3-MariaDB", {"rpl_semi_sync_master_enabled": "ON"}, False),
    ],
    ids=["mysql", "mariadb"],
)
def test_commits_that_wait_for_a_replica_that_hangs_are_let_go(version: str, variables: dict[str, str], killed: bool) -> None:
    database = Database(version, dict(variables))
    actions = Actions(SimpleNamespace(semi_sync_timeout=0), SimpleNamespace())  # type: ignore[arg-type]
    actions._server = Server(database)  # type: ignore[arg-type]
    actions.semi_sync(source=True)
    assert database.waits and database.dumps == [41]
    actions.semi_sync(source=False)
    assert not database.waits
    assert ("KILL 41" in database.told) is killed
