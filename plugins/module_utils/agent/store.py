# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the agent's memory that outlives everything, and what a person has said."""

from __future__ import annotations

import json
import logging
import os
import typing as t
from pathlib import Path

from . import reading
from .model import Memory
from .wire import from_memory, to_memory

LOG = logging.getLogger("tandem.agent")
# Root writes what a person says, whatever its umask; the daemon, which is not root, reads it. Nothing here is secret.
_MODE = 0o644
# Seconds.
_LATER = 0.001


class Store:
    """Files in one directory, each replaced at once and on the disk afterwards."""

    def __init__(self, directory: str) -> None:
        self._memory = Path(directory) / "memory.json"
        self._said = Path(directory) / "said.json"
        self._said_at = -1
        self._words: dict[str, t.Any] = {}
        self._complaint = ""

    def recall(self) -> Memory:
        """Raises ValueError or OSError where it is there and cannot be read."""
        try:
            return to_memory(json.loads(self._memory.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Memory()

    def keep(self, memory: Memory) -> None:
        """Raises OSError; then the old one is there."""
        _write(self._memory, from_memory(memory))

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
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
