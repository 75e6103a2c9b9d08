# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two engines do differently: take a copy of a running server, and make a copy a data directory again."""

from __future__ import annotations

import shutil
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from ..connection import Connection, Endpoint
from ..errors import OperationFailed, Refused
from ..gtid import MARIADB, MYSQL, GtidSet
from ..room import require_rest
from ..runner import Runner
from ..seed import mariadb, mysql
from ..server import Server
from .manifest import SETTINGS
from .scratch import own
from .stream import Packed, pack, unpack

# Last in every queue: the server next to it has clients.
GENTLE = ("nice", "-n", "19", "ionice", "-c", "3")
_POLL = 0.2
_FILE = {MARIADB: "data.mbstream.gz", MYSQL: "data.tar.gz"}
_TOOLS = {
    MARIADB: ("mariadb-backup", "mbstream", "mariadb-binlog", "mariadb"),
    MYSQL: ("tar", "mysqlbinlog", "mysql"),
}


def require_tools(engine: str, which: t.Callable[[str], str | None] = shutil.which) -> None:
    """Raises Refused."""
    lacking = [name for name in (*_TOOLS[engine], "systemd-run", "ionice") if which(name) is None]
    if lacking:
        raise Refused(f"This machine lacks {', '.join(lacking)}.", "Run role database.")


def require_copyable(endpoint: Endpoint, engine: str, name: str) -> None:
    """Raises Refused where a copy would lack rows. mariadb-backup copies every engine that keeps data."""
    if engine == MYSQL:
        mysql.require_clonable(endpoint, name)


def file_of(engine: str) -> str:
    return _FILE[engine]


def take(
    endpoint: Endpoint,
    engine: str,
    datadir: Path,
    work: Path,
    target: Path,
    timeout: float,
    progress: t.Callable[[int], None],
) -> Packed:
    """A copy of the running server, as one compressed file. work: an empty directory."""
    if engine == MARIADB:
        return _take_mariadb(endpoint, work, target, timeout, progress)
    return _take_mysql(endpoint, datadir, work, target, timeout, progress)


def _take_mariadb(endpoint: Endpoint, work: Path, target: Path, timeout: float, progress: t.Callable[[int], None]) -> Packed:
    login = work / "login.cnf"
    login.touch(mode=0o600)
    secret = endpoint.password.replace("\\", "\\\\").replace('"', '\\"')
    login.write_text(f'[mariadb-backup]\nuser={endpoint.user}\npassword="{secret}"\n' if secret else "", encoding="utf-8")
    argv = [
        *GENTLE,
        "mariadb-backup",
        f"--defaults-extra-file={login}",
        "--backup",
        "--stream=mbstream",
        f"--target-dir={work}",
        f"--user={endpoint.user}",
        f"--socket={endpoint.socket}",
    ]
    return pack(argv, target, timeout, progress)


def _take_mysql(
    endpoint: Endpoint, datadir: Path, work: Path, target: Path, timeout: float, progress: t.Callable[[int], None]
) -> Packed:
    own(work, datadir)
    copy = work / "data"
    _clone_local(endpoint, copy, timeout)
    packed = pack([*GENTLE, "tar", "--create", f"--directory={copy}", "."], target, timeout, progress)
    shutil.rmtree(copy)
    return packed


def _clone_local(endpoint: Endpoint, copy: Path, timeout: float) -> None:
    """Looks at the disk all the while: the server itself copies until nothing is left of it."""
    with Connection(replace(endpoint, read_timeout=timeout)) as server, ThreadPoolExecutor(1) as pool:
        session = int(server.value("SELECT CONNECTION_ID()"))
        cloning = pool.submit(server.rows, "CLONE LOCAL DATA DIRECTORY = %s", [str(copy)])
        while not wait([cloning], _POLL).done:
            try:
                require_rest(copy.parent)
            except OperationFailed:
                with Connection(endpoint) as other:
                    other.rows(f"KILL QUERY {session}")
                raise
        cloning.result()


def rebuild(
    source: Path, engine: str, sha256: str, target: Path, datadir: Path, runner: Runner, timeout: float
) -> GtidSet | None:
    """Make a data directory of a backup's file. Returns its position where the copy itself says it (MariaDB)."""
    if engine == MARIADB:
        unpack(source, ["mbstream", "-x", "-C", str(target)], timeout, sha256)
        position = mariadb.prepare(target, datadir, runner, timeout)
        own(target, datadir)
        return position
    unpack(source, ["tar", "--extract", "--same-owner", f"--directory={target}"], timeout, sha256)
    own(target, datadir)
    return None


def settings_of(server: Connection, engine: str) -> dict[str, str]:
    """What another server must be told to read these data."""
    names = [name for name in SETTINGS if engine == MARIADB or name != "innodb_undo_tablespaces"]
    wanted = ", ".join(["%s"] * len(names))
    rows = server.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted})", names)
    return {str(row["Variable_name"]): str(row["Value"]) for row in rows}


def executed_by(endpoint: Endpoint) -> GtidSet:
    """All transactions of a server, as it says."""
    server = Server.at(endpoint)
    try:
        return server.executed()
    finally:
        server.close()


def wait_for(endpoint: Endpoint, transactions: GtidSet, timeout: float) -> bool:
    """Until these are applied. False: not in time."""
    server = Server.at(endpoint)
    try:
        return server.wait_for(transactions, timeout, time.monotonic)
    finally:
        server.close()


def binary_logs(server: Connection) -> list[str]:
    """The paths of the server's binary logs; the last one is being written."""
    base = str(server.value("SELECT @@log_bin_basename") or "")
    return [str(Path(base).parent / next(iter(row.values()))) for row in server.rows("SHOW BINARY LOGS")]


def close_binary_log(server: Connection) -> None:
    """Begin a new file. Nothing of it is replicated."""
    server.rows("FLUSH LOCAL BINARY LOGS")
