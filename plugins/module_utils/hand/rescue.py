# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The binary log of a server, read from its files: also when the server itself is dead.

Only headers are read to learn which transactions it holds. What another server lacks is written out by the server's own
tool, between two offsets that are known to be boundaries of transactions.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import subprocess
import typing as t
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import OperationFailed, Refused
from ..gtid import MARIADB, MYSQL, GtidSet

DIRECTORY = Path("/var/lib/tandem/rescue")
CHUNK = 384 * 1024
_MAGIC = b"\xfebin"
_HEADER = struct.Struct("<IBIIIH")  # time, type, server id, length, next position, flags
# Types of events.
_STOP, _ROTATE, _QUERY, _XID, _XA_PREPARE = 3, 4, 2, 16, 38
_MYSQL_GTID, _MYSQL_PREVIOUS, _MYSQL_PAYLOAD, _MYSQL_TAGGED = 33, 35, 40, 42
_MARIADB_GTID, _MARIADB_LIST, _MARIADB_ENCRYPTED, _MARIADB_QUERY_COMPRESSED = 162, 163, 164, 165
# A payload is a whole transaction, compressed: its end is inside.
_ENDS = {_QUERY, _XID, _XA_PREPARE, _MYSQL_PAYLOAD, _MARIADB_QUERY_COMPRESSED}
_CHECKSUM = 4
_SMALL = 64 * 1024


@dataclass(frozen=True)
class Group:
    """One transaction in one file: where it begins, and where the next thing begins."""

    gtid: GtidSet
    start: int
    end: int


@dataclass
class LogFile:
    """One file: what was executed before it, and what is in it. ``partial``: its last transaction was never finished."""

    path: Path
    before: GtidSet
    groups: list[Group] = field(default_factory=list)
    partial: bool = False


@contextlib.contextmanager
def _whole(path: Path) -> t.Iterator[None]:
    """Raises OperationFailed in place of what reading a file ends with that is not what it seems to be."""
    try:
        yield
    except (struct.error, ValueError) as error:
        raise OperationFailed(f"{path} is damaged, or encrypted: {error}.", "Start that database, then run this again.") from error


class BinaryLog:
    """All files of one server.

    Raises OperationFailed where they cannot be read.
    """

    def __init__(self, datadir: str, engine: str) -> None:
        self._directory = Path(datadir)
        self._engine = engine

    def files(self) -> list[Path]:
        """In order, as the index names them."""
        indexes = [path for path in sorted(self._directory.glob("*.index")) if "relay" not in path.name]
        if len(indexes) != 1:
            raise OperationFailed(
                f"{self._directory} holds {len(indexes)} indexes of a binary log.", "Nothing can be rescued from it by this runbook."
            )
        names = indexes[0].read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        return [self._directory / name for name in names if name]

    def executed(self) -> GtidSet:
        """Everything that the server has committed, as its crash recovery will see it."""
        files = self.files()
        if not files:
            return GtidSet(self._engine)
        last = self.read(files[-1])
        executed = last.before
        for group in last.groups:
            # MariaDB's servers count together: one that has written 10 has nothing else below 10.
            executed = executed | GtidSet.parse(group.gtid.position(), self._engine)
        return executed

    def before(self, path: Path) -> GtidSet:
        """What was executed before a file began. Raises OperationFailed where it does not say."""
        with _whole(path), path.open("rb") as file:
            offset = 4
            begun = file.read(offset) == _MAGIC
            while begun and len(header := file.read(_HEADER.size)) == _HEADER.size:
                _time, kind, _server, length, _next, _flags = _HEADER.unpack(header)
                if kind in (_MARIADB_LIST, _MYSQL_PREVIOUS):
                    return self._history(file.read(length - _HEADER.size))
                if kind in (_MARIADB_GTID, _MYSQL_GTID, _MYSQL_TAGGED, _MARIADB_ENCRYPTED) or length < _HEADER.size:
                    break
                offset += length
                file.seek(offset)
        raise OperationFailed(f"{path} does not say which transactions came before it.")

    def read(self, path: Path, known: GtidSet | None = None) -> LogFile:
        """The transactions in one file; with ``known``, only those that are not in there."""
        try:
            with _whole(path), path.open("rb") as file:
                return self._read(path, file, known)
        except OSError as error:
            raise OperationFailed(f"{path} cannot be read: {error.strerror}.") from error

    def _read(self, path: Path, file: t.BinaryIO, known: GtidSet | None) -> LogFile:
        if file.read(4) != _MAGIC:
            raise OperationFailed(f"{path} is no binary log, or an encrypted one.", "Start that database, then run this again.")
        found = LogFile(path, GtidSet(self._engine))
        size = os.fstat(file.fileno()).st_size
        offset, begun, complete = 4, None, True
        start = 4
        while offset + _HEADER.size <= size:
            file.seek(offset)
            _time, kind, server, length, _next, _flags = _HEADER.unpack(file.read(_HEADER.size))
            if length < _HEADER.size or offset + length > size:
                break
            if kind == _MARIADB_ENCRYPTED:
                raise OperationFailed(f"{path} is encrypted.", "Start that database, then run this again.")
            if kind in (_MARIADB_GTID, _MYSQL_GTID, _MARIADB_LIST, _MYSQL_PREVIOUS, _MYSQL_TAGGED, _STOP, _ROTATE):
                # Whatever came before is finished: something else follows it.
                if begun is not None:
                    _keep(found, begun, start, offset, known)
                    begun = None
                complete = True
            if kind in (_MARIADB_LIST, _MYSQL_PREVIOUS):
                found.before = self._history(file.read(length - _HEADER.size))
            elif kind in (_MARIADB_GTID, _MYSQL_GTID):
                begun, start, complete = self._gtid(file.read(min(_SMALL, length - _HEADER.size)), server), offset, False
            elif kind == _MYSQL_TAGGED:
                raise OperationFailed(f"{path} holds tagged transactions.", "Start that database, then run this again.")
            elif begun is not None:
                complete = kind in _ENDS and not (kind == _QUERY and _is_begin(file, length))
            offset += length
        if begun is not None and complete:
            _keep(found, begun, start, offset, known)
            begun = None
        found.partial = begun is not None or offset != size
        return found

    def _gtid(self, body: bytes, server: int) -> GtidSet:
        if self._engine == MARIADB:
            sequence, domain = struct.unpack_from("<QI", body)
            return GtidSet(MARIADB, {(domain, server): [(sequence, sequence)]})
        number = struct.unpack_from("<q", body, 17)[0]
        return GtidSet(MYSQL, {(str(uuid.UUID(bytes=body[1:17])), ""): [(number, number)]})

    def _history(self, body: bytes) -> GtidSet:
        """What was executed before a file began."""
        if self._engine == MARIADB:
            count = struct.unpack_from("<I", body)[0] & 0x0FFFFFFF
            entries = (struct.unpack_from("<IIQ", body, 4 + 16 * index) for index in range(count))
            return GtidSet(MARIADB, {(domain, server): [(1, last)] for domain, server, last in entries if last})
        count = struct.unpack_from("<Q", body)[0]
        if count >> 56:
            raise OperationFailed("The binary log holds tagged transactions.", "Start that database, then run this again.")
        ranges: dict[t.Any, list[tuple[int, int]]] = {}
        offset = 8
        for _source in range(count):
            name = (str(uuid.UUID(bytes=body[offset : offset + 16])), "")
            intervals = struct.unpack_from("<Q", body, offset + 16)[0]
            offset += 24
            for _interval in range(intervals):
                first, after = struct.unpack_from("<qq", body, offset)
                ranges.setdefault(name, []).append((first, after - 1))
                offset += 16
        return GtidSet(MYSQL, ranges)

    def missing(self, known: GtidSet) -> list[LogFile]:
        """The files with transactions that are not in ``known``, in order. Raises Refused when some are purged already."""
        found: list[LogFile] = []
        for path in reversed(self.files()):
            file = self.read(path, known)
            if file.groups or file.partial:
                found.insert(0, file)
            if not known.behind(file.before):
                return found
        raise Refused(
            "The binary log here begins after what the other server has: the transactions between are purged.",
            "Open this server instead, and copy it to the other one.",
        )

    def extract(self, known: GtidSet, target: Path, timeout: float) -> dict[str, t.Any]:
        """Write what is not in ``known`` as statements that keep their GTIDs. Raises OperationFailed, with no file left."""
        files = [file for file in self.missing(known) if file.groups]
        groups = [group for file in files for group in file.groups]
        if not groups:
            return {"transactions": 0, "bytes": 0, "sha256": "", "gtid": ""}
        if self._engine == MARIADB:
            for file in files:
                self._require_contiguous(file)
        gtid = GtidSet(self._engine)
        for group in groups:
            gtid = gtid | group.gtid
        argv = [_tool(self._engine, "binlog"), "--no-defaults"]
        argv += [f"--start-position={files[0].groups[0].start}", f"--stop-position={files[-1].groups[-1].end}"]
        if self._engine == MYSQL:
            argv.append(f"--exclude-gtids={known}")
        argv += [str(file.path) for file in files]
        make_private(target.parent)
        with open_private(target) as file_out:
            said = _run(argv, timeout, stdout=file_out)
            file_out.flush()
            os.fsync(file_out.fileno())
        if said:
            target.unlink(missing_ok=True)
            raise OperationFailed(f"The binary log could not be written out: {said}.", "Start that database, then run this again.")
        return {"transactions": len(groups), "bytes": target.stat().st_size, "sha256": digest(target), "gtid": str(gtid)}

    def _require_contiguous(self, file: LogFile) -> None:
        for one, following in zip(file.groups, file.groups[1:], strict=False):
            if one.end != following.start:
                raise Refused(
                    f"In {file.path.name} transactions that the other server has lie between those that it lacks.",
                    "Start that database and let the other one replicate from it.",
                )


def _keep(found: LogFile, gtid: GtidSet, start: int, end: int, known: GtidSet | None) -> None:
    if known is None or not gtid <= known:
        found.groups.append(Group(gtid, start, end))


def _is_begin(file: t.BinaryIO, length: int) -> bool:
    """A query event that only begins a transaction: its text is BEGIN, before the checksum."""
    body = file.read(length - _HEADER.size) if length <= _SMALL else b""
    return body[:-_CHECKSUM].endswith(b"\x00BEGIN") or body.endswith(b"\x00BEGIN")


def _tool(engine: str, what: str) -> str:
    """mariadb-binlog, mariadb; mysqlbinlog, mysql."""
    new = "-".join(part for part in ("mariadb", what) if part)
    names = [new, f"mysql{what}"] if engine == MARIADB else [f"mysql{what}"]
    for name in names:
        if shutil.which(name):
            return name
    raise Refused(f"{names[0]} is missing on this node.", "Run role database.")


def _run(argv: t.Sequence[str], timeout: float, **streams: t.Any) -> str:
    """Run it. Returns what went wrong; empty: nothing."""
    streams.setdefault("stdin", subprocess.DEVNULL)
    streams.setdefault("stdout", subprocess.DEVNULL)
    try:
        done = subprocess.run(list(argv), stderr=subprocess.PIPE, timeout=timeout, check=False, **streams)
    except subprocess.TimeoutExpired:
        return f"{argv[0]} was not done after {timeout:g} s"
    if done.returncode == 0:
        return ""
    return f"{argv[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()[-600:]}"


def make_private(directory: Path) -> None:
    """Root only."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def open_private(path: Path) -> t.BinaryIO:
    """For writing, from nothing, root only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")


def path_of(name: str, directory: Path = DIRECTORY) -> Path:
    """The file of one operation. Raises Refused for a name that is none."""
    if not name or not all(letter.isalnum() or letter == "-" for letter in name):
        raise Refused(f"{name[:40]!r} is not the name of an operation.")
    return directory / f"{name}.sql"


def read_chunk(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(CHUNK)


def write_chunk(path: Path, offset: int, data: bytes) -> None:
    """Chunks come in order; the first one begins the file anew."""
    if offset == 0:
        make_private(path.parent)
        open_private(path).close()
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            total.update(part)
    return total.hexdigest()


def apply(path: Path, engine: str, socket: str, timeout: float) -> None:
    """Give the statements to the server here, as its administrator. Raises OperationFailed; what was committed by then stays."""
    argv = [_tool(engine, ""), "--no-defaults", f"--socket={socket}", "--user=root", "--binary-mode", "--batch",
            "--max-allowed-packet=1G"]  # fmt: skip
    with path.open("rb") as file:
        said = _run(argv, timeout, stdin=file)
    if said:
        raise OperationFailed(f"What was rescued cannot be applied: {said}.", f"It is in {path} on both nodes.")
