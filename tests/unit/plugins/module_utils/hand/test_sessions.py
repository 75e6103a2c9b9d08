# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gates are shown of the sessions of a server: the administrators' too, whom MariaDB's read_only does not stop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.fence.read_only import ReadOnly
from ansible_collections.tandem.lemp.plugins.module_utils.gates import Limits, Seen, of_switchover
from ansible_collections.tandem.lemp.plugins.module_utils.hand.actions import Actions
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server
from ansible_collections.tandem.lemp.plugins.module_utils.state import RUNNING, ServerState, Session

IDLE = {"command": "Sleep", "seconds": 1, "statement": None, "in_transaction": 0, "transaction_seconds": None, "modified": None}
OPEN = {**IDLE, "in_transaction": 1, "transaction_seconds": 60, "modified": 0}
ALTERS = {**IDLE, "command": "Query", "statement": "ALTER TABLE t ADD c INT", "in_transaction": 1, "transaction_seconds": 60, "modified": 0}


class Database:
    def __init__(self, *rows: dict[str, Any]) -> None:
        self.endpoint = Endpoint(socket="/run/sock")
        self.sessions = [{"id": number, **row} for number, row in enumerate(rows, 7)]

    def rows(self, statement: str, arguments: Any = ()) -> list[dict[str, Any]]:
        if "VERSION()" in statement:
            return [{"version": "10.11.6-MariaDB", "comment": ""}]
        assert "innodb_trx" in statement and "trx_rows_modified" in statement
        return self.sessions


def closed(*rows: dict[str, Any]) -> list[str]:
    actions = Actions(SimpleNamespace(own_accounts=("tandem_agent",)), SimpleNamespace())  # type: ignore[arg-type]
    actions._server = Server(Database(*rows))  # type: ignore[arg-type]
    sessions = tuple(Session(**one) for one in actions.sessions())
    node = Node("node-a", "192.0.2.1", ServerState(state=RUNNING, engine="mariadb", version="10.11.6"))
    gates = of_switchover(Seen(node, node, sessions), Limits())
    return [gate.name for gate in gates if not gate.passed and gate.name in ("no-long-transaction", "no-ddl")]


@pytest.mark.parametrize("user", ["root", "debian-sys-maint"])
@pytest.mark.parametrize(
    ("row", "names"),
    [
        (IDLE, []),
        (OPEN, []),  # a dump reads in one transaction
        ({**OPEN, "modified": 3}, ["no-long-transaction"]),
        ({**OPEN, "modified": 3, "transaction_seconds": 1}, []),  # as with anybody else's
        (ALTERS, ["no-ddl"]),
    ],
)
def test_an_administrator_who_writes_is_seen(user: str, row: dict[str, Any], names: list[str]) -> None:
    assert closed({"user": user, **row}) == names


def test_an_application_is_seen_as_before_and_the_pairs_own_are_not() -> None:
    assert closed({"user": "blog", **OPEN}) == ["no-long-transaction"]
    assert closed({"user": "tandem_agent", **OPEN, "modified": 3}, {"user": "system user", **ALTERS}) == []


class Workers:
    """One comes back at once whenever it is ended; the other one's statement does not end by itself."""

    def __init__(self) -> None:
        self.looks = 0
        self.killed: list[int] = []

    def sessions(self, _ours: Any) -> list[Session]:
        self.looks += 1
        assert self.looks < 1000, "it goes on for ever"
        pair = (Session(1, "blog", False, 9, True), Session(1 + self.looks, "blog", True, 0, False))
        return [session for session in pair if session.id not in self.killed]

    def kill(self, session: int) -> None:
        self.killed.append(session)


def ending(workers: Any) -> Actions:
    actions = Actions(SimpleNamespace(own_accounts=()), SimpleNamespace())  # type: ignore[arg-type]
    actions._server = workers
    return actions


def test_workers_that_come_back_at_once_are_no_reason_never_to_close() -> None:
    workers = Workers()
    done = ending(workers).kill_sessions(0.02)
    assert done["broken"] == 1 and done["between"] == workers.looks
    assert workers.killed[-2:] == [1, 1 + workers.looks]  # the last pass ends everybody who is there


def test_who_came_back_before_the_database_was_closed_is_ended_after_it() -> None:
    workers = Workers()
    closed: list[int] = []
    server: Any = SimpleNamespace(close_for_writes=lambda wait: closed.append(workers.looks))
    driver = ReadOnly(ending(workers), server, lambda: None, peer_is_dead=False, drain=0, timeout=1)  # type: ignore[arg-type, return-value]
    driver.fence({"was_open": True})
    assert (closed, workers.looks, workers.killed) == ([1], 2, [1, 2, 3])
    driver.fence({"was_open": False})  # a replica's readers stay
    assert workers.looks == 2


def test_administrators_are_not_ended_with_the_applications() -> None:
    server = Server(Database({"user": "root", **OPEN, "modified": 3}, {"user": "blog", **IDLE}))  # type: ignore[arg-type]
    assert [session.user for session in server.sessions(())] == ["blog"]
