# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one server says beyond its ServerState: settings, tables, accounts, transactions, clock. Bounded, and reads only.

Every question is asked on its own. One that is refused leaves None, and its reason under ``unseen``.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import time
import typing as t
from dataclasses import dataclass, field, replace

from .connection import Connection, Endpoint, Row
from .decide import Node
from .dialect import NOW_OF_INNODB, SHOW_VERSION, Dialect
from .errors import AccessDenied, StatementFailed, TandemError, Unreachable
from .gtid import MARIADB
from .machine import disk
from .runner import Runner
from .server import look
from .state import UNKNOWN, ServerState

ANSWERED = "answered"
DENIED = "denied"  # it answered, and refused the account
SILENT = "silent"

# How long one question may take on the server, in seconds, and how many of anything are listed.
_PATIENCE = 5
_MOST = 20
_SETTINGS = (
    "binlog_expire_logs_seconds",
    "binlog_format",
    "binlog_row_image",
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "enforce_gtid_consistency",
    "event_scheduler",
    "expire_logs_days",
    "gtid_domain_id",
    "gtid_mode",
    "gtid_strict_mode",
    "innodb_flush_log_at_trx_commit",
    "innodb_page_size",
    "log_replica_updates",
    "log_slave_updates",
    "lower_case_table_names",
    "master_info_repository",
    "max_connections",
    "relay_log_recovery",
    "replicate_do_db",
    "replicate_do_table",
    "replicate_ignore_db",
    "replicate_ignore_table",
    "replicate_wild_do_table",
    "replicate_wild_ignore_table",
    "report_host",
    "slave_run_triggers_for_rbr",
    "ssl_cert",
    "sync_binlog",
    "system_time_zone",
    "time_zone",
)
_STATUS = (
    "Max_used_connections",
    "Rpl_semi_sync_master_clients",
    "Rpl_semi_sync_source_clients",
    "Ssl_server_not_after",
)
_FILTERS = ("do_db", "ignore_db", "do_table", "ignore_table", "wild_do_table", "wild_ignore_table", "rewrite_db")
# What lets an account write where read_only is on. MariaDB's SUPER contains it until 10.10; both spell it in two ways.
BYPASS = ("SUPER", "READ ONLY ADMIN", "READ_ONLY ADMIN", "CONNECTION ADMIN", "CONNECTION_ADMIN", "SYSTEM_VARIABLES_ADMIN")
_OF_USERS = "NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema', 'ndbinfo', 'tandem')"
_DDL = re.compile(r"(?:\s|/\*.*?\*/)*(ALTER|CREATE|DROP|TRUNCATE|RENAME|OPTIMIZE|REPAIR)\s+(?:ONLINE\s+|OFFLINE\s+)?(\w+)", re.I | re.S)


@dataclass(frozen=True)
class Work:
    """Something that runs on the server now. Never its text, which may hold a password."""

    id: int
    user: str
    seconds: int
    what: str


@dataclass(frozen=True)
class Event:
    """A scheduled event."""

    name: str
    status: str

    @property
    def enabled(self) -> bool:
        return self.status == "ENABLED"

    @property
    def waiting(self) -> bool:
        """Came by replication: it does not run here, and would not after a promotion."""
        return self.status in ("SLAVESIDE_DISABLED", "REPLICA_SIDE_DISABLED")


@dataclass(frozen=True)
class Login:
    """What became of a login as the replication account. allowed None: nobody answered."""

    allowed: bool | None
    may_replicate: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Inspection:
    """One server. None: that could not be seen."""

    access: str = SILENT
    reason: str = ""
    settings: t.Mapping[str, str] = field(default_factory=dict)
    status: t.Mapping[str, str] = field(default_factory=dict)
    filters: t.Mapping[str, str] | None = None
    delay: int | None = None
    engines: tuple[str, ...] | None = None
    used_engines: tuple[str, ...] | None = None
    tables: int | None = None
    without_key: tuple[str, ...] | None = None
    not_innodb: tuple[str, ...] | None = None
    bypass: t.Mapping[str, tuple[str, ...]] | None = None
    transactions: tuple[Work, ...] | None = None
    ddl: tuple[Work, ...] | None = None
    events: tuple[Event, ...] | None = None
    triggers: int | None = None
    clock_offset: float | None = None
    clock_error: float = 0.0
    round_trip_ms: float | None = None
    certificate_ends: str = ""
    disk: t.Mapping[str, int] | None = None
    login: Login | None = None
    unseen: t.Mapping[str, str] = field(default_factory=dict)

    def setting(self, *names: str) -> str | None:
        """The value of a setting under the first of its names that this server knows."""
        return next((self.settings[name] for name in names if name in self.settings), None)

    def number(self, *names: str) -> float | None:
        """The same as a number."""
        try:
            return float(self.setting(*names) or "")
        except ValueError:
            return None


class _Asking:
    """One server that answers, and what it refused to say."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        row = connection.rows(SHOW_VERSION)[0]
        self.say = Dialect.of(str(row["version"]), str(row["comment"]), bool(row.get("performance_schema", True)))
        self.mariadb = self.say.engine == MARIADB
        self.unseen: dict[str, str] = {}
        limit = f"max_statement_time = {_PATIENCE}" if self.mariadb else f"max_execution_time = {1000 * _PATIENCE}"
        self.connection.rows(f"SET SESSION {limit}")

    def rows(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> list[Row]:
        return [{key.lower(): value for key, value in row.items()} for row in self.connection.rows(statement, arguments)]

    def attempt(self, name: str, question: t.Callable[[], t.Any]) -> t.Any:
        try:
            return question()
        except StatementFailed as error:
            self.unseen[name] = error.message
            return None

    def shown(self, what: str, names: t.Sequence[str]) -> dict[str, str]:
        wanted = ", ".join(["%s"] * len(names))
        rows = self.rows(f"SHOW GLOBAL {what} WHERE Variable_name IN ({wanted})", names)
        return {str(row["variable_name"]).lower(): str(row["value"]) for row in rows}

    def filters(self, settings: t.Mapping[str, str]) -> dict[str, str]:
        """Filters of the binary log and of the applier that are set."""
        found = {name: value for name, value in settings.items() if name.startswith("replicate_") and value}
        show = "SHOW BINARY LOG STATUS" if not self.mariadb and self.say.version >= (8, 2, 0) else "SHOW MASTER STATUS"
        for row in self.rows(show):
            found.update({name: str(row[name]) for name in ("binlog_do_db", "binlog_ignore_db") if row.get(name)})
        for row in self.rows(self.say.show_replica_status):
            found.update({f"replicate_{name}": str(row[f"replicate_{name}"]) for name in _FILTERS if row.get(f"replicate_{name}")})
        if not self.mariadb and self.say.version >= (8, 0, 11):
            # Those of a primary, which follows nobody yet; MariaDB has them as variables.
            rows = self.rows("SELECT filter_name AS name, filter_rule AS rule FROM performance_schema.replication_applier_global_filters")
            found.update({str(row["name"]).lower(): str(row["rule"]) for row in rows})
        return found

    def delay(self) -> int | None:
        """Seconds by which the replica is told to stay behind; None when it follows nobody."""
        rows = self.rows(self.say.show_replica_status)
        return int(rows[0].get("sql_delay") or 0) if rows else None

    def engines(self) -> tuple[str, ...]:
        rows = self.rows("SELECT engine, support FROM information_schema.engines")
        return tuple(sorted(str(row["engine"]) for row in rows if row["support"] in ("YES", "DEFAULT")))

    def sees_data(self) -> bool:
        """Tables of sites are listed only for whoever may read them."""
        grantee = "CONCAT(CHAR(39), REPLACE(CURRENT_USER(), '@', CONCAT(CHAR(39), '@', CHAR(39))), CHAR(39))"
        return bool(
            self.rows(
                "SELECT 1 AS yes FROM information_schema.user_privileges"
                f" WHERE privilege_type = 'SELECT' AND grantee = {grantee}"
            )
        )

    def base_tables(self) -> list[tuple[str, str]]:
        """Name and engine of every table of users."""
        rows = self.rows(
            "SELECT table_schema AS a, table_name AS b, engine AS c FROM information_schema.tables"
            f" WHERE table_type = 'BASE TABLE' AND table_schema {_OF_USERS}"
        )
        return sorted((f"{row['a']}.{row['b']}", str(row["c"] or "unknown")) for row in rows)

    def keyed(self) -> set[str]:
        """Tables with a primary key."""
        rows = self.rows(
            "SELECT table_schema AS a, table_name AS b FROM information_schema.table_constraints"
            f" WHERE constraint_type = 'PRIMARY KEY' AND table_schema {_OF_USERS}"
        )
        return {f"{row['a']}.{row['b']}" for row in rows}

    def bypass(self) -> dict[str, tuple[str, ...]]:
        """Accounts that may write where others may not."""
        self.rows("SELECT 1 AS yes FROM mysql.user LIMIT 1")  # refused to whoever would only see itself
        wanted = ", ".join(["%s"] * len(BYPASS))
        found: dict[str, set[str]] = {}
        for row in self.rows(
            f"SELECT grantee, privilege_type FROM information_schema.user_privileges WHERE privilege_type IN ({wanted})", BYPASS
        ):
            account = str(row["grantee"]).replace("'", "")
            found.setdefault(account, set()).add(str(row["privilege_type"]).replace("_", " "))
        return {account: tuple(sorted(privileges)) for account, privileges in sorted(found.items())}

    def threads(self) -> list[Row]:
        return self.rows(
            "SELECT processlist_id AS id, processlist_user AS user, processlist_command AS command,"
            " processlist_time AS seconds, LEFT(processlist_info, 200) AS info"
            " FROM performance_schema.threads WHERE processlist_id IS NOT NULL"
            if self.say.watched_threads
            else "SELECT id, user, command, time AS seconds, LEFT(info, 200) AS info FROM information_schema.processlist"
        )

    def transactions(self) -> tuple[Work, ...]:
        """Open transactions, the oldest first, without those that replication itself has open."""
        others = {row["id"]: row for row in self.threads()}
        rows = self.rows(
            f"SELECT trx_mysql_thread_id AS id, TIMESTAMPDIFF(SECOND, trx_started, {NOW_OF_INNODB}) AS seconds,"
            f" trx_rows_modified AS modified FROM information_schema.innodb_trx ORDER BY trx_started LIMIT {_MOST}"
        )
        found = []
        for row in rows:
            thread = others.get(row["id"])
            if thread is None or thread["user"] == "system user" or not row["id"]:
                continue
            what = f"{row['modified']} rows changed"
            found.append(Work(int(row["id"]), str(thread["user"]), max(0, int(row["seconds"] or 0)), what))
        return tuple(found)

    def ddl(self) -> tuple[Work, ...]:
        """Statements that change the shape of data and run now."""
        found = []
        for row in self.threads():
            match = _DDL.match(str(row["info"] or ""))
            if match is not None and row["user"] != "system user":
                found.append(Work(int(row["id"]), str(row["user"]), int(row["seconds"] or 0), f"{match[1]} {match[2]}".upper()))
        return tuple(found[:_MOST])

    def events(self) -> tuple[Event, ...]:
        """All that run on one of the two: one that is missed here would run on both, or on none."""
        rows = self.rows(
            "SELECT event_schema AS a, event_name AS b, status AS c FROM information_schema.events"
            f" WHERE event_schema {_OF_USERS} AND status <> 'DISABLED' ORDER BY 1, 2"
        )
        return tuple(Event(f"{row['a']}.{row['b']}", str(row["c"]).replace(" ", "_").upper()) for row in rows)

    def triggers(self) -> int:
        where = f"WHERE trigger_schema {_OF_USERS}"
        return int(self.rows(f"SELECT COUNT(*) AS count FROM information_schema.triggers {where}")[0]["count"])

    def clock(self) -> tuple[float, float, float]:
        """Offset to the clock of who asks, how wrong that may be, both in seconds; and the round trip in milliseconds."""
        best: tuple[float, float, float] | None = None
        for _attempt in range(3):
            before, started = time.time(), time.monotonic()
            value = self.rows("SELECT UTC_TIMESTAMP(6) AS moment")[0]["moment"]
            spent = time.monotonic() - started
            moment = value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(str(value))
            offset = moment.replace(tzinfo=datetime.UTC).timestamp() - (before + spent / 2)
            if best is None or spent < 2 * best[1]:
                best = (offset, spent / 2, 1000 * spent)
        return best or (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Address:
    """Where one server of a pair is: what messages call it, how the other one knows it, how to log in here."""

    name: str
    address: str
    endpoint: Endpoint


Looked: t.TypeAlias = "tuple[Node, Inspection]"


def look_at_both(here: Address, there: Address, datadir: str) -> tuple[Looked, Looked]:
    """Look at the server of this machine and at the other one. Whoever takes writes is looked at last.

    So nothing that the primary commits meanwhile is taken for a transaction that only the replica has.
    """
    more_here = inspect(here.endpoint, datadir)
    seen_here = look(here.endpoint, datadir)
    more_there = inspect(there.endpoint)
    seen_there = ServerState(state=UNKNOWN, reason=more_there.reason)
    if more_there.access == ANSWERED:
        seen_there = look(there.endpoint)
    if seen_here.writable:
        seen_here = look(here.endpoint, datadir)
    address = here.address or more_here.setting("report_host") or ""
    return (Node(here.name, address, seen_here), more_here), (Node(there.name, there.address, seen_there), more_there)


def inspect(endpoint: Endpoint, datadir: str = "") -> Inspection:
    """Ask everything. A server that does not answer is an answer too. With datadir the disk of this machine is looked at."""
    space = _space(datadir)
    try:
        connection = Connection(replace(endpoint, read_timeout=2 * _PATIENCE))
    except AccessDenied as error:
        return Inspection(access=DENIED, reason=str(error), disk=space)
    except TandemError as error:
        return Inspection(access=SILENT, reason=str(error), disk=space)
    try:
        seen = replace(_ask(_Asking(connection)), disk=space)
        # Through a socket, without TLS, MariaDB does not tell; the file is on this machine then.
        return seen if seen.certificate_ends or not datadir else replace(seen, certificate_ends=_end_of_certificate(seen.setting("ssl_cert")))
    except TandemError as error:
        return Inspection(access=SILENT, reason=str(error), disk=space)
    finally:
        connection.close()


def _ask(asking: _Asking) -> Inspection:
    settings = asking.shown("VARIABLES", _SETTINGS)
    status = asking.shown("STATUS", _STATUS)
    sees_data = asking.attempt("tables", asking.sees_data)
    tables = asking.attempt("tables", asking.base_tables) if sees_data else None
    keyed = asking.attempt("tables", asking.keyed) if sees_data else None
    clock = asking.attempt("clock", asking.clock)
    if not sees_data:
        asking.unseen.setdefault("tables", f"{asking.connection.endpoint} may not see the tables of the sites.")
    return Inspection(
        access=ANSWERED,
        settings=settings,
        status=status,
        filters=asking.attempt("filters", lambda: asking.filters(settings)),
        delay=asking.attempt("delay", asking.delay),
        engines=asking.attempt("engines", asking.engines),
        used_engines=None if tables is None else tuple(sorted({engine for _name, engine in tables})),
        tables=None if tables is None else len(tables),
        without_key=None if tables is None or keyed is None else tuple(name for name, _engine in tables if name not in keyed),
        not_innodb=None if tables is None else tuple(f"{name} ({engine})" for name, engine in tables if engine != "InnoDB"),
        bypass=asking.attempt("bypass", asking.bypass),
        transactions=asking.attempt("transactions", asking.transactions),
        ddl=asking.attempt("ddl", asking.ddl),
        events=asking.attempt("tables", asking.events) if sees_data else None,
        triggers=asking.attempt("tables", asking.triggers) if sees_data else None,
        clock_offset=clock[0] if clock else None,
        clock_error=clock[1] if clock else 0.0,
        round_trip_ms=round(clock[2], 3) if clock else None,
        certificate_ends=status.get("ssl_server_not_after", ""),
        unseen=asking.unseen,
    )


def left_out(endpoint: Endpoint) -> list[str]:
    """What replication is told to leave out or to delay on one server, in words. Raises what asking it raises."""
    with contextlib.closing(Connection(endpoint)) as connection:
        asking = _Asking(connection)
        found = [f"{name} = {value}" for name, value in sorted(asking.filters(asking.shown("VARIABLES", _SETTINGS)).items())]
        delay = asking.delay()
    return [*found, *([f"it stays {delay} s behind"] if delay else [])]


def try_login(endpoint: Endpoint) -> Login:
    """Log in as the replication account, as the replica does it, and ask what it may."""
    try:
        connection = Connection(endpoint)
    except AccessDenied as error:
        return Login(False, reason=error.message)
    except Unreachable as error:
        return Login(None, reason=error.message)
    try:
        grants = [str(next(iter(row.values()))) for row in connection.rows("SHOW GRANTS")]
    except StatementFailed as error:
        return Login(True, reason=error.message)
    finally:
        connection.close()
    whole = [grant for grant in grants if " ON *.* " in grant]
    return Login(True, any("REPLICATION SLAVE" in grant or "ALL PRIVILEGES" in grant for grant in whole))


def _end_of_certificate(path: str | None) -> str:
    """Until when a certificate of this machine is valid, as its library prints it; empty if that cannot be told."""
    if not path:
        return ""
    return Runner().run(["openssl", "x509", "-noout", "-enddate", "-in", path], _PATIENCE, check=False).stdout.partition("=")[2].strip()


def _space(datadir: str) -> t.Mapping[str, int] | None:
    if not datadir:
        return None
    try:
        return disk(datadir)
    except OSError:
        return None
