# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that the daemon can do without."""

from __future__ import annotations

import asyncio
import logging
import typing as t

LOG = logging.getLogger("tandem.health")
# Seconds.
PAUSE = 5.0


async def optional(name: str, part: t.Callable[[], t.Awaitable[None]], pause: float = PAUSE) -> None:
    """Until cancelled. A fault of it ends nothing else: it is logged once, and the part begins again."""
    complaint = ""
    while True:
        try:
            await part()
        except Exception as error:
            if repr(error) != complaint:
                LOG.exception("%s: a fault of the daemon itself; it goes on", name)
            complaint = repr(error)
        await asyncio.sleep(pause)
