# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does the machine of a silent peer live? Its kernel is asked in several ways, and a refusal is an answer.

One lost packet proves nothing, nor does one way: where nobody accepts, the health port's queue fills up, and the kernel drops who comes.
So a machine is dead only after a whole second of tries without any answer on any way.
"""

from __future__ import annotations

import asyncio
import time
import typing as t

from .config import Network
from .links import Reference

# Seconds: one try; what makes a try worthless, as this process stood still meanwhile; how long nothing has answered.
TRY = 0.15
LATE = 0.3
DEAD_AFTER = 1.0
# So many tries of that second have come to their end.
TRIES = 4


class Verdict:
    """Of one silence. Pure.

    answers: True once anything has answered; False after DEAD_AFTER without an answer; None: not known yet.
    quiet: the last try had no answer. Enough to send nobody there for the moment, not to open a database.
    """

    def __init__(self) -> None:
        self.answers: bool | None = None
        self.quiet = False
        self._since: float | None = None
        self._tries = 0

    def begin(self, now: float) -> None:
        """A try begins."""
        if self._since is None:
            self._since = now

    def answered(self, now: float) -> None:
        self.answers, self.quiet, self._since, self._tries = True, False, now, 0

    def unanswered(self, began: float, now: float) -> None:
        """A try has come to its end without an answer. Whoever has answered meanwhile counts."""
        self.quiet = self._since is not None and self._since <= began
        if now - began <= LATE:
            self._tries += 1
        if self._tries >= TRIES and self._since is not None and now - self._since >= DEAD_AFTER:
            self.answers = False


class Knocks:
    """On the doors of one silent peer: TCP to its health port and its database's, and pings on every network."""

    def __init__(self, networks: t.Sequence[Network], port: int) -> None:
        self.address = next((n.peer_address for n in networks if n.name == "inside"), networks[0].peer_address)
        self._ports = {port}
        self._verdict = Verdict()
        self._pings = [Reference(network, network.peer_address, self._answered) for network in networks]
        self._try: asyncio.Task[None] | None = None

    @property
    def answers(self) -> bool | None:
        return self._verdict.answers

    @property
    def quiet(self) -> bool:
        return self._verdict.quiet

    def heard(self) -> None:
        """The peer speaks: the next silence begins anew. Sockets that nobody reads would fill with what others are answered."""
        self._verdict = Verdict()
        self.close()

    def ask(self, database: str) -> None:
        """Once a tick of a silence; nothing is waited for. database: where this node's server replicates from (ADDRESS:PORT), if it does."""
        port = database.rpartition(":")[2]
        if port.isdecimal():
            self._ports.add(int(port))
        for ping in self._pings:
            ping.collect()
            ping.ping()
        if self._try is None or self._try.done():
            self._try = asyncio.get_running_loop().create_task(self._knock(self._verdict))

    async def _knock(self, verdict: Verdict) -> None:
        began = time.monotonic()
        verdict.begin(began)
        if any(await asyncio.gather(*(_opens(self.address, port) for port in self._ports))):
            verdict.answered(time.monotonic())
        else:
            verdict.unanswered(began, time.monotonic())

    def _answered(self) -> None:
        self._verdict.answered(time.monotonic())

    def close(self) -> None:
        for ping in self._pings:
            ping.close()


async def _opens(host: str, port: int) -> bool:
    """Does a kernel answer there? A refusal is an answer."""
    try:
        async with asyncio.timeout(TRY):
            _reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    writer.close()
    return True
