# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon sees, for the agent of its node. Pure."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from .model import Database

# Seconds. How far behind a replica may be that is called in step: what it has received is applied before it opens.
_LAG = 5.0


@dataclass(frozen=True)
class Seen:
    """looked: when the look at the database began, by the clock of the agent."""

    database: Database = Database.UNKNOWN
    looked: float = math.inf
    follows_peer: bool = False
    replicates: bool = False  # both threads run
    sql_error: bool = False
    lag: float | None = None
    acknowledged: bool | None = None
    unanswered: bool = False  # see View
    heard: t.Mapping[str, float | None] = field(default_factory=dict)
    knock: bool | None = None
    gateway: float | None = None  # see View
    address_here: bool | None = None
    atlas: tuple[str, ...] = ()
    both_masters: bool = False  # both nodes have said for a while that they hold the addresses

    @property
    def follows(self) -> bool:
        """Closed, and both threads of its replication from the peer run."""
        return self.database is Database.CLOSED and self.follows_peer and self.replicates

    @property
    def begins(self) -> bool:
        """It surely does not replicate from the peer: if it does later, it has just begun to."""
        return self.database in (Database.GONE, Database.OPEN) or (self.database is Database.CLOSED and not self.follows_peer)

    @property
    def up_to_date(self) -> bool:
        """As far as its lag says."""
        return self.follows and self.lag is not None and self.lag <= _LAG
