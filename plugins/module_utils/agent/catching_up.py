# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has this replica what the primary had when it began to follow?

A replica that has just been started says that it is 0 s behind until it has applied something: its lag alone proves nothing.
"""

from __future__ import annotations

from ..gtid import GtidSet
from .seen import Seen


class CatchingUp:
    """Begun in one thread and compared in another: what was compared for an earlier turn does not count."""

    def __init__(self) -> None:
        self.turn = 0
        self._done = -1
        self._wanted: tuple[int, GtidSet] | None = None

    @property
    def done(self) -> bool:
        return self._done == self.turn

    def begin(self) -> None:
        self.turn += 1

    def look(self, seen: Seen) -> None:
        if seen.begins:
            self.begin()

    def compared(self, turn: int, applied: GtidSet | None, theirs: GtidSet | None) -> None:
        """turn: as it was before both servers were looked at. None: they could not be."""
        if applied is None or theirs is None:
            return
        if self._wanted is None or self._wanted[0] != turn:
            self._wanted = (turn, theirs)
        if applied.flavor == theirs.flavor and applied.reached(self._wanted[1]):
            self._done = turn
