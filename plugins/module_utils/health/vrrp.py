# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keepalived says of itself through its notify FIFO (keepalived.conf(5), vrrp_notify_fifo). Nobody waits for it.

keepalived opens the FIFO for reading as well, and does not wait when it is full; so does this side. Whichever of the two is
away, the other one goes on; what was said meanwhile lies in the FIFO, as far as that takes it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
import typing as t
from dataclasses import dataclass

LOG = logging.getLogger("tandem.health")
_AT_ONCE = 65536
_LONGEST_LINE = 4096
# INSTANCE "outside" MASTER 201
_LINE = re.compile(r'(GROUP|INSTANCE) "([^"]{1,100})" ([A-Z_]{1,40}) (\d{1,5})')
MASTER = "MASTER"
# After a cut between the nodes has healed, both are masters for some adverts.
BOTH_FOR = 3.0


@dataclass(frozen=True)
class Change:
    """Of one virtual router, or of the group of all."""

    group: bool
    name: str
    state: str  # MASTER, BACKUP, FAULT, STOP, or what else this keepalived knows
    priority: int


def parse(line: str) -> Change | None:
    """None: it is no change of a state."""
    found = _LINE.fullmatch(line.strip())
    return None if found is None else Change(found[1] == "GROUP", found[2], found[3], int(found[4]))


class Vrrp:
    """The states as they were said last. told: called in the event loop for each change."""

    def __init__(self, path: str, told: t.Callable[[Change], None]) -> None:
        self._path, self._told = path, told
        self._descriptor: int | None = None
        self._rest = b""
        self._complaint = ""
        self.states: dict[str, str] = {}  # of the virtual routers, by name

    @property
    def state(self) -> str | None:
        """Of all of them: MASTER when one is; None: nothing was said yet."""
        if not self.states:
            return None
        return MASTER if MASTER in self.states.values() else next(iter(self.states.values()))

    def look(self) -> None:
        """Now and then: open the FIFO, and again when it is another one or has gone."""
        try:
            there = os.stat(self._path)
            if self._descriptor is not None:
                here = os.fstat(self._descriptor)
                if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                    return
                self.close()
            if not stat.S_ISFIFO(there.st_mode):
                raise OSError("it is no FIFO")
            # Open for writing as well: otherwise it would always be readable while keepalived does not run.
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            asyncio.get_running_loop().add_reader(self._descriptor, self._readable)
            self._complaint = ""
        except OSError as error:
            self.close()
            if str(error) != self._complaint:
                LOG.info("keepalived's notify FIFO %s: %s", self._path, error)
            self._complaint = str(error)

    def _readable(self) -> None:
        if self._descriptor is None:
            return
        try:
            data = os.read(self._descriptor, _AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            LOG.info("keepalived's notify FIFO: %s", error)
            self.close()
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= _LONGEST_LINE else b""
        for line in lines:
            change = parse(line.decode("utf-8", "replace"))
            if change is None:
                continue
            if not change.group:
                if self.states.get(change.name) == change.state:
                    continue
                self.states[change.name] = change.state
            self._told(change)

    def close(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
        self._descriptor, self._rest = None, b""


class BothMasters:
    """Since when both nodes say that they hold the addresses. Pure; now: seconds of one clock."""

    def __init__(self) -> None:
        self._since: float | None = None

    def seen(self, mine: str | None, theirs: str | None, now: float) -> bool:
        """True: for longer than it takes two masters to agree."""
        if mine != MASTER or theirs != MASTER:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= BOTH_FOR
