# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tandem fence: the agent sees it before anything is closed, and playbooks/unfence.yml knows it."""

from __future__ import annotations

import contextlib
import json
import types

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node, may_open
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Unreachable
from ansible_collections.tandem.lemp.plugins.module_utils.fence import fencing, here
from ansible_collections.tandem.lemp.plugins.module_utils.fence.here import close_and_hold
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.state import ABSENT, RUNNING, STOPPED, ServerState

from .test_fencing import Database


@pytest.fixture
def record(tmp_path) -> Record:
    return Record(tmp_path / "fence.json")


def fence(record, database, close, is_open=lambda: True, during=lambda: None):
    @contextlib.contextmanager
    def driver():
        during()
        yield database

    return close_and_hold(record, is_open, close, driver)


def test_it_is_written_down_first_and_taken_away_as_the_playbook_does(record, tmp_path) -> None:
    database = Database(closed=False)

    def close() -> str:
        assert json.loads((tmp_path / "fence.json").read_text()) == {"read_only": {"was_open": True}}
        database.closed = True
        return "closed"

    assert fence(record, database, close) == ("closed", "refused")
    done = fencing.unfence([database], record, dry_run=False)
    assert done.actions == ["unfence by read_only"] and database.opened
    assert not (tmp_path / "fence.json").exists()


def test_what_an_operation_opened_meanwhile_is_closed_again(record) -> None:
    database = Database(closed=True)

    def opened() -> None:
        database.closed = False

    fence(record, database, lambda: "closed", during=opened)
    assert database.closed


def test_one_that_does_not_answer_is_not_opened_by_taking_the_fence_away(record) -> None:
    def silent() -> bool:
        raise Unreachable("It does not answer.")

    database = Database(closed=True)
    assert fence(record, database, lambda: "killed", is_open=silent)[0] == "killed"
    fencing.unfence([database], record, dry_run=False)
    assert not database.opened and record.read() == {}


def test_a_server_that_cannot_be_closed_fast_is_closed_by_the_driver(record) -> None:
    database = Database(closed=False)

    def close() -> str:
        raise OperationFailed("There is no process to kill.")

    how, proof = fence(record, database, close)
    assert (how.startswith("There is no process"), proof, database.closed) == (True, "refused", True)


@pytest.mark.parametrize(
    ("state", "log", "opens", "said"),
    [
        (STOPPED, "0-11-100", True, "No database runs on node-b"),
        (STOPPED, "0-12-500", False, "node-b has transactions that node-a lacks"),
        (STOPPED, OperationFailed("It is no binary log."), False, "what it has cannot be seen. It is no binary log."),
        (ABSENT, "", False, "Whether node-b takes writes cannot be seen"),
    ],
)
def test_one_that_was_the_primary_meanwhile_and_stopped_is_compared_by_its_binary_log(monkeypatch, state, log, opens, said) -> None:
    """The node was fenced while it was open; the other one was promoted, wrote, and does not run now."""

    class Hand:
        def __init__(self, *_arguments) -> None:
            self.closed = False

        def greet(self) -> None:
            assert not self.closed

        def call(self, what):
            if what == "observe":
                return {"server": ServerState(state=state, datadir="/var/lib/mysql").as_dict(), "fenced": ["grants"]}
            if isinstance(log, OperationFailed):
                raise log
            return {"executed": log}

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(here, "HandClient", Hand)
    monkeypatch.setattr(here, "peer_command", lambda _peer: ())
    peer = here.look_at_peer(types.SimpleNamespace(engine="mariadb", peer=types.SimpleNamespace(name="node-b", address="192.0.2.2")))
    assert peer.fenced == ("grants",)
    local = Node("node-a", "", ServerState(state=RUNNING, engine="mariadb", read_only=True, gtid="0-11-100", lineage="one"))
    verdict = may_open(local, peer)
    assert (verdict.allowed, said in verdict.reason) == (opens, True), verdict
    assert may_open(local, peer, peer_is_dead=True).allowed
