# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent sees, remembers and decides: immutable values, in which "unknown" is one. Pure.

Times are seconds of one clock of this machine that also counts while the machine sleeps (CLOCK_BOOTTIME);
only the fields called wall are seconds since 1970, and nothing that keeps the pair safe depends on them.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field, replace


class Database(enum.Enum):
    """This node's database server."""

    OPEN = "open"  # applications can write
    CLOSED = "closed"  # it runs, and nobody can write
    GONE = "gone"  # certain: the process has ended
    STALLED = "stalled"  # slow, busy, no connection left, waits for its replica: not dead
    UNKNOWN = "unknown"


class State(enum.Enum):
    """What the agent is doing."""

    STARTING = "starting"
    CLOSED = "closed"
    CLAIMING = "claiming"
    ACQUIRING = "acquiring"
    OPENING = "opening"
    PROMOTING = "promoting"
    PRIMARY = "primary"
    GOING_ALONE = "going alone"
    ALONE = "primary alone"
    REARMING = "rearming"
    ISOLATED = "isolated"
    REPLICA = "replica"
    REJOINING = "rejoining"
    DIVERGED = "diverged"
    OPERATION = "operation"
    PAUSED = "paused"


# In these the database may be open.
OPEN_STATES = frozenset(
    {State.PRIMARY, State.GOING_ALONE, State.ALONE, State.REARMING, State.OPENING, State.PROMOTING, State.OPERATION}
)
# In these this node may open without asking its peer again: it does not promise anything.
SEIZING = frozenset({State.PROMOTING, State.OPENING, State.ACQUIRING})


class Action(enum.Enum):
    """What the daemon has to do. Each can be asked for again and again."""

    CLOSE_SELF = "close self"  # also breaks off what is about to open it
    KILL_SELF = "kill self"  # SIGKILL to the server; it starts closed
    OPEN_SELF = "open self"  # armed: every commit waits for the replica
    PROMOTE = "promote"  # operations/failover: apply what was received, open, alone
    GO_ALONE = "go alone"  # commits do not wait for the replica
    REARM = "rearm"  # they do again
    REJOIN = "rejoin"  # operations/rejoin without replace
    REPLACE = "replace"  # the same with replace: what is too many is saved, and the data are copied from the primary
    RENEW_LEASE = "renew lease"  # acquire or renew; Decision.memory.term is written if it is the newer one
    RELEASE_LEASE = "release lease"
    ALLOW_ADDRESSES = "allow addresses"
    KEEP_ADDRESSES_AWAY = "keep addresses away"
    FAILBACK = "failback"  # operations/switchover to this node


class Running(enum.Enum):
    """The operation that works on this node."""

    NONE = "none"
    OWN = "own"  # started by an action
    FOREIGN = "foreign"  # started by a person
    FAILED = "failed"  # the last own one has ended, and certainly without having opened the database


class Order(enum.Enum):
    """What a person has said, until it has been followed."""

    NONE = "none"
    OPEN = "open"  # the peer is dead or closed: open here
    REJOIN = "rejoin"  # replace the data of this node


@dataclass(frozen=True)
class Term:
    """Who writes. The higher one is true: it is adopted by whoever hears of it, and kept on disk.

    solo: the writer may have acknowledged what the other one lacks, so only the writer may open.
    Not solo: each write that was acknowledged is on both.
    firm: False for a solo term that is only proposed: nothing has been acknowledged under it yet. Of two terms of one
    epoch the firm one is the higher, so a proposal that came to nothing never outranks a promotion.
    """

    epoch: int = 0
    writer: str = ""
    solo: bool = False
    firm: bool = True

    @property
    def rank(self) -> tuple[int, bool, str, bool]:
        return (self.epoch, self.firm, self.writer, self.solo)


@dataclass(frozen=True)
class Said:
    """What a node says of itself in a heartbeat."""

    state: State = State.STARTING
    database: Database = Database.UNKNOWN
    term: Term = Term()
    ceded: int = -1  # "you may go on without me": I never open in a term up to this epoch, unless we agree
    fenced: bool = False  # its database is not open, and does not become open by itself
    takeover: bool = False  # it asks to be taken over
    able: bool = False  # it could take over now
    in_step: bool = False  # it replicates from the other one and lags by no more than what is on the way
    ahead: bool | None = None  # it has everything that the other one has
    paused_until: float = 0.0  # wall
    paused_at: float = 0.0  # wall: when a person has said so; 0: never, or by an agent that does not say when
    failover_at: float = 0.0  # wall
    acknowledged_at: float = 0.0  # wall: a person has seen the last failover, and said so on that node
    common: str = ""  # Policy.common; "": an earlier version does not say it
    echo: float | None = None  # the time in the newest beat that it had received: the receiver's own clock


@dataclass(frozen=True)
class Witness:
    """As it answered last. left: seconds by this node's clock, counted from before the question was sent."""

    reachable: bool = False
    holder: str = ""
    left: float = 0.0
    term: Term = Term()


@dataclass(frozen=True)
class View:
    """What this node sees now."""

    now: float
    wall: float = 0.0
    database: Database = Database.UNKNOWN
    promotable: bool = False  # in step when the primary was last heard with an open database, in this life of the server; no error
    in_step: bool = False  # see Said
    # True: the server waits for its replica, and that has received everything. False: it waits, and in vain.
    # True: the server waits for its replica, and that has received everything. False: it waits in vain, or not at all (as the look
    # at its semi-sync says). None: it cannot be asked (a stalled server is not made better by going on alone).
    acknowledged: bool | None = None
    extra: bool | None = None  # this node has transactions that the primary never had
    ahead: bool | None = None  # this node has everything that the peer has; None: cannot be compared
    heard: t.Mapping[str, float | None] = field(default_factory=dict)  # network: seconds since its last beat
    peer: Said | None = None  # the newest beat of both networks, of this life of the daemon
    knock: bool | None = None  # does the peer's machine answer anything
    # Seconds since that question to the own gateway was sent which is the newest that it has answered; None: there is no gateway.
    gateway: float | None = None
    address_here: bool | None = None  # a ping from the service address came back; False: the gateway sends it elsewhere
    witness: Witness = Witness()
    running: Running = Running.NONE
    order: Order = Order.NONE
    paused_until: float = 0.0  # wall
    paused_at: float = 0.0  # wall: when a person has said so, on either node
    acknowledged_at: float = 0.0  # wall: a person has seen the last failover
    atlas: tuple[str, ...] = ()  # what is wrong with this node's Atlas: names of alarms
    both_masters: bool = False  # keepalived holds the addresses on both nodes, and that has lasted
    frozen: bool = False  # this process has just stood still for longer than evidence_fresh
    held: bool = False  # a fence or a restore holds this node, and no operation works on it
    hands_silent: float = 0.0  # seconds for which the hand of this node has not answered
    went_alone: bool = False  # the last GO_ALONE of this life of the daemon has succeeded
    follows: bool = False  # both threads of its replication from the peer run, however far behind it is
    unanswered: bool = False  # commits wait for a replica, and none has been answered for a while


DURABLE = ("term", "previous", "ceded", "sealed", "failover_at", "together")


@dataclass(frozen=True)
class Memory:
    """What one step leaves for the next. Fields marked * are written to disk before anything of a step is done or said."""

    state: State = State.STARTING
    since: float = -1.0  # when the state began; below zero: not yet
    term: Term = Term()  # *
    previous: Term = Term()  # * the term before a promotion that may still fail
    ceded: int = -1  # * see Said
    sealed: bool = False  # * this node's solo term is known where it has to be: the other one cannot open
    failover_at: float = 0.0  # * wall: the last automatic one
    # * Since it was in step last this node has written, and only so that its replica had each write before anybody was
    # told: what it has too many was acknowledged to nobody.
    together: bool = False
    takeover: bool = False  # this node asks to be taken over
    stepped: float | None = None  # the last step
    started: float | None = None  # the first step of this life of the daemon
    watched: bool = False  # this silence has been watched from its beginning, and the gateway answered all the time
    last_sure: Database = Database.UNKNOWN  # the last certain look at the database
    opened: bool = False  # it has been seen open since the promotion or opening began
    closing_since: float | None = None
    unacknowledged_since: float | None = None
    stalled_since: float | None = None
    in_step_since: float | None = None
    out_of_step_since: float | None = None
    differ_since: float | None = None  # the policies
    nobody_since: float | None = None  # the own database takes no writes, and no peer is heard whose does
    apart_since: float | None = None  # the peer is heard beside this primary, and does not follow it
    mute_since: float | None = None  # the peer's daemon is heard, and no agent in it
    failed_at: float | None = None  # the last promotion that failed
    tried_at: float | None = None  # rejoin or rearm
    replaced_at: float | None = None
    alone_at: float | None = None  # GO_ALONE
    rearm_pause: float = 0.0  # after how long it is tried again
    renewed_at: float | None = None

    @property
    def durable(self) -> tuple[t.Any, ...]:
        """What has to be on disk; compare it with that of the step before."""
        return tuple(getattr(self, name) for name in DURABLE)


@dataclass(frozen=True)
class Blocker:
    """One condition of a promotion."""

    name: str
    found: str
    needed: str
    met: bool


def reborn(memory: Memory) -> Memory:
    """What is left of it after a restart of the daemon."""
    return with_durable(Memory(), memory)


def with_durable(memory: Memory, kept: Memory) -> Memory:
    """The one, and of the other what is on the disk."""
    return replace(memory, **{name: getattr(kept, name) for name in DURABLE})
