# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of a server, at one moment. Immutable; what could not be seen is None, or state "unknown"."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass, fields

from .gtid import MARIADB, GtidSet

RUNNING = "running"  # it answered
STOPPED = "stopped"  # this machine has a data directory, and no server runs on it
ABSENT = "absent"  # this machine has no data directory
UNKNOWN = "unknown"  # it could not be asked


@dataclass(frozen=True)
class Replication:
    """The source that a server is told to follow, and how that goes."""

    source_host: str
    source_port: int = 3306
    source_user: str = ""
    source_id: int = 0
    source_uuid: str = ""
    follows_gtid: bool = True
    tls: bool = False
    tls_verified: bool = False
    tls_ca: str = ""
    connect_retry: int = 60
    io_running: bool = False
    io_connected: bool = False
    io_errno: int = 0
    io_error: str = ""
    sql_running: bool = False
    sql_errno: int = 0
    sql_error: str = ""
    lag_seconds: int | None = None
    retrieved: str = ""

    @property
    def running(self) -> bool:
        """Somebody wants it to run, whether or not the source is there at the moment."""
        return self.io_running and self.sql_running

    @property
    def healthy(self) -> bool:
        return self.io_connected and self.sql_running


@dataclass(frozen=True)
class Session:
    """One client of a server. seconds: how long it has been in its present state."""

    id: int
    user: str
    idle: bool
    seconds: float
    in_transaction: bool
    statement: str = ""
    transaction_seconds: float | None = None

    @classmethod
    def from_row(cls, row: t.Mapping[str, t.Any]) -> Session:
        """A row of Dialect.show_sessions."""
        return cls(
            id=int(row["id"]),
            user=str(row["user"]),
            idle=str(row["command"]) == "Sleep",
            seconds=float(row["seconds"] or 0),
            in_transaction=bool(row["in_transaction"]),
            statement=str(row["statement"] or "")[:200],
            transaction_seconds=None if row["transaction_seconds"] is None else float(row["transaction_seconds"]),
        )

    @property
    def between(self) -> bool:
        """Nothing is lost if it is closed now."""
        return self.idle and not self.in_transaction


@dataclass(frozen=True)
class ServerState:
    """One server."""

    state: str = UNKNOWN
    reason: str = ""
    engine: str = ""
    version: str = ""
    hostname: str = ""
    port: int = 3306
    server_id: int = 0
    server_uuid: str = ""
    datadir: str = ""
    started: float = 0.0
    log_bin: bool = False
    read_only: bool | None = None
    super_read_only: bool | None = None
    gtid: str = ""
    gtid_purged: str = ""
    replication: Replication | None = None
    semi_sync_source: bool | None = None
    semi_sync_replica: bool | None = None
    semi_sync_active: bool = False
    replicas: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    lineage: str = ""

    @property
    def running(self) -> bool:
        return self.state == RUNNING

    @property
    def writable(self) -> bool:
        return self.running and self.read_only is False

    @property
    def virgin(self) -> bool:
        """Nothing that anybody could miss: no schemas of users, no data of a pair, no source."""
        if self.state == ABSENT:
            return True
        return self.running and not self.schemas and not self.lineage and self.replication is None

    @property
    def transactions(self) -> GtidSet:
        return GtidSet.parse(self.gtid, self.engine or MARIADB)

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data for a result: what from_dict() reads, and the conclusions."""
        data = asdict(self)
        for name in ("replicas", "schemas"):
            data[name] = list(data[name])
        if self.replication is not None:
            data["replication"]["healthy"] = self.replication.healthy
        return {**data, "writable": self.writable, "virgin": self.virgin}

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> ServerState:
        """Read back what as_dict() wrote; whatever else is in there is left alone."""
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        for name in ("replicas", "schemas"):
            known[name] = tuple(known.get(name) or ())
        seen = known.get("replication")
        if isinstance(seen, t.Mapping):
            names = {field.name for field in fields(Replication)}
            known["replication"] = Replication(**{str(key): value for key, value in seen.items() if key in names})
        return cls(**known)
