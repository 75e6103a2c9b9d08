# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches one node during a drill: tries to write on its own database as an application would, and asks for a page.

Both nodes do it at once, so exactly one of them is allowed to succeed at any moment.
"""

from __future__ import annotations

import http.client
import threading
import time
import typing as t
import urllib.parse
from dataclasses import dataclass, field

from ..connection import Connection, Endpoint
from ..dialect import SCHEMA
from ..errors import StatementFailed, TandemError

_TABLE = f"{SCHEMA}.canary"
_INSERT = f"INSERT INTO {_TABLE} (name, token) VALUES (%s, %s)"
PREFIX = "drill-"
_INTERVAL = 0.02
_PAGE_TIMEOUT = 0.5


@dataclass
class Seen:
    """What a node saw. Times are of its clock, in seconds."""

    acknowledged: dict[str, float] = field(default_factory=dict)
    spans: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    pages: list[float] = field(default_factory=list)
    pages_failed: int = 0
    broken: float = 0.0
    begun: float = 0.0
    ended: float = 0.0


class Writer:
    """One row every 20 ms, on a connection that is kept while it works. Nothing is tried twice."""

    def __init__(self, endpoint: Endpoint, run: str, node: str, seen: Seen, connect: t.Callable[[Endpoint], t.Any] = Connection) -> None:
        self.endpoint, self.seen, self._connect = endpoint, seen, connect
        self._name, self._count, self._last = f"{PREFIX}{run}-{node}", 0, 0.0
        self._connection: t.Any = None

    def step(self, now: t.Callable[[], float] = time.time) -> None:
        """One row."""
        self._count += 1
        number, begun = f"{self._name}-{self._count}", now()
        try:
            if self._connection is None:
                self._connection = self._connect(self.endpoint)
            self._connection.rows(_INSERT, (number, "drill"))
        except TandemError as error:
            if isinstance(error, StatementFailed) and error.code in (1290, 1836, 4183):
                self.seen.refused += 1
            else:
                self.seen.failed += 1
                self.drop()
            self._last = 0.0
            return
        if self._last:
            # From one acknowledgement to the beginning of the next row that was acknowledged: surely open.
            self.seen.spans.append((self._last, begun))
        self._last = self.seen.acknowledged[number] = now()

    def drop(self) -> None:
        """Forget the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def ask(url: str) -> bool:
    """Does a page come, whatever it is? An error of the server is none."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_PAGE_TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True)
class Plan:
    """What is done while a node is watched. Times in seconds. ``act`` is None on the node that only watches."""

    seconds: float
    moment: float
    hold: float
    act: t.Callable[[], None] | None
    undo: t.Callable[[], None]


def watch(endpoint: Endpoint, run: str, node: str, url: str, plan: Plan) -> Seen:
    """Write and look until the time is over."""
    seen = Seen(begun=time.time())
    over = threading.Event()
    writer = Writer(endpoint, run, node, seen)

    def write() -> None:
        while not over.is_set():
            writer.step()
            over.wait(_INTERVAL)
        writer.drop()

    def look() -> None:
        while not over.is_set():
            if ask(url):
                seen.pages.append(time.time())
            else:
                seen.pages_failed += 1
            over.wait(_INTERVAL)

    threads = [threading.Thread(target=each, daemon=True) for each in ([write, look] if url else [write])]
    for thread in threads:
        thread.start()
    try:
        over.wait(plan.moment)
        seen.broken = time.time()
        if plan.act is not None:
            try:
                plan.act()
                over.wait(plan.hold)
            finally:
                plan.undo()
        over.wait(max(0.0, seen.begun + plan.seconds - time.time()))
    finally:
        over.set()
        for thread in threads:
            thread.join(endpoint.read_timeout + 2)
        seen.ended = time.time()
    return seen
