# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd says of a service."""

from __future__ import annotations

import time
import typing as t

from ..runner import Runner

_WANTED = "ActiveState,SubState,NRestarts,InactiveEnterTimestampMonotonic"


def unit(service: str, runner: Runner) -> dict[str, t.Any]:
    """Its state, how often systemd has restarted it, and for how long it has been down (s; None: it is not, or nobody knows)."""
    said = runner.run(["systemctl", "show", f"--property={_WANTED}", service], timeout=10, check=False).stdout
    seen = dict(line.partition("=")[::2] for line in said.splitlines())
    since = int(seen.get("InactiveEnterTimestampMonotonic") or 0) / 1e6
    down = time.clock_gettime(time.CLOCK_MONOTONIC) - since if since and seen.get("ActiveState") in ("inactive", "failed") else None
    return {
        "state": seen.get("ActiveState", "unknown"),
        "sub": seen.get("SubState", ""),
        "restarts": int(seen.get("NRestarts") or 0),
        "down": None if down is None else round(down, 1),
    }
