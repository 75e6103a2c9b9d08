# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is heard, the gateway among them, since when, and how that is said. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from .model import Memory, Said, View
from .policy import Policy


def yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def answers(value: bool | None) -> str:
    return "unknown" if value is None else "answers" if value else "does not answer"


@dataclass(frozen=True)
class Contact:
    """What a policy, a memory and a view say of the peer. True or False: a condition of the table."""

    policy: Policy
    memory: Memory
    view: View

    @cached_property
    def silence(self) -> float:
        """Seconds since the peer was heard on any network; counted from the start of the daemon where it never was."""
        ages = [age for age in self.view.heard.values() if age is not None]
        since_start = self.view.now - (self.view.now if self.memory.started is None else self.memory.started)
        return min([*ages, since_start]) if self.view.peer is None else min(ages, default=since_start)

    @cached_property
    def heard(self) -> bool:
        return self.view.peer is not None and self.silence <= self.policy.contact_fresh

    @cached_property
    def peer_is_mute(self) -> bool:
        """Beats come, and nothing of an agent in them: the peer's could not start, or there is none."""
        ages = [age for age in self.view.heard.values() if age is not None]
        return self.view.peer is None and min(ages, default=math.inf) <= self.policy.contact_fresh

    @cached_property
    def peer(self) -> Said:
        return self.view.peer or Said()

    @cached_property
    def policies_differ(self) -> bool:
        """As it was when the peer was heard last. One of an earlier version does not say."""
        return self.peer.common not in ("", self.policy.common)

    @cached_property
    def contact(self) -> float:
        """Seconds since this node sent the newest beat of which the peer has said that it came."""
        return math.inf if self.peer.echo is None else self.view.now - self.peer.echo

    @cached_property
    def in_contact(self) -> bool:
        """Heard, and certainly not only by beats that had waited in a queue while this node stood still."""
        return self.heard and self.contact <= self.policy.self_fence_after

    @cached_property
    def proven(self) -> float:
        """Until when the gateway's newest answer proves that a peer that may open has heard this node (View.now)."""
        if not self.policy.gateway:
            return math.inf
        if self.view.gateway is None:
            return -math.inf
        return self.view.now - self.view.gateway + self.policy.promise - self.policy.tick

    @cached_property
    def gateway_ok(self) -> bool:
        return self.view.now <= self.proven - self.policy.close_budget
