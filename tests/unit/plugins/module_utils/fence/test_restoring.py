# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While a restore works, or has been killed, no agent decides, and nobody opens by taking a fence away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Verdict
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.fence import fencing
from ansible_collections.tandem.lemp.plugins.module_utils.fence.read_only import ReadOnly
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.fence.restoring import (
    Restoring,
    hold,
    release,
    require_unfenced,
)

PLAYBOOKS = Path(__file__).resolve().parents[5] / "playbooks"


class Database(ReadOnly):
    """Closed, and may be opened."""

    def __init__(self) -> None:
        self.closed = True

    def fenced(self) -> bool:
        return self.closed

    def _open(self, *, dry_run: bool) -> Verdict:
        self.closed = dry_run
        return Verdict(True, "node-b is closed for writes.")


@pytest.fixture
def record(tmp_path) -> Record:
    return Record(tmp_path / "fence.json")


def test_held_and_released(record, tmp_path) -> None:
    assert hold(record, dry_run=True) and record.read() == {}
    assert hold(record, dry_run=False)
    assert (tmp_path / "fence.json").exists()
    assert release(record, dry_run=True) and "restore" in record.read()
    assert release(record, dry_run=False)
    assert not (tmp_path / "fence.json").exists()
    assert release(record, dry_run=False) == []


def test_a_restore_that_was_killed_can_be_run_again(record) -> None:
    hold(record, dry_run=False)
    assert hold(record, dry_run=False) == []
    assert release(record, dry_run=False)


def test_a_fence_of_a_person_stays(record) -> None:
    record.keep("read_only", {"was_open": True})
    hold(record, dry_run=False)
    release(record, dry_run=False)
    assert record.read() == {"read_only": {"was_open": True}}


def test_nothing_is_opened_in_the_middle_of_a_restore(record) -> None:
    hold(record, dry_run=False)
    database = Database()
    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"restore works on this node.*restore.yml again.*drivers=restore"):
            fencing.unfence([database], record, dry_run=dry_run)
    assert database.closed and "restore" in record.read()


def test_what_a_killed_restore_left_is_taken_away_and_opens_nothing(record) -> None:
    hold(record, dry_run=False)
    assert fencing.unfence([Restoring(record)], record, dry_run=True).actions == ["forget the restore"]
    done = fencing.unfence([Restoring(record)], record, dry_run=False)
    assert (done.actions, record.read()) == (["forget the restore"], {})
    assert not fencing.unfence([Restoring(record)], record, dry_run=False).changed


def test_with_a_fence_both_can_be_taken_away_at_once(record) -> None:
    hold(record, dry_run=False)
    record.keep("read_only", {"was_open": True})
    database = Database()
    database.replaced = lambda: False  # type: ignore[method-assign]
    fencing.unfence([database, Restoring(record)], record, dry_run=False)
    assert (database.closed, record.read()) == (False, {})


def test_a_restore_is_no_fence(record) -> None:
    with pytest.raises(Refused, match="no fence"):
        fencing.fence([Database(), Restoring(record)], record, dry_run=False)
    assert record.read() == {}


@pytest.mark.parametrize("drivers", [["read_only"], ["grants"], ["grants", "read_only"]])
def test_what_a_person_keeps_closed_is_not_opened(record, drivers) -> None:
    for driver in drivers:
        record.keep(driver, {"was_open": True})
    expected = f"node-a is fenced.*Nothing was changed.*unfence.yml -e node=node-a -e drivers={','.join(drivers)}$"
    with pytest.raises(Refused, match=expected):
        require_unfenced(record, "node-a")
    # A restore has its own record, and goes on.
    hold(record, dry_run=False)
    require_unfenced(record, "node-a")


def test_fences_of_proxies_and_restores_open_as_before(record) -> None:
    require_unfenced(record, "node-a")
    record.keep("haproxy", {})
    record.keep("atlas", {})
    require_unfenced(record, "node-a")
    hold(record, dry_run=False)
    require_unfenced(record, "node-a")


# The runbook.

_CHANGES = {"tandem.lemp.primary", "tandem.lemp.replica"}


def flat(tasks: list[dict[str, Any]], saved: bool = False) -> list[tuple[dict[str, Any], bool]]:
    """Each task but those of a rescue, and whether a rescue around it gives both nodes back."""
    found = []
    for task in tasks:
        if "block" in task:
            gives_back = any(one.get("ansible.builtin.include_tasks") == "tasks/restore_ends.yml" for one in task.get("rescue", []))
            found += flat(task["block"], saved or gives_back)
        else:
            found.append((task, saved))
    return found


def test_the_agents_are_held_from_before_the_closing_to_the_end_whatever_fails() -> None:
    plays = yaml.safe_load((PLAYBOOKS / "restore.yml").read_text(encoding="utf-8"))
    tasks = [pair for play in plays for pair in flat(play.get("tasks", []))]
    held = [number for number, (task, _saved) in enumerate(tasks) if (task.get("tandem.lemp.restore") or {}).get("state") == "held"]
    assert len(held) == 1
    for number, (task, saved) in enumerate(tasks):
        changes = _CHANGES & set(task) or ((task.get("tandem.lemp.restore") or {}).get("state") == "restored" and not task.get("check_mode"))
        if changes:
            assert number > held[0] and saved, task["name"]
    ends = [number for number, (task, _saved) in enumerate(tasks) if task.get("ansible.builtin.include_tasks") == "tasks/restore_ends.yml"]
    assert len(ends) == 1 and ends[0] == len(tasks) - 2, "the last thing but the report"


def test_both_nodes_are_held_and_given_back() -> None:
    ends = yaml.safe_load((PLAYBOOKS / "tasks" / "restore_ends.yml").read_text(encoding="utf-8"))
    plays = yaml.safe_load((PLAYBOOKS / "restore.yml").read_text(encoding="utf-8"))
    begins = [task for play in plays for task, _saved in flat(play.get("tasks", [])) if (task.get("tandem.lemp.restore") or {}).get("state") == "held"]
    for task in (*begins, ends[0]):
        assert (task["delegate_to"], task["loop"]) == ("{{ item }}", "{{ database_group }}")
