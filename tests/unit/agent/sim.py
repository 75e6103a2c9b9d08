# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair in a discrete-event simulation: two nodes, their databases, networks, a gateway, a witness, clients, and faults.

The invariants are checked after every event. Everything is drawn from one seed.
"""

from __future__ import annotations

import heapq
import itertools
import random
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.tandem.lemp.plugins.module_utils.agent import machine, orders
from ansible_collections.tandem.lemp.plugins.module_utils.agent.echo import Echoes
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import (
    Action,
    Database,
    Memory,
    Order,
    Running,
    Said,
    State,
    Term,
    View,
    Witness,
    reborn,
)
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy

Decision = machine.Decision

A, B = "a", "b"
NETWORKS = ("outside", "inside")


def other(name: str) -> str:
    return B if name == A else A


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Setup:
    """What the pair is like."""

    witness: bool = False
    arbiter: bool = True  # the gateway's own view of the service address is looked at
    policy: dict[str, t.Any] = field(default_factory=dict)
    loss: float = 0.0
    slow_beats: float = 0.02  # the share of beats that take up to 1 s
    slow_gateway: float = 0.0  # the share of its answers that take that long
    slowness: tuple[float, float] = (0.01, 1.0)
    action_failures: float = 0.1
    slow_close: float = 0.15
    drift: float = 0.008


class Server:
    """One node: machine, database and agent."""

    def __init__(self, world: World, name: str, policy: Policy) -> None:
        self.world, self.name, self.policy = world, name, policy
        rng = world.rng
        self.rate = 1 + rng.uniform(-world.setup.drift, world.setup.drift)
        self.offset = rng.uniform(0, 1000)
        self.up = self.agent_up = False
        self.node_frozen = self.agent_frozen = False
        self.disk = Memory()
        self.rows: set[int] = set()
        self.pending: set[int] = set()
        self.armed = True
        self.following = False
        self.caught = False
        self.copied_at = self.answered_at = -9.0
        self.sql_error = False
        self.database = Database.GONE
        self.stalled = False
        self.mute = False  # in step, and it acknowledges nothing
        self.disk_full = False
        self.held = False  # fenced by a person, with running FOREIGN
        self.exempt = False
        self.settles = 0
        self.life = self.server_life = 0
        self.vip = False
        self.vrrp_silent_since: float | None = None
        self._order, self._order_at = Order.NONE, 0.0
        self.paused_until = 0.0
        self.paused_at = 0.0
        self.acknowledged_at = 0.0
        self.forget()

    def forget(self) -> None:
        """The daemon's memory, and its sockets."""
        self.memory = reborn(self.disk)
        self.decision: Decision | None = None
        self.peer: Said | None = None
        self.peer_number = self.peer_life = -1
        self.kept_echo: float | None = None
        self.heard: dict[str, float | None] = dict.fromkeys(NETWORKS)
        self.peer_sent: float | None = None
        self.echoes = Echoes()
        self.asked = 0
        self.ticks_left = 0
        self.witness_known = Witness()
        self.witness_at = self.witness_until = -9.0
        self.running = Running.NONE
        self.operation = 0
        self.closing = self.went_alone = self.unkept = False
        self.inbox: list[t.Any] = []
        self.unread: list[int] = []
        self.ahead: bool | None = None
        self.extra: bool | None = None
        self.compared_at = -9.0

    @property
    def order(self) -> Order:
        return self._order if self.world.now - self._order_at <= orders.LASTS else Order.NONE

    @order.setter
    def order(self, order: Order) -> None:
        self._order, self._order_at = order, self.world.now

    @property
    def local(self) -> float:
        return self.offset + self.world.now * self.rate

    @property
    def runs(self) -> bool:
        """Its database server works."""
        return self.up and not self.node_frozen and not self.stalled and self.database in (Database.OPEN, Database.CLOSED)

    @property
    def open(self) -> bool:
        return self.up and self.database is Database.OPEN and not self.node_frozen

    @property
    def peer_server(self) -> Server:
        return self.world.servers[other(self.name)]

    def view(self) -> View:
        world, peer = self.world, self.peer_server
        now = self.local
        self.sample(world, peer)
        known = self.witness_known
        left = max(0.0, self.witness_until - now) if known.holder else 0.0
        silent = all(at is None or now - at > 0.3 for at in self.heard.values())
        connected = world.now - peer.copied_at < 0.4 and peer.rows >= self.rows and self.server_life_of_peer_is_same()
        in_step = self.following and world.now - self.copied_at < 0.5 and not self.sql_error
        acknowledged = None if self.stalled or self.database is not Database.OPEN else self.armed and connected and not self.pending
        return View(
            now=now,
            wall=1e6 + world.now,
            database=Database.STALLED if self.stalled and self.database in (Database.OPEN, Database.CLOSED) else self.database,
            promotable=self.caught and not self.sql_error,
            in_step=in_step,
            acknowledged=acknowledged,
            extra=self.extra,
            ahead=self.ahead,
            heard={n: None if at is None else now - at for n, at in self.heard.items()},
            peer=self.peer,
            knock=None if not silent else world.knocks(self.name),
            gateway=now - self.echoes.newest,
            address_here=world.address_of(self.name) if world.setup.arbiter else None,
            witness=Witness(now - self.witness_at < 1.5, known.holder, left, known.term),
            running=self.running,
            held=self.held,
            order=self.order,
            paused_until=self.paused_until,
            paused_at=self.paused_at,
            acknowledged_at=self.acknowledged_at,
            went_alone=self.went_alone,
            unanswered=self.open and self.armed and bool(self.pending) and world.now - self.answered_at >= 3.0,
        )

    def server_life_of_peer_is_same(self) -> bool:
        return self.peer_server.runs and self.peer_server.following

    def sample(self, world: World, peer: Server) -> None:
        if world.now - self.compared_at > 0.3:
            self.compared_at = world.now
            if self.runs and peer.runs and world.connected(self.name):
                self.ahead = self.rows >= peer.rows
                self.extra = not self.rows <= peer.rows if peer.database is Database.OPEN and self.database is Database.CLOSED else None
            else:
                self.ahead = self.extra = None

    def ask_gateway(self) -> None:
        """Like the daemon: one question a tick, and none is waited for."""
        world, rng, life = self.world, self.world.rng, self.life
        self.asked += 1
        number = self.asked
        self.echoes.sent(number, self.local)
        if not world.gateway_answers(self.name) or rng.random() < world.setup.loss:
            return
        slow = rng.random() < world.setup.slow_gateway

        def arrive() -> None:
            if not self.up or self.life != life or not self.agent_up:
                return
            if self.node_frozen or self.agent_frozen:
                self.unread.append(number)
            elif world.gateway_answers(self.name):
                self.echoes.answered(number)

        world.after(rng.uniform(*world.setup.slowness) if slow else rng.uniform(0.0005, 0.01), arrive)

    def nothing_happens(self) -> bool:
        """Like the daemon, which leaves out steps then."""
        decision, newest = self.decision, max((at for at in self.heard.values() if at is not None), default=-9.0)
        quiet = decision is not None and decision.rule == machine.STAY and not decision.actions and machine.settled(decision)
        return quiet and self.local - newest <= 1.5 * 0.15 and self.running is Running.NONE and self.order is Order.NONE

    def step(self) -> None:
        """One step of the agent, and what follows from it."""
        self.ticks_left = 2
        view = self.view()
        decision = machine.step(self.policy, self.memory, view)
        changed = decision.memory.durable != self.memory.durable
        if not self.disk_full:
            self.unkept = False
            self.disk = decision.memory if changed else self.disk
        elif changed:
            self.unkept = True
            decision = machine.hold(self.policy, self.memory, view, decision)
        if self.unkept:
            decision = machine.unkept(decision)
        if decision.memory.state is not self.memory.state or decision.rule != machine.STAY:
            self.world.log(f"{self.name}: {self.memory.state.value} -> {decision.state.value} [{decision.rule}] {_short(decision)}")
        entered = decision.state is not self.memory.state
        self.memory = decision.memory
        self.decision = decision
        if entered:
            self.world.entered(decision.state)
        if view.order is Order.OPEN and decision.facts.peer_writes:
            self.order = Order.NONE
        if self.running is Running.FAILED and decision.state not in (State.PROMOTING, State.OPENING):
            self.running = Running.NONE
        for action in decision.actions:
            self.world.do(self, action)


def _short(decision: Decision) -> str:
    term = decision.memory.term
    acts = ",".join(a.value for a in decision.actions)
    return f"term {term.epoch}{term.writer}{'!' if term.solo else ''}{'s' if decision.memory.sealed else ''} c{decision.memory.ceded} {acts}"


class World:
    """Everything, and its clock."""

    def __init__(self, seed: int, setup: Setup) -> None:
        self.rng = random.Random(seed)
        self.setup = setup
        self.now = 0.0
        self.queue: list[tuple[float, int, t.Callable[[], None]]] = []
        self.counter = itertools.count()
        self.numbers = itertools.count(1)
        self.lines: list[str] = []
        self.verbose = False
        self.acked: set[int] = set()
        self.acked_at: list[float] = []
        self.cut: set[tuple[str, str, str]] = set()  # network, from, to
        self.link_down: set[str] = set()  # outside links
        self.gateway_up = self.witness_up = True
        self.witness_cut: set[str] = set()
        self.record: tuple[str, float, Term] = ("", -1.0, Term())
        self.address = A
        self.triggers: list[tuple[State, float, t.Callable[[], None]]] = []  # when a node gets there: after so long, that
        self.inbox_limit = self.rng.choice([6, 50])
        self.healed = False
        self.split_is_open = False  # two may be open, and only one may acknowledge
        self.servers: dict[str, Server] = {}
        for name in (A, B):
            policy = Policy(name=name, peer=other(name), witness=setup.witness, **setup.policy)
            self.servers[name] = Server(self, name, policy)
        for server in self.servers.values():
            self.boot(server)
        self.after(0.0, self.write)
        self.after(0.0, self.replicate)
        self.after(0.0, self.vrrp)

    def log(self, text: str) -> None:
        line = f"{self.now:8.3f} {text}"
        self.lines.append(line)
        if self.verbose:
            print(line)

    def after(self, seconds: float, what: t.Callable[[], None]) -> None:
        heapq.heappush(self.queue, (self.now + seconds, next(self.counter), what))

    def run_until(self, end: float) -> None:
        while self.queue and self.queue[0][0] <= end:
            self.now, _number, what = heapq.heappop(self.queue)
            what()
            self.check()
        self.now = end

    def entered(self, state: State) -> None:
        due = [trigger for trigger in self.triggers if trigger[0] is state]
        self.triggers = [trigger for trigger in self.triggers if trigger[0] is not state]
        for _state, seconds, what in due:
            self.after(seconds, what)

    # Invariants.

    def check(self) -> None:
        a, b = self.servers[A], self.servers[B]
        if not (a.open and b.open):
            return
        if a.exempt or b.exempt or self.split_is_open:
            return
        raise Broken("two writers")

    def acknowledge(self, server: Server, rows: t.Iterable[int]) -> None:
        rows = set(rows)
        if not rows:
            return
        if not server.rows >= self.acked:
            raise Broken(f"{server.name} acknowledges, and lacks {sorted(self.acked - server.rows)[:5]} that were acknowledged")
        self.acked |= rows
        self.acked_at.append(self.now)

    # Networks.

    def path(self, network: str, source: str, target: str) -> bool:
        if (network, source, target) in self.cut:
            return False
        return network == "inside" or not {source, target} & self.link_down

    def connected(self, name: str, networks: t.Sequence[str] = NETWORKS) -> bool:
        return any(self.path(n, name, other(name)) and self.path(n, other(name), name) for n in networks)

    def knocks(self, name: str) -> bool:
        peer = self.servers[other(name)]
        return peer.up and not peer.node_frozen and self.connected(name)

    def gateway_answers(self, name: str) -> bool:
        return self.gateway_up and name not in self.link_down

    def address_of(self, name: str) -> bool | None:
        """What a ping from the service address to the gateway shows."""
        if not self.servers[name].vip or not self.gateway_answers(name):
            return None
        return self.address == name

    def vrrp(self) -> None:
        for name, server in self.servers.items():
            peer = self.servers[other(name)]
            if not server.up or server.node_frozen:
                if not server.up:
                    server.vip = False
                server.vrrp_silent_since = None
                continue
            hears = peer.vip and peer.up and not peer.node_frozen and self.path("outside", peer.name, name)
            if hears:
                server.vrrp_silent_since = None
                if server.vip and name == B and self.path("outside", name, peer.name):
                    server.vip = False
                    self.address = A
            elif not server.vip:
                if server.vrrp_silent_since is None:
                    server.vrrp_silent_since = self.now
                if self.now - server.vrrp_silent_since >= 0.35 and name not in self.link_down:
                    server.vip = True
                    self.address = name
        self.after(0.1, self.vrrp)

    def beat(self, server: Server) -> None:
        if server.decision is None:
            return
        said = replace(server.decision.said, echo=server.peer_sent)
        sent, life = server.local, server.life
        for network in NETWORKS:
            number = next(self.numbers)
            if not self.path(network, server.name, other(server.name)) or self.rng.random() < self.setup.loss:
                continue
            delay = self.rng.uniform(0.0005, 0.01)
            if self.rng.random() < self.setup.slow_beats:
                delay = self.rng.uniform(0.01, 1.0)
            beat = (network, number, said, sent, life)
            self.after(delay, lambda beat=beat: self.receive(self.servers[other(server.name)], beat))

    def receive(self, server: Server, beat: t.Any) -> None:
        if not server.up or not server.agent_up:
            return
        if server.agent_frozen or server.node_frozen:
            if len(server.inbox) < self.inbox_limit:
                server.inbox.append(beat)  # a full socket keeps the oldest
            return
        network, number, said, sent, life = beat
        if life < server.peer_life:
            return  # of a former life of the peer's daemon: refused below the core
        if life > server.peer_life and server.peer is not None:
            server.kept_echo = server.peer.echo
        server.peer_life = life
        server.heard[network] = server.local
        if number <= server.peer_number:
            return
        before = server.peer
        if said.echo is not None and self.echo_is_of_this_life(server, said.echo) is False:
            said = replace(said, echo=None)
        if said.echo is None and server.kept_echo is not None:
            said = replace(said, echo=server.kept_echo)  # like agent/ears.py
        else:
            server.kept_echo = None
        server.peer, server.peer_number, server.peer_sent = said, number, sent
        if before is None or replace(before, echo=None) != replace(said, echo=None):
            server.step()
            self.beat(server)

    def echo_is_of_this_life(self, server: Server, echo: float) -> bool:
        return server.memory.started is None or echo >= server.memory.started

    # Life.

    def boot(self, server: Server) -> None:
        server.up = True
        server.order = Order.NONE
        server.life += 1
        server.database = Database.GONE
        server.stalled = server.node_frozen = server.agent_frozen = False
        server.exempt = False
        server.armed = True
        server.caught = False
        server.server_life += 1
        self.start_agent(server)
        self.start_database(server, self.rng.uniform(0.2, 1.0))

    def start_agent(self, server: Server) -> None:
        server.agent_up = True
        server.life += 1
        server.forget()
        life = server.life
        server.peer_sent = None
        self.after(self.rng.uniform(0, 0.15), lambda: self.tick(server, life))

    def start_database(self, server: Server, seconds: float) -> None:
        life = server.server_life

        def started() -> None:
            if server.up and server.server_life == life and server.database is Database.GONE:
                server.database = Database.CLOSED
                server.stalled = False
                server.armed = True

        self.after(seconds, started)

    def tick(self, server: Server, life: int) -> None:
        if not server.up or not server.agent_up or server.life != life:
            return
        if not server.agent_frozen and not server.node_frozen:
            server.ask_gateway()
            if server.ticks_left <= 0 or not server.nothing_happens():
                server.step()
            server.ticks_left -= 1
            self.beat(server)
        interval = 0.15 / server.rate
        self.after(self.rng.uniform(0.9, 1.1) * interval if self.rng.random() > 0.02 else 0.28, lambda: self.tick(server, life))
        if self.setup.witness and self.rng.random() < 0.3:
            self.ask_witness(server, False)

    # Data.

    def write(self) -> None:
        for server in self.servers.values():
            if server.open and not server.stalled and len(server.pending) < 5:
                row = next(self.numbers)
                server.rows.add(row)
                if server.armed:
                    server.answered_at = server.answered_at if server.pending else self.now
                    server.pending.add(row)
                else:
                    self.acknowledge(server, [row])
        self.after(self.rng.uniform(0.05, 0.15), self.write)

    def replicate(self) -> None:
        for server in self.servers.values():
            source = server.peer_server
            ready = server.following and server.runs and source.runs and not source.following and self.connected(server.name, ["inside"])
            if ready and server.database is Database.CLOSED and server.rows <= source.rows:
                if len(server.rows) != len(source.rows):
                    server.rows |= source.rows
                server.caught, server.copied_at = True, self.now
                if source.armed and source.open and not server.mute:
                    done, source.pending = source.pending, set()
                    source.answered_at = self.now
                    self.acknowledge(source, done)
        self.after(self.rng.uniform(0.02, 0.06), self.replicate)

    def drop_sessions(self, server: Server) -> None:
        server.pending.clear()

    # Actions.

    def do(self, server: Server, action: Action) -> None:
        life, rng = (server.life, server.server_life), self.rng

        def later(seconds: float, what: t.Callable[[], None]) -> None:
            def run() -> None:
                if not server.up or server.life != life[0]:
                    return
                if server.node_frozen or server.agent_frozen:
                    self.after(0.05, run)
                    return
                what()

            self.after(seconds, run)

        if action is Action.CLOSE_SELF:
            server.operation += 1
            if server.running is Running.OWN:
                server.running = Running.NONE
            if not server.closing and server.database is Database.OPEN:
                server.closing = True
                slow = rng.random() < self.setup.slow_close
                later(rng.uniform(0.3, 3.0) if slow else rng.uniform(0.01, 0.2), lambda: self.closed(server))
        elif action is Action.KILL_SELF:
            later(rng.uniform(0.01, 0.1), lambda: self.kill_database(server))
        elif action in (Action.OPEN_SELF, Action.PROMOTE):
            if server.running is Running.OWN:
                return
            server.running = Running.OWN
            server.operation += 1
            number = server.operation
            seconds = rng.uniform(0.05, 0.3) if rng.random() < 0.7 else rng.uniform(0.3, 1.5)
            later(seconds, lambda: self.opened(server, action, number))
        elif action is Action.GO_ALONE:
            server.went_alone = False
            later(rng.uniform(0.01, 0.3), lambda: self.alone(server))
        elif action is Action.FAILBACK:
            self.hand_over(server.peer_server, server, works=True)
        elif action is Action.REARM:
            later(rng.uniform(0.01, 0.3), lambda: self.rearm(server))
        elif action in (Action.REJOIN, Action.REPLACE):
            by_itself = server.order is not Order.REJOIN
            if server.order is Order.REJOIN and action is Action.REPLACE:
                server.order = Order.NONE
            if server.running is Running.OWN:
                return
            server.running = Running.OWN
            server.operation += 1
            operation = server.operation
            later(rng.uniform(0.1, 1.5), lambda: self.rejoin(server, action is Action.REPLACE, operation, by_itself))
        elif action is Action.RENEW_LEASE:
            self.ask_witness(server, True)
        elif action is Action.RELEASE_LEASE:
            self.ask_witness(server, True, release=True)

    def closed(self, server: Server) -> None:
        server.closing = False
        state = server.memory.state
        if server.database is Database.OPEN and not server.stalled and state not in (State.PRIMARY, State.ALONE, State.REARMING):
            server.database = Database.CLOSED
            self.drop_sessions(server)

    def opened(self, server: Server, action: Action, number: int) -> None:
        if number != server.operation:
            return
        decision = server.decision
        wanted = State.PROMOTING if action is Action.PROMOTE else State.OPENING
        fine = decision is not None and decision.state is wanted and server.local <= decision.open_until
        if not fine or server.database is not Database.CLOSED or server.stalled or self.rng.random() < self.setup.action_failures:
            server.running = Running.FAILED
            self.log(f"{server.name}: {action.value} failed{'' if fine else ': too late'}")
            return
        server.running = Running.NONE
        server.following = server.caught = False
        server.armed = action is Action.OPEN_SELF
        server.database = Database.OPEN
        if server.order is Order.OPEN:
            server.order = Order.NONE
        self.log(f"{server.name}: open{' armed' if server.armed else ''}")
        if not server.rows >= self.acked:
            raise Broken(f"{server.name} opens, and lacks {len(self.acked - server.rows)} rows that were acknowledged")

    def alone(self, server: Server) -> None:
        if server.memory.state is State.ALONE and server.database is Database.OPEN and not server.stalled:
            if self.setup.action_failures and self.rng.random() < self.setup.action_failures:
                self.log(f"{server.name}: {Action.GO_ALONE.value} failed")
                return
            server.armed, server.went_alone = False, True
            done, server.pending = server.pending, set()
            self.acknowledge(server, done)

    def rearm(self, server: Server) -> None:
        if server.memory.state is State.REARMING and server.database is Database.OPEN:
            server.armed = True

    def rejoin(self, server: Server, replace_data: bool, operation: int, by_itself: bool) -> None:
        source = server.peer_server
        if operation != server.operation:
            return
        server.running = Running.NONE
        if server.memory.state is not State.REJOINING or not server.runs or not source.runs or not self.connected(server.name, ["inside"]):
            return
        if server.database is not Database.CLOSED or source.database is not Database.OPEN:
            return
        if not server.rows <= source.rows:
            if not replace_data:
                return
            gone = (server.rows - source.rows) & self.acked
            if by_itself and gone:
                raise Broken(f"{server.name} replaces {len(gone)} rows that were acknowledged, and nobody has said so")
            server.rows = set()
        server.following = True

    def ask_witness(self, server: Server, write: bool, release: bool = False) -> None:
        def reaches() -> bool:
            return self.witness_up and server.name not in self.link_down and server.name not in self.witness_cut and server.up

        sent, term, life = server.local, server.disk.term, server.life

        def arrive() -> None:
            if not reaches():
                return
            holder, until, known = self.record
            granted = False
            if write and release and holder == server.name:
                self.record = ("", -1.0, known)
            elif write and not release and (until <= self.now or holder == server.name):
                if term.writer == server.name and term.rank > known.rank:
                    known = term
                self.record = (server.name, self.now + server.policy.lease, known)
                granted = True
            holder, until, known = self.record
            left = max(0.0, until - self.now)
            self.after(self.rng.uniform(0.005, 0.05), lambda: answer(holder, left, known, granted))

        def answer(holder: str, left: float, known: Term, granted: bool) -> None:
            if not reaches() or server.life != life or server.agent_frozen or server.node_frozen or sent < server.witness_at:
                return
            if granted:
                left = server.policy.lease * (1 - server.policy.clock_error)
            else:
                left *= 1 - server.policy.clock_error
            server.witness_at = sent
            server.witness_known = Witness(True, holder, left, known)
            server.witness_until = sent + left
            server.step()

        if reaches():
            self.after(self.rng.uniform(0.005, 0.05), arrive)

    # Faults.

    def kill_database(self, server: Server, restart: float | None = None) -> None:
        if not server.up or server.database is Database.GONE:
            return
        self.log(f"{server.name}: database killed")
        server.server_life += 1
        server.database = Database.GONE
        server.stalled = server.closing = server.caught = False
        server.operation += 1
        if server.running is Running.OWN:
            server.running = Running.FAILED
        lost = {row for row in server.pending if self.rng.random() < 0.3}
        server.rows -= lost - self.replicated(server)
        self.drop_sessions(server)
        self.start_database(server, self.rng.uniform(0.3, 4.0) if restart is None else restart)
        if not server.agent_frozen and not server.node_frozen and server.agent_up:
            server.step()
            self.beat(server)

    def replicated(self, server: Server) -> set[int]:
        return server.peer_server.rows

    def crash(self, server: Server, back_after: float | None) -> None:
        if not server.up:
            return
        self.log(f"{server.name}: power off")
        lost = {row for row in server.pending if self.rng.random() < 0.3}
        server.rows -= lost - self.replicated(server)
        self.drop_sessions(server)
        server.up = server.agent_up = False
        server.life += 1
        server.server_life += 1
        server.database = Database.GONE
        server.closing = False
        server.vip = False
        if back_after is not None:
            self.after(back_after, lambda: self.boot(server) if not server.up else None)

    def restart_agent(self, server: Server, seconds: float) -> None:
        if not server.up or not server.agent_up or server.agent_frozen or server.node_frozen:
            return
        self.log(f"{server.name}: agent stopped")
        server.agent_up = False
        server.life += 1
        server.exempt = True
        life = server.life

        def again() -> None:
            if server.up and server.life == life:
                self.log(f"{server.name}: agent started")
                self.start_agent(server)
                self.settle(server)

        self.after(seconds, again)

    def settle(self, server: Server) -> None:
        """A node that stood still may be open until it has had the time to close itself."""
        life = server.life
        server.settles += 1
        number = server.settles

        def over() -> None:
            if server.life == life and server.settles == number and not server.node_frozen and not server.agent_frozen:
                server.exempt = False

        policy = server.policy
        self.after((policy.self_fence_after + policy.close_budget + 0.3) / server.rate, over)

    def freeze(self, server: Server, seconds: float, whole: bool) -> None:
        if not server.up or not server.agent_up or server.agent_frozen or server.node_frozen:
            return
        self.log(f"{server.name}: {'node' if whole else 'agent'} stands still for {seconds:.1f}")
        server.exempt = True
        server.settles += 1
        life = server.life
        if whole:
            server.node_frozen = True
        else:
            server.agent_frozen = True

        def thaw() -> None:
            if server.life != life:
                return
            self.log(f"{server.name}: thaws")
            server.node_frozen = server.agent_frozen = False
            beats, server.inbox = server.inbox, []
            for number in server.unread:
                server.echoes.answered(number)
            server.unread.clear()
            for beat in beats:
                self.receive(server, beat)
            server.step()
            self.settle(server)

        self.after(seconds, thaw)

    def stall(self, server: Server, seconds: float) -> None:
        if not server.runs:
            return
        self.log(f"{server.name}: database stalls for {seconds:.1f}")
        server.stalled = True
        life = server.server_life

        def over() -> None:
            if server.server_life == life:
                server.stalled = False

        self.after(seconds, over)

    def hand_over(self, old: Server, new: Server, works: bool) -> None:
        """A switchover by a person, in short."""
        old.running = new.running = Running.FOREIGN

        def close() -> None:
            old.database = Database.CLOSED
            self.drop_sessions(old)

        def end() -> None:
            if works:
                new.rows |= old.rows
                new.database, new.armed, new.following = Database.OPEN, True, False
                old.following, old.armed = True, True
            else:
                old.database = Database.OPEN
            old.running = new.running = Running.NONE

        self.after(0.3, close)
        self.after(0.6, end)

    def heal_networks(self) -> None:
        self.cut.clear()
        self.link_down.clear()
        self.witness_cut.clear()

    def heal(self) -> None:
        self.log("everything is healed")
        self.healed = True
        self.heal_networks()
        self.gateway_up = self.witness_up = True
        self.setup.loss = 0.0
        self.setup.action_failures = 0.0
        for server in self.servers.values():
            server.sql_error = server.disk_full = False
            if not server.up:
                self.boot(server)
            elif not server.agent_up:
                self.start_agent(server)
                self.settle(server)

    # Looking.

    def writers(self) -> list[str]:
        return [name for name, server in self.servers.items() if server.open]

    def state(self, name: str) -> State:
        return self.servers[name].memory.state

    def until(self, condition: t.Callable[[], bool], limit: float, what: str = "") -> float:
        """Run until it holds; returns the seconds that took."""
        began = self.now
        while not condition():
            if self.now - began > limit or not self.queue:
                raise Broken(f"not within {limit} s: {what}; {[(n, s.memory.state.value) for n, s in self.servers.items()]}")
            self.now, _number, event = heapq.heappop(self.queue)
            event()
            self.check()
        return self.now - began

    def calm(self) -> bool:
        """One primary with a replica that has everything."""
        states = sorted(server.memory.state.value for server in self.servers.values())
        return states == [State.PRIMARY.value, State.REPLICA.value] and len(self.writers()) == 1

    def calm_with_a_person(self) -> bool:
        """The same, and a person replaces what diverged: a commit that nobody acknowledged is enough for that."""
        for server in self.servers.values():
            if server.memory.state is State.DIVERGED:
                server.order = Order.REJOIN
        return self.calm()
