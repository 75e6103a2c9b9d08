# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a replica has applied what its source had at the beginning. What cannot end is noticed early."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ..errors import OperationFailed
from ..gtid import GtidSet
from ..server import Server

_POLL = 0.25


@dataclass(frozen=True)
class CaughtUp:
    """How it went."""

    transactions: int
    seconds: float
    executed: str

    @property
    def rate(self) -> float:
        """Transactions a second."""
        return self.transactions / self.seconds if self.seconds else 0.0


def catch_up(
    replica: Server,
    name: str,
    wanted: GtidSet,
    *,
    timeout: float,
    stuck_after: float,
    say: t.Callable[[str], None],
    clock: t.Callable[[], float] = time.monotonic,
    pause: t.Callable[[float], None] = time.sleep,
) -> CaughtUp:
    """Raises OperationFailed: replication has stopped, nothing moves for ``stuck_after`` seconds, or time is over."""
    began = moved = told = clock()
    executed = replica.executed()
    at_first = behind = executed.behind(wanted)
    while not executed.reached(wanted):
        now = clock()
        seen = replica.observe().replication
        if seen is None:
            raise OperationFailed(f"{name} has no source and lacks {behind} transactions.", "Run playbooks/rejoin.yml.")
        if not seen.sql_running or seen.sql_errno:
            raise OperationFailed(
                f"{name} applies nothing and lacks {behind} transactions: {seen.sql_error or 'its SQL thread is stopped'}.",
                f"Start it ({replica.dialect.start_replica}), or mend what it says.",
            )
        if now - moved > stuck_after:
            why = "" if seen.io_connected else f" It does not receive either: {seen.io_error or 'not connected'}."
            raise OperationFailed(
                f"{name} has not applied anything for {stuck_after:g} s and lacks {behind} transactions.{why}",
                "Look for a long transaction or a lock on it (SHOW PROCESSLIST).",
            )
        if now - began > timeout:
            raise OperationFailed(f"{name} still lacks {behind} transactions after {timeout:g} s.", "It goes on. Wait again, or allow more.")
        if now - told > 5:
            told = now
            rate = (at_first - behind) / (now - began)
            say(f"{name} lacks {behind} transactions, {rate:.0f} a second" + (f", {behind / rate:.0f} s to go" if rate else ""))
        pause(_POLL)
        before, executed = executed, replica.executed()
        if executed != before:
            moved = clock()
        behind = executed.behind(wanted)
    return CaughtUp(at_first, round(clock() - began, 3), str(executed))
