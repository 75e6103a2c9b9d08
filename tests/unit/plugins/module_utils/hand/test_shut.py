# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary that is cut off closes itself without telling anybody that an unanswered commit is done."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, StatementFailed
from ansible_collections.tandem.lemp.plugins.module_utils.hand import actions, closing
from ansible_collections.tandem.lemp.plugins.module_utils.runner import Result
from ansible_collections.tandem.lemp.plugins.module_utils.state import STOPPED, UNKNOWN, ServerState


class Server:
    """Remembers what it was told. Commits are under way during the first ``busy`` attempts to close it."""

    def __init__(self, busy: int) -> None:
        self.busy, self.told = busy, list[str]()

    def close_for_writes(self, wait: int | None = None) -> None:
        if self.busy:
            self.busy -= 1
            raise StatementFailed("Lock wait timeout exceeded", code=1205)
        self.told.append("closed")

    def sessions(self, _ours: Any) -> list[Any]:
        return [SimpleNamespace(id=7)]

    def kill(self, session: int) -> None:
        self.told.append(f"ended {session}")

    def close(self) -> None:
        pass


def shut(monkeypatch: pytest.MonkeyPatch, server: Server, engine: str = "mariadb") -> tuple[str, list[list[str]]]:
    ran: list[list[str]] = []
    runner = SimpleNamespace(run=lambda argv, **_more: ran.append(argv))
    config = SimpleNamespace(engine=engine, root=Endpoint, own_accounts=(), service="mariadb")
    monkeypatch.setattr(closing.Server, "at", lambda _endpoint: server)
    return actions.Actions(config, runner).shut(0.5)["how"], ran  # type: ignore[arg-type]


def test_nobody_is_ended_before_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(busy=2)
    assert shut(monkeypatch, server) == ("closed", [])
    assert server.told[:2] == ["closed", "ended 7"]


def test_a_server_with_unanswered_commits_is_killed_with_all_its_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(busy=99)
    how, ran = shut(monkeypatch, server)
    assert how == "killed" and ran[0][:3] == ["systemctl", "kill", "--signal=KILL"]
    assert server.told == []


def test_mysql_waits_on_when_a_session_is_killed_so_they_are_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(busy=0)
    shut(monkeypatch, server, "mysql")
    assert server.told == ["ended 7", "closed"]


def test_a_server_that_does_not_answer_is_killed_in_time_however_many_statements_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement may wait for as long as all of them together."""
    released = threading.Event()

    class Hangs(Server):
        def close_for_writes(self, wait: int | None = None) -> None:
            assert released.wait(20)

    how, ran = shut(monkeypatch, Hangs(busy=0))
    assert not released.is_set() and how == "killed" and ran[0][:3] == ["systemctl", "kill", "--signal=KILL"]
    released.set()


class Unit:
    """A unit that systemd goes on waiting for until its processes are killed, and for ever where not even that helps."""

    def __init__(self, hangs: bool, mortal: bool = True) -> None:
        self.hangs, self.mortal, self.ran = hangs, mortal, list[str]()

    def run(self, argv: list[str], timeout: float = 60, check: bool = True) -> Result:
        self.ran.append(argv[1])
        assert not check and timeout <= 30
        if argv[1] == "kill":
            self.hangs = self.hangs and not self.mortal
        return Result(tuple(argv), 124 if self.hangs else 0, "", "")


def stopped(monkeypatch: pytest.MonkeyPatch, unit: Unit) -> list[str]:
    config = SimpleNamespace(root=Endpoint, datadir="/nowhere", service="mariadb", node=SimpleNamespace(name="node-a"))
    monkeypatch.setattr(closing, "look", lambda *_arguments: ServerState(state=UNKNOWN if unit.hangs else STOPPED))
    actions.Actions(config, unit).stop_unit()  # type: ignore[arg-type]
    return unit.ran


def test_a_service_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopped(monkeypatch, Unit(hangs=True)) == ["stop", "kill", "stop"]


def test_a_service_that_stops_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopped(monkeypatch, Unit(hangs=False)) == ["stop"]


def test_a_service_that_not_even_that_stops_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperationFailed, match=r"node-a was stopped and killed, and is unknown. Power that node off"):
        stopped(monkeypatch, Unit(hangs=True, mortal=False))
