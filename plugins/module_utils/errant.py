# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Save what one server has and the other never will: as SQL that can be applied again, and as rows that a person can read.

Both come from the server's own tool (mariadb-binlog(1), mysqlbinlog(1), ``-vv``): its BINLOG statements do, its comments tell.
Nothing is held in memory but one row: there may be a bulk load among them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
import typing as t
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import OperationFailed, TandemError, of_the_system
from .gtid import MARIADB, MYSQL, GtidSet
from .hand.rescue import BinaryLog
from .runner import CommandFailed, Result
from .server import Server

DIRECTORY = Path("/var/lib/tandem/errant")
# Seconds for reading the binary logs.
SECONDS = 3600.0
_TOOLS = {MARIADB: "mariadb-binlog", MYSQL: "mysqlbinlog"}
_MARIADB_GTID = re.compile(r"^#(\d{6}\s+\d+:\d+:\d+) server id.*\bGTID (\d+-\d+-\d+)\b")
_MYSQL_GTID = re.compile(r"^SET @@SESSION\.GTID_NEXT=\s*'([0-9a-f-]{36}:[^']+)'", re.IGNORECASE)
_MYSQL_TIME = re.compile(r"^#(\d{6}\s+\d+:\d+:\d+) server id")
_CHANGE = re.compile(r"^### (INSERT INTO|UPDATE|DELETE FROM) `(.+)`\.`(.+)`$")
_COLUMN = re.compile(r"^###   @(\d+)=(.*?)(?: /\* .* \*/)?$")
_KINDS = {"INSERT INTO": "insert", "UPDATE": "update", "DELETE FROM": "delete"}
_NOISE = re.compile(r"^(#|/\*|SET |BEGIN|START TRANSACTION|COMMIT|BINLOG|DELIMITER|ROLLBACK|use `|$)", re.IGNORECASE)
# MariaDB: under the old numbers its strict mode refuses them, and the node whose server_id they name would ignore them as its own.
_NUMBERED = re.compile(r"^/\*M?!\d+ SET @@session\.(gtid_domain_id|gtid_seq_no|server_id)=")
# What holds until it is said anew, however many transactions later.
_DATABASE = re.compile(r"^use `(.+)`/\*!\*/;$")
_CLIENT = re.compile(r"^/\*!\\C \w+ \*//\*!\*/;$")
_SETS = re.compile(r"^SET @@session\..*/\*!\*/;$", re.IGNORECASE)
_STATEMENT = re.compile(r"^SET TIMESTAMP=[\d.]+/\*!\*/;$")
_SET = re.compile(r"@@session\.(\w+)=('[^']*'|[^,'/]+)", re.IGNORECASE)


@dataclass
class Change:
    """One row."""

    operation: str  # insert, update, delete
    table: str
    before: dict[str, str] | None = None
    after: dict[str, str] | None = None


@dataclass
class Transaction:
    """One transaction, for a person."""

    gtid: str
    at: str
    changes: list[Change] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)  # what is no row: DDL
    database: str = ""  # that of the first statement


@dataclass(frozen=True)
class Saved:
    """Where they are, and how many."""

    directory: str
    transactions: int
    gtids: str


def save(server: Server, errant: GtidSet, directory: Path = DIRECTORY, seconds: float = SECONDS) -> Saved:
    """Raises OperationFailed where not all of them can be found, e.g. when their binary logs were purged, or be written in time."""
    place = directory / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    try:
        count, seen, lowest = _write(server, errant, place, seconds)
    except (OSError, TandemError) as error:
        shutil.rmtree(place, ignore_errors=True)
        said = of_the_system(error) if isinstance(error, OSError) else error.message
        raise OperationFailed(
            f"{errant.count()} transactions could not be saved in {place}: {said}",
            "Nothing was replaced. Mend that, then run this again. If they do not matter: playbooks/rejoin.yml -e discard=true.",
        ) from error
    missing = (errant - seen).below(lowest)
    if missing:
        raise OperationFailed(
            f"{missing.count()} of {errant.count()} transactions are in no binary log any more: {missing}. What was found is in {place}.",
            "Nothing was replaced. If they do not matter, copy the primary over them: playbooks/rejoin.yml -e discard=true.",
        )
    return Saved(str(place), count, str(errant))


def _write(server: Server, errant: GtidSet, place: Path, seconds: float) -> tuple[int, GtidSet, dict[int, int]]:
    """How many were found, their GTIDs, and the lowest sequence number of each domain of MariaDB."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(place.parent, 0o700)
    count = 0
    seen = GtidSet(errant.flavor)
    lowest: dict[int, int] = {}
    files, whole = _files(server.binlogs(), errant)
    with _private(place / "transactions.sql") as sql, _private(place / "transactions.json") as told:
        story = Story(told, server.columns)
        with contextlib.closing(_extract(files, errant, sql, lowest, story.row, seconds)) as found:
            for transaction in found:
                story.end(transaction)
                count += 1
                seen = seen | _one(transaction.gtid, errant.flavor)
        story.close()
        # Before the data that still hold them are given up.
        for file in (sql, told):
            file.flush()
            os.fsync(file.fileno())
    # What is before files that begin before all of them is not one of them.
    return count, seen, dict.fromkeys(lowest, 0) if whole else lowest


def _private(path: Path) -> t.IO[str]:
    file = path.open("w", encoding="utf-8", errors="surrogateescape")
    os.chmod(path, 0o600)
    return file


def _files(paths: list[str], errant: GtidSet) -> tuple[list[str], bool]:
    """Those that can hold them, and whether they begin before all of them. All, where a file does not say what came before it."""
    log = BinaryLog("", errant.flavor)
    try:
        for number in range(len(paths) - 1, -1, -1):
            if errant - log.before(Path(paths[number])) == errant:
                return paths[number:], True
    except (OSError, TandemError):
        pass
    return paths, False


def _one(gtid: str, flavor: str) -> GtidSet:
    if flavor == MYSQL:
        return GtidSet.parse(gtid, MYSQL)
    domain, server, number = gtid.split("-")
    return GtidSet(MARIADB, {(int(domain), int(server)): [(int(number), int(number))]})


Row: t.TypeAlias = "t.Callable[[Transaction, Change], object]"


def _extract(
    files: list[str], errant: GtidSet, sql: t.IO[str], lowest: dict[int, int], row: Row, seconds: float
) -> t.Generator[Transaction, None, None]:
    """Copy the transactions to a file, and yield each as it was read. Raises OperationFailed when that takes too long."""
    argv = [_TOOLS[errant.flavor], "--no-defaults", "-vv"]
    if errant.flavor == MYSQL:
        argv.append(f"--include-gtids={errant}")
    late = threading.Event()
    with subprocess.Popen([*argv, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape") as tool:

        def end() -> None:
            late.set()
            tool.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield from read(t.cast("t.IO[str]", tool.stdout), errant, sql.write, lowest, row)
            said = t.cast("t.IO[str]", tool.stderr).read()
        finally:
            timer.cancel()
    if late.is_set():
        raise OperationFailed(f"The binary logs from {files[0]} on were not read within {seconds:g} s.")
    if tool.returncode != 0:
        raise CommandFailed(Result(tuple(argv), tool.returncode, "", said))


class Story:
    """transactions.json, written as it comes. Numbers of columns become names, where the table is still as it was."""

    def __init__(self, file: t.IO[str], columns: t.Callable[[str, str], list[str]]) -> None:
        self._file, self._columns = file, columns
        self._names: dict[str, list[str]] = {}
        self._open: Transaction | None = None
        self._before = "["

    def _begin(self, transaction: Transaction) -> str:
        """What comes before its next row."""
        if self._open is transaction:
            return ",\n  "
        self._open = transaction
        self._file.write(f'{self._before}\n {{"gtid": {_json(transaction.gtid)}, "at": {_json(transaction.at)}, "changes": [')
        self._before = ","
        return "\n  "

    def row(self, transaction: Transaction, change: Change) -> None:
        if change.table not in self._names:
            schema, _dot, table = change.table.partition(".")
            self._names[change.table] = self._columns(schema, table)
        for side in ("before", "after"):
            row = getattr(change, side)
            if row is not None:
                setattr(change, side, {_name(number, self._names[change.table]): value for number, value in row.items()})
        self._file.write(self._begin(transaction) + _json(asdict(change)))

    def end(self, transaction: Transaction) -> None:
        self._begin(transaction)
        self._file.write(f'], "database": {_json(transaction.database)}, "statements": {_json(transaction.statements)}}}')
        self._open = None

    def close(self) -> None:
        self._file.write("\n]\n" if self._before == "," else "[]\n")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _name(number: str, names: t.Sequence[str]) -> str:
    return names[int(number) - 1] if int(number) <= len(names) else f"@{number}"


def read(
    lines: t.Iterable[str],
    errant: GtidSet,
    keep: t.Callable[[str], object],
    lowest: dict[int, int] | None = None,
    row: Row = lambda transaction, change: transaction.changes.append(change),
) -> t.Iterator[Transaction]:
    """Walk through what the tool prints. ``keep`` gets each line that belongs to one of the transactions, and the frame.

    lowest: filled with the lowest sequence number met in each of MariaDB's domains, whoever wrote it.
    row: gets each row when it is complete; by default the transaction gathers them.
    """
    reader = _Reader(errant, {} if lowest is None else lowest, keep, row)
    held: list[str] = []
    for line in lines:
        # What stands before the line that names a transaction belongs to it.
        if line.startswith("# at "):
            for waiting in held:
                reader.line(waiting)
            held = [line]
        elif held and len(held) < 3 and line.startswith("#"):
            held.append(line)
            if (match := _MARIADB_GTID.match(line)) is not None and (done := reader.begin(match[2], match[1])) is not None:
                yield done
        else:
            for waiting in held:
                reader.line(waiting)
            held = []
            if (match := _MYSQL_GTID.match(line)) is not None and (done := reader.begin(match[1], reader.at)) is not None:
                yield done
            reader.line(line)
    for waiting in held:
        reader.line(waiting)
    if (done := reader.end()) is not None:
        yield done


class _Reader:
    """Which transaction we are in, and what it changes."""

    def __init__(self, errant: GtidSet, lowest: dict[int, int], keep: t.Callable[[str], object], row: Row) -> None:
        self._errant = errant
        self._lowest = lowest
        self._keep = keep
        self._row = row
        self._transaction: Transaction | None = None
        self._inside: bool | None = None  # None: before the first transaction
        self._change: Change | None = None
        self._into: dict[str, str] = {}
        self._database = ""
        self._state: dict[str, str] = {}
        self._complete = True
        self.at = ""

    def begin(self, gtid: str, at: str) -> Transaction | None:
        done = self.end()
        if self._errant.flavor == MARIADB:
            domain, _server, number = map(int, gtid.split("-"))
            self._lowest[domain] = min(number, self._lowest.get(domain, number))
        self._inside = bool(gtid.upper() != "AUTOMATIC" and _one(gtid, self._errant.flavor) <= self._errant)
        self._transaction = Transaction(gtid, at) if self._inside else None
        self._complete = self._errant.flavor == MYSQL
        return done

    def end(self) -> Transaction | None:
        self._told()
        done, self._transaction = self._transaction, None
        return done

    def _told(self) -> None:
        if self._change is not None and self._transaction is not None:
            self._row(self._transaction, self._change)
        self._change = None

    def line(self, line: str) -> None:
        if (match := _MYSQL_TIME.match(line)) is not None:
            self.at = match[1]
        self._remember(line)
        if _NUMBERED.match(line):
            return
        if self._inside and not self._complete and _STATEMENT.match(line):
            # It may have been said in one that is left out. MySQL's tool leaves them out itself, and says it where it is needed.
            self._complete = True
            for said in self._state.values():
                self._keep(said)
        # The frame (delimiter, format description) is needed to apply them again.
        if self._inside is None or self._inside or line.startswith(("DELIMITER", "# End of log")):
            self._keep(line)
        if self._transaction is not None:
            self._note(self._transaction, line.rstrip("\n"))

    def _remember(self, line: str) -> None:
        if (match := _DATABASE.match(line)) is not None:
            self._database = match[1]
            self._state["use"] = line
        elif _CLIENT.match(line):
            self._state["client"] = line
        elif _SETS.match(line):
            # Only those that differ from what was said last stand in one line.
            for name, value in _SET.findall(line):
                self._state[name.lower()] = f"SET @@session.{name}={value}/*!*/;\n"

    def _note(self, transaction: Transaction, line: str) -> None:
        if (match := _CHANGE.match(line)) is not None:
            self._told()
            self._change = Change(_KINDS[match[1]], f"{match[2]}.{match[3]}")
        elif line == "### WHERE" and self._change is not None:
            self._into = self._change.before = {}
        elif line == "### SET" and self._change is not None:
            self._into = self._change.after = {}
        elif (match := _COLUMN.match(line)) is not None:
            self._into[match[1]] = match[2]
        elif not _NOISE.match(line) and line != "/*!*/;" and not re.fullmatch(r"[A-Za-z0-9+/=]+|'/\*!\*/;", line):
            transaction.database = transaction.database or self._database
            transaction.statements.append(line.removesuffix("/*!*/;"))
