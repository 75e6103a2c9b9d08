# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of applications are locked, the canary's among them, which proves it. Exactly those are unlocked again.

Written past the binary log: a lock that replicates would lock the new primary as well.
"""

from __future__ import annotations

import typing as t

from ..connection import Connection, Endpoint
from ..errors import AccessDenied, OperationFailed
from ..gtid import MYSQL
from ..server import Server

_SYSTEM = {"root", "mysql", "mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "debian-sys-maint", "healthcheck", "PUBLIC", ""}
_UNLOCKED = {
    "mysql": "SELECT user AS user, host AS host FROM mysql.user WHERE account_locked = 'N'",
    "mariadb": "SELECT User AS user, Host AS host FROM mysql.global_priv"
    " WHERE COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) = 0 AND COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) = 0",
}


class Accounts:
    """Accounts of this node's server.

    ours: users of the pair itself, which stay unlocked, but for the canary.
    """

    name = "grants"
    sufficient = True

    def __init__(self, root: Endpoint, canary: Endpoint, ours: t.Collection[str], engine: str) -> None:
        self._root = root
        self._canary = canary
        self._spared = (set(ours) | _SYSTEM) - {canary.user}
        self._engine = engine

    def _unlocked(self) -> list[list[str]]:
        with Connection(self._root) as connection:
            rows = connection.rows(_UNLOCKED[self._engine])
        found = [[str(row["user"]), str(row["host"])] for row in rows]
        return sorted(account for account in found if account[0] not in self._spared)

    def fenced(self) -> bool:
        return not self._unlocked()

    def plan(self) -> dict[str, t.Any]:
        return {"accounts": self._unlocked()}

    def fence(self, planned: t.Mapping[str, t.Any]) -> None:
        self._alter(planned["accounts"], "LOCK")
        # A lock does not end what is logged in already.
        server = Server.at(self._root)
        try:
            for session in server.sessions(self._spared):
                server.kill(session.id)
        finally:
            server.close()

    def unfence(self, recorded: t.Mapping[str, t.Any] | None) -> None:
        """Without a record nothing is unlocked: whoever locked an account had a reason."""
        if recorded is not None:
            self._alter(recorded["accounts"], "UNLOCK")

    def _alter(self, accounts: t.Iterable[t.Sequence[str]], what: str) -> None:
        with Connection(self._root) as connection:
            closed = self._engine == MYSQL and bool(connection.value("SELECT @@GLOBAL.super_read_only"))
            connection.rows("SET SESSION sql_log_bin = 0")
            if closed:
                # It would refuse even its administrator. Applications stay out: read_only stays on.
                connection.rows("SET GLOBAL super_read_only = OFF")
            try:
                for user, host in accounts:
                    connection.rows(f"ALTER USER IF EXISTS %s@%s ACCOUNT {what}", [user, host])
            finally:
                if closed:
                    connection.rows("SET GLOBAL super_read_only = ON")

    def prove(self) -> str:
        try:
            Connection(self._canary).close()
        except AccessDenied as error:
            return str(error)
        raise OperationFailed("An account of an application can still log in.", "See playbooks/check.yml.")
