# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one node knows about itself and its peer. Values only; "unknown" is one of them."""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field


class Raw(enum.Enum):
    """What a single look at a part showed."""

    OK = "ok"
    BROKEN = "broken"  # certain: refused, no such socket, process ended
    SILENT = "silent"  # no answer in time: slow or dead, nobody can tell yet
    BUSY = "busy"  # it answered, but not what was asked: alive


class Verdict(enum.Enum):
    """What a series of looks means."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


# How much is lost when a part is down: 2 = this node cannot serve at all, 1 = it serves worse.
WEIGHT: t.Mapping[str, int] = {"web": 2, "outside": 2, "inside": 1, "database": 1, "php": 1, "atlas": 1}
NETWORKS = ("outside", "inside")


@dataclass(frozen=True)
class Finding:
    """A verdict and why. evidence tells apart proofs of equal verdicts ("reference", "carrier", "peer")."""

    verdict: Verdict
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Local:
    """This node's findings by part name (keys of WEIGHT); a part that is not watched is absent."""

    findings: t.Mapping[str, Finding]
    frozen: bool = False  # this node has just slept through its peer's heartbeats

    def down(self) -> tuple[str, ...]:
        return tuple(name for name, finding in self.findings.items() if finding.verdict is Verdict.DOWN)

    def severity(self) -> int | None:
        """None while a part has not been looked at yet."""
        if any(finding.verdict is Verdict.STARTING for finding in self.findings.values()):
            return None
        return max((WEIGHT[name] for name in self.down()), default=0)


@dataclass(frozen=True)
class Peer:
    """The peer as its heartbeats describe it. severity None: it is silent, or does not know itself yet."""

    severity: int | None = None
    down: tuple[str, ...] = ()
    # Pings in a row that the peer's own reference left unanswered, by network; absent: it has no reference there.
    strikes: t.Mapping[str, int] = field(default_factory=dict)
    quiet: bool = False  # beats are missing, but not enough to call it silent


@dataclass(frozen=True)
class Decision:
    """What keepalived is told. fault None: leave it as it is."""

    fault: bool | None
    reason: str


@dataclass(frozen=True)
class Replica:
    """The replication of one server from its source."""

    io_running: bool
    sql_running: bool
    lag: float | None
    source: str
    error: str = ""

    @property
    def running(self) -> bool:
        return self.io_running and self.sql_running


@dataclass(frozen=True)
class Database:
    """One database server as it describes itself."""

    version: str
    read_only: bool
    replica: Replica | None
    error: str = ""
    acknowledged: bool | None = None  # replicas confirm what is committed here; None: it is no primary
    clients: int | None = None  # how many replicas could confirm; None: not known
    unanswered: bool = False  # commits wait for a replica, and none has been answered for a while
