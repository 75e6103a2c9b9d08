# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this node's own database is, as the last look says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .contact import Contact
from .model import Database, Running

NOT_OPEN = (Database.CLOSED, Database.GONE)


@dataclass(frozen=True)
class Own(Contact):
    """True or False: a condition of the table."""

    @cached_property
    def database_open(self) -> bool:
        return self.view.database is Database.OPEN

    @cached_property
    def opened_by_somebody(self) -> bool:
        return self.database_open and self.memory.closing_since is None

    @cached_property
    def database_closed(self) -> bool:
        return self.view.database is Database.CLOSED

    @cached_property
    def database_gone(self) -> bool:
        return self.view.database is Database.GONE

    @cached_property
    def database_shut(self) -> bool:
        return self.view.database in NOT_OPEN

    @cached_property
    def database_known(self) -> bool:
        return self.view.database in (Database.OPEN, *NOT_OPEN)

    @cached_property
    def stalled_too_long(self) -> bool:
        since = self.memory.stalled_since
        return since is not None and self.view.now - since >= self.policy.stall_patience

    @cached_property
    def extra_transactions(self) -> bool:
        """And nobody is about to replace them."""
        return self.view.extra is True and self.view.running is not Running.OWN

    @cached_property
    def no_extra_transactions(self) -> bool:
        return self.view.extra is False

    @cached_property
    def in_step(self) -> bool:
        return self.view.in_step

    @cached_property
    def acknowledged(self) -> bool:
        return self.view.acknowledged is True

    @cached_property
    def commits_wait(self) -> bool:
        """For a replica, as far as is known: nobody has told the server in this life of the daemon not to, or it is seen that they do."""
        return not self.view.went_alone or self.view.unanswered

    @cached_property
    def still_waits(self) -> bool:
        tried = self.memory.alone_at
        due = tried is None or self.view.now - tried >= self.policy.alone_every
        return due and self.commits_wait and self.database_open and self.view.running in (Running.NONE, Running.FAILED)

    @cached_property
    def unacknowledged(self) -> bool:
        since = self.memory.unacknowledged_since
        return since is not None and self.view.now - since >= self.policy.ask_alone_after
