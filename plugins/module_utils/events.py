# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled events: the primary runs them, and its replica does not.

Replication makes all of them wait on a replica, those that are switched off too. So only the primary itself knows which of them run.
"""

from __future__ import annotations

import typing as t

from .connection import Connection, Row

_WAITING = ("SLAVESIDE_DISABLED", "REPLICA_SIDE_DISABLED")
# Its time is given in a zone of its own. One that cannot be told counts as passed.
_PASSED = "event_type = 'ONE TIME' AND COALESCE(CONVERT_TZ(execute_at, time_zone, '+00:00') <= UTC_TIMESTAMP(), 1)"


def states(connection: Connection) -> dict[str, str]:
    """Status of every event."""
    return {_name(row): str(row["status"]) for row in _rows(connection)}


def run(connection: Connection, before: t.Mapping[str, str] | None = None) -> list[str]:
    """Run the events that wait here, each as its definer. Returns what became of them, in words.

    before: their status on the server that ran them until now: what was off there is off here. None: it could not be asked; then
    a one-time event whose time has passed is left alone, since it may have run there.
    """
    said = []
    for row in _rows(connection):
        if row["status"] not in _WAITING:
            continue
        name, was = _name(row), (before or {}).get(_name(row))
        if was in _WAITING:
            said.append(f"{name} (ran nowhere before: left alone)")
        elif was == "DISABLED":
            _alter(connection, row, "DISABLE")
            said.append(f"{name} (stays off)")
        elif was is None and row["passed"]:
            said.append(f"{name} (its time has passed: left alone)")
        else:
            _alter(connection, row, "ENABLE")
            said.append(name)
    return said


def leave(connection: Connection, end: str) -> None:
    """Leave to the source what runs here. end: of ALTER EVENT, as this server says it."""
    for row in _rows(connection):
        if row["status"] == "ENABLED":
            _alter(connection, row, end)


def _rows(connection: Connection) -> list[Row]:
    return connection.rows(
        f"SELECT event_schema AS place, event_name AS name, definer AS definer, status AS status, {_PASSED} AS passed FROM information_schema.events"
    )


def _alter(connection: Connection, row: Row, end: str) -> None:
    user, _at, host = str(row["definer"]).rpartition("@")
    # Without DEFINER it would become ours.
    connection.rows(f"ALTER DEFINER = {_quoted(user)}@{_quoted(host)} EVENT {_quoted(str(row['place']))}.{_quoted(str(row['name']))} {end}")


def _name(row: Row) -> str:
    return f"{row['place']}.{row['name']}"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
