# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While clients wait for this process, it does not wait for theirs."""

from __future__ import annotations

import os

_NICE = -10


def go_first() -> None:
    """Run before ordinary processes, where that is allowed (setpriority(2)). Children do as well."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    except OSError:
        return
