# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alarms that people were told of, on the disk: a restart of the daemon repeats none and forgets none.

Told is what a channel has taken: what still waits for one when the daemon ends is told by the next one, if it is still so.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

LOG = logging.getLogger("tandem.notify")
_MOST = 100


class Announced:
    """names: the alarms that are so now. tell() from the event loop, taken() and save() from threads.

    What cannot be read or written is only in memory, and is complained about once.
    """

    def __init__(self, path: str) -> None:
        self.names: frozenset[str] = frozenset()
        self._path = Path(path)
        self._taken: frozenset[str] = frozenset()
        self._saved: frozenset[str] | None = None
        self._one = threading.Lock()
        self._complaint = ""

    def load(self) -> None:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))["alarms"]
            self.names = self._taken = self._saved = frozenset(name for name in found[:_MOST] if isinstance(name, str))
        except FileNotFoundError:
            self._saved = frozenset()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._complain(f"{self._path} cannot be read: {error!r}")

    def tell(self, names: set[str]) -> None:
        self.names = frozenset(names)

    def taken(self, name: str, begun: bool) -> None:
        """A channel has taken the message of its beginning, or of its end."""
        with self._one:
            self._taken = self._taken | {name} if begun else self._taken - {name}

    @property
    def unsaved(self) -> bool:
        return self._taken != self._saved

    def save(self) -> None:
        names, new = self._taken, self._path.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump({"alarms": sorted(names)}, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            self._complain(f"{self._path} cannot be written: {error}")
        else:
            self._saved, self._complaint = names, ""

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            LOG.error("%s", complaint)
        self._complaint = complaint
