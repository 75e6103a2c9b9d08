# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binary log files, read as far as a restore needs it: which transactions, when, and from where to where."""

from __future__ import annotations

import struct
import typing as t
import uuid
from dataclasses import dataclass
from pathlib import Path

from ..errors import TandemError
from ..gtid import MARIADB, MYSQL, GtidSet

MAGIC = b"\xfebin"
# Time stamp, type, server, length, next position, flags.
_HEADER = struct.Struct("<IBIIIH")
_FORMAT = 15
_MARIADB_GTID, _MARIADB_GTID_LIST = 162, 163
_MYSQL_GTID, _MYSQL_ANONYMOUS, _MYSQL_PREVIOUS, _MYSQL_TAGGED = 33, 34, 35, 42
_BEGINNINGS = (_MARIADB_GTID, _MYSQL_GTID, _MYSQL_ANONYMOUS, _MYSQL_TAGGED)
_ADVICE = "Only binary logs that are not encrypted, of MariaDB 10.5 or MySQL 5.7 and newer, can be replayed."


class BinlogError(TandemError):
    """A file that is not a binary log, or not one that can be read."""


@dataclass(frozen=True)
class Transaction:
    """One transaction of a file. gtid is empty where the server writes a form that is not read here (tags)."""

    gtid: str
    when: int  # seconds since 1970
    start: int  # offset of its first byte
    end: int  # offset after its last byte


@dataclass(frozen=True)
class Head:
    """How a file begins."""

    created: int  # seconds since 1970
    before: str  # all transactions of earlier files, as a GTID set
    server: int = 0  # server_id of the server whose file it is


def read_head(path: Path, engine: str) -> Head:
    """The beginning of a file. Raises BinlogError."""
    created = server = 0
    with path.open("rb") as file:
        for event in _events(file, path):
            if event.type == _FORMAT:
                created, server = event.when, event.server
            elif event.type in (_MARIADB_GTID_LIST, _MYSQL_PREVIOUS):
                body = event.body(file)
                try:
                    before = _gtid_list(body) if engine == MARIADB else _previous_gtids(body, path)
                except (struct.error, ValueError) as error:
                    # Of an encrypted file every event may look like this one.
                    raise BinlogError(f"{path} is damaged at byte {event.start}.", _ADVICE) from error
                return Head(created, before, server)
            elif event.type in _BEGINNINGS:
                break
    raise BinlogError(f"{path} does not say which transactions came before it.", _ADVICE)


def server_of(path: Path) -> int:
    """Whose file it is; 0: it does not say. Raises BinlogError."""
    with path.open("rb") as file:
        return next((event.server for event in _events(file, path)), 0)


def transactions(path: Path, engine: str) -> t.Iterator[Transaction]:
    """The transactions of a file, in order. A transaction that is cut off by the end of the file is left out."""
    with path.open("rb") as file:
        open_at: tuple[str, int, int] | None = None
        end = 0
        for event in _events(file, path):
            if event.type in _BEGINNINGS:
                if open_at is not None:
                    yield Transaction(*open_at, end)
                open_at = (_gtid_of(event, file, engine), event.when, event.start)
            end = event.end
        if open_at is not None and not _cut_off(path, end):
            yield Transaction(*open_at, end)


@dataclass(frozen=True)
class _Event:
    when: int
    type: int
    server: int
    start: int
    end: int

    def body(self, file: t.BinaryIO, most: int | None = None) -> bytes:
        file.seek(self.start + _HEADER.size)
        length = self.end - self.start - _HEADER.size
        return file.read(length if most is None else min(most, length))


def _events(file: t.BinaryIO, path: Path) -> t.Iterator[_Event]:
    if file.read(4) != MAGIC:
        raise BinlogError(f"{path} is not a binary log.", _ADVICE)
    size = path.stat().st_size
    start = 4
    while start + _HEADER.size <= size:
        file.seek(start)
        when, kind, server, length, _next, _flags = _HEADER.unpack(file.read(_HEADER.size))
        if length < _HEADER.size:
            raise BinlogError(f"{path} is damaged at byte {start}.", _ADVICE)
        if start + length > size:
            return
        yield _Event(when, kind, server, start, start + length)
        start += length


def _cut_off(path: Path, end: int) -> bool:
    return path.stat().st_size > end


def _gtid_of(event: _Event, file: t.BinaryIO, engine: str) -> str:
    if engine == MARIADB:
        sequence, domain = struct.unpack("<QI", event.body(file, 12))
        return f"{domain}-{event.server}-{sequence}"
    if event.type != _MYSQL_GTID:
        return ""
    body = event.body(file, 25)
    return f"{uuid.UUID(bytes=body[1:17])}:{struct.unpack('<Q', body[17:25])[0]}"


def _gtid_list(body: bytes) -> str:
    count = struct.unpack_from("<I", body)[0] & 0x0FFFFFFF
    entries = [struct.unpack_from("<IIQ", body, 4 + 16 * number) for number in range(count)]
    return ",".join(f"{domain}-{server}-{sequence}" for domain, server, sequence in entries)


def _previous_gtids(body: bytes, path: Path) -> str:
    (count,) = struct.unpack_from("<Q", body)
    if count >> 56:
        raise BinlogError(f"{path} holds transactions with tags.", "They cannot be replayed by this runbook yet.")
    at, parts = 8, []
    for _number in range(count):
        name = uuid.UUID(bytes=body[at : at + 16])
        (intervals,) = struct.unpack_from("<Q", body, at + 16)
        at += 24
        for _interval in range(intervals):
            first, after = struct.unpack_from("<QQ", body, at)
            parts.append(f"{name}:{first}-{after - 1}")
            at += 16
    return ",".join(parts)


def single(gtid: str, engine: str) -> GtidSet:
    """Exactly this one transaction. MariaDB's own notation would mean all earlier ones as well."""
    if engine == MYSQL or not gtid:
        return GtidSet.parse(gtid, engine)
    sequence = gtid.rpartition("-")[2]
    return GtidSet.parse(f"{gtid}..{sequence}", engine)
