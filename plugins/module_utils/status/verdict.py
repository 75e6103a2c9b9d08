# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the pair, in words, the worst first. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import NamedTuple

from ..health.certificate import SOON
from .pair import NETWORKS, Node, Pair

MOST_LAG = 10.0
FULL_PERCENT = 90
OLD_FILES = 1800.0
UNITS = {"database": "mariadb mysql", "php-fpm": "'php*-fpm'"}
SERVICE_OF = {"web": "nginx", "php": "php-fpm", "database": "database"}
WRITER, READER = "sql_writer", "sql_reader"
PRIMARY_HOWTO = "Mend: run playbooks/database.yml; it asks both and opens the right one."


class State(enum.IntEnum):
    """How the pair is. Degraded: visitors are served, and something is missing that would be needed for the next fault."""

    HEALTHY = 0
    DEGRADED = 1
    DOWN = 2


class Problem(NamedTuple):
    """One thing that is wrong."""

    state: State
    text: str


def problems(pair: Pair) -> list[Problem]:
    """Find everything that is wrong, the worst first."""
    found = [*_silence(pair), *_traffic(pair), *_roles(pair)]
    for node in pair.nodes:
        found += _unasked(node) if node.seen is None else _node(pair, node)
    return sorted(dict.fromkeys(found), key=lambda problem: -problem.state)


def state(found: list[Problem]) -> State:
    """Return how the pair is, given what is wrong."""
    return max((problem.state for problem in found), default=State.HEALTHY)


def _degraded(text: str) -> Problem:
    return Problem(State.DEGRADED, text)


def _down(text: str) -> Problem:
    return Problem(State.DOWN, text)


def _unasked(node: Node) -> list[Problem]:
    return [_degraded(f"{node.name} cannot be reached: {node.reason or 'no answer'}.")]


def _silence(pair: Pair) -> Iterator[Problem]:
    """With neither node reachable nobody is known to serve, and whoever waits for an alarm has to hear of that."""
    if len(pair.unknown()) == len(pair.nodes):
        yield _down("No node can be reached from here: nobody is known to serve. Look at the network of this machine first, then at both nodes.")


def _traffic(pair: Pair) -> Iterator[Problem]:
    for network in NETWORKS:
        vip = pair.vips.get(network)
        if vip is None:
            continue
        holders = pair.holders(network)
        if len(holders) > 1:
            both = " and ".join(node.name for node in holders)
            yield _down(f"{both} both hold the {network} VIP {vip}. Look at: journalctl -u keepalived, on both.")
        if holders:
            continue
        if pair.unknown():
            perhaps = " and ".join(node.name for node in pair.unknown())
            yield _degraded(f"Nobody who answers holds the {network} VIP {vip}; perhaps {perhaps} does.")
        else:
            yield _down(f"Nobody holds the {network} VIP {vip}. Look at: systemctl status keepalived tandem-health.")
    outside, inside = pair.holders("outside"), pair.holders("inside")
    if len(outside) == len(inside) == 1 and outside != inside:
        yield _degraded(f"The VIPs are apart: outside on {outside[0].name}, inside on {inside[0].name}.")
    for node in outside:
        if node.seen is not None and not node.seen["web"]["answers"]:
            yield _down(f"{node.name} holds the outside VIP, and its web server does not answer.")
        if leads_to(node, WRITER) == []:
            yield _down(f"{node.name} holds the outside VIP, and its SQL writer port leads to no database.")


def _roles(pair: Pair) -> Iterator[Problem]:
    primaries = pair.primaries()
    if len(primaries) > 1:
        both = " and ".join(node.name for node in primaries)
        yield _down(f"The databases of {both} both take writes. Close one before their data part.")
    doubtful = [node for node in pair.nodes if node.role is None]
    if not primaries and doubtful:
        lost = " and ".join(node.name for node in doubtful)
        mend = " ".join(_known_again(node, alone=len(doubtful) == 1) for node in doubtful)
        yield _degraded(f"No database is known to take writes; nothing is known of that of {lost}. Mend: {mend}")
    elif not primaries:
        fenced = [node for node in pair.nodes if any(node.fences.values())]
        mend = " ".join(f"{node.name} is fenced by a person. To take that away: {_unfence(node)}." for node in fenced) or PRIMARY_HOWTO
        yield _degraded(f"No database takes writes: pages can be read, not changed. {mend}")


def _unfence(node: Node) -> str:
    return f"playbooks/unfence.yml -e node={node.name} -e drivers={','.join(sorted(node.fences))}"


def _known_again(node: Node, *, alone: bool) -> str:
    """How to learn what its database is. alone: the other one is known, so a failover to it can be spoken of."""
    if node.seen is None:
        last = " If it stays off: playbooks/failover.yml -e peer_is=dead." if alone else ""
        return f"power {node.name} on, then run playbooks/database.yml.{last}"
    last = " If that does not start: playbooks/failover.yml." if alone else ""
    return f"start what has stopped on {node.name} (systemctl status mariadb mysql tandem-health), then run playbooks/database.yml.{last}"


def _node(pair: Pair, node: Node) -> Iterator[Problem]:
    yield from _services(pair, node)
    yield from _health(node)
    yield from _replication(pair, node)
    yield from _proxy(pair, node)
    yield from _atlas(pair, node)
    yield from _files(pair, node)
    yield from _disks(node)
    yield from _certificate(node)


def _services(pair: Pair, node: Node) -> Iterator[Problem]:
    found = {name: how for name, how in (node.seen or {})["services"].items() if name in pair.expected}
    absent = [name for name, how in found.items() if how == "absent"]
    if absent:
        yield _degraded(f"{node.name} lacks {', '.join(absent)}. Mend: run site.yml.")
    for name, how in found.items():
        if how not in ("active", "reloading", "absent"):
            yield _degraded(f"{node.name}: {name} is {how}. Look there: systemctl status {UNITS.get(name, name)}.")


def _health(node: Node) -> Iterator[Problem]:
    health = (node.seen or {})["health"]
    if not health["answers"] and node.service("tandem-health") == "active":
        yield _degraded(f"{node.name}: the health service does not answer ({health['reason']}).")
    for name, finding in (node.said.get("findings") or {}).items():
        stopped = name in SERVICE_OF and node.service(SERVICE_OF[name]) != "active"
        verdict = finding.get("verdict")
        if not stopped and (verdict == "down" or (verdict == "unknown" and name in SERVICE_OF)):
            how = "down" if verdict == "down" else "in doubt, and requests may hang there"
            yield _degraded(f"{node.name}: {name} is {how}: {finding.get('reason') or 'no reason given'}.")
    networks = node.said.get("networks") or {}
    silent = [name for name in NETWORKS if networks.get(name, {}).get("peer_heard") is False]
    if silent:
        where = "any network" if len(silent) == len(NETWORKS) else f"the {silent[0]} network"
        yield _degraded(f"{node.name} does not hear its peer on {where}.")


def _replication(pair: Pair, node: Node) -> Iterator[Problem]:
    if node.role != "replica":
        return
    replication = node.replication
    if replication is None:
        if pair.primaries():
            yield _degraded(f"{node.name}: its database follows nobody. Mend: run playbooks/database.yml.")
        return
    if not replication.get("running"):
        reason = replication.get("error") or "no error is given"
        yield _degraded(
            f"{node.name}: replication from {pair.name_of(replication.get('source'))} has stopped: {reason}."
        )
    elif replication.get("lag") is None:
        yield _degraded(f"{node.name}: how far its database is behind is not known.")
    elif replication["lag"] > MOST_LAG:
        yield _degraded(f"{node.name}: its database is {replication['lag']:.0f} s behind.")


def leads_to(node: Node, backend: str) -> list[str] | None:
    """Name the servers to which a backend of this node's SQL proxy leads; None when it is not known."""
    found = ((node.seen or {}).get("proxy") or {}).get(backend)
    return None if found is None else list(found["leads_to"])


def _proxy(pair: Pair, node: Node) -> Iterator[Problem]:
    if node.service("haproxy") != "active":
        return
    if (node.seen or {})["proxy"] is None:
        yield _degraded(f"{node.name}: HAProxy does not answer on its socket.")
        return
    primaries = [primary.name for primary in pair.primaries()]
    found = leads_to(node, WRITER)
    if found is not None and len(primaries) == 1 and primaries[0] not in found:
        where = " and ".join(found) or "nowhere"
        yield _degraded(f"{node.name}: its writer port leads to {where}, and the primary is {primaries[0]}.")


def _atlas(pair: Pair, node: Node) -> Iterator[Problem]:
    """One that is stopped is said among the services. Offline is what a fence makes it, until it is taken away."""
    seen = (node.seen or {}).get("atlas")
    if seen is None or node.service("atlas") not in ("active", None):
        return
    if seen["reason"]:
        yield _degraded(f"{node.name}: Atlas does not say where it leads: {seen['reason']}")
    for backend in seen["backends"]:
        if backend["state"] != "up":
            what = "writes" if backend["type"] == "rw" else "reads"
            hint = _online_again(pair, node, backend["type"]) if backend["state"] == "offline" else ""
            yield _degraded(f"{node.name}: {backend['address']}, to which Atlas sends {what}, is {backend['state']}.{hint}")


def _online_again(pair: Pair, node: Node, kind: str) -> str:
    """A fence takes writers only, those of both nodes. Where none is recorded, whose drivers are taken away makes no difference to Atlas."""
    if kind != "rw":
        return (
            " The agent puts it online if the agent took it offline. If a person did: tandem.lemp.atlas_backend with state=online,"
            f" or systemctl restart 'atlas-*' on {node.name}."
        )
    fenced = [one for one in pair.nodes if "atlas" in one.fences]
    if fenced:
        return " " + " ".join(f"{one.name} is fenced by a person. To take that away: {_unfence(one)}." for one in fenced)
    primaries = pair.primaries()
    whose = primaries[0] if len(primaries) == 1 else node
    return f" Mend: playbooks/unfence.yml -e node={whose.name} -e drivers=atlas."


def _files(pair: Pair, node: Node) -> Iterator[Problem]:
    """A job waits on the node whose turn it is not. With the peer away there is nobody to be equal with."""
    seen = node.seen or {}
    for job in seen["files"]:
        result = job.get("result")
        if result in ("waiting", "busy") or (result == "unreachable" and pair.unknown()):
            continue
        if result != "ok":
            reason = job.get("message") or "no reason is given"
            yield _degraded(f"{node.name}: file job {job['name']} ended with {result}: {reason}.")
        elif isinstance(job.get("finished"), int | float) and seen["time"] - job["finished"] > max(
            OLD_FILES, 4 * pair.files_interval
        ):
            minutes = (seen["time"] - job["finished"]) / 60
            yield _degraded(f"{node.name}: file job {job['name']} last ran {minutes:.0f} minutes ago.")


def _disks(node: Node) -> Iterator[Problem]:
    said = set()
    for path, disk in (node.seen or {})["disks"].items():
        if disk["used_percent"] >= FULL_PERCENT and disk["device"] not in said:
            said.add(disk["device"])
            yield _degraded(f"{node.name}: {path} is {disk['used_percent']} % full; {disk['free_mb']} MB are left.")


def _certificate(node: Node) -> Iterator[Problem]:
    """Without a valid one nobody follows the database of this node."""
    ends = node.said.get("certificate_ends")
    if not isinstance(ends, int | float) or (left := ends - (node.seen or {})["time"]) >= SOON:
        return
    words = f"ends in {left / 86400:.0f} days" if left > 0 else "has expired"
    yield _degraded(f"{node.name}: its certificate {words}. Mend: run playbooks/base.yml, then playbooks/database.yml.")
