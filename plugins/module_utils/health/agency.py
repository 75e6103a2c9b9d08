# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What joins the agent to the daemon: it sees through the daemon's eyes, speaks through its heartbeats and its HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import typing as t

from ..agent.acts import Acts
from ..agent.agent import Agent, clock
from ..agent.atlas_keeper import Hands
from ..agent.journald import event
from ..agent.model import Database as Role
from ..agent.model import State
from ..agent.policy import Policy
from ..agent.seen import Seen
from ..agent.store import Store
from ..agent.voice import Voice
from ..agent.why import blockers
from ..agent.witness.keeper import Keeper
from ..agent.witness.lease import Lease
from ..agent.witness.settings import driver, register
from ..fence.record import holds
from .config import AgentSettings, Config
from .http import fetch
from .links import Reference
from .model import Database, Raw
from .places import disks, held
from .tasks import optional
from .vrrp import MASTER, BothMasters, Change, Vrrp

LOG = logging.getLogger("tandem.agent")
# By how many pings the service address may be behind the node's own: both are sent at once, and are late together.
BEHIND = 2.5
PEER_STATUS_EVERY = 5.0
# Seconds between two looks whether keepalived's FIFO is still the one that is open.
VRRP_EVERY = 2.0
# So many ticks may pass without a step while nothing happens.
CALM_TICKS = 2
DISKS = ("/", "/var/lib/mysql", "/var/log")


class Eyes(t.Protocol):
    """What the daemon sees."""

    @property
    def started(self) -> bool: ...

    def last_look(self) -> tuple[Raw, Database | None]: ...

    @property
    def looked_at(self) -> float:
        """When that look began (CLOCK_BOOTTIME)."""

    def knocks(self) -> bool | None:
        """Does the peer's machine answer anything? None: not known."""

    def gateway(self) -> float | None:
        """Seconds since that ping to it was sent which is the newest that it has answered; None: there is none."""

    def peer_lives(self) -> bool | None: ...

    def atlas_alarms(self) -> tuple[str, ...]: ...

    def status(self, whole: bool = False) -> dict[str, t.Any]: ...


def role(raw: Raw, database: Database | None) -> Role:
    """The last look, for the agent. Slow or busy is not gone."""
    if raw is Raw.BROKEN:
        return Role.GONE
    if database is None:
        return Role.STALLED
    return Role.CLOSED if database.read_only else Role.OPEN


class Agency:
    """Everything in the daemon's event loop. Raises OSError or ValueError where what must be remembered cannot be read."""

    def __init__(self, config: Config, settings: AgentSettings, eyes: Eyes) -> None:
        self.config, self._eyes = config, eyes
        self.loop: asyncio.AbstractEventLoop | None = None
        policy = Policy(
            name=config.node,
            peer=config.peer,
            tick=config.interval,
            gateway=any(n.name == "outside" and n.reference for n in config.networks),
            witness=settings.witness is not None,
            driver=driver(settings.witness),
            **settings.policy,
        )
        acts = self._acts = Acts(config.node, config.peer, settings.here, settings.there)
        # Called when something has changed that the agent should look at before its next tick.
        self.wake: t.Callable[[], t.Any] = self.step
        self.agent = Agent(policy, acts, Store(settings.directory), self._note, holds, self._make_witness(policy, settings))
        self.voice = Voice(config.node, settings.directory, settings.channels, lambda: eyes.status(True))
        self.peer_agent: t.Any = None
        self.peer_status: dict[str, t.Any] | None = None
        self._heard_at: dict[str, float] = {}
        self._steps_left = 0
        self._asked_from: float | None = None
        self._addresses = settings.addresses
        outside = settings.addresses.get("outside", "")
        self._address = self._make_address_ping(outside) if outside else None
        self.vrrp = Vrrp(settings.vrrp_fifo, self._vrrp_changed) if settings.vrrp_fifo else None
        self._vrrp_looked = -math.inf
        self._holds = False  # an address, where keepalived has said nothing yet: it says only what changes
        self._both_masters = BothMasters()
        self._peer_vrrp: str | None = None

    def lend_hands(self) -> Hands:
        """For who looks at Atlas: it acts with the agent, and leaves a node alone on which an operation works."""
        return Hands(self._acts.end_atlas, lambda: self.agent.busy, self._note)

    def _make_address_ping(self, address: str) -> Reference | None:
        """Pings the gateway from the address that moves: the answer comes to whoever the gateway believes to have it."""
        for network in self.config.networks:
            if network.name == "outside" and network.reference:
                return Reference(network, network.reference, lambda: None, source=address)
        return None

    def _make_witness(self, policy: Policy, settings: AgentSettings) -> Keeper | None:
        if settings.witness is None:
            return None
        wanted, node = settings.witness, self.config.node
        lease = Lease(node, policy.lease, policy.clock_error, clock)
        return Keeper(lambda: register(wanted, node), lease, 2 * policy.renew_every + policy.contact_fresh, clock, self._witness_told)

    def _vrrp_changed(self, change: Change) -> None:
        what = f"keepalived: {'group ' if change.group else ''}{change.name} is {change.state}"
        details = {"instance": change.name, "state": change.state, "priority": change.priority, "group": change.group}
        LOG.log(logging.INFO if change.group else logging.WARNING, "%s", what, extra=event("vrrp", **details))
        if not change.group:
            self.voice.note("vrrp", {**details, "reason": what}, self._eyes.peer_lives())
        self.wake()

    def _witness_told(self) -> None:
        """From the witness's thread."""
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # the daemon ends
                self.loop.call_soon_threadsafe(self.wake)

    def _note(self, kind: str, details: dict[str, t.Any]) -> None:
        """From any of the agent's threads."""
        if self.loop is not None:
            self.loop.call_soon_threadsafe(lambda: self.voice.note(kind, details, self._eyes.peer_lives()))

    # Between the nodes.

    def heard(self, network: str, state: dict[str, t.Any], begun: bool) -> bool:
        """A fresh beat; what concerns the agent is taken out of it. begun: the first of a daemon that was started. True: it is news."""
        if begun:
            self.agent.peer_restarted()
        self._heard_at[network] = clock()
        self.peer_agent = state.pop("agent", None)
        told = state.pop("vrrp", None)
        self._peer_vrrp = told if isinstance(told, str) else None
        return self.agent.peer_says(self.peer_agent)

    def says(self) -> dict[str, t.Any]:
        return {"agent": self.agent.says(), **({"vrrp": self.vrrp_state} if self.vrrp_state else {})}

    @property
    def vrrp_state(self) -> str | None:
        """As keepalived said last. A daemon that has just begun goes by the addresses."""
        return (self.vrrp.state if self.vrrp else None) or (MASTER if self._holds else None)

    @property
    def age(self) -> float | None:
        """Seconds since the newest beat."""
        return round(clock() - max(self._heard_at.values()), 2) if self._heard_at else None

    # Deciding.

    def tick(self) -> None:
        if self._address is not None:
            self._ask_for_the_address(self._address)
        if self.vrrp is not None and clock() - self._vrrp_looked >= VRRP_EVERY:
            self._vrrp_looked = clock()
            self.vrrp.look()
            self._holds = self.vrrp.state is None and any(held(self._addresses).values())
        if self._steps_left <= 0 or not self._nothing_happens():
            self.step()
        self._steps_left -= 1
        self.voice.tick()

    def step(self) -> bool:
        """Decide on what is known now. True: the peer has to hear of it."""
        self._steps_left = CALM_TICKS
        before = self.agent.decision.said if self.agent.decision else None
        said = self.agent.step(self._seen()).said
        self.voice.writer(said.term.writer)
        return said != before

    def _nothing_happens(self) -> bool:
        """A step would only find what the last one found: the peer is heard, and nobody wants anything."""
        return self.agent.calm and self._peer_is_heard and self.agent.undisturbed

    @property
    def _peer_is_heard(self) -> bool:
        return clock() - max(self._heard_at.values(), default=-math.inf) <= 1.5 * self.config.interval

    def _ask_for_the_address(self, address: Reference) -> None:
        """Where it is matters only while the peer is not heard."""
        address.collect()
        if self._peer_is_heard:
            self._asked_from = None
            return
        if self._asked_from is None:
            self._asked_from = clock()
        address.ping()

    def _seen(self) -> Seen:
        raw, looked = self._eyes.last_look()
        database = looked if raw is Raw.OK else None
        replica = database.replica if database else None
        peers = {network.peer_address for network in self.config.networks}
        now, gateway = clock(), self._eyes.gateway()
        return Seen(
            looked=self._eyes.looked_at,
            database=role(raw, database) if self._eyes.started else Role.UNKNOWN,
            follows_peer=replica is not None and replica.source.rpartition(":")[0] in peers,
            replicates=replica is not None and replica.running,
            sql_error=replica is not None and not replica.sql_running,
            lag=replica.lag if replica else None,
            acknowledged=database.acknowledged if database else None,
            unanswered=database is not None and database.unanswered,
            heard={n.name: now - self._heard_at[n.name] if n.name in self._heard_at else None for n in self.config.networks},
            knock=self._eyes.knocks(),
            gateway=gateway,
            address_here=self._address_here(now, gateway),
            both_masters=self._both_masters.seen(self.vrrp_state, self._peer_vrrp if self._eyes.peer_lives() else None, now),
            atlas=self._eyes.atlas_alarms(),
        )

    def _address_here(self, now: float, gateway: float | None) -> bool | None:
        if self._address is None or self._asked_from is None or gateway is None or gateway > self.agent.policy.contact_fresh:
            return None
        return now - max(self._address.proven_at, self._asked_from) <= gateway + BEHIND * self.config.interval

    @property
    def has_begun(self) -> bool:
        """It knows what its database is, and has decided something."""
        return self.agent.memory.state is not State.STARTING

    @property
    def why_away(self) -> str:
        """Why the agent keeps the addresses away; "": it does not."""
        return f"the agent keeps the addresses away: {self.agent.memory.state.value}" if self.agent.addresses_away else ""

    # For people and machines.

    def status(self) -> dict[str, t.Any]:
        facts = self.agent.decision.facts if self.agent.decision else None
        raw, database = self._eyes.last_look()
        semi = database if raw is Raw.OK else None
        return {
            "time": round(time.time(), 1),
            "addresses": held(self._addresses),
            "vrrp": {"here": self.vrrp.states if self.vrrp else None, "peer": self._peer_vrrp},
            "disks": disks(DISKS),
            "agent": {
                **self.agent.status(),
                "blockers": blockers([*facts.preconditions, facts.cool_down, *facts.of_silence]) if facts else [],
                "counters": self.voice.counters,
            },
            "semi_sync": {"active": semi.acknowledged if semi else None, "clients": semi.clients if semi else None},
            **self.voice.status(),
        }

    async def watch_peer(self) -> None:
        """What the peer itself shows, for the page: a person looks at either node. Nothing else depends on it."""
        await optional("what the peer shows", self._watch_peer)

    async def _watch_peer(self) -> None:
        address = next((n.peer_address for n in self.config.networks if n.name == "inside"), self.config.networks[0].peer_address)
        port = self.config.http[0][1]
        while True:
            await asyncio.sleep(PEER_STATUS_EVERY)
            if not self._eyes.peer_lives():
                continue
            self.peer_status = await fetch(address, port, "/status.json")
            told = await fetch(address, port, "/history.json")
            if told is not None and isinstance(told.get("entries"), list):
                self.voice.peer_history = told["entries"]

    def close(self) -> None:
        if self._address is not None:
            self._address.close()
        if self.vrrp is not None:
            self.vrrp.close()
        self.agent.close()
        self.voice.close()
