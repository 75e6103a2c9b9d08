# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What persons have said, on whichever node. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .contact import Contact


@dataclass(frozen=True)
class Persons(Contact):
    """Each public property that says True or False is a condition of the table."""

    @cached_property
    def paused_until(self) -> float:
        """Until when the agents decide nothing (View.wall): what a person has said last counts, on whichever node."""
        view, peer = self.view, self.peer
        if not peer.paused_at:  # nothing was said there, or by an earlier version, which does not say when
            return max(view.paused_until, peer.paused_until)
        return max((view.paused_at, view.paused_until), (peer.paused_at, peer.paused_until))[1]

    @cached_property
    def paused(self) -> bool:
        return self.paused_until > self.view.wall

    @cached_property
    def acknowledged_at(self) -> float:
        """When a person has said on either node that the last failover has been seen (View.wall)."""
        return max(self.view.acknowledged_at, self.peer.acknowledged_at)

    @cached_property
    def cooling(self) -> bool:
        at = self.memory.failover_at
        return at > self.acknowledged_at and 0 <= self.view.wall - at < self.policy.cooldown
