# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of this node: held here or not, given to the peer, wanted again.

keepalived tracks a file: anything but 0 in it is a fault, and a node with a fault lets its addresses go at once
(keepalived.conf(5), track_file). With nopreempt it takes nothing back when the file says 0 again.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from ..errors import OperationFailed
from ..runner import Runner
from .config import Vip

_POLL = 0.005  # seconds


def held(vips: tuple[Vip, ...], runner: Runner) -> bool:
    """True if this node has all of them."""
    if not vips:
        return False
    return all(vip.address in _addresses(vip.interface, runner) for vip in vips)


def held_any(vips: tuple[Vip, ...], runner: Runner) -> bool:
    """True if this node has at least one."""
    return any(vip.address in _addresses(vip.interface, runner) for vip in vips)


def _addresses(interface: str, runner: Runner) -> set[str]:
    said = runner.run(["ip", "-o", "address", "show", "dev", interface], timeout=5, check=False).stdout
    words = [line.split() for line in said.splitlines()]
    return {line[3].partition("/")[0] for line in words if len(line) > 3}


def say_away(path: str, away: bool) -> None:
    """Ask keepalived to let the addresses go, or not to mind any more."""
    if not path:
        raise OperationFailed("This node has no keepalived that could be asked to move addresses.", "Leave move_vips off.")
    directory = Path(path).parent
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".away", dir=directory)
        with os.fdopen(descriptor, "w") as file:
            file.write("1\n" if away else "0\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise OperationFailed(f"{path} cannot be written: {error.strerror}.", "Run playbooks/traffic.yml.") from error


def give(vips: tuple[Vip, ...], away_file: str, name: str, runner: Runner, seconds: float) -> float:
    """Let the peer have them; returns the seconds it took. Raises OperationFailed, with them back if nobody else took them."""
    started = time.monotonic()
    say_away(away_file, True)
    try:
        while held_any(vips, runner):
            if time.monotonic() - started > seconds:
                raise OperationFailed(f"{name} still holds the addresses after {seconds:g} s.", "systemctl status keepalived")
            time.sleep(_POLL)
    finally:
        say_away(away_file, False)
    return round(time.monotonic() - started, 4)


def wait_for(vips: tuple[Vip, ...], runner: Runner, seconds: float) -> bool:
    """Wait until this node holds them all."""
    deadline = time.monotonic() + seconds
    while not held(vips, runner):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
