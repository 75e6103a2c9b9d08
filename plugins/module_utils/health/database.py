# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the local database through its socket. Blocking: runs in a thread of its own."""

from __future__ import annotations

import socket
import struct
import time
import typing as t

from .config import DatabaseProbe
from .model import Database, Raw, Replica

try:
    import pymysql
    import pymysql.cursors

    HAS_PYMYSQL = True
except ImportError:
    HAS_PYMYSQL = False

LOST = (2006, 2013, 2014)
CANNOT_CONNECT = (2002, 2003)
# What the kernel says where there is no server. Anything else (no right, no descriptor, no memory) says nothing of it.
NOBODY_LISTENS = (ConnectionError, FileNotFoundError)
SHUTTING_DOWN = (1053, 1077, 1079, 1927)
WRITABLE = ("0", "OFF", "")
SEMI_SYNC = "SHOW GLOBAL STATUS WHERE Variable_name IN ({})".format(
    ", ".join(f"'Rpl_semi_sync_{side}_{what}'" for side in ("master", "source") for what in ("status", "clients", "wait_sessions", "yes_tx"))
)
# Seconds for which commits wait and none is answered before nobody is believed to answer any more.
ANSWER_WITHIN = 3.0
Look = tuple[Raw, str, "Database | None"]


def replica_from_row(row: t.Mapping[str, t.Any]) -> Replica:
    """Both dialects' column names."""

    def column(new: str, old: str) -> t.Any:
        return row[new] if new in row else row.get(old)

    lag = column("Seconds_Behind_Source", "Seconds_Behind_Master")
    errors = [str(row[name]) for name in ("Last_IO_Error", "Last_SQL_Error") if row.get(name)]
    return Replica(
        io_running=column("Replica_IO_Running", "Slave_IO_Running") == "Yes",
        sql_running=column("Replica_SQL_Running", "Slave_SQL_Running") == "Yes",
        lag=None if lag is None else float(lag),
        source=f"{column('Source_Host', 'Master_Host')}:{column('Source_Port', 'Master_Port')}",
        error="; ".join(errors),
    )


def semi_sync_from_rows(rows: t.Iterable[t.Mapping[str, t.Any]]) -> bool:
    """Does a replica confirm commits, and do they wait for that?"""
    seen = _counters(rows)
    return seen.get("status") in ("ON", "1") and seen.get("clients", "0") not in ("0", "")


def semi_sync_clients(rows: t.Iterable[t.Mapping[str, t.Any]]) -> int | None:
    """How many replicas are connected that could confirm."""
    said = _counters(rows).get("clients", "")
    return int(said) if said.isdecimal() else None


def _counters(rows: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """By the last word of their names: status, clients, sessions, tx."""
    return {str(row["Variable_name"]).lower().rpartition("_")[2]: str(row["Value"]).upper() for row in rows}


class Answers:
    """Are commits answered? A replica can be connected, in step and silent: one that reconnects does not confirm again what it
    has, and the next confirmation would come with the next commit, which waits behind the one that is not confirmed."""

    def __init__(self, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered = ""
        self._since: float | None = None
        self.in_vain = False  # as of the last look

    def given(self, rows: t.Sequence[t.Mapping[str, t.Any]]) -> bool:
        """From the counters of one look; what the last one has shown is remembered."""
        seen, now = _counters(rows), self._clock()
        waiting = seen.get("sessions", "0") not in ("0", "")
        if not waiting or self._since is None or seen.get("tx", "") != self._answered:
            self._since = now if waiting else None
        self._answered = seen.get("tx", "")
        self.in_vain = self._since is not None and now - self._since >= ANSWER_WITHIN
        return semi_sync_from_rows(rows) and not self.in_vain


class DatabaseLook:
    """A connection that is kept, and one look per call."""

    def __init__(self, probe: DatabaseProbe, timeout: float) -> None:
        self._probe = probe
        self._timeout = timeout
        self._connection: t.Any = None
        self._answers = Answers()

    def __call__(self) -> Look:
        if not HAS_PYMYSQL:
            return Raw.BUSY, "PyMySQL is not installed: the database is not watched", None
        had_connection = self._connection is not None
        look = self._try()
        if look[0] is Raw.BROKEN and had_connection:
            return self._try()  # an old connection may have been closed for its own reasons
        return look

    def _try(self) -> Look:
        try:
            if self._connection is None:
                self._connection = pymysql.connect(
                    read_default_file=self._probe.option_file,
                    unix_socket=self._probe.socket,
                    connect_timeout=self._timeout,
                    read_timeout=self._timeout,
                    write_timeout=self._timeout,
                    cursorclass=pymysql.cursors.DictCursor,
                    charset="utf8mb4",
                    autocommit=True,
                )
            return Raw.OK, "answers", self._ask()
        except pymysql.err.MySQLError as error:
            self.close()
            return self._classify(error)
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            return Raw.BUSY, f"cannot look: {error}", None

    def _ask(self) -> Database:
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT @@global.read_only AS read_only, @@version AS version")
            row = cursor.fetchone()
            replica, problem = None, ""
            try:
                cursor.execute("SHOW REPLICA STATUS")
                status = cursor.fetchone()
                replica = replica_from_row(status) if status else None
            except pymysql.err.MySQLError as error:
                if error.args and error.args[0] in LOST:
                    raise
                problem = f"SHOW REPLICA STATUS: {error.args[-1]}"
            read_only = str(row["read_only"]).upper() not in WRITABLE
            acknowledged, clients, unanswered = None, None, False
            if not read_only:
                cursor.execute(SEMI_SYNC)
                counters = cursor.fetchall()
                acknowledged, clients = self._answers.given(counters), semi_sync_clients(counters)
                unanswered = self._answers.in_vain
        return Database(str(row["version"]), read_only, replica, problem, acknowledged, clients, unanswered)

    @property
    def server(self) -> int | None:
        """Process id of the server that answers (SO_PEERCRED, unix(7))."""
        sock = getattr(self._connection, "_sock", None)
        if sock is None or sock.family != socket.AF_UNIX:
            return None
        pid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid or None

    def _classify(self, error: t.Any) -> Look:
        code = error.args[0] if error.args else 0
        cause = getattr(error, "original_exception", None) or error.__cause__ or error.__context__
        text = f"{error.args[-1] if error.args else error}"
        if isinstance(cause, TimeoutError) or "timed out" in text:
            return Raw.SILENT, f"no answer within {self._timeout:g} s", None
        if code in CANNOT_CONNECT and isinstance(cause, BlockingIOError):
            # Its backlog is full (connect(2), EAGAIN): it accepts nobody, and lives.
            return Raw.SILENT, "it accepts no more connections", None
        if code in CANNOT_CONNECT and isinstance(cause, OSError) and not isinstance(cause, NOBODY_LISTENS):
            return Raw.BUSY, f"cannot look: {text}", None
        if code in CANNOT_CONNECT or code in LOST or code in SHUTTING_DOWN:
            return Raw.BROKEN, text, None
        return Raw.BUSY, f"error {code}: {text}", None

    def close(self) -> None:
        if self._connection is not None:
            self._connection._force_close()
            self._connection = None
