# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy a MariaDB server: mariadb-backup on the source, streamed over ssh, prepared and swapped in here.

The other side's key is good for one command only: /usr/local/sbin/tandem-donor, run by sudo.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..errors import OperationFailed
from ..gtid import MARIADB, GtidSet
from ..runner import Runner, tail

# Nothing for this long: the stream is dead, whatever TCP thinks.
_STALLED = 120
_CHUNK = 1024 * 1024
_POSITION_FILES = ("mariadb_backup_binlog_info", "xtrabackup_binlog_info")


@dataclass(frozen=True)
class Donor:
    """How to reach the one command on the source."""

    host: str
    user: str = "tandem"
    key: str = "/etc/tandem/ssh/donor"
    known_hosts: str = "/etc/tandem/ssh/known_hosts"
    port: int = 22

    def argv(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "HostKeyAlias": self.host,  # the same line of known hosts on any port
            "IdentitiesOnly": "yes",
            "Port": str(self.port),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "6",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
        }
        said = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-T", "-F", "/dev/null", "-i", self.key, *said, f"{self.user}@{self.host}", "tandem-donor"]


def receive(
    donor: Donor, target: Path, timeout: float, progress: t.Callable[[int], None], clock: t.Callable[[], float] = time.monotonic
) -> int:
    """Unpack the donor's stream into an empty directory. Returns the bytes received."""
    deadline = clock() + timeout
    log = target.parent / "donor.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(donor.argv(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as source,
        subprocess.Popen(["mbstream", "-x", "-C", str(target)], stdin=subprocess.PIPE, stderr=errors) as unpack,
    ):
        try:
            received = _pump(t.cast(t.Any, source.stdout), t.cast(t.Any, unpack.stdin), deadline, progress, clock)
            source.wait(max(1.0, deadline - clock()))
            unpack.wait(max(1.0, deadline - clock()))
        except (OSError, subprocess.TimeoutExpired, OperationFailed) as error:
            source.kill()
            unpack.kill()
            raise OperationFailed(f"The copy from {donor.host} broke: {error} {tail(log)}", _AGAIN) from error
    # The donor ends its report with this line; the rest is for a person.
    if source.returncode != 0 or unpack.returncode != 0 or not (set(_POSITION_FILES) & set(os.listdir(target))):
        raise OperationFailed(
            f"The copy from {donor.host} failed (donor {source.returncode}, unpacking {unpack.returncode}): {tail(log)}", _AGAIN
        )
    return received


_AGAIN = "Mend what it says and run this again."


def _pump(
    source: t.BinaryIO, target: t.BinaryIO, deadline: float, progress: t.Callable[[int], None], clock: t.Callable[[], float]
) -> int:
    received = 0
    with target:
        while True:
            wait = min(float(_STALLED), deadline - clock())
            if wait <= 0:
                raise OperationFailed("it took longer than seed_timeout allows.")
            ready, _writable, _failed = select.select([source], [], [], wait)
            if not ready:
                raise OperationFailed(f"nothing came for {wait:.0f} s.")
            chunk = os.read(source.fileno(), _CHUNK)
            if not chunk:
                return received
            target.write(chunk)
            received += len(chunk)
            progress(received)


def prepare(target: Path, owner_of: Path, runner: Runner, timeout: float) -> GtidSet:
    """Make the copy a consistent data directory. Returns the position it stands for."""
    runner.run(["mariadb-backup", "--prepare", f"--target-dir={target}"], timeout)
    position = position_of(target)
    like = owner_of.stat()
    for directory, _names, files in os.walk(target):
        os.chown(directory, like.st_uid, like.st_gid)
        for name in files:
            os.chown(os.path.join(directory, name), like.st_uid, like.st_gid)
    # This server has its own settings of what to start replicating from; the source's would be followed at start.
    for name in ("master.info", "relay-log.info", "multi-master.info"):
        (target / name).unlink(missing_ok=True)
    return position


def position_of(target: Path) -> GtidSet:
    """The GTID position that the copy stands for, as mariadb-backup wrote it down."""
    for name in _POSITION_FILES:
        path = target / name
        if path.exists():
            fields = path.read_text(encoding="utf-8", errors="replace").split()
            return GtidSet.parse(fields[2] if len(fields) > 2 else "", MARIADB)
    raise OperationFailed(f"The copy in {target} does not say which position it stands for.", _AGAIN)


def tools_missing(which: t.Callable[[str], str | None] = shutil.which) -> list[str]:
    """What this machine lacks for a copy."""
    return [name for name in ("ssh", "mbstream", "mariadb-backup") if which(name) is None]
