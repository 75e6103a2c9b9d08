# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes with clocks of their own, and a witness behind a network that delays, loses, and delivers late. All from one seed."""

from __future__ import annotations

import heapq
import itertools
import random
import typing as t

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.lease import Lease
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.register import Unreachable

LEASE, ERROR = 4.0, 0.02


class TwoHolders(AssertionError):
    """What must never be."""


class Killed(BaseException):
    """The process that asked is no more."""


class Node:
    """One node: its clock, and the lease of its present life."""

    def __init__(self, world: World, name: str, make: type[Lease]) -> None:
        self.world, self.name, self._make = world, name, make
        self.rate, self.offset = 1 + world.rng.uniform(-0.0099, 0.0099), world.rng.uniform(0, 1000)
        self.life = 0
        self.busy = False
        self.granted = 0
        self.lease = self._born()

    def _born(self) -> Lease:
        return self._make(self.name, LEASE, ERROR, self.clock)

    def clock(self) -> float:
        return self.offset + self.world.now * self.rate

    @property
    def holds(self) -> bool:
        seen = self.lease.seen(self.clock(), 9.0)
        return seen.holder == self.name and seen.left > 0

    def restart(self) -> None:
        self.life, self.busy = self.life + 1, False
        self.lease = self._born()

    def turn(self) -> None:
        world, rng = self.world, self.world.rng
        world.after(rng.choice([0.05, 0.05, 0.15, 0.5, 5.0]) * rng.uniform(0.8, 1.2), self.turn)
        if self.busy:
            return
        self.busy, life = True, self.life
        line = Line(world, self)
        try:
            kind = rng.random()
            if kind < 0.3:
                self.lease.look(line)
            elif kind < 0.93:
                before = self.holds
                self.lease.renew(line, Term(rng.randrange(9), self.name))
                self.granted += self.holds and not before
            else:
                self.lease.release(line)
        except (Unreachable, Killed):
            pass
        finally:
            if self.life == life:
                self.busy = False


class Line:
    """A Register, as one life of one node reaches it."""

    def __init__(self, world: World, node: Node) -> None:
        self.world, self.node, self.life = world, node, node.life

    def read(self) -> str | None:
        self._way()
        found = self.world.text
        self._way()
        return found

    def swap(self, old: str | None, new: str) -> bool:
        self._way()
        world = self.world
        if world.rng.random() < 0.1:  # it stays on the way, and arrives when nobody waits for it any more
            world.after(world.rng.choice([0.5, 3.0, 6.0]), lambda: world.swap(old, new))
            self._lost()
        done = world.swap(old, new)
        self._way()
        if world.rng.random() < 0.1:
            self._lost()
        return done

    def close(self) -> None:
        """Nothing to do."""

    def _lost(self) -> t.NoReturn:
        self.world.pass_by(1.0)
        self._alive()
        raise Unreachable("no answer")

    def _way(self) -> None:
        self.world.pass_by(self.world.rng.choice([0.001, 0.01, 0.2, 0.9]))
        self._alive()

    def _alive(self) -> None:
        if self.node.life != self.life:
            raise Killed


class World:
    """Run it; TwoHolders when two nodes count on the lease at one moment."""

    def __init__(self, seed: int, make: type[Lease] = Lease) -> None:
        self.rng, self.now, self.text = random.Random(seed), 0.0, t.cast("str | None", None)
        self.queue: list[tuple[float, int, t.Callable[[], None]]] = []
        self.counter = itertools.count()
        self.nodes = [Node(self, name, make) for name in ("a", "b", "c")]
        self.deep = 0
        for node in self.nodes:
            self.after(self.rng.uniform(0, 1), node.turn)
        self.after(self.rng.uniform(5, 30), self.trouble)

    def after(self, seconds: float, what: t.Callable[[], None]) -> None:
        heapq.heappush(self.queue, (self.now + seconds, next(self.counter), what))

    def pass_by(self, seconds: float) -> None:
        """Time passes for who waits, and the others go on."""
        end = self.now + seconds
        if self.deep < 40:
            self.deep += 1
            self.run_until(end)
            self.deep -= 1
        self.now = max(self.now, end)

    def run_until(self, end: float) -> None:
        while self.queue and self.queue[0][0] <= end:
            at, _number, what = heapq.heappop(self.queue)
            self.now = max(self.now, at)
            what()
            self.check()
        self.now = max(self.now, end)

    def check(self) -> None:
        holders = [node.name for node in self.nodes if node.holds]
        if len(holders) > 1:
            raise TwoHolders(f"{self.now:.3f} s: {holders} hold it at once")

    def swap(self, old: str | None, new: str) -> bool:
        if self.text != old:
            return False
        self.text = new
        return True

    def trouble(self) -> None:
        self.after(self.rng.uniform(5, 30), self.trouble)
        if self.rng.random() < 0.2:
            self.text = None  # somebody has removed the file
        else:
            self.rng.choice(self.nodes).restart()
