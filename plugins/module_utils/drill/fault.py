# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill breaks on this node: only what a pair mends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import typing as t
from pathlib import Path

from ..errors import Refused

# Name of the fault: whose processes, and the signal. A process of the agent is told apart by its unit, not by its name.
FAULTS: t.Mapping[str, tuple[str, signal.Signals]] = {
    "kill_database": ("database", signal.SIGKILL),
    "kill_nginx": ("nginx", signal.SIGKILL),
    "kill_php_fpm": ("php-fpm", signal.SIGKILL),
    "kill_keepalived": ("keepalived", signal.SIGKILL),
    "kill_agent": ("tandem-health.service", signal.SIGKILL),
    "stop_database": ("database", signal.SIGSTOP),
}
_SERVERS = ("mariadbd", "mysqld")


def processes(whose: str, proc: Path = Path("/proc")) -> list[int]:
    """The processes of this machine that a fault is about, in the order of their numbers."""
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name = (entry / "comm").read_text(encoding="utf-8").strip()
            groups = (entry / "cgroup").read_text(encoding="utf-8") if whose.endswith(".service") else ""
        except OSError:  # it has ended meanwhile
            continue
        if whose == "database":
            wanted = name in _SERVERS
        elif whose.endswith(".service"):
            wanted = any(line.endswith("/" + whose) for line in groups.splitlines())
        else:
            wanted = name == whose or (whose == "php-fpm" and name.startswith("php-fpm"))
        if wanted:
            found.append(int(entry.name))
    return sorted(found)


def strike(fault: str, numbers: t.Sequence[int], send: t.Callable[[int, int], None] = os.kill, hold: float = 0.0) -> list[int]:
    """Send the signal. Returns who got it. Raises Refused where there is nobody to break. hold: seconds that somebody stands still at most."""
    whose, number = FAULTS[fault]
    if number is signal.SIGSTOP and numbers:
        _wake(numbers, hold)
    struck = []
    for one in numbers:
        try:
            send(one, number)
            struck.append(one)
        except ProcessLookupError:  # its parent took it along
            continue
    if not struck:
        raise Refused(f"No process of {whose} runs on this node: nothing was broken.", "Look at playbooks/status.yml first.")
    return struck


def _wake(numbers: t.Sequence[int], seconds: float) -> None:
    """Later, by a process of its own: a drill that is killed, or whose terminal goes away, leaves nobody standing still."""
    subprocess.Popen(
        ["/bin/sh", "-c", 'sleep "$1"; shift; kill -CONT "$@"', "sh", str(seconds), *map(str, numbers)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def release(numbers: t.Sequence[int], send: t.Callable[[int, int], None] = os.kill) -> None:
    """What stood still goes on; what was replaced meanwhile is left alone."""
    for one in numbers:
        try:
            send(one, signal.SIGCONT)
        except ProcessLookupError:
            continue
