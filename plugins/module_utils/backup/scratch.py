# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of its own on a copied data directory: a socket, no network, little memory, last in every queue."""

from __future__ import annotations

import os
import time
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

from ..connection import Connection, Endpoint
from ..errors import OperationFailed, StatementFailed, Unreachable
from ..gtid import MARIADB
from ..runner import Runner

_START_TIMEOUT = 600.0
_STOP_TIMEOUT = 1800.0
_POLL = 0.2
_GENTLE = ("Nice=19", "IOSchedulingClass=idle", "CPUWeight=10", "OOMScoreAdjust=900")
_BINARY = {MARIADB: "/usr/sbin/mariadbd"}
_NO_TABLES_OF_ANYBODY = ("information_schema", "performance_schema", "sys")
_FINE = ("status", "note", "info")


@dataclass(frozen=True)
class Scratch:
    """One of these per purpose; systemd runs it, so it outlives nobody unnoticed and can be stopped by its name."""

    purpose: str
    datadir: Path
    engine: str
    settings: t.Mapping[str, str]
    login: Endpoint
    runner: Runner
    clock: t.Callable[[], float] = time.monotonic
    pause: t.Callable[[float], None] = time.sleep

    @property
    def unit(self) -> str:
        return unit_of(self.purpose)

    @property
    def socket(self) -> str:
        return f"/run/{self.unit}/mysqld.sock"

    @property
    def endpoint(self) -> Endpoint:
        return replace(self.login, socket=self.socket)

    def argv(self) -> list[str]:
        """The server's own command line. No file of settings is read but what the backup brought along."""
        mariadb = self.engine == MARIADB
        options = {
            "datadir": str(self.datadir),
            "socket": self.socket,
            "pid-file": f"/run/{self.unit}/pid",
            "innodb-buffer-pool-size": "128M",
            "max-connections": "20",
            "max-allowed-packet": "1G",
            "event-scheduler": "OFF",
            "performance-schema": "OFF",
            "skip-networking": "ON",
            **{name.replace("_", "-"): value for name, value in self.settings.items()},
        }
        if mariadb:
            options.update({"key-buffer-size": "8M", "skip-slave-start": "ON"})
        else:
            options.update(
                {"mysqlx": "OFF", "skip-replica-start": "ON", "gtid-mode": "ON", "enforce-gtid-consistency": "ON"}
            )
        said = [f"--{name}={value}" for name, value in options.items()]
        return [_BINARY.get(self.engine, "/usr/sbin/mysqld"), "--no-defaults", "--skip-log-bin", *said]

    def start(self) -> None:
        """Raises OperationFailed, with what the server said, if it does not come up."""
        remove(self.purpose, self.runner)
        account = self.datadir.stat()
        properties = (
            *_GENTLE,
            f"User={account.st_uid}",
            f"Group={account.st_gid}",
            f"RuntimeDirectory={self.unit}",
            "RuntimeDirectoryMode=0700",
            f"TimeoutStopSec={_STOP_TIMEOUT:g}",
        )
        said = [part for name in properties for part in ("-p", name)]
        self.runner.run(["systemd-run", "--quiet", "--collect", "--unit", self.unit, *said, "--", *self.argv()])
        deadline = self.clock() + _START_TIMEOUT
        while True:
            try:
                Connection(self.endpoint).close()
                return
            except Unreachable as error:
                if not self._alive() or self.clock() > deadline:
                    log = self.log()
                    remove(self.purpose, self.runner)
                    raise OperationFailed(f"A server does not start on the copy: {error} {log}", "The copy is not usable.") from error
            self.pause(_POLL)

    def stop(self) -> None:
        """A clean shutdown."""
        self.runner.run(["systemctl", "stop", self.unit], _STOP_TIMEOUT + 60)

    def log(self) -> str:
        asked = ["journalctl", "--unit", self.unit, "--lines=12", "--no-pager", "--output=cat"]
        return self.runner.run(asked, check=False).stdout.strip().replace("\n", " / ")

    def _alive(self) -> bool:
        said = self.runner.run(["systemctl", "show", "--value", "-p", "ActiveState", self.unit], check=False).stdout
        return said.strip() in ("active", "activating")

    def tables(self) -> list[tuple[str, str]]:
        """Schema and name of every table."""
        with Connection(self.endpoint) as asked:
            return tables_of(asked)

    def check(self, timeout: float, progress: t.Callable[[str], None]) -> int:
        """CHECK TABLE of every table. Returns how many; raises OperationFailed for the first that is not sound."""
        deadline = self.clock() + timeout
        with Connection(replace(self.endpoint, read_timeout=timeout)) as asked:
            found = tables_of(asked)
            for number, (schema, name) in enumerate(found, 1):
                if self.clock() > deadline:
                    raise OperationFailed(f"CHECK TABLE was not done after {timeout:g} s.", "Give it more time (timeout).")
                progress(f"checked {number - 1} of {len(found)} tables")
                table = f"{_quoted(schema)}.{_quoted(name)}"
                try:
                    rows = asked.rows(f"CHECK TABLE {table}")
                except StatementFailed as error:
                    raise OperationFailed(f"The server died or gave up at CHECK TABLE {table}: {error}", self.log()) from error
                bad = [row for row in rows if str(row["Msg_type"]).lower() not in _FINE and "doesn't support" not in str(row["Msg_text"])]
                if bad:
                    raise OperationFailed(f"{table} is not sound: {bad[0]['Msg_text']}.", "Mend it where it was copied from.")
        return len(found)


def unit_of(purpose: str) -> str:
    return f"tandem-scratch-{purpose}"


def remove(purpose: str, runner: Runner) -> None:
    """Stop what may still run under this name, from a run that was killed."""
    unit = unit_of(purpose)
    runner.run(["systemctl", "stop", unit], _STOP_TIMEOUT + 60, check=False)
    runner.run(["systemctl", "reset-failed", unit], check=False)


def running(purpose: str, runner: Runner) -> bool:
    return runner.run(["systemctl", "is-active", "--quiet", unit_of(purpose)], check=False).status == 0


def tables_of(asked: Connection) -> list[tuple[str, str]]:
    """Schema and name of every table of a server."""
    rows = asked.rows(
        "SELECT table_schema AS s, table_name AS n FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
        f" AND table_schema NOT IN ({', '.join(['%s'] * len(_NO_TABLES_OF_ANYBODY))}) ORDER BY 1, 2",
        _NO_TABLES_OF_ANYBODY,
    )
    return [(str(row["s"]), str(row["n"])) for row in rows]


def own(path: Path, like: Path) -> None:
    """Give a directory to whom the data of the server belong."""
    account = like.stat()
    os.chown(path, account.st_uid, account.st_gid)


def _quoted(name: str) -> str:
    # The library formats statements with arguments only; a per cent sign needs no care here.
    return "`" + name.replace("`", "``") + "`"
