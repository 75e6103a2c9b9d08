# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's process on this machine."""

from __future__ import annotations

import os
import time
from pathlib import Path


def started(pid_file: str, datadir: str) -> float:
    """When the server process of this machine started, on the wall clock of now; 0: not here."""
    try:
        pid = int((Path(datadir) / pid_file).read_text(encoding="ascii"))
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        ticks = int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age
