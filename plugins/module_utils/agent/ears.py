# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the peer's agent has said last, over the ends of its daemon. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .model import Said
from .words import heard


class Ears:
    """newest: the last word, and its time by the peer's clock."""

    def __init__(self) -> None:
        self.newest: tuple[Said, float] | None = None
        self._echo: float | None = None

    def hear(self, plain: t.Any) -> bool:
        """True: it is news. A beat that came late says nothing new.

        The first words of a peer that was started again may echo nothing yet. Its last life's echo counts on then: that is this node's
        own clock, and a daemon that was just started waits as long as its former life would have, or longer, before it opens.
        """
        told = heard(plain)
        if told is None or (self.newest is not None and told[1] <= self.newest[1]):
            return False
        if told[0].echo is None:
            told = replace(told[0], echo=self._echo), told[1]
        else:
            self._echo = None
        before, self.newest = self.newest, told
        return before is None or replace(before[0], echo=None) != replace(told[0], echo=None)

    def begin(self) -> None:
        """The peer's daemon was started again. Its clock may have begun anew: what it said is not compared with what it says now."""
        if self.newest is not None:
            self._echo, self.newest = self.newest[0].echo, None
