# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status as Prometheus reads it: text exposition format 0.0.4. Pure.

What is not known has no sample: a metric that is absent says "unknown", one that is 0 says "no".
"""

from __future__ import annotations

import math
import time
import typing as t
from dataclasses import dataclass

from . import reading
from .alarms import described
from .why import outlook

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROLES = ("primary", "replica", "unknown")
VERDICTS = ("starting", "up", "down", "unknown")
LOOKS = ("ok", "broken", "silent", "busy")
ATLAS_STATES = ("up", "dead", "frozen", "refuses", "unknown")
BACKEND_STATES = ("unknown", "up", "down", "offline")
LABELS = 64  # series of one metric at most: a peer that is out of its mind must not fill anybody's memory


@dataclass(frozen=True)
class Metric:
    """One metric: counter or gauge, what it tells, its unit, its labels."""

    kind: str
    about: str
    unit: str = ""
    labels: tuple[str, ...] = ()


METRICS: t.Mapping[str, Metric] = {
    "tandem_up": Metric("gauge", "The agent answers: always 1.", "truth"),
    "tandem_build_info": Metric("gauge", "Always 1; the labels say what runs.", "", ("version", "node", "peer", "database")),
    "tandem_uptime_seconds": Metric("gauge", "Since the agent was started.", "seconds"),
    "tandem_severity": Metric("gauge", "0: healthy, 1: serves worse, 2: cannot serve.", "level"),
    "tandem_fault": Metric("gauge", "keepalived is told that this node must not hold the addresses.", "truth"),
    "tandem_role": Metric("gauge", "The database's role: 1 for the one it has.", "truth", ("role",)),
    "tandem_database_look": Metric("gauge", "What the last look at the database showed: 1 for that.", "truth", ("look",)),
    "tandem_database_writable": Metric("gauge", "The database takes writes.", "truth"),
    "tandem_replication_running": Metric("gauge", "Both replication threads run; only on a replica.", "truth"),
    "tandem_replication_lag_seconds": Metric("gauge", "How far the replica is behind; only while replication runs.", "seconds"),
    "tandem_semi_sync_active": Metric("gauge", "A commit waits until the replica has it.", "truth"),
    "tandem_semi_sync_clients": Metric("gauge", "Replicas connected that could acknowledge; only on a primary.", "count"),
    "tandem_peer_alive": Metric("gauge", "The peer is heard on at least one network.", "truth"),
    "tandem_peer_heard": Metric("gauge", "The peer is heard on that network.", "truth", ("network",)),
    "tandem_peer_age_seconds": Metric("gauge", "Since the peer was last heard.", "seconds"),
    "tandem_peer_severity": Metric("gauge", "tandem_severity as the peer says it.", "level"),
    "tandem_peer_rejected_total": Metric("counter", "Messages that were not the peer's, by what was wrong with them.", "count", ("reason",)),
    "tandem_reference_missed": Metric("gauge", "Pings in a row that the network's reference left unanswered.", "count", ("network",)),
    "tandem_probe": Metric("gauge", "The verdict on a part: 1 for the one it has.", "truth", ("part", "verdict")),
    "tandem_address_held": Metric("gauge", "This node holds the service address of that network.", "truth", ("network",)),
    "tandem_disk_free_bytes": Metric("gauge", "Free for the services.", "bytes", ("path",)),
    "tandem_disk_size_bytes": Metric("gauge", "Size of the file system.", "bytes", ("path",)),
    "tandem_certificate_end_timestamp_seconds": Metric("gauge", "Until when the node's certificate is valid; playbooks/base.yml renews it.", "unix seconds"),
    "tandem_agent_state": Metric("gauge", "The agent's state: 1 for the one it is in.", "truth", ("state",)),
    "tandem_agent_state_since_timestamp_seconds": Metric("gauge", "When it came into that state.", "unix seconds"),
    "tandem_agent_epoch": Metric("gauge", "Grows when the primary changes, goes on alone, or has a replica again.", "count"),
    "tandem_primary_changes_total": Metric("counter", "Times that the primary became another node, as this one has learned.", "count"),
    "tandem_agent_automatic": Metric("gauge", "The policy is failover: automatic.", "truth"),
    "tandem_agent_paused": Metric("gauge", "Maintenance: the agent watches and does nothing.", "truth"),
    "tandem_agent_paused_until_timestamp_seconds": Metric("gauge", "When the maintenance ends by itself.", "unix seconds"),
    "tandem_operation_running": Metric("gauge", "A switchover, failover or rejoin works on this node, or a fence of a person stands.", "truth"),
    "tandem_failover_ready": Metric("gauge", "If the primary died now, its machine or its database alone, the replica would take over by itself.", "truth"),
    "tandem_failover_blockers": Metric("gauge", "What stands against that, or is not known.", "count"),
    "tandem_alarm": Metric("gauge", "1 for each alarm of the agent that is so now; the others are absent.", "truth", ("alarm", "severity")),
    "tandem_failovers_total": Metric("counter", "Times that this node took over from a dead primary.", "count"),
    "tandem_transitions_total": Metric("counter", "Changes of the agent's state, by the rule that made them.", "count", ("rule",)),
    "tandem_last_failover_timestamp_seconds": Metric("gauge", "When the pair's last automatic failover was decided.", "unix seconds"),
    "tandem_lease_configured": Metric("gauge", "There is a witness.", "truth"),
    "tandem_lease_held": Metric("gauge", "This node holds the lease.", "truth"),
    "tandem_lease_left_seconds": Metric("gauge", "Until the lease ends.", "seconds"),
    "tandem_witness_reachable": Metric("gauge", "The witness answers.", "truth"),
    "tandem_atlas_up": Metric("gauge", "This node's Atlas takes connections and answers. Absent where there is none.", "truth"),
    "tandem_atlas_state": Metric("gauge", "What Atlas does: 1 for that.", "truth", ("state",)),
    "tandem_atlas_admin_up": Metric("gauge", "Its admin port answers.", "truth"),
    "tandem_atlas_passes": Metric("gauge", "A statement of that kind, asked through Atlas, is answered.", "truth", ("kind",)),
    "tandem_atlas_backend_state": Metric("gauge", "What Atlas says of a backend: 1 for that.", "truth", ("address", "type", "state")),
    "tandem_atlas_backend_answers": Metric("gauge", "The backend answers, asked beside Atlas.", "truth", ("address", "type")),
    "tandem_atlas_backend_taken_offline": Metric("gauge", "The agent itself has taken it offline.", "truth", ("address", "type")),
    "tandem_atlas_accounts": Metric("gauge", "Accounts of the proxy: one, or the next one ends it.", "count"),
    "tandem_atlas_altered": Metric("gauge", "Backends or accounts are not those that were configured.", "truth"),
    "tandem_atlas_restarts_total": Metric("counter", "Times that the agent has ended it because it hung.", "count"),
    "tandem_notifications_sent_total": Metric("counter", "Messages that a channel took.", "count", ("channel",)),
    "tandem_notifications_failed_total": Metric("counter", "Messages that a channel never took.", "count", ("channel",)),
    "tandem_notifications_queued": Metric("gauge", "Messages that wait for a channel.", "count", ("channel",)),
    "tandem_history_unsaved": Metric("gauge", "Entries of the history that are only in memory.", "count"),
}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _label(value: str) -> str:
    # What is not text at all (a lone surrogate) would make the whole answer unreadable.
    return _escaped(value[:200].encode("utf-8", "replace").decode()).replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


class Exposition:
    """Collects samples of METRICS; each series once, in the order of METRICS."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[tuple[str, ...], float]] = {}

    def add(self, name: str, value: float | bool | None, *labels: str) -> None:
        """One sample; None: none. The first value of a series stays.

        Raises KeyError for a name, and ValueError for a number of labels, that METRICS does not have.
        """
        if len(labels) != len(METRICS[name].labels):
            raise ValueError(f"{name} has the labels {METRICS[name].labels}")
        if value is None:
            return
        series = self._samples.setdefault(name, {})
        if len(series) < LABELS:
            series.setdefault(tuple(_label(label) for label in labels), float(value))

    def one_hot(self, name: str, chosen: str, choices: t.Iterable[str], *labels: str) -> None:
        """One sample per choice, 1 for the chosen one. An unheard-of choice is one more."""
        for choice in dict.fromkeys((*choices, chosen)):
            if choice:
                self.add(name, choice == chosen, *labels, choice)

    def text(self) -> str:
        """The answer; ends with a newline."""
        lines: list[str] = []
        for name, metric in METRICS.items():
            series = self._samples.get(name)
            if not series:
                continue
            lines.append(f"# HELP {name} {_escaped(metric.about)}")
            lines.append(f"# TYPE {name} {metric.kind}")
            for labels, value in series.items():
                pairs = ",".join(f'{key}="{label}"' for key, label in zip(metric.labels, labels, strict=True))
                lines.append(f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}")
        return "\n".join(lines) + "\n"


def render(status: t.Any, states: t.Iterable[str] = (), now: float | None = None) -> str:
    """The whole answer. states: every state that the agent can be in; now: unix seconds."""
    out = Exposition()
    out.add("tandem_up", 1)
    _node(out, status)
    _database(out, status)
    _peer(out, status)
    _agent(out, status, tuple(states), time.time() if now is None else now)
    _atlas(out, status)
    _told(out, status)
    return out.text()


def _node(out: Exposition, status: t.Any) -> None:
    label = tuple(reading.text(status, *path) for path in (("version",), ("node",), ("peer", "node"), ("database", "version")))
    out.add("tandem_build_info", 1, *label)
    out.add("tandem_uptime_seconds", reading.number(status, "uptime"))
    out.add("tandem_severity", reading.number(status, "severity"))
    out.add("tandem_fault", reading.truth(status, "fault"))
    for part, finding in reading.mapping(status, "findings").items():
        verdict = reading.text(finding, "verdict")
        out.one_hot("tandem_probe", verdict if verdict in VERDICTS else "unknown", VERDICTS, part)
    for network, held in reading.mapping(status, "addresses").items():
        out.add("tandem_address_held", reading.truth(held), network)
    for disk in reading.mappings(status, "disks"):
        out.add("tandem_disk_free_bytes", reading.number(disk, "free"), reading.text(disk, "path"))
        out.add("tandem_disk_size_bytes", reading.number(disk, "size"), reading.text(disk, "path"))
    out.add("tandem_certificate_end_timestamp_seconds", reading.moment(status, "certificate_ends"))


def _database(out: Exposition, status: t.Any) -> None:
    role = reading.role_of(status)
    out.one_hot("tandem_role", role, ROLES)
    look = reading.text(status, "database", "look")
    if look in LOOKS:
        out.one_hot("tandem_database_look", look, LOOKS)
    writable = reading.truth(status, "database", "writable")
    out.add("tandem_database_writable", writable if writable is not None or role == "unknown" else role == "primary")
    out.add("tandem_replication_running", reading.truth(status, "database", "replication", "running"))
    out.add("tandem_replication_lag_seconds", reading.lag_of(status))
    out.add("tandem_semi_sync_active", reading.truth(status, "semi_sync", "active"))
    out.add("tandem_semi_sync_clients", reading.number(status, "semi_sync", "clients"))


def _peer(out: Exposition, status: t.Any) -> None:
    peer = reading.mapping(status, "peer")
    out.add("tandem_peer_alive", reading.truth(peer, "alive"))
    out.add("tandem_peer_age_seconds", reading.number(peer, "age"))
    out.add("tandem_peer_severity", reading.number(peer, "severity"))
    for reason, count in reading.mapping(peer, "rejected").items():
        out.add("tandem_peer_rejected_total", _count(count), reason)
    for name, network in reading.mapping(status, "networks").items():
        out.add("tandem_peer_heard", reading.truth(network, "peer_heard"), name)
        out.add("tandem_reference_missed", reading.number(network, "missed"), name)


def _count(value: t.Any) -> float | None:
    """A counter never is below 0."""
    found = reading.number(value)
    return found if found is not None and found >= 0 else None


def _agent(out: Exposition, status: t.Any, states: tuple[str, ...], now: float) -> None:
    agent = reading.mapping(status, "agent")
    if not agent:
        return
    out.one_hot("tandem_agent_state", reading.text(agent, "state"), states)
    out.add("tandem_agent_state_since_timestamp_seconds", reading.moment(agent, "since"))
    out.add("tandem_agent_epoch", reading.number(agent, "epoch"))
    out.add("tandem_primary_changes_total", _count(reading.dig(agent, "counters", "primary_changes")))
    policy = reading.text(agent, "policy", "failover")
    out.add("tandem_agent_automatic", policy == "automatic" if policy else None)
    until = reading.moment(agent, "paused_until")
    out.add("tandem_agent_paused", until is not None and until > now)
    out.add("tandem_agent_paused_until_timestamp_seconds", until if until is not None and until > now else None)
    if "operation" in agent:
        out.add("tandem_operation_running", bool(reading.mapping(agent, "operation")))
    for alarm in reading.texts(agent, "alarms"):
        out.add("tandem_alarm", 1, alarm, described(alarm)[0])
    expected = outlook(status, now)
    out.add("tandem_failover_ready", expected.ready)
    out.add("tandem_failover_blockers", len(expected.against))
    out.add("tandem_failovers_total", _count(reading.dig(agent, "counters", "failovers")))
    for rule, count in reading.mapping(agent, "counters", "transitions").items():
        out.add("tandem_transitions_total", _count(count), rule)
    out.add("tandem_last_failover_timestamp_seconds", reading.moment(agent, "last_failover"))
    lease = reading.mapping(agent, "lease")
    out.add("tandem_lease_configured", reading.truth(lease, "configured"))
    if reading.truth(lease, "configured"):
        node = reading.text(status, "node")
        out.add("tandem_lease_held", reading.text(lease, "holder") == node if "holder" in lease and node else None)
        out.add("tandem_lease_left_seconds", reading.number(lease, "left"))
        out.add("tandem_witness_reachable", reading.truth(lease, "reachable"))


def _atlas(out: Exposition, status: t.Any) -> None:
    atlas = reading.mapping(status, "atlas")
    if not atlas:
        return
    word = reading.text(atlas, "state") or "unknown"
    out.add("tandem_atlas_up", None if word == "unknown" else word == "up")
    out.one_hot("tandem_atlas_state", word if word in ATLAS_STATES else "unknown", ATLAS_STATES)
    out.add("tandem_atlas_admin_up", reading.truth(atlas, "admin"))
    for kind in ("reads", "writes"):
        out.add("tandem_atlas_passes", reading.truth(atlas, kind), kind)
    for backend in reading.mappings(atlas, "backends"):
        labels = (reading.text(backend, "address"), reading.text(backend, "type"))
        said = reading.text(backend, "state")
        if said in BACKEND_STATES:
            for choice in BACKEND_STATES:
                out.add("tandem_atlas_backend_state", choice == said, *labels, choice)
        out.add("tandem_atlas_backend_answers", reading.truth(backend, "answers"), *labels)
        out.add("tandem_atlas_backend_taken_offline", reading.truth(backend, "taken_offline"), *labels)
    out.add("tandem_atlas_accounts", _count(reading.dig(atlas, "accounts")))
    out.add("tandem_atlas_altered", reading.truth(atlas, "altered"))
    out.add("tandem_atlas_restarts_total", _count(reading.dig(atlas, "restarts")))


def _told(out: Exposition, status: t.Any) -> None:
    for name in ("sent", "failed"):
        for channel, count in reading.mapping(status, "notifications", name).items():
            out.add(f"tandem_notifications_{name}_total", _count(count), channel)
    for channel, count in reading.mapping(status, "notifications", "queued").items():
        out.add("tandem_notifications_queued", _count(count), channel)
    out.add("tandem_history_unsaved", _count(reading.dig(status, "history", "unsaved")))
