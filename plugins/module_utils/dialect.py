# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every statement and column name that differs between MySQL 5.7 to 9.x and MariaDB 10.5 to 12."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .errors import TandemError
from .gtid import MARIADB, MYSQL

Version = tuple[int, int, int]
_VERSION = re.compile(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)", re.ASCII)

# Our own schema: who these data are (see Server.write_lineage), later the canary.
SCHEMA = "tandem"

# Variables observed in one statement; those of the other engine are simply not there.
VARIABLES = (
    "version",
    "version_comment",
    "hostname",
    "port",
    "server_id",
    "server_uuid",
    "datadir",
    "pid_file",
    "log_bin",
    "log_slave_updates",
    "log_replica_updates",
    "read_only",
    "super_read_only",
    "report_host",
    "gtid_mode",
    "gtid_strict_mode",
    "gtid_domain_id",
    "gtid_executed",
    "gtid_purged",
    "gtid_binlog_state",
    "gtid_slave_pos",
    "rpl_semi_sync_source_enabled",
    "rpl_semi_sync_replica_enabled",
    "rpl_semi_sync_master_enabled",
    "rpl_semi_sync_slave_enabled",
    "rpl_semi_sync_source_timeout",
    "rpl_semi_sync_master_timeout",
    "rpl_semi_sync_source_wait_no_replica",
    "rpl_semi_sync_master_wait_no_slave",
)
STATUS = (
    "Uptime",
    "Rpl_semi_sync_source_status",
    "Rpl_semi_sync_source_clients",
    "Rpl_semi_sync_source_wait_sessions",
    "Rpl_semi_sync_replica_status",
    "Rpl_semi_sync_master_status",
    "Rpl_semi_sync_master_clients",
    "Rpl_semi_sync_master_wait_sessions",
    "Rpl_semi_sync_slave_status",
)

# InnoDB tells when a transaction began in the zone of the machine, whatever zone sessions have.
NOW_OF_INNODB = "CONVERT_TZ(NOW(6), @@session.time_zone, 'SYSTEM')"

# What SHOW REPLICA STATUS calls it in new words; the old ones are derived (Source -> Master, Replica -> Slave).
_NEW_TO_OLD = (("Source", "Master"), ("Replica", "Slave"))


SHOW_VERSION = "SELECT VERSION() AS version, @@version_comment AS comment, @@performance_schema AS performance_schema"


@dataclass(frozen=True)
class Dialect:
    """How one server speaks."""

    engine: str
    version: Version
    performance_schema: bool = True

    @classmethod
    def of(cls, version: str, comment: str = "", performance_schema: bool = True) -> Dialect:
        """Recognise a server by what it says of itself. performance_schema: whether it is on; its tables are empty otherwise."""
        match = _VERSION.match(version)
        if match is None:
            raise TandemError(f"{version[:60]!r} is not a version of MySQL or MariaDB.")
        engine = MARIADB if "mariadb" in (version + comment).lower() else MYSQL
        return cls(engine, (int(match[1]), int(match[2]), int(match[3])), performance_schema)

    @property
    def series(self) -> str:
        """Servers of one series can be copied from one another."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def new_words(self) -> bool:
        """MySQL: SOURCE and REPLICA. MariaDB keeps MASTER and SLAVE everywhere."""
        return self.engine == MYSQL and self.version >= (8, 0, 23)

    def _word(self, new: str, old: str) -> str:
        return new if self.new_words else old

    @property
    def show_replica_status(self) -> str:
        return self._word("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")

    @property
    def start_replica(self) -> str:
        return self._word("START REPLICA", "START SLAVE")

    @property
    def stop_replica(self) -> str:
        return self._word("STOP REPLICA", "STOP SLAVE")

    @property
    def stop_applying(self) -> str:
        return self._word("STOP REPLICA SQL_THREAD", "STOP SLAVE SQL_THREAD")

    @property
    def boot_switch(self) -> str:
        """The variable that keeps replication from starting with the server and outlasts a crash (MySQL 8.0.26). Empty: there is none."""
        return "skip_replica_start" if self.engine == MYSQL and self.version >= (8, 0, 26) else ""

    @property
    def forget_source(self) -> str:
        return self._word("RESET REPLICA ALL", "RESET SLAVE ALL")

    @property
    def forget_binlog(self) -> str:
        if self.engine == MYSQL and self.version >= (8, 2, 0):
            return "RESET BINARY LOGS AND GTIDS"
        return "RESET MASTER"

    @property
    def leave_event(self) -> str:
        """The end of ALTER EVENT that leaves it to the source."""
        return "DISABLE ON REPLICA" if self.engine == MYSQL and self.version >= (8, 2, 0) else "DISABLE ON SLAVE"

    def change_source(self, options: t.Mapping[str, t.Any]) -> tuple[str, list[t.Any]]:
        """The statement that names the source, with its arguments. Options are named in new words."""
        head = self._word("CHANGE REPLICATION SOURCE TO", "CHANGE MASTER TO")
        named = {name if self.new_words else _old(name).upper(): value for name, value in options.items()}
        return f"{head} " + ", ".join(f"{name} = %s" for name in named), list(named.values())

    @property
    def follow_gtid(self) -> str:
        """The rest of that statement: follow by GTID, never by file and offset."""
        return f"{self._word('SOURCE', 'MASTER')}_AUTO_POSITION = 1" if self.engine == MYSQL else "MASTER_USE_GTID = slave_pos"

    def column(self, row: t.Mapping[str, t.Any], name: str) -> t.Any:
        """A column of SHOW REPLICA STATUS by its new name, whatever this server calls it."""
        return row.get(name, row.get(_old(name)))

    def semi_sync(self, values: t.Mapping[str, t.Any], side: str, what: str) -> tuple[str, t.Any] | None:
        """Name and value of a semi-sync variable or status; side is source or replica. None: not loaded."""
        old = {"source": "master", "replica": "slave"}[side]
        for name in (f"rpl_semi_sync_{side}_{what}", f"rpl_semi_sync_{old}_{what}"):
            for key, value in values.items():
                if key.lower() == name:
                    return name, value
        return None

    def waits_alone(self, values: t.Mapping[str, t.Any]) -> tuple[str, t.Any] | None:
        """MySQL: name and value of the variable that says whether commits wait although no replica is there.

        It takes the part of "enabled" in a change of roles: the thread that reads acknowledgements needs up to a second to end,
        and MySQL holds the lock of global variables meanwhile; nobody can log in, and no replica can connect.
        """
        if self.engine == MARIADB:
            return None
        names = ("rpl_semi_sync_source_wait_no_replica", "rpl_semi_sync_master_wait_no_slave")
        return next(((name, values[name]) for name in names if name in values), None)

    @property
    def tablespaces(self) -> str:
        """The table of information_schema that tells how large every file of InnoDB is."""
        return "innodb_tablespaces" if self.engine == MYSQL and self.version >= (8, 0, 0) else "innodb_sys_tablespaces"

    @property
    def redo_size(self) -> str:
        """Bytes of InnoDB's redo log, as an expression."""
        if self.engine == MARIADB:
            return "@@innodb_log_file_size"
        return "@@innodb_redo_log_capacity" if self.version >= (8, 0, 30) else "@@innodb_log_file_size * @@innodb_log_files_in_group"

    @property
    def watched_threads(self) -> bool:
        """MySQL: performance_schema.threads tells of all without a lock that everybody needs."""
        return self.engine == MYSQL and self.performance_schema

    @property
    def show_sessions(self) -> str:
        """Id, user, command, seconds, statement, whether a transaction is open and how many rows it has changed, of every session."""
        table = "information_schema.processlist"
        if self.engine == MYSQL and self.version >= (8, 0, 22) and self.performance_schema:
            table = "performance_schema.processlist"
        seconds = "p.time_ms / 1000" if self.engine == MARIADB else "p.time"
        return (
            f"SELECT p.id AS id, p.user AS user, p.command AS command, {seconds} AS seconds, p.info AS statement,"
            " x.trx_mysql_thread_id IS NOT NULL AS in_transaction,"
            f" TIMESTAMPDIFF(MICROSECOND, x.trx_started, {NOW_OF_INNODB}) / 1000000 AS transaction_seconds, x.trx_rows_modified AS modified FROM {table} p"
            " LEFT JOIN information_schema.innodb_trx x ON x.trx_mysql_thread_id = p.id"
            " WHERE p.command NOT LIKE 'Binlog Dump%' AND p.id <> CONNECTION_ID()"
        )

    @property
    def stop_at_statement(self) -> str:
        """Waits until the applier has come to a set; 0: it has."""
        return (
            "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)" if self.engine == MYSQL else "SELECT MASTER_GTID_WAIT(%s, %s)"
        )


def _old(name: str) -> str:
    for new, old in _NEW_TO_OLD:
        name = name.replace(new, old).replace(new.upper(), old.upper())
    return name
