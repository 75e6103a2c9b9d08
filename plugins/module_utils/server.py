# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One database server: what it is (observe), and the few things that change its role. Nothing here decides."""

from __future__ import annotations

import time
import typing as t
import uuid
from pathlib import Path

from . import events
from .connection import Connection, Endpoint, Row
from .dialect import SCHEMA, SHOW_VERSION, STATUS, VARIABLES, Dialect
from .errors import AccessDenied, OperationFailed, StatementFailed, Unreachable
from .gtid import MARIADB, MYSQL, GtidSet
from .process import started
from .state import ABSENT, RUNNING, STOPPED, UNKNOWN, Replication, ServerState, Session

_SYSTEM_SCHEMAS = {"mysql", "sys", "information_schema", "performance_schema", "ndbinfo", SCHEMA}
_NO_SUCH_TABLE = (1049, 1146)
_NO_SUCH_THREAD = 1094
_LOCK_WAIT = 1205
# Seconds for which closing waits for what has written and not committed; others wait meanwhile.
_CLOSE_LOCK = 5
_ADMINISTRATORS = ("root", "debian-sys-maint")
_SERVERS_OWN = (*_ADMINISTRATORS, "system user", "event_scheduler", "unauthenticated user", "mysql.session", "mysql.sys", "")
_TRANSACTIONS = ("gtid_executed", "gtid_binlog_state", "gtid_slave_pos")
_LOOK_PAUSE = 0.003
_DUMPS = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"
# A thread that waits for an answer looks whether replication still runs at least this often.
_LOOK_EVERY = 5


class Server:
    """A server that answers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._here = bool(connection.endpoint.socket)
        row = connection.rows(SHOW_VERSION)[0]
        self.dialect = Dialect.of(str(row["version"]), str(row["comment"]), bool(row.get("performance_schema", True)))

    @classmethod
    def at(cls, endpoint: Endpoint) -> Server:
        return cls(Connection(endpoint))

    def close(self) -> None:
        self._connection.close()

    def observe(self) -> ServerState:
        """Everything that decisions need, in a handful of statements."""
        say = self.dialect
        v = self._shown("SHOW GLOBAL VARIABLES", VARIABLES)
        status = self._shown("SHOW GLOBAL STATUS", STATUS)
        replica_status = self._connection.rows(say.show_replica_status)
        schemas = [str(next(iter(row.values()))) for row in self._connection.rows("SHOW DATABASES")]
        source_waits = self._waits_for_replicas(v)
        replica_on = say.semi_sync(v, "replica", "enabled")
        clients = say.semi_sync(status, "source", "clients")
        active = say.semi_sync(status, "source", "status")
        return ServerState(
            state=RUNNING,
            engine=say.engine,
            version=".".join(map(str, say.version)),
            hostname=str(v.get("hostname", "")),
            port=int(v.get("port", 3306)),
            server_id=int(v.get("server_id", 0)),
            server_uuid=str(v.get("server_uuid", "")),
            datadir=str(v.get("datadir", "")),
            started=started(str(v.get("pid_file", "")), str(v.get("datadir", ""))) if self._here else 0.0,
            log_bin=_on(v.get("log_bin")),
            read_only=_on(v.get("read_only")),
            super_read_only=_on(v["super_read_only"]) if "super_read_only" in v else None,
            gtid=str(self._transactions(v)),
            gtid_purged=str(v.get("gtid_purged", "")).replace("\n", ""),
            replication=self._replication(replica_status[0]) if replica_status else None,
            semi_sync_source=source_waits,
            semi_sync_replica=_on(replica_on[1]) if replica_on else None,
            semi_sync_active=bool(active and _on(active[1]) and clients and int(clients[1]) > 0),
            replicas=self._connected_replicas(),
            schemas=tuple(sorted(name for name in schemas if _of_users(name))),
            lineage=self._lineage() if SCHEMA in schemas else "",
        )

    def _waits_for_replicas(self, v: t.Mapping[str, t.Any]) -> bool | None:
        """Is the source's side of semi-sync on? None: it is not loaded."""
        enabled, alone = self.dialect.semi_sync(v, "source", "enabled"), self.dialect.waits_alone(v)
        if enabled is None:
            return None
        return _on(enabled[1]) and (alone is None or _on(alone[1]))

    def _shown(self, statement: str, names: t.Sequence[str]) -> dict[str, t.Any]:
        wanted = ", ".join(["%s"] * len(names))
        rows = self._connection.rows(f"{statement} WHERE Variable_name IN ({wanted})", names)
        return {row["Variable_name"].lower(): row["Value"] for row in rows}

    def _transactions(self, v: t.Mapping[str, t.Any]) -> GtidSet:
        if self.dialect.engine == MYSQL:
            return GtidSet.parse(str(v.get("gtid_executed", "")), MYSQL)
        # With log_slave_updates everything applied is in the binary log; right after a copy only the position knows.
        return GtidSet.parse(str(v.get("gtid_binlog_state", "")), MARIADB) | GtidSet.parse(
            str(v.get("gtid_slave_pos", "")), MARIADB
        )

    def _replication(self, row: Row) -> Replication:
        def seen(name: str, default: t.Any = "") -> t.Any:
            value = self.dialect.column(row, name)
            return default if value is None else value

        mariadb = self.dialect.engine == MARIADB
        lag = self.dialect.column(row, "Seconds_Behind_Source")
        return Replication(
            source_host=str(seen("Source_Host")),
            source_port=int(seen("Source_Port", 3306)),
            source_user=str(seen("Source_User")),
            source_id=int(seen("Source_Server_Id", 0)),
            source_uuid=str(seen("Source_UUID")),
            follows_gtid=seen("Using_Gtid") == "Slave_Pos" if mariadb else int(seen("Auto_Position", 0)) == 1,
            tls=seen("Source_SSL_Allowed") == "Yes",
            tls_verified=seen("Source_SSL_Verify_Server_Cert") == "Yes",
            tls_ca=str(seen("Source_SSL_CA_File")),
            connect_retry=int(seen("Connect_Retry", 60)),
            io_running=seen("Replica_IO_Running", "No") != "No",
            io_connected=seen("Replica_IO_Running") == "Yes",
            io_errno=int(seen("Last_IO_Errno", 0)),
            io_error=str(seen("Last_IO_Error")),
            sql_running=seen("Replica_SQL_Running") == "Yes",
            sql_errno=int(seen("Last_SQL_Errno", 0)),
            sql_error=str(seen("Last_SQL_Error")),
            lag_seconds=None if lag is None else int(lag),
            retrieved=str(seen("Gtid_IO_Pos" if mariadb else "Retrieved_Gtid_Set")).replace("\n", ""),
        )

    def _connected_replicas(self) -> tuple[str, ...]:
        rows = self._connection.rows(
            "SELECT DISTINCT processlist_host AS host FROM performance_schema.threads"
            " WHERE processlist_command LIKE 'Binlog Dump%'"
            if self.dialect.watched_threads
            else "SELECT DISTINCT SUBSTRING_INDEX(host, ':', 1) AS host FROM information_schema.processlist"
            " WHERE command LIKE 'Binlog Dump%'"
        )
        return tuple(sorted(str(row["host"]) for row in rows))

    def end_dumps(self, seconds: float) -> bool:
        """End the threads that send the binary log, and wait until they are gone. False: some still are."""
        ended: set[int] = set()
        deadline = time.monotonic() + seconds
        while dumps := [int(row["id"]) for row in self._connection.rows(_DUMPS)]:
            for dump in dumps:
                if dump not in ended:
                    self.kill(dump)
                    ended.add(dump)
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_PAUSE)
        return True

    def rotate_binlog(self) -> None:
        """Begin a new binary log: a replica that comes is served from the beginning of a file."""
        self._run("FLUSH LOCAL BINARY LOGS")

    def _lineage(self) -> str:
        try:
            return str(self._connection.value(f"SELECT id FROM {SCHEMA}.lineage ORDER BY created, id LIMIT 1") or "")
        except StatementFailed as error:
            if error.code in _NO_SUCH_TABLE:
                return ""
            raise

    def data_size(self) -> int:
        """Bytes that a copy of this server needs, redo log and all: rather too much than too little."""
        tables = self._connection.value(f"SELECT SUM(file_size) FROM information_schema.{self.dialect.tablespaces}")
        others = self._connection.value(
            "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE engine <> 'InnoDB'"
        )
        redo = self._connection.value(f"SELECT {self.dialect.redo_size}")
        return int(tables or 0) + int(others or 0) + int(redo or 0)

    # What changes the role.

    def close_for_writes(self, wait: int = _CLOSE_LOCK) -> None:
        """Nobody but this pair's own accounts can write afterwards; on MySQL not even they.

        wait: seconds after which the server itself gives up waiting for transactions that have written.
        A wait that only the client ends would go on inside the server and block everybody (its lock is queued).
        """
        self._connection.rows("SET SESSION lock_wait_timeout = %s", [wait])
        try:
            self._run("SET GLOBAL read_only = ON")
            if self.dialect.engine == MYSQL:
                self._run("SET GLOBAL super_read_only = ON")
        except StatementFailed as error:
            if error.code != _LOCK_WAIT or not wait:
                raise
            raise StatementFailed(
                f"It was not closed for writes within {wait} s: {self._in_the_way()}.", "Let that end, or end it (KILL).", error.code
            ) from error

    def _in_the_way(self) -> str:
        """Whose transactions or locks closing waits for, as far as can be told."""
        rows = self._connection.rows(self.dialect.show_sessions)
        told = [
            f"session {row['id']} of {row['user']}, a transaction open for {row['transaction_seconds'] or 0:.0f} s"
            for row in rows
            if row["in_transaction"] and str(row["user"]) != "system user"
        ]
        return "; ".join(told[:3]) or "somebody holds a lock (LOCK TABLES, a backup, or a statement that runs)"

    def close_for_applications(self) -> None:
        """Ordinary accounts may not write; administrators may."""
        self._run("SET GLOBAL read_only = ON")
        if self.dialect.engine == MYSQL:
            self._run("SET GLOBAL super_read_only = OFF")

    def open_for_writes(self) -> None:
        self._run("SET GLOBAL read_only = OFF")

    def set_semi_sync(self, *, replica: bool, source: bool | None = None, timeout: int = 0) -> None:
        """Only the side that belongs to the role: a replica that waits for its own replica would wait for ever.

        source: None leaves that side as it is. timeout: milliseconds that a commit waits for the replica before the server goes
        on without it by itself; 0 leaves it as it is.
        """
        seen = self._shown("SHOW GLOBAL VARIABLES", VARIABLES)
        on_source, alone = self.dialect.semi_sync(seen, "source", "enabled"), self.dialect.waits_alone(seen)
        wanted = [(self.dialect.semi_sync(seen, "replica", "enabled"), replica)]
        if source:
            patience = self.dialect.semi_sync(seen, "source", "timeout")
            if timeout and patience is not None and int(patience[1]) != timeout:
                self._run(f"SET GLOBAL {patience[0]} = {int(timeout)}")
            wanted += [(alone, True), (on_source, True)]
        elif source is not None:
            # Where "alone" takes its part, "enabled" stays as it is.
            wanted += [(alone or on_source, False)]
        for variable, value in wanted:
            if variable is not None and _on(variable[1]) != value:
                self._run(f"SET GLOBAL {variable[0]} = {'ON' if value else 'OFF'}")

    def stop_replica(self) -> None:
        self._run(self.dialect.stop_replica)

    def stop_applying(self) -> None:
        """Nothing of the source arrives in the data any more. At once, even while the other thread is connecting to a dead machine."""
        self._run(self.dialect.stop_applying)

    def start_replica(self) -> None:
        self._run(self.dialect.start_replica)

    def start_at_boot(self, yes: bool) -> None:
        """Whether replication starts together with the server, where that can be switched."""
        if switch := self.dialect.boot_switch:
            self._run(f"RESET PERSIST IF EXISTS {switch}" if yes else f"SET PERSIST_ONLY {switch} = ON")

    def forget_source(self) -> None:
        self._run(self.dialect.forget_source)

    def set_source(self, options: t.Mapping[str, t.Any]) -> None:
        statement, arguments = self.dialect.change_source(options)
        self._connection.rows(f"{statement}, {self.dialect.follow_gtid}", arguments)

    def set_position(self, transactions: GtidSet) -> None:
        """MariaDB: from here on the replica asks for what comes after these."""
        self._connection.rows("SET GLOBAL gtid_slave_pos = %s", [transactions.position()])

    def begin_binlog(self, transactions: GtidSet) -> None:
        """MariaDB, after a copy: an empty binary log that knows what came before it."""
        self._run(self.dialect.forget_binlog)
        self._connection.rows("SET GLOBAL gtid_binlog_state = %s", [transactions.newest_last()])

    def write_lineage(self, created_on: str) -> str:
        """A name for these data. Every copy carries it, so two servers can tell that their histories are one."""
        name = str(uuid.uuid4())
        self._run(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}")
        self._run(
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.lineage (id CHAR(36) NOT NULL PRIMARY KEY,"
            " created TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, created_on VARCHAR(255) NOT NULL) ENGINE=InnoDB"
        )
        self._connection.rows(f"INSERT INTO {SCHEMA}.lineage (id, created_on) VALUES (%s, %s)", [name, created_on])
        return name

    def executed(self) -> GtidSet:
        """The transactions of this server, and nothing else: what is asked while clients wait."""
        return self._transactions(self._shown("SHOW GLOBAL VARIABLES", _TRANSACTIONS))

    def has_source(self) -> bool:
        """True if it is told to replicate from somebody, running or not."""
        return bool(self._connection.rows(self.dialect.show_replica_status))

    def semi_sync_clients(self) -> int:
        """Replicas that acknowledge what this server commits."""
        clients = self.dialect.semi_sync(self._shown("SHOW GLOBAL STATUS", STATUS), "source", "clients")
        return int(clients[1]) if clients else 0

    def waits_for_replica(self) -> bool:
        """True: it takes writes, and commits wait in vain for a replica to have them at this moment."""
        seen = self._shown("SHOW GLOBAL VARIABLES", ("read_only",))
        waiting = self.dialect.semi_sync(self._shown("SHOW GLOBAL STATUS", STATUS), "source", "wait_sessions")
        return not _on(seen.get("read_only", "ON")) and waiting is not None and int(waiting[1]) > 0

    def sessions(self, ours: t.Collection[str]) -> list[Session]:
        """Whoever is logged in, but for the server itself, its administrators and the accounts given."""
        found = [Session.from_row(row) for row in self._connection.rows(self.dialect.show_sessions)]
        return [session for session in found if session.user not in ours and session.user not in _SERVERS_OWN]

    def administrators(self) -> list[Session]:
        """The others who are logged in as an administrator. How long their transactions are open is told of those that have written.

        MariaDB's read_only does not stop these. A dump, and whatever else only reads in one transaction, is in nobody's way.
        """
        rows = self._connection.rows(self.dialect.show_sessions)
        return [
            Session.from_row(row if row["modified"] else {**row, "transaction_seconds": None}) for row in rows if str(row["user"]) in _ADMINISTRATORS
        ]

    def kill(self, session: int) -> None:
        """End one session; it may have ended by itself."""
        try:
            self._run(f"KILL {int(session)}")
        except StatementFailed as error:
            if error.code != _NO_SUCH_THREAD:
                raise

    def wait_for(self, transactions: GtidSet, timeout: float, clock: t.Callable[[], float] = time.monotonic) -> bool:
        """Wait until these are applied here. False: they are not, after so many seconds."""
        deadline = clock() + timeout
        while not self.executed().reached(transactions):
            left = deadline - clock()
            if left <= 0:
                return False
            # The wait of the server has whole seconds; clients wait.
            time.sleep(min(left, _LOOK_PAUSE))
        return True

    def binlogs(self) -> list[str]:
        """Paths of the binary logs, the oldest first."""
        base = Path(str(self._connection.value("SELECT @@log_bin_basename")))
        return [str(base.parent / str(row["Log_name"])) for row in self._connection.rows("SHOW BINARY LOGS")]

    def columns(self, schema: str, table: str) -> list[str]:
        """Names of a table's columns in order; empty if it is not there any more."""
        rows = self._connection.rows(
            "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
            " ORDER BY ordinal_position",
            [schema, table],
        )
        return [str(row["name"]) for row in rows]

    def stored_password(self) -> str | None:
        """The password with which this server logs in at its source; None: it cannot be read."""
        try:
            if self.dialect.engine == MYSQL:
                value = self._connection.value("SELECT user_password FROM mysql.slave_master_info WHERE channel_name = ''")
                return None if value is None else str(value)
            lines = (Path(self._datadir()) / "master.info").read_text(encoding="utf-8").splitlines()
            # Their number, file, offset, host, user, password.
            return lines[5]
        except (StatementFailed, OSError, IndexError):
            return None

    def _datadir(self) -> str:
        return str(self._connection.value("SELECT @@datadir"))

    def clone_from(self, host: str, port: int, user: str, password: str) -> None:
        """MySQL: replace all data by a copy of another server's. The server restarts itself, or stops, afterwards."""
        self._connection.rows("SET GLOBAL clone_valid_donor_list = %s", [f"{host}:{port}"])
        self._connection.rows(
            "CLONE INSTANCE FROM %s@%s:" + str(int(port)) + " IDENTIFIED BY %s REQUIRE SSL", [user, host, password]
        )

    def clone_result(self) -> tuple[str, int, str]:
        """MySQL: state, error number and message of the last clone."""
        rows = self._connection.rows("SELECT state, error_no, error_message FROM performance_schema.clone_status")
        if not rows:
            return "", 0, ""
        row = {name.lower(): value for name, value in rows[0].items()}
        return str(row["state"]), int(row["error_no"]), str(row["error_message"])

    # Scheduled events: the primary runs them, and its replica does not.

    def events(self) -> dict[str, str]:
        """Their status by name."""
        return events.states(self._connection)

    def run_events(self, before: t.Mapping[str, str] | None = None) -> list[str]:
        """Run those that came by replication. See events.run."""
        return events.run(self._connection, before)

    def leave_events(self) -> None:
        """Leave to the source what this server would run. A copy of a primary would. Not replicated."""
        if "ENABLED" not in self.events().values():
            return
        self.close_for_applications()
        self._run("SET SESSION sql_log_bin = 0")
        try:
            events.leave(self._connection, self.dialect.leave_event)
        finally:
            self._run("SET SESSION sql_log_bin = 1")
            self.close_for_writes()

    def apply_received(self, timeout: float, clock: t.Callable[[], float] = time.monotonic) -> None:
        """Wait until everything that was received has been applied."""
        deadline = clock() + timeout
        while True:
            seen = self.observe()
            if seen.replication is None or not seen.replication.retrieved:
                return
            received = GtidSet.parse(seen.replication.retrieved, self.dialect.engine)
            if seen.transactions.reached(received):
                return
            if not seen.replication.sql_running:
                raise OperationFailed(
                    f"{seen.hostname} has received {seen.transactions.behind(received)} transactions that it does not apply:"
                    f" {seen.replication.sql_error or 'its SQL thread is stopped'}.",
                    f"Start it ({self.dialect.start_replica}), or mend what it says, then run this again.",
                )
            left = deadline - clock()
            if left <= 0:
                raise OperationFailed(
                    f"{seen.hostname} still lacks {seen.transactions.behind(received)} received transactions after {timeout:g} s.",
                    "Run this again: it goes on where it is.",
                )
            self._connection.value(self.dialect.stop_at_statement, [received.position(), max(1, min(_LOOK_EVERY, int(left)))])

    def _run(self, statement: str) -> None:
        self._connection.rows(statement)


def look(endpoint: Endpoint, datadir: str = "") -> ServerState:
    """The state of a server that may not answer. With its data directory (it is here) silence can be told apart."""
    try:
        server = Server.at(endpoint)
    except AccessDenied as error:
        return ServerState(state=UNKNOWN, reason=str(error))
    except Unreachable as error:
        if not datadir:
            return ServerState(state=UNKNOWN, reason=str(error))
        if not has_data(datadir):
            return ServerState(state=ABSENT, reason=f"{datadir} holds no system tables.", datadir=datadir)
        if _refuses(endpoint):
            return ServerState(state=STOPPED, reason=str(error), datadir=datadir)
        return ServerState(state=UNKNOWN, reason=str(error), datadir=datadir)
    try:
        return server.observe()
    except (Unreachable, StatementFailed) as error:
        return ServerState(state=UNKNOWN, reason=str(error), datadir=datadir)
    finally:
        server.close()


def has_data(datadir: str) -> bool:
    """True if a server has been initialised there."""
    return (Path(datadir) / "mysql").is_dir()


def _refuses(endpoint: Endpoint) -> bool:
    """Nobody listens on the socket."""
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(endpoint.connect_timeout)
        try:
            probe.connect(endpoint.socket)
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except OSError:
            return False
    return False


def _on(value: t.Any) -> bool:
    """ON, 1 and MariaDB 12's NO_LOCK are on."""
    return str(value).upper() not in ("OFF", "0", "", "NONE")


def _of_users(name: str) -> bool:
    # lost+found and the like show up as #mysql50#...
    return name.lower() not in _SYSTEM_SCHEMAS and not name.startswith("#mysql50#")
