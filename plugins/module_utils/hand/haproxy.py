# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy of this node at run time: hold new connections, see those in flight, and point the writer port at a server.

New connections are held in HAProxy's own queue: the server's maxconn goes to 1, and an idle connection of ours occupies
that one place. Nobody is refused; ``timeout queue`` bounds the wait. (HAProxy management guide, "set maxconn server".
Putting the only server into maintenance instead refuses everybody.)
"""

from __future__ import annotations

import csv
import io
import re
import socket
import time
import typing as t
from dataclasses import dataclass

from ..errors import TandemError

_POLL = 0.005
# Who has waited is let in a few at a time: all at once, they would share the processors, and the first answer would come with
# the last. Connections to begin with, more of them each time, seconds between.
_FIRST = 6
_MORE = 4
_BETWEEN = 0.01
# This node's own server has none.
_NO_AGENT = "Agent was not configured"
# Seconds. A web request is shorter than this; what is older is a connection that somebody keeps.
_REQUEST = 3
_AGE = re.compile(r"(\d+)([dhms])")
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


class ProxyFailed(TandemError):
    """HAProxy did not do what it was told, or does not answer."""


class ProxySilent(ProxyFailed):
    """HAProxy does not answer: it does not run, or hangs. One that is started again holds nobody."""


@dataclass(frozen=True)
class Traffic:
    """Connections to one server of the writer port: in work, and waiting in the queues."""

    active: int
    queued: int


@dataclass(frozen=True)
class InFlight:
    """Requests by HAProxy's name for their connection, and how many connections are kept on purpose."""

    requests: frozenset[str]
    kept: int


class HAProxy:
    """One HAProxy process, by its runtime API.

    Args:
        control: path of the admin socket.
        address, port: the writer port.
        backend: name of the backend behind it.
    """

    def __init__(self, control: str, address: str, port: int, backend: str = "sql_writer", timeout: float = 2) -> None:
        self._control = control
        self._writer = (address, port)
        self._backend = backend
        self._timeout = timeout
        self._occupier: socket.socket | None = None

    def ask(self, command: str) -> str:
        """What it says to one command."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(self._timeout)
                line.connect(self._control)
                line.sendall(f"{command}\n".encode())
                said = b""
                while part := line.recv(65536):
                    said += part
        except OSError as error:
            raise ProxySilent(
                f"HAProxy does not answer on {self._control}: {error}.", "Start it: systemctl start haproxy."
            ) from error
        return said.decode(errors="replace").strip()

    def _tell(self, *commands: str) -> None:
        command = "; ".join(commands)
        said = self.ask(command)
        if said:
            raise ProxyFailed(f"HAProxy refused {command!r}: {said}", "Is its configuration that of role sql_proxy?")

    def _rows(self) -> dict[str, dict[str, str]]:
        # Of every type (-1), and every server (-1).
        table = csv.DictReader(io.StringIO(self.ask(f"show stat {self._backend} -1 -1").lstrip("# ")))
        return {row["svname"]: row for row in table if row["pxname"] == self._backend}

    def servers(self) -> dict[str, str]:
        """The servers of the writer port and what HAProxy thinks of each ("UP", "DOWN", "MAINT", ...)."""
        return {name: row["status"] for name, row in self._rows().items() if name not in ("FRONTEND", "BACKEND")}

    def limit(self, server: str) -> int:
        """Connections that it may have; 0: no limit."""
        try:
            return int(self._rows()[server]["slim"] or 0)
        except KeyError:
            raise ProxyFailed(
                f"HAProxy knows no server {server} behind its writer port.", "Run playbooks/sql_proxy.yml."
            ) from None

    def traffic(self, server: str) -> Traffic:
        """Ours is not counted."""
        rows = self._rows()
        active = int(rows[server]["scur"] or 0) - (1 if self._occupier is not None else 0)
        return Traffic(max(0, active), int(rows["BACKEND"]["qcur"] or 0))

    def prepare(self) -> None:
        """What takes time, while nobody waits yet: checks are not believed from now on, and one connection is ours.

        To be followed by hold within seconds: a server ends a connection that does not log in (connect_timeout, 10 s).
        """
        if self._occupier is not None:
            return
        # What the checks say would move the waiting ones somewhere while the roles change. An agent that says "up" counts alone
        # where health is not checked.
        self._tell(*(f"disable {what} {self._backend}/{name}" for name in self._checked() for what in ("agent", "health")))
        self._occupy()

    def hold(self, server: str) -> None:
        """From now on every new connection waits. Those in flight go on."""
        self.prepare()
        self._tell(f"set maxconn server {self._backend}/{server} 1")

    def _occupy(self) -> None:
        try:
            self._occupier = socket.create_connection(self._writer, self._timeout)
            self._occupier.settimeout(self._timeout)
            greeting = self._occupier.recv(5)  # the server's: the connection has come through
        except OSError as error:
            raise ProxyFailed(f"The writer port {self._writer[1]} does not let anybody through: {error}.") from error
        if not greeting:
            raise ProxyFailed(f"The writer port {self._writer[1]} has no server behind it.", "See playbooks/status.yml.")

    def _checked(self) -> list[str]:
        return [name for name in self.servers() if not name.endswith("-read")]

    def in_flight(self, server: str) -> InFlight:
        """The requests in flight, and the connections that are older than a request lasts: nobody knows when these end."""
        ages = self._ages(server)
        requests = frozenset(name for name, age in ages.items() if age < _REQUEST)
        return InFlight(requests, len(ages) - len(requests))

    def wait_for(self, requests: frozenset[str], server: str, until: float) -> frozenset[str]:
        """Wait until these have ended; returns those that have not at the deadline."""
        left = requests & self._ages(server).keys()
        while left and time.monotonic() < until:
            time.sleep(_POLL)
            left &= self._ages(server).keys()
        return left

    def _ages(self, server: str) -> dict[str, int]:
        """Seconds since each connection to a server began, without ours."""
        ours = ":".join(map(str, self._occupier.getsockname()[:2])) if self._occupier is not None else ""
        found = {}
        for line in self.ask("show sess").splitlines():
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if words.get("be") == self._backend and words.get("srv") == server and words.get("src") != ours:
                found[line.partition(":")[0]] = _seconds(words.get("age", "0s"))
        return found

    def point_at(self, server: str, others: t.Iterable[str], limit: int, few: bool = False) -> None:
        """Send everybody who waits, and everybody who comes, to one server. Does no harm twice.

        few: the first of them only, so that they are served soon; let_in lets in the rest.
        """
        first = min(_FIRST, limit) if few else limit
        commands = [f"set server {self._backend}/{server} health up", f"set maxconn server {self._backend}/{server} {first}"]
        for other in others:
            commands += [f"set server {self._backend}/{other} health down", f"set maxconn server {self._backend}/{other} {limit}"]
        self._tell(*commands)
        self._let_go()

    def let_in(self, server: str, limit: int) -> None:
        """Everybody else, as fast as they can be served."""
        allowed = min(_FIRST, limit)
        while allowed < limit and self.traffic(server).queued:
            time.sleep(_BETWEEN)
            allowed = min(limit, allowed + _MORE)
            self._tell(f"set maxconn server {self._backend}/{server} {allowed}")
        self._tell(f"set maxconn server {self._backend}/{server} {limit}")

    def let_through(self, server: str, limit: int) -> None:
        """Undo hold: the same server as before."""
        self._tell(f"set maxconn server {self._backend}/{server} {limit}")
        self._let_go()
        self.watch_again()

    def _let_go(self) -> None:
        if self._occupier is not None:
            self._occupier.close()
            self._occupier = None

    def watch_again(self) -> None:
        """Believe the checks again."""
        self._tell(*(f"enable health {self._backend}/{name}" for name in self._checked()))
        for name in self._checked():
            said = self.ask(f"enable agent {self._backend}/{name}")
            if said and _NO_AGENT not in said:
                raise ProxyFailed(f"HAProxy refused to enable the agent of {name}: {said}", "Is its configuration that of role sql_proxy?")


def _seconds(age: str) -> int:
    """HAProxy writes 2s, 4m9s, 1h2m."""
    return sum(int(number) * _UNITS[unit] for number, unit in _AGE.findall(age))
