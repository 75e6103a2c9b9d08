# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair as it may be found an hour after a failover: realistic data for the tests and for the pictures in docs/images."""

from __future__ import annotations

import math
import random
import typing as t

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Database, Said, State, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.words import spoken

NOW = 1_794_938_400.0 + 4_242.0
HOSTILE = "<script>alert('x')</script>\"&\\\n\r\t\x00\x1b[31m\u202e{}%s]]>"


def blockers(*failing: tuple[str, t.Any, t.Any, bool | None]) -> list[dict[str, t.Any]]:
    """Conditions of a takeover, met but for those given."""
    met = [
        ("the replica runs and has applied everything it received", "0 transactions waiting", "0"),
        ("the primary is proven silent or dead", "no sign on 2 networks for 3 s would do", "every network"),
        ("no other operation runs", "none", "none"),
        ("the last failover was acknowledged or is long ago", "1 h 10 min", "at least 10 min"),
    ]
    made = [{"condition": name, "found": found, "needed": needed, "ok": True} for name, found, needed in met]
    return made + [
        {"condition": name, "found": found, "needed": needed, "ok": ok} for name, found, needed, ok in failing
    ]


def atlas() -> dict[str, t.Any]:
    """One that works."""

    def backend(address: str, kind: str) -> dict[str, t.Any]:
        return {"address": address, "type": kind, "state": "up", "answers": True, "reason": "", "configured": True, "taken_offline": False}

    return {
        "state": "up",
        "reason": "",
        "age": 0.4,
        "admin": True,
        "admin_reason": "",
        "reads": True,
        "reads_reason": "",
        "writes": True,
        "writes_reason": "",
        "accounts": 1,
        "altered": False,
        "restarts": 0,
        "backends": [backend("127.0.0.1:6446", "rw"), backend("127.0.0.1:6448", "ro")],
    }


def heartbeat(state: str) -> dict[str, t.Any]:
    """What an agent says of itself."""
    primary = state == "primary"
    said = Said(
        State(state), Database.OPEN if primary else Database.CLOSED, Term(8, "node-b"), fenced=not primary, able=not primary,
        in_step=not primary, failover_at=NOW - 4_180.0, acknowledged_at=NOW - 4_000.0,
    )  # fmt: skip
    return spoken(said, 4_000.25, 3_999.5)


def _node(node: str, peer: str, role: str) -> dict[str, t.Any]:
    primary = role == "primary"
    return {
        "version": 1,
        "node": node,
        "time": NOW - 0.2,
        "uptime": 4180.4 if not primary else 912_000.1,
        "severity": 0,
        "fault": False,
        "reason": "nothing is wrong here",
        "findings": {
            "web": {"verdict": "up", "reason": "http://127.0.0.1:80/healthz answers 200"},
            "php": {"verdict": "up", "reason": "every pool answers"},
            "database": {"verdict": "up", "reason": "answers"},
            "outside": {"verdict": "up", "reason": "192.0.2.1 answers"},
            "inside": {"verdict": "up", "reason": "the peer is heard"},
        },
        "database": {
            "look": "ok",
            "text": "answers",
            "role": role,
            "version": "10.11.14-MariaDB-0+deb12u2-log",
            "replication": None if primary else {"running": True, "lag": 0.0, "source": f"{peer}:3306", "error": ""},
        },
        "networks": {
            "outside": {"reference": "192.0.2.1", "reference_trusted": True, "missed": 0, "peer_heard": True},
            "inside": {"reference": None, "reference_trusted": False, "missed": 0, "peer_heard": True},
        },
        "peer": {
            "node": peer,
            "alive": True,
            "severity": 0,
            "down": [],
            "state": {"severity": 0, "down": [], "fault": False, "strikes": {"outside": 0}, "role": "replica" if primary else "primary"},
            "agent": heartbeat("replica" if primary else "primary"),
            "rejected": {"replayed": 0, "forged": 2},
            "age": 0.2,
        },
        "agent": {
            "state": role,
            "since": NOW - 4_180.0 if primary else NOW - 4_121.0,
            "epoch": 8,
            "writer": "node-b",
            "alone": False,
            "rule": "promoted" if primary else "rejoined",
            "reason": "node-a is dead; every transaction it sent is applied here"
            if primary
            else "every own transaction is known to node-b",
            "policy": {"failover": "automatic", "failback": "never"},
            "paused_until": None,
            "held": False,
            "lease": {"configured": True, "holder": "node-b", "left": 3.7, "reachable": True, "problem": ""},
            "blockers": [] if primary else blockers(),
            "alarms": [],
            "operation": None,
            "last_failover": NOW - 4_180.0,
            "acknowledged_at": NOW - 4_000.0,
            "cooldown_until": None,
            "errant": "",
            "counters": {
                "failovers": 1 if primary else 0,
                "primary_changes": 1,
                "transitions": {"peer_dead": 1, "promoted": 1} if primary else {"booted": 1, "rejoined": 1},
            },
        },
        "addresses": {"outside": primary, "inside": primary},
        "certificate_ends": NOW + 400 * 86400.0,
        "disks": [
            {"path": "/var/lib/mysql", "free": 33_285_996_544, "size": 52_710_469_632},
            {"path": "/var/log", "free": 1_717_986_918 if primary else 2_040_109_466, "size": 5_368_709_120},
        ],
        "atlas": atlas(),
        "semi_sync": {"active": True, "clients": 1} if primary else {"active": None, "clients": None},
        "notifications": {
            "sent": {"mail": 4, "pager": 3},
            "failed": {"mail": 0, "pager": 1},
            "queued": {"mail": 0, "pager": 0},
            "held": 0,
            "dropped": 0,
            "repeats": 5,
        },
        "history": {"unsaved": 0, "problem": ""},
        "vrrp": {"here": {"outside": "MASTER" if primary else "BACKUP"}, "peer": "BACKUP" if primary else "MASTER"},
    }


def pair() -> dict[str, t.Any]:
    """The status of node-b, which took over from node-a."""
    status = _node("node-b", "node-a", "primary")
    status["peer"]["status"] = _node("node-a", "node-b", "replica")
    return status


def replica() -> dict[str, t.Any]:
    """The same pair seen by node-a."""
    status = _node("node-a", "node-b", "replica")
    status["peer"]["status"] = _node("node-b", "node-a", "primary")
    return status


def alone() -> dict[str, t.Any]:
    """node-b a minute after it took over."""
    status = _node("node-b", "node-a", "primary")
    status["agent"].update(since=NOW - 58.0, last_failover=NOW - 58.0, acknowledged_at=None, cooldown_until=NOW + 542.0, alone=True)
    status["severity"] = 1
    status["findings"]["inside"] = {
        "verdict": "unknown",
        "reason": "the peer is silent here and a reference is not configured",
    }
    for network in status["networks"].values():
        network["peer_heard"] = False
    status["peer"].update({"alive": False, "severity": None, "age": 61.0, "state": None, "agent": None, "status": None})
    status["vrrp"]["peer"] = None
    status["semi_sync"] = {"active": False, "clients": 0}
    status["agent"]["alarms"] = ["alone"]
    return status


def events() -> list[dict[str, t.Any]]:
    """What both nodes wrote down, newest last."""

    def made(
        back: float,
        node: str,
        kind: str,
        before: str | None,
        after: str | None,
        rule: str,
        reason: str,
        epoch: int,
        **details: t.Any,
    ) -> dict[str, t.Any]:
        return {
            "time": "",
            "unix": NOW - back,
            "node": node,
            "kind": kind,
            "from": before,
            "to": after,
            "rule": rule,
            "reason": reason,
            "epoch": epoch,
            "details": details,
        }

    return [
        made(
            86_000,
            "node-a",
            "transition",
            "opening",
            "primary",
            "promoted",
            "switchover asked for by root: kernel update of node-b",
            7,
            paused_writes="410 ms",
        ),
        made(
            85_700,
            "node-b",
            "transition",
            "boot",
            "replica",
            "booted",
            "the primary is node-a; every own transaction is known there",
            7,
        ),
        made(
            40_000,
            "node-a",
            "event",
            None,
            None,
            "slow_disk",
            "a write to /var/lib/mysql took 2.3 s; slow is not dead",
            7,
        ),
        made(
            4_183,
            "node-b",
            "transition",
            "replica",
            "suspecting",
            "peer_silent",
            "no heartbeat from node-a on either network",
            7,
            inside="0.5 s",
            outside="0.5 s",
        ),
        made(
            4_181,
            "node-b",
            "transition",
            "suspecting",
            "opening",
            "peer_dead",
            "node-a answers nowhere and the lease has ended",
            8,
            lease="expired 0.2 s ago",
            canary="no route to host",
            applied="all that was received",
        ),
        made(
            4_180,
            "node-b",
            "transition",
            "opening",
            "primary",
            "promoted",
            "node-a is dead; every transaction it sent is applied here",
            8,
            writes_out="1.9 s",
            lost=0,
        ),
        made(
            4_140,
            "node-a",
            "transition",
            "boot",
            "rejoining",
            "booted",
            "node-b is the primary with a newer epoch (8, mine is 7)",
            8,
        ),
        made(
            4_121,
            "node-a",
            "transition",
            "rejoining",
            "replica",
            "rejoined",
            "every own transaction is known to node-b",
            8,
            extra_transactions=0,
        ),
    ]


def samples() -> list[tuple[float, str, float | None, float | None]]:
    """A day of the graph as node-b has it: a replica with a nightly backup's lag, a gap, then the primary."""
    chance = random.Random(4)
    points: list[tuple[float, str, float | None, float | None]] = []
    for step in range(8640):
        at = NOW - 86_400 + 10 * step
        back = NOW - at
        lag: float | None = max(0.0, chance.gauss(0.05, 0.15))
        if 52_000 < back < 54_500:
            lag = 14 * math.sin((back - 52_000) / 2_500 * math.pi) + chance.random()
        if 85_700 < back < 86_100:
            lag = None
        if back < 4_180:
            points.append((at, "primary", None, lag if back < 4_121 else None))
        else:
            points.append((at, "replica", lag, None))
    return points


def without(status: t.Mapping[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    """That status with each of its keys, at any depth, once absent and a few times of a wrong type."""

    def paths(value: t.Any, path: tuple[str, ...] = ()) -> t.Iterator[tuple[str, ...]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield (*path, key)
                yield from paths(item, (*path, key))

    wrong: list[t.Any] = [
        None,
        17,
        -1,
        "text",
        HOSTILE,
        [],
        [None, 3],
        {},
        {"x": {"y": 1}},
        True,
        float("nan"),
        float("inf"),
        10**400,
        1e300,
    ]
    for number, path in enumerate(paths(status)):
        for value in [
            "absent",
            *(wrong[(number + turn * 5) % len(wrong)] for turn in range(4 if len(path) < 3 else 2)),
        ]:
            changed: dict[str, t.Any] = dict(status)
            parent = changed
            for key in path[:-1]:
                parent[key] = dict(parent[key])
                parent = parent[key]
            if value == "absent":
                del parent[path[-1]]
            else:
                parent[path[-1]] = value
            yield changed


STRANGE: list[t.Any] = [{}, None, [], "text", 3, {"agent": None, "peer": 4, "disks": {}, "database": []}]
