# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new primary does with each scheduled event that waited on it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils import events


class Database:
    """A few events; remembers what becomes of them."""

    def __init__(self, *rows: tuple[str, str, int]) -> None:
        self.events = [{"place": "blog", "name": name, "definer": "blog@localhost", "status": status, "passed": passed} for name, status, passed in rows]
        self.told: list[str] = []

    def rows(self, statement: str, arguments: Any = ()) -> list[dict[str, Any]]:
        if statement.startswith("SELECT"):
            return self.events
        self.told.append(statement)
        return []


@pytest.mark.parametrize("waits", ["SLAVESIDE_DISABLED", "REPLICA_SIDE_DISABLED"])
def test_what_was_off_on_the_old_primary_stays_off(waits: str) -> None:
    database = Database(("tick", waits, 0), ("purge", waits, 0), ("new", waits, 0), ("stuck", waits, 0), ("here", "DISABLED", 0))
    before = {"blog.tick": "ENABLED", "blog.purge": "DISABLED", "blog.stuck": waits}
    said = events.run(database, before)  # type: ignore[arg-type]
    alter = "ALTER DEFINER = `blog`@`localhost` EVENT `blog`."
    assert database.told == [f"{alter}`tick` ENABLE", f"{alter}`purge` DISABLE", f"{alter}`new` ENABLE"]
    assert said == ["blog.tick", "blog.purge (stays off)", "blog.new", "blog.stuck (ran nowhere before: left alone)"]


def test_a_one_time_event_whose_time_has_passed_does_not_run_again() -> None:
    database = Database(("once", "SLAVESIDE_DISABLED", 1), ("tick", "SLAVESIDE_DISABLED", 0))
    assert events.run(database) == ["blog.once (its time has passed: left alone)", "blog.tick"]  # type: ignore[arg-type]
    assert len(database.told) == 1 and "`tick` ENABLE" in database.told[0]


def test_one_that_had_not_run_on_the_old_primary_yet_runs() -> None:
    database = Database(("once", "SLAVESIDE_DISABLED", 1))
    assert events.run(database, {"blog.once": "ENABLED"}) == ["blog.once"]  # type: ignore[arg-type]


def test_a_server_that_follows_leaves_what_runs_and_nothing_else() -> None:
    database = Database(("tick", "ENABLED", 0), ("purge", "DISABLED", 0), ("once", "SLAVESIDE_DISABLED", 1))
    assert events.states(database) == {"blog.tick": "ENABLED", "blog.purge": "DISABLED", "blog.once": "SLAVESIDE_DISABLED"}  # type: ignore[arg-type]
    events.leave(database, "DISABLE ON SLAVE")  # type: ignore[arg-type]
    assert database.told == ["ALTER DEFINER = `blog`@`localhost` EVENT `blog`.`tick` DISABLE ON SLAVE"]
