# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy a MySQL server by its CLONE plugin. The server here pulls everything itself, over TLS."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..connection import Connection, Endpoint
from ..errors import OperationFailed, Refused, StatementFailed, TandemError, Unreachable
from ..runner import Service
from ..server import Server

# The copy is complete, but nobody restarts the server for it; or it went away to restart.
_RESTART = (3707, 2006, 2013, 1053)
_POLL = 0.5
_RESTART_TIMEOUT = 180.0
# Engines that keep nothing on the disk of this server.
_WITHOUT_DATA = ("MEMORY", "BLACKHOLE", "FEDERATED")
_SYSTEM_SCHEMAS = ("mysql", "sys", "information_schema", "performance_schema", "ndbinfo")
# Either makes the tables of all schemas visible; the second one lets nobody read them.
_SEES_TABLES = ("SELECT", "REFERENCES")
_NAMED = 5


def size_of(endpoint: Endpoint) -> int:
    """Bytes that the data of this server take."""
    server = Server.at(endpoint)
    try:
        return server.data_size()
    finally:
        server.close()


def require_clonable(donor: Endpoint, name: str) -> None:
    """CLONE copies tables of InnoDB; it makes all others anew, empty, and says nothing. Raises Refused."""
    with Connection(donor) as server:
        grantee = "CONCAT(CHAR(39), REPLACE(CURRENT_USER(), '@', CONCAT(CHAR(39), '@', CHAR(39))), CHAR(39))"
        sees = server.value(
            "SELECT COUNT(*) FROM information_schema.user_privileges"
            f" WHERE privilege_type IN ({_places(_SEES_TABLES)}) AND grantee = {grantee}",
            _SEES_TABLES,
        )
        if not sees:
            raise Refused(
                f"Whether all tables of {name} can be copied is unknown: {donor} may not see which there are.",
                "Nothing was changed. Run playbooks/database.yml, which gives that account its privileges.",
            )
        rows = server.rows(
            "SELECT table_schema AS place, table_name AS name, engine AS engine FROM information_schema.tables"
            f" WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ({_places(_SYSTEM_SCHEMAS)})"
            f" AND engine <> 'InnoDB' AND engine NOT IN ({_places(_WITHOUT_DATA)}) ORDER BY 1, 2",
            [*_SYSTEM_SCHEMAS, *_WITHOUT_DATA],
        )
    if rows:
        named = ", ".join(f"{row['place']}.{row['name']} ({row['engine']})" for row in rows[:_NAMED])
        more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        first = f"{_quoted(str(rows[0]['place']))}.{_quoted(str(rows[0]['name']))}"
        raise Refused(
            f"MySQL copies only tables of InnoDB; these of {name} would be empty in the copy: {named}{more}.",
            f"Nothing was changed. Convert each on the primary: ALTER TABLE {first} ENGINE=InnoDB.",
        )


def _places(values: t.Sequence[str]) -> str:
    return ", ".join(["%s"] * len(values))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def clone(
    here: Endpoint,
    donor: Endpoint,
    service: Service,
    timeout: float,
    clock: t.Callable[[], float],
    pause: t.Callable[[float], None],
) -> None:
    """Replace all data of the server here by the donor's. Called again after a kill, it simply starts over."""
    server = Server.at(replace(here, read_timeout=timeout))
    try:
        # CLONE refuses a server that is closed even for administrators. Applications stay out.
        server.close_for_applications()
        server.clone_from(donor.host, donor.port, donor.user, donor.password)
    except StatementFailed as error:
        if error.code not in _RESTART:
            server.close_for_writes()
            raise OperationFailed(
                f"CLONE from {donor.host} failed: {error}",
                "This server is closed and may be empty now. Mend what it says and run this again.",
            ) from error
    finally:
        server.close()
    _wait_for_restart(here, service, clock, pause)


def _wait_for_restart(here: Endpoint, service: Service, clock: t.Callable[[], float], pause: t.Callable[[float], None]) -> None:
    deadline = clock() + _RESTART_TIMEOUT
    while True:
        try:
            server = Server.at(here)
        except Unreachable as error:
            if clock() > deadline:
                raise OperationFailed("The server did not come back after CLONE.", "See its log.") from error
            # Not every unit restarts a server that stops by itself.
            if not service.active():
                service.start()
            pause(_POLL)
            continue
        try:
            state, number, message = server.clone_result()
        except TandemError as error:
            if clock() > deadline:
                raise OperationFailed(f"The server does not say how CLONE ended: {error}", "See its log.") from error
            pause(_POLL)
            continue
        finally:
            server.close()
        if state == "Completed":
            return
        if state == "Failed" or clock() > deadline:
            raise OperationFailed(f"CLONE ended as {state or 'nothing'}: error {number}, {message}.", "Run this again.")
        pause(_POLL)
