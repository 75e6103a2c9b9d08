# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tandem fence: the agent sees it before anything is closed, and playbooks/unfence.yml knows it."""

from __future__ import annotations

import contextlib
import json

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Unreachable
from ansible_collections.tandem.lemp.plugins.module_utils.fence import fencing
from ansible_collections.tandem.lemp.plugins.module_utils.fence.here import close_and_hold
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record

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
