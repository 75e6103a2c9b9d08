# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is open again while its replica is dead is open: its commits wait. One that refuses writes never is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, StatementFailed
from ansible_collections.tandem.lemp.plugins.module_utils.hand import actions, canary
from ansible_collections.tandem.lemp.plugins.module_utils.seed.datadir import DataDirectory
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server

SILENT = 2013  # what the library calls a read that takes too long


class Database:
    """Answers what is asked of a server that commits, or does not."""

    def __init__(self, read_only: str = "OFF", waiting: int = 1) -> None:
        self.read_only, self.waiting = read_only, waiting
        self.endpoint = Endpoint(socket="/run/sock")
        self.told: list[str] = []

    def rows(self, statement: str, arguments: Any = ()) -> list[dict[str, Any]]:
        if "VERSION()" in statement:
            return [{"version": "10.11.6-MariaDB", "comment": ""}]
        if "GLOBAL VARIABLES" in statement:
            return [{"Variable_name": "read_only", "Value": self.read_only}, {"Variable_name": "rpl_semi_sync_master_enabled", "Value": "OFF"}]
        if "GLOBAL STATUS" in statement:
            return [{"Variable_name": "Rpl_semi_sync_master_wait_sessions", "Value": str(self.waiting)}]
        self.told.append(statement)
        return []

    def close(self) -> None:
        pass


def hand(monkeypatch: pytest.MonkeyPatch, database: Database, code: int = SILENT, commits: bool = False, datadir: str = "/nowhere") -> actions.Actions:
    class Canary:
        def __init__(self, endpoint: Endpoint) -> None:
            pass

        def rows(self, statement: str, arguments: Any = ()) -> list[dict[str, Any]]:
            if commits:
                return []
            raise StatementFailed("refused", code=code)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

    monkeypatch.setattr(canary, "Connection", Canary)
    config = SimpleNamespace(node=SimpleNamespace(name="node-a"), canary=Endpoint, root=Endpoint, datadir=datadir, semi_sync_timeout=3_600_000)
    made = actions.Actions(config, SimpleNamespace())  # type: ignore[arg-type]
    made._server = Server(database)  # type: ignore[arg-type]
    return made


def test_a_commit_that_waits_for_the_replica_is_open_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said = hand(monkeypatch, Database()).prove_open("undo", may_wait=True)
    assert said == "node-a takes writes, and its commits wait for the replica."


def test_a_commit_that_is_done_needs_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hand(monkeypatch, Database(), commits=True).prove_open("undo", may_wait=True) == ""


@pytest.mark.parametrize(
    ("database", "code", "may_wait"),
    [
        (Database(), SILENT, False),  # before anybody depends on it, and when everything is there
        (Database(waiting=0), SILENT, True),  # something else is in the way
        (Database(read_only="ON"), SILENT, True),
        (Database(read_only="NO_LOCK"), SILENT, True),
        (Database(read_only="ON"), 1290, True),
        (Database(), 1290, True),  # it refuses, whatever else waits there
        (Database(), 1045, True),
    ],
)
def test_whatever_else_is_in_the_way_is_not_open(monkeypatch: pytest.MonkeyPatch, database: Database, code: int, may_wait: bool) -> None:
    with pytest.raises(OperationFailed, match="node-a does not take writes"):
        hand(monkeypatch, database, code).prove_open("undo", may_wait=may_wait)


@pytest.mark.parametrize(("semi_sync", "armed"), [(None, False), (True, True)])
def test_taking_back_leaves_semi_sync_as_it_was(monkeypatch: pytest.MonkeyPatch, semi_sync: bool | None, armed: bool) -> None:
    """Where it was off the pair had gone on without its replica."""
    database = Database()
    hand(monkeypatch, database).open(semi_sync=semi_sync)
    assert ("SET GLOBAL rpl_semi_sync_master_enabled = ON" in database.told) is armed
    assert database.told[-1] == "SET GLOBAL read_only = OFF"


def test_what_is_opened_is_never_given_up_for_what_was_there_before_a_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The copy was killed before it could say that it works."""
    directory = DataDirectory(str(tmp_path))
    (tmp_path / "ibdata1").touch()
    (directory.begin() / "ibdata1").touch()
    directory.swap()
    directory.begin_clone()
    hand(monkeypatch, Database(), datadir=str(tmp_path)).open()
    assert not directory.interrupted() and not directory.clone_broken()
    directory.drop_gone()
    assert list(tmp_path.rglob("ibdata1")) == [tmp_path / "ibdata1"]
