# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory that holds the backups of one machine. Whatever is not finished has a name that begins with a dot."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import typing as t
from pathlib import Path

from ..errors import OperationFailed, Refused
from ..room import free, mib
from .manifest import FILE, Manifest, is_name

_RESERVE = 256 * 1024 * 1024


class Store:
    """DIRECTORY/20261121T100000Z/ is a backup, DIRECTORY/binlogs/ the archive, DIRECTORY/.work/ what is being made."""

    def __init__(self, directory: str) -> None:
        self.path = Path(directory)
        self.work = self.path / ".work"
        self.look = self.path / ".look"
        self.binlogs = self.path / "binlogs"

    def require_space(self, needed: int, purpose: str) -> None:
        """Looks before anything is made. Raises Refused."""
        left = free(self.path)
        wanted = int(needed * 1.1) + _RESERVE
        if left < wanted:
            raise Refused(
                f"{self.path} has {mib(left)} free; {purpose} needs about {mib(wanted)}.",
                "Nothing was changed. Make room, keep fewer backups, or name another directory.",
            )

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Only one backup or restore at a time. The kernel releases it, whatever ends the process."""
        # Others may pass, so that the database's own account reaches what is its own; they may not look.
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.path.chmod(0o711)
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise Refused(
                    f"Another backup or restore is at work here ({file.read().strip() or 'it does not say who'}).",
                    "Wait until it is done.",
                ) from error
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()}")
            file.flush()
            yield

    def fresh(self) -> Path:
        """An empty place to work in. What an interrupted run left there is removed."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(mode=0o711)
        self.work.chmod(0o711)
        return self.work

    def done(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def publish(self, made: Path, name: str) -> Path:
        """From one moment to the next it is there, whole and on the disk."""
        made.chmod(0o700)
        for path in sorted(made.iterdir()):
            path.chmod(0o600)
            sync(path)
        sync(made)
        target = self.path / name
        made.rename(target)
        sync(self.path)
        return target

    def backups(self) -> tuple[list[Manifest], list[str]]:
        """All that can be read, the oldest first, and what is wrong with the others."""
        found, faults = [], []
        names = sorted(path.name for path in self.path.iterdir() if is_name(path.name)) if self.path.is_dir() else []
        for name in names:
            try:
                manifest = Manifest.read(self.path / name)
                size = (self.path / name / manifest.file).stat().st_size
                if manifest.name != name or size != manifest.size:
                    raise OperationFailed(f"{self.path / name} does not hold what its {FILE} says.", "It is not usable.")
                found.append(manifest)
            except OperationFailed as error:
                faults.append(str(error))
            except OSError as error:
                faults.append(f"{self.path / name} is not complete: {error}.")
        return found, faults

    def remove(self, name: str) -> None:
        """It stops being a backup before its first file goes."""
        path = self.path / name
        going = self.path / f".removed-{name}"
        if path.exists():
            path.rename(going)
        shutil.rmtree(going, ignore_errors=True)

    def sweep(self) -> None:
        """What a killed removal left."""
        for path in self.path.glob(".removed-*"):
            shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """On the disk, not only in the cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
