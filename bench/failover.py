"""One failover: a writer, a fault, and what became of every row; then how the old primary comes back.

The writer is that of the drills: a row every 10 ms from the node that survives, each on a new connection, begun when it is
due however many still wait, given up after 1.2 s, never tried again.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Last: there is a pair.py as well.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "drills"))

import ledger
import pair
from nodes_of_lab import PAIR, Place, other
from shell import LabError, podman, wait_for

PACE = {"interval": 0.01, "timeout": 1.2}
STEADY = 2.0  # seconds of writes before the fault, and after the survivor has begun to take them
OUT_AT_MOST = 90.0
BACK_WITHIN = 120.0
EQUAL_WITHIN = 20.0


class Writing(ledger.Ledger):
    """One writer, on one node; both databases are asked 100 times a second whether they are open."""

    def __init__(self, place: Place, node: str, host: str, port: int) -> None:
        super().__init__(place)
        self.node, self.host, self.port = node, host, port

    def __enter__(self) -> Self:
        account = {"user": "blog", "schema": "blog", "password": self.place.secret("site_blog")}
        asked = {"run": self.run, "node": self.node, "host": self.host, "port": self.port, **account, **PACE}
        self.workers = [ledger.Worker(self.place, node, "ledger_look.py", {}) for node in PAIR]
        self.workers.append(ledger.Worker(self.place, self.node, "ledger_sql.py", asked))
        self.keep_awake()
        return self

    def flows(self, since: float) -> bool:
        """Was every write acknowledged that has begun for a while, after that moment?"""
        begin = max(since, time.time() - STEADY)
        late = [event for event in self.events if event.what == "sql" and event.begun > begin]
        return time.time() - since > STEADY and len(late) > STEADY / PACE["interval"] / 2 and all(event.outcome == "ok" for event in late)


def kill_server(place: Place, node: str) -> None:
    """kill -9."""
    place.sh(node, "kill -KILL $(pgrep -x mariadbd)")


def kill_node(place: Place, node: str) -> None:
    """The power cable."""
    place.fault("kill", node)


@dataclass(frozen=True)
class Fault:
    """What the primary's node loses."""

    name: str
    what: str
    breaks: Callable[[Place, str], None]


FAULTS = (Fault("server", "kill -9 of the database", kill_server), Fault("node", "power off of the node", kill_node))


def held(place: Place, run: str, nodes: tuple[str, ...]) -> tuple[dict[str, Counter[str]], dict[str, str]]:
    """The rows of these nodes, once they are equal or time is over; and which server took each."""
    limit = time.monotonic() + EQUAL_WITHIN
    while True:
        found = {node: ledger.rows(place, node, run) for node in nodes}
        counted = [rows for rows, _taken in found.values()]
        if all(rows == counted[0] for rows in counted) or time.monotonic() > limit:
            return {node: rows for node, (rows, _taken) in found.items()}, {n: by for _rows, taken in found.values() for n, by in taken.items()}
        time.sleep(0.3)


def returned(place: Place, node: str, since: float) -> float | None:
    """Seconds until a node's database follows, closed and in step. None: it does not by itself."""
    while time.time() - since < BACK_WITHIN:
        if pair.is_following(pair.database(place.lab, node)):
            return round(time.time() - since, 1)
        time.sleep(0.1)
    return None


def measure(place: Place, fault: Fault, host: str, port: int) -> dict[str, Any]:
    """One run; the pair is whole when it begins. Times in seconds."""
    old = pair.primary(place.lab)
    if not old:
        raise LabError("not exactly one database is writable")
    new = other(old)
    place.sql(old, ledger.TABLE)
    with Writing(place, new, host, port) as book:
        begun = time.time()
        wait_for("the writer to be served", lambda: book.flows(begun), 30)
        broken = time.time()
        fault.breaks(place, old)
        with contextlib.suppress(LabError):
            wait_for("writes to be acknowledged again", lambda: book.flows(broken), OUT_AT_MOST)
        back = broken
        if place.state(old) != "running":
            back = time.time()
            podman("start", place.lab.container(old))
            place.forget(old)
        rejoin = returned(place, old, back)
        settled = time.time()
        with contextlib.suppress(LabError):
            wait_for("writes to be acknowledged with both", lambda: book.flows(settled), 30)
    whole = PAIR if rejoin is not None else (new,)
    rows, taken = held(place, book.run, whole)
    # judge() wants both: what one alone has is all there is.
    verdict = ledger.judge(book.events, {node: rows.get(node, rows[new]) for node in PAIR}, taken, broken, book.ended)
    return {
        "fault": fault.name,
        "old": old,
        "moved": pair.primary(place.lab) == new,
        "out_s": round(verdict.writes_out, 3),
        "normal_s": round(verdict.normal, 3),
        "acknowledged": verdict.acknowledged,
        "failed": verdict.refused,
        "lost": len(verdict.lost[new]),
        "unequal": verdict.unequal,
        "both_open_s": round(verdict.both_open, 3),
        "kinds": dict(Counter(event.outcome[:60] for event in book.events if event.what == "sql" and event.outcome != "ok")),
        "back_s": rejoin,
        "back_because": None if rejoin is not None else why_not(place, old),
    }


def why_not(place: Place, node: str) -> str:
    """What its database says of its replication."""
    status = pair.inside(place.lab, node, pair.REPLICA_STATUS, "SHOW REPLICA STATUS")
    if status is None:
        return "its database does not run"
    errors = [line.strip() for line in status.splitlines() if "_Error: " in line and line.split("_Error: ")[1].strip()]
    return "; ".join(errors) or ("it follows nobody" if not status.strip() else "it follows, but is not in step")
