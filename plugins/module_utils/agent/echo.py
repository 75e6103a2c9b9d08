# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of many questions have been answered, and when the newest of those was sent. Pure.

An answer proves that its question could be sent. So what counts is when the question was sent, by the own clock, and not when
the answer was read: a busy gateway, or a process that gets no processor, makes the proof older, never wrong.
"""

from __future__ import annotations

import math

# More than are on their way within the longest time that anybody waits for.
_REMEMBERED = 64


class Echoes:
    """Numbers are those of the questions; they may begin again after any number over 64."""

    def __init__(self) -> None:
        self._sent: dict[int, float] = {}
        self.newest = -math.inf  # when the newest question that was answered was sent

    def sent(self, number: int, now: float) -> None:
        self._sent.pop(number, None)
        self._sent[number] = now
        while len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def answered(self, number: int) -> bool:
        """False: nobody has asked that, or the answer came before."""
        at = self._sent.pop(number, None)
        if at is None:
            return False
        self.newest = max(self.newest, at)
        return True
