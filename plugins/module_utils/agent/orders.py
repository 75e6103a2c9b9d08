# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person has said is to be done once. It holds for a minute, and not beyond a reboot: later it would be done to another pair.

The moment is kept as seconds since boot, and with the boot's name, so no step of the wall clock makes an order younger or older.
"""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

from . import reading
from .model import Order

# Seconds.
LASTS = 60.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """The name of this boot of the kernel (random(4))."""
    return _BOOT.read_text(encoding="ascii").strip()


def given(order: Order) -> dict[str, t.Any]:
    """What is written down when it is given now."""
    return {"order": order.value, "order_at": time.clock_gettime(time.CLOCK_BOOTTIME), "order_boot": boot()}


def standing(said: t.Mapping[str, t.Any], now: float, this_boot: str) -> Order:
    """What still has to be done. now: seconds since boot. An order of which nobody knows when it was given is an old one."""
    at = reading.number(said, "order_at")
    if at is None or said.get("order_boot") != this_boot or not 0 <= now - at <= LASTS:
        return Order.NONE
    try:
        return Order(said.get("order") or "none")
    except ValueError:
        return Order.NONE
