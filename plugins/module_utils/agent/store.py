# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the agent's memory that outlives everything, and what a person has said."""

from __future__ import annotations

import errno
import json
import logging
import os
import typing as t
import zlib
from pathlib import Path

from . import reading
from .model import Memory
from .wire import from_memory, to_memory

LOG = logging.getLogger("tandem.agent")
# Root writes what a person says, whatever its umask; the daemon, which is not root, reads it. Nothing here is secret.
_MODE = 0o644
# Seconds.
_LATER = 0.001


# Bytes. A whole memory and the spaces after it.
_SLOT = 4096


class Store:
    """Files in one directory. What a person says is a file that is replaced at once.

    The memory must be kept on a full disk too: the other node may wait for it. So it is written in place, into files that have their blocks,
    in turn: while the one is written, the other one is whole. (A file system that copies on write, as btrfs or ZFS, may need blocks still.)
    """

    def __init__(self, directory: str) -> None:
        self._slots = [Path(directory) / f"memory.{number}" for number in (0, 1)]
        self._former = Path(directory) / "memory.json"  # of earlier versions
        self._number: int | None = None  # how often it was kept
        self._said = Path(directory) / "said.json"
        self._said_at = -1
        self._words: dict[str, t.Any] = {}
        self._complaint = ""

    def recall(self) -> Memory:
        """Raises ValueError or OSError where it is there and cannot be read."""
        self._number, memory = self._newest()
        return memory

    def _newest(self) -> tuple[int, Memory]:
        found = [_slot(path) for path in self._slots]
        whole = [each for each in found if each]
        if whole:
            return max(whole, key=lambda each: each[0])
        if all(path.exists() for path in self._slots):
            raise ValueError(f"neither {self._slots[0]} nor {self._slots[1]} is whole")
        # Nothing was ever kept in a slot; the first attempt may have been broken off.
        try:
            return 0, to_memory(json.loads(self._former.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return 0, Memory()

    def reserve(self) -> None:
        """Take the room for every later keep, as soon as there is any."""
        try:
            for path in self._slots:
                if not path.exists() or path.stat().st_size != _SLOT:
                    self.keep(self._newest()[1])
                    self.keep(self._newest()[1])
            self._former.unlink(missing_ok=True)
        except OSError as error:
            LOG.error("no room can be taken for the memory: %s", error)

    def keep(self, memory: Memory) -> None:
        """Raises OSError; then the old one is there."""
        number = (self._newest()[0] if self._number is None else self._number) + 1
        body = json.dumps({"number": number, **from_memory(memory)}).encode()
        _overwrite(self._slots[number % 2], b"%08x %s\n" % (zlib.crc32(body), body))
        self._number = number

    def said(self) -> dict[str, t.Any]:
        """What a person has said: paused_until, paused_at and acknowledged_at (seconds since 1970), order.

        Read anew when it has changed; the same object until then.
        """
        try:
            changed = self._said.stat().st_mtime_ns
            if changed != self._said_at:
                data = json.loads(self._said.read_text(encoding="utf-8"))
                self._words, self._said_at = (data if isinstance(data, dict) else {}), changed
            self._complaint = ""
        except FileNotFoundError:
            self._nothing_said("")
        except (OSError, ValueError) as error:
            self._nothing_said(f"what a person has said is not followed: {self._said} cannot be read: {error}")
        return self._words

    def _nothing_said(self, complaint: str) -> None:
        self._words, self._said_at = self._words if self._said_at == -1 else {}, -1
        if complaint and complaint != self._complaint:
            LOG.error("%s", complaint)
        self._complaint = complaint

    def say(self, **words: t.Any) -> None:
        """Raises OSError."""
        _write(self._said, {**self.said(), **words})

    def pause(self, until: float, now: float) -> None:
        """0: no longer. Later than every word that was heard here, also from a node whose clock is ahead. Raises OSError."""
        before = reading.number(self.said(), "paused_at") or 0.0
        self.say(paused_at=max(now, before + _LATER), paused_until=until)


def _slot(path: Path) -> tuple[int, Memory] | None:
    """None: it was never written, or that was broken off. Raises OSError: what cannot be read may be the newest."""
    try:
        checksum, _space, body = path.read_bytes().rstrip().partition(b" ")
    except FileNotFoundError:
        return None
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    plain = json.loads(body)
    return int(plain["number"]), to_memory(plain)


def _overwrite(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    try:
        os.fchmod(file, _MODE)
        if os.pwrite(file, data.ljust(_SLOT), 0) != _SLOT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file)
    finally:
        os.close(file)
    _sync(path.parent)


def _write(path: Path, data: t.Mapping[str, t.Any]) -> None:
    new = path.with_suffix(".new")
    # Made anew: whoever was broken off may have left one that others may not write, and nobody follows a link.
    new.unlink(missing_ok=True)
    with new.open("x", encoding="utf-8") as file:
        os.fchmod(file.fileno(), _MODE)
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
