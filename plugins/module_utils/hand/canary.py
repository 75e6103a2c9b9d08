# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try a write as an application would. A fence that is not tried is a hope."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

from ..connection import Connection, Endpoint
from ..dialect import SCHEMA
from ..errors import StatementFailed, Unreachable

# Refused because the server is closed: read_only, super_read_only, and MariaDB 12's words for it.
_READ_ONLY = (1290, 1836, 4183)
_NO_SUCH_TABLE = 1146
# The library's own number: the answer did not come in time, or the connection broke.
_SILENT = 2013
# Seconds that a commit takes at most which waits for nobody; clients may be held meanwhile.
_COMMIT = 1.0
_TABLE = f"{SCHEMA}.canary"
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {_TABLE} (name VARCHAR(64) NOT NULL PRIMARY KEY, token VARCHAR(64) NOT NULL,"
    " written TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB"
)
_POLL = 0.005
_WRITE = f"INSERT INTO {_TABLE} (name, token) VALUES (%s, %s) ON DUPLICATE KEY UPDATE token = VALUES(token), written = NOW(6)"


def write(endpoint: Endpoint, name: str, token: str) -> dict[str, t.Any]:
    """Returns ``written`` (bool), ``refused`` (bool: because the server is closed), ``silent`` (bool: no answer) and ``reason``."""
    try:
        connection = Connection(endpoint)
    except Unreachable as error:
        return _result(str(error))
    with connection:
        # A commit that waits for a replica must not be waited for longer than the fence is worth.
        for statement, arguments in ((_WRITE, (name, token)), (_CREATE, ()), (_WRITE, (name, token))):
            try:
                connection.rows(statement, arguments)
                if statement is _WRITE:
                    return _result("The write was accepted.", written=True)
            except StatementFailed as error:
                if error.code != _NO_SUCH_TABLE:
                    return _result(_reason(error), refused=error.code in _READ_ONLY, silent=error.code == _SILENT)
    return _result("The table of the canary cannot be made.")


def write_or_wait(endpoint: Endpoint, name: str, token: str, waiting: t.Callable[[], bool] | None) -> dict[str, t.Any]:
    """The same, and ``waits`` (bool: it would be written, and the commit waits for a replica).

    waiting: whether the server takes writes and commits wait; None: that is not good enough. After something was taken back the
    replica may be dead: such a server is open, and whoever looks after semi-sync has to be let go on.
    """
    for patience in (_COMMIT, endpoint.read_timeout) if waiting else (endpoint.read_timeout,):
        seen = write(replace(endpoint, read_timeout=patience), name, token)
        if not seen["silent"]:
            break
        if waiting is not None and waiting():
            return {**seen, "waits": True}
    return {**seen, "waits": False}


def _result(reason: str, *, written: bool = False, refused: bool = False, silent: bool = False) -> dict[str, t.Any]:
    return {"written": written, "refused": refused, "silent": silent, "reason": reason}


def _reason(error: StatementFailed) -> str:
    return "a write as an application was refused: read-only" if error.code in _READ_ONLY else str(error)


def read(connection: Connection, name: str) -> str:
    """The token last written under a name; empty if none."""
    try:
        return str(connection.value(f"SELECT token FROM {_TABLE} WHERE name = %s", [name]) or "")
    except StatementFailed as error:
        if error.code == _NO_SUCH_TABLE:
            return ""
        raise


def arrives(connection: Connection, name: str, token: str, seconds: float) -> bool:
    """Wait for these seconds at most until that token is read here."""
    end = time.monotonic() + seconds
    while read(connection, name) != token:
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True
