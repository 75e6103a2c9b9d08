# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random faults from a seed, and one run of a pair under them. By hand: pytest tests/unit/agent --seed KIND:NUMBER."""

from __future__ import annotations

import random
import typing as t

from .sim import NETWORKS, A, B, Broken, Order, Setup, State, World, other

FAULTS_FOR = 14.0
CALM_WITHIN = 45.0

# witness: a lease. gateway: none, but the gateway's view of the service address. plain: neither, and faults that cut
# both networks between the nodes, while each still reaches the gateway, are left out. split: these as well, with a
# primary that does not go on alone on evidence: two may be open, but nothing acknowledged is lost.
# A fault in such a moment is worth more than one at any time.
MOMENTS = (
    State.PROMOTING, State.CLAIMING, State.OPENING, State.GOING_ALONE, State.ALONE, State.ALONE, State.REARMING,
    State.ACQUIRING, State.ISOLATED, State.CLOSED, State.REJOINING, State.REPLICA,
)  # fmt: skip
KINDS = ("witness", "gateway", "plain", "split")


def setup_of(kind: str, rng: random.Random) -> Setup:
    policy: dict[str, t.Any] = {"cooldown": rng.choice([0.0, 600.0])}
    if kind == "split":
        policy["alone_on_evidence"] = False
    return Setup(
        witness=kind == "witness",
        arbiter=kind == "gateway",
        policy=policy,
        loss=rng.choice([0.0, 0.0, 0.0, 0.05, 0.3]),
        slow_beats=rng.choice([0.0, 0.02, 0.2]),
        slow_gateway=rng.choice([0.0, 0.2, 1.0]),
        action_failures=rng.choice([0.0, 0.1, 0.4]),
        slow_close=rng.choice([0.0, 0.15, 0.8]),
    )


class Faults:
    """Puts faults into a world."""

    def __init__(self, world: World, kind: str, rng: random.Random) -> None:
        self.world, self.kind, self.rng = world, kind, rng

    def plan(self) -> None:
        rng = self.rng
        kinds = [
            self.power_off, self.power_off, self.both_off, self.kill_database, self.kill_database, self.stall,
            self.freeze_node, self.freeze_agent, self.restart_agent, self.cut_inside, self.cut_inside, self.link_down,
            self.isolate, self.isolate, self.sql_error, self.gateway_down, self.disk_full,
        ]  # fmt: skip
        if self.kind == "witness":
            kinds += [self.witness_down, self.witness_cut, self.cut_between, self.cut_both, self.cut_both]
        if self.kind in ("gateway", "split"):
            kinds += [self.cut_between, self.cut_both, self.cut_both]
        at = self.world.now
        for _turn in range(rng.randint(1, 6)):
            at += rng.choice([rng.uniform(0, 0.3), rng.uniform(0, 3.0), rng.uniform(0, 3.0)])
            self.world.after(at - self.world.now, self.until_healed(rng.choice(kinds)))
        for _turn in range(rng.choice([0, 1, 2, 4])):
            seconds = rng.choice([0.0, rng.uniform(0, 0.2), rng.uniform(0, 2.0)])
            self.world.triggers.append((rng.choice(MOMENTS), seconds, self.until_healed(rng.choice(kinds))))

    def until_healed(self, fault: t.Callable[[], None]) -> t.Callable[[], None]:
        """A node that goes off for ever after everything was healed would be no pair again."""
        return lambda: None if self.world.healed else fault()

    def server(self) -> t.Any:
        writers = self.world.writers()
        name = self.rng.choice([A, B]) if not writers or self.rng.random() < 0.35 else writers[0]
        return self.world.servers[name]

    def lasts(self) -> float:
        return self.rng.choice([self.rng.uniform(0.1, 1.0), self.rng.uniform(0.5, 3.0), self.rng.uniform(2.0, 9.0)])

    def undo(self, what: t.Callable[[], t.Any]) -> None:
        self.world.after(self.lasts(), lambda: what() and None)

    def power_off(self) -> None:
        self.world.crash(self.server(), self.rng.choice([None, self.rng.uniform(1.0, 8.0)]))

    def both_off(self) -> None:
        for server in self.world.servers.values():
            self.world.crash(server, self.rng.uniform(1.0, 6.0))

    def kill_database(self) -> None:
        self.world.kill_database(self.server())

    def stall(self) -> None:
        self.world.stall(self.server(), self.lasts())

    def freeze_node(self) -> None:
        self.world.freeze(self.server(), self.lasts(), True)

    def freeze_agent(self) -> None:
        self.world.freeze(self.server(), self.lasts(), False)

    def restart_agent(self) -> None:
        self.world.restart_agent(self.server(), self.rng.uniform(0.2, 5.0))

    def _cut(self, networks: t.Sequence[str]) -> None:
        ways = self.rng.choice([[(A, B)], [(B, A)], [(A, B), (B, A)], [(A, B), (B, A)]])
        cuts = {(network, *way) for network in networks for way in ways}
        self.world.log(f"cut {sorted(cuts)}")
        self.world.cut |= cuts
        self.undo(lambda: self.world.cut.difference_update(cuts))

    def cut_inside(self) -> None:
        self._cut(["inside"])

    def cut_between(self) -> None:
        self._cut(["outside"])

    def cut_both(self) -> None:
        self._cut(NETWORKS)

    def link_down(self) -> None:
        name = self.server().name
        self.world.log(f"outside link of {name} down")
        self.world.link_down.add(name)
        self.undo(lambda: self.world.link_down.discard(name))

    def isolate(self) -> None:
        self.link_down()
        cuts = {("inside", A, B), ("inside", B, A)}
        self.world.log("inside cut")
        self.world.cut |= cuts
        self.undo(lambda: self.world.cut.difference_update(cuts))

    def sql_error(self) -> None:
        server = self.server()
        server.sql_error = True
        self.undo(lambda: setattr(server, "sql_error", False))

    def disk_full(self) -> None:
        """The agent's memory cannot be written."""
        server = self.server()
        self.world.log(f"{server.name}: disk full")
        server.disk_full = True
        self.undo(lambda: setattr(server, "disk_full", False))

    def gateway_down(self) -> None:
        self.world.log("gateway down")
        self.world.gateway_up = False
        self.undo(lambda: setattr(self.world, "gateway_up", True))

    def witness_down(self) -> None:
        self.world.log("witness down")
        self.world.witness_up = False
        self.undo(lambda: setattr(self.world, "witness_up", True))

    def witness_cut(self) -> None:
        name = self.server().name
        self.world.log(f"witness cut from {name}")
        self.world.witness_cut.add(name)
        self.undo(lambda: self.world.witness_cut.discard(name))


def run(kind: str, seed: int, verbose: bool = False) -> World:
    """Raises Broken. The world says what has happened."""
    rng = random.Random(f"{kind}:{seed}")
    world = World(rng.getrandbits(32), setup_of(kind, rng))
    world.verbose = verbose
    world.split_is_open = kind == "split"
    try:
        world.until(world.calm, 60, "no pair at the start")
        Faults(world, kind, rng).plan()
        world.run_until(world.now + FAULTS_FOR)
        world.triggers.clear()
        world.heal()
        settle(world)
    except Broken as error:
        lines = "\n".join(world.lines[-60:])
        raise Broken(f"{kind}:{seed}: {error} at {world.now:.3f}\n{lines}\nagain: pytest tests/unit/agent --seed {kind}:{seed}") from None
    return world


def settle(world: World) -> None:
    """All is healed: one writer again by itself; and a pair, where a person replaces what diverged."""
    servers = world.servers.values()
    world.until(lambda: one_writer(world) or stuck_for_a_person(world), CALM_WITHIN, "nobody, or two, after everything was healed")
    if stuck_for_a_person(world):
        best = max(servers, key=lambda server: (server.rows >= world.acked, server.name))
        if not best.rows >= world.acked:
            raise Broken("acknowledged rows are on no node")
        best.order = Order.OPEN
        world.until(lambda: one_writer(world), CALM_WITHIN, "a person has said open")
    world.until(world.calm_with_a_person, CALM_WITHIN, "no pair after everything was healed")
    writer = world.servers[world.writers()[0]]
    lost = world.acked - writer.rows
    if lost:
        raise Broken(f"{len(lost)} acknowledged rows are lost")


def one_writer(world: World) -> bool:
    return len(world.writers()) == 1 and any(s.memory.state in (State.PRIMARY, State.ALONE) and s.open for s in world.servers.values())


def stuck_for_a_person(world: World) -> bool:
    """Both closed, and each has what the other has not."""
    servers = list(world.servers.values())
    closed = all(server.memory.state is State.CLOSED and server.decision is not None for server in servers)
    return closed and all("data_comparison_failed" in server.decision.alarms for server in servers) and other(A) == B
