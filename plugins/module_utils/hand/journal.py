# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation has begun on this node, on disk before it happens. One file per operation, one JSON line per entry."""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as t
import uuid
from pathlib import Path

from ..errors import OperationFailed

DIRECTORY = Path("/var/lib/tandem/journal")
_KEEP = 50

BEGIN = "begin"  # with the request
DOING = "doing"  # before an action
COMMIT = "commit"  # from here on only forward; with the scheduled events of the old primary
END = "end"  # done, undone or failed


def new_name() -> str:
    """A name for an operation: names sort by time."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:8]}"


class Journal:
    """One operation on one node.

    Raises OperationFailed where the disk refuses: nothing is done that is not written down.
    """

    def __init__(self, path: Path, entries: list[dict[str, t.Any]], size: int = 0) -> None:
        """size: bytes of the file that hold these entries."""
        self._path = path
        self._size = size
        self.entries = entries

    @classmethod
    def create(cls, operation: str, request: t.Mapping[str, t.Any], directory: Path = DIRECTORY) -> Journal:
        journal = cls(directory / f"{operation}.jsonl", [])
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            journal.write(BEGIN, dict(request))
        except (OSError, OperationFailed) as error:
            # An empty file would look like an operation that was broken off.
            with contextlib.suppress(OSError):
                journal._path.unlink(missing_ok=True)
            raise error if isinstance(error, OperationFailed) else _unwritable(journal._path, error) from error
        _forget_old(directory)
        return journal

    @classmethod
    def load(cls, path: Path) -> Journal:
        entries, size = [], 0
        for line in path.read_bytes().splitlines(keepends=True):
            # The last line of a node that lost power, or had no room.
            if not line.endswith(b"\n"):
                break
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
            size += len(line)
        return cls(path, entries, size)

    def write(self, event: str, data: t.Mapping[str, t.Any] | None = None, lasting: bool = True) -> None:
        """Append. lasting: it is on the disk afterwards; otherwise it outlives the process, but not a loss of power."""
        entry = {"at": round(time.time(), 6), "event": event, **(data or {})}
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            with self._path.open("ab") as file:
                if file.tell() > self._size:
                    # Behind half a line nobody would find it.
                    file.truncate(self._size)
                file.write(line)
                file.flush()
                if lasting:
                    os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._size += len(line)
        self.entries.append(entry)

    @property
    def operation(self) -> str:
        return self._path.stem

    @property
    def request(self) -> dict[str, t.Any]:
        """What was asked for; empty if not even that was written."""
        return self.entries[0] if self.entries and self.entries[0].get("event") == BEGIN else {}

    @property
    def committed(self) -> bool:
        return any(entry["event"] == COMMIT for entry in self.entries)

    @property
    def scheduled(self) -> dict[str, str] | None:
        """The old primary's scheduled events, by name, with the status they had. None: it could not be asked."""
        return next((entry.get("scheduled") for entry in self.entries if entry["event"] == COMMIT), None)

    @property
    def ended(self) -> bool:
        return any(entry["event"] == END for entry in self.entries)

    def actions(self) -> list[dict[str, t.Any]]:
        """What was begun, in order."""
        return [entry for entry in self.entries if entry["event"] == DOING]


def _unwritable(path: Path, error: OSError) -> OperationFailed:
    return OperationFailed(f"The journal {path} cannot be written: {error.strerror}.", "Make room on its disk; nothing goes on without it.")


def unfinished(directory: Path = DIRECTORY) -> list[Journal]:
    """Operations that never came to their end here, the oldest first."""
    found = [Journal.load(path) for path in sorted(directory.glob("*.jsonl"))]
    return [journal for journal in found if not journal.ended]


def _forget_old(directory: Path) -> None:
    for path in sorted(directory.glob("*.jsonl"))[:-_KEEP]:
        if Journal.load(path).ended:
            path.unlink(missing_ok=True)
