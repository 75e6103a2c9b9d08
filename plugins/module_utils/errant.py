# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Save what one server has and the other never will: as SQL that can be applied again, and as rows that a person can read.

Both come from the server's own tool (mariadb-binlog(1), mysqlbinlog(1), ``-vv``): its BINLOG statements do, its comments tell.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import typing as t
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import OperationFailed, TandemError, of_the_system
from .gtid import MARIADB, MYSQL, GtidSet
from .runner import CommandFailed, Result
from .server import Server

DIRECTORY = Path("/var/lib/tandem/errant")
_TOOLS = {MARIADB: "mariadb-binlog", MYSQL: "mysqlbinlog"}
_MARIADB_GTID = re.compile(r"^#(\d{6}\s+\d+:\d+:\d+) server id.*\bGTID (\d+-\d+-\d+)\b")
_MYSQL_GTID = re.compile(r"^SET @@SESSION\.GTID_NEXT=\s*'([0-9a-f-]{36}:[^']+)'", re.IGNORECASE)
_MYSQL_TIME = re.compile(r"^#(\d{6}\s+\d+:\d+:\d+) server id")
_CHANGE = re.compile(r"^### (INSERT INTO|UPDATE|DELETE FROM) `(.+)`\.`(.+)`$")
_COLUMN = re.compile(r"^###   @(\d+)=(.*?)(?: /\* .* \*/)?$")
_KINDS = {"INSERT INTO": "insert", "UPDATE": "update", "DELETE FROM": "delete"}
_NOISE = re.compile(r"^(#|/\*|SET |BEGIN|START TRANSACTION|COMMIT|BINLOG|DELIMITER|ROLLBACK|use `|$)", re.IGNORECASE)


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


@dataclass(frozen=True)
class Saved:
    """Where they are, and how many."""

    directory: str
    transactions: int
    gtids: str


def save(server: Server, errant: GtidSet, directory: Path = DIRECTORY) -> Saved:
    """Raises OperationFailed where not all of them can be found, e.g. when their binary logs were purged, or be written."""
    place = directory / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    try:
        found, seen, lowest = _write(server, errant, place)
    except (OSError, TandemError) as error:
        shutil.rmtree(place, ignore_errors=True)
        said = of_the_system(error) if isinstance(error, OSError) else error.message
        raise OperationFailed(
            f"{errant.count()} transactions could not be saved in {place}: {said}", "Nothing was replaced. Mend that, then run this again."
        ) from error
    missing = (errant - seen).below(lowest)
    if missing:
        raise OperationFailed(
            f"{missing.count()} of {errant.count()} transactions are in no binary log any more: {missing}. What was found is in {place}.",
            "Nothing was replaced. If they do not matter, copy the primary over them: playbooks/rejoin.yml -e discard=true.",
        )
    return Saved(str(place), len(found), str(errant))


def _write(server: Server, errant: GtidSet, place: Path) -> tuple[list[Transaction], GtidSet, dict[int, int]]:
    """What was found, its GTIDs, and the lowest sequence number of each domain of MariaDB."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(place.parent, 0o700)
    found: list[Transaction] = []
    seen = GtidSet(errant.flavor)
    lowest: dict[int, int] = {}
    with (place / "transactions.sql").open("w", encoding="utf-8", errors="surrogateescape") as sql:
        os.chmod(place / "transactions.sql", 0o600)
        for transaction in _extract(server, errant, sql, lowest):
            found.append(transaction)
            seen = seen | _one(transaction.gtid, errant.flavor)
        # Before the data that still hold them are given up.
        sql.flush()
        os.fsync(sql.fileno())
    _name_columns(server, found)
    text = json.dumps([asdict(transaction) for transaction in found], indent=2, ensure_ascii=False)
    (place / "transactions.json").write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    os.chmod(place / "transactions.json", 0o600)
    return found, seen, lowest


def _one(gtid: str, flavor: str) -> GtidSet:
    if flavor == MYSQL:
        return GtidSet.parse(gtid, MYSQL)
    domain, server, number = gtid.split("-")
    return GtidSet(MARIADB, {(int(domain), int(server)): [(int(number), int(number))]})


def _extract(server: Server, errant: GtidSet, sql: t.IO[str], lowest: dict[int, int]) -> t.Iterator[Transaction]:
    """Copy the transactions to a file, and yield each as it is read."""
    files = server.binlogs()
    argv = [_TOOLS[errant.flavor], "--no-defaults", "-vv"]
    if errant.flavor == MYSQL:
        argv.append(f"--include-gtids={errant}")
    with subprocess.Popen([*argv, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape") as tool:
        yield from read(t.cast("t.IO[str]", tool.stdout), errant, sql.write, lowest)
        said = t.cast("t.IO[str]", tool.stderr).read()
    if tool.returncode != 0:
        raise CommandFailed(Result(tuple(argv), tool.returncode, "", said))


def read(
    lines: t.Iterable[str], errant: GtidSet, keep: t.Callable[[str], object], lowest: dict[int, int] | None = None
) -> t.Iterator[Transaction]:
    """Walk through what the tool prints. ``keep`` gets each line that belongs to one of the transactions, and the frame.

    lowest: filled with the lowest sequence number met in each of MariaDB's domains, whoever wrote it.
    """
    reader = _Reader(errant, {} if lowest is None else lowest)
    held: list[str] = []
    for line in lines:
        # What stands before the line that names a transaction belongs to it.
        if line.startswith("# at "):
            for waiting in held:
                reader.line(waiting, keep)
            held = [line]
        elif held and len(held) < 3 and line.startswith("#"):
            held.append(line)
            if (match := _MARIADB_GTID.match(line)) is not None and (done := reader.begin(match[2], match[1])) is not None:
                yield done
        else:
            for waiting in held:
                reader.line(waiting, keep)
            held = []
            if (match := _MYSQL_GTID.match(line)) is not None and (done := reader.begin(match[1], reader.at)) is not None:
                yield done
            reader.line(line, keep)
    for waiting in held:
        reader.line(waiting, keep)
    if (done := reader.end()) is not None:
        yield done


class _Reader:
    """Which transaction we are in, and what it changes."""

    def __init__(self, errant: GtidSet, lowest: dict[int, int]) -> None:
        self._errant = errant
        self._lowest = lowest
        self._transaction: Transaction | None = None
        self._inside: bool | None = None  # None: before the first transaction
        self._change: Change | None = None
        self._into: dict[str, str] = {}
        self.at = ""

    def begin(self, gtid: str, at: str) -> Transaction | None:
        done = self.end()
        if self._errant.flavor == MARIADB:
            domain, _server, number = map(int, gtid.split("-"))
            self._lowest[domain] = min(number, self._lowest.get(domain, number))
        self._inside = bool(gtid.upper() != "AUTOMATIC" and _one(gtid, self._errant.flavor) <= self._errant)
        self._transaction = Transaction(gtid, at) if self._inside else None
        return done

    def end(self) -> Transaction | None:
        done, self._transaction, self._change = self._transaction, None, None
        return done

    def line(self, line: str, keep: t.Callable[[str], object]) -> None:
        if (match := _MYSQL_TIME.match(line)) is not None:
            self.at = match[1]
        # The frame (delimiter, format description) is needed to apply them again.
        if self._inside is None or self._inside or line.startswith(("DELIMITER", "# End of log")):
            keep(line)
        if self._transaction is not None:
            self._note(self._transaction, line.rstrip("\n"))

    def _note(self, transaction: Transaction, line: str) -> None:
        if (match := _CHANGE.match(line)) is not None:
            self._change = Change(_KINDS[match[1]], f"{match[2]}.{match[3]}")
            transaction.changes.append(self._change)
        elif line == "### WHERE" and self._change is not None:
            self._into = self._change.before = {}
        elif line == "### SET" and self._change is not None:
            self._into = self._change.after = {}
        elif (match := _COLUMN.match(line)) is not None:
            self._into[match[1]] = match[2]
        elif not _NOISE.match(line) and line != "/*!*/;" and not re.fullmatch(r"[A-Za-z0-9+/=]+|'/\*!\*/;", line):
            transaction.statements.append(line.removesuffix("/*!*/;"))


def _name_columns(server: Server, transactions: t.Iterable[Transaction]) -> None:
    """Numbers become names, where the table is still as it was."""
    names: dict[str, list[str]] = {}
    for transaction in transactions:
        for change in transaction.changes:
            if change.table not in names:
                schema, _dot, table = change.table.partition(".")
                names[change.table] = server.columns(schema, table)
            for side in ("before", "after"):
                row = getattr(change, side)
                if row is not None:
                    setattr(change, side, {_name(number, names[change.table]): value for number, value in row.items()})


def _name(number: str, names: t.Sequence[str]) -> str:
    return names[int(number) - 1] if int(number) <= len(names) else f"@{number}"
