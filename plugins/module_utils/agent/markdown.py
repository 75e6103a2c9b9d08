# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of the states, made of the table. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .atlas import ALARMS_OF, Signs, Times
from .atlas import TABLE as ATLAS
from .facts import Facts
from .model import State
from .policy import Policy
from .table import Effect, rows

_SETTINGS = {
    "alone_on_evidence": "Without a witness, where the peer is silent, does not answer, and the own gateway does: the primary goes on alone. "
    "`false`: its commits wait until a person has said that the peer is dead.",
    "boot_alone": "Seconds after which a node that has started and never heard the other one opens.",
    "replace_unacknowledged": "A former primary whose extra transactions nobody was told of: they are saved, and its data replaced by a copy. "
    "`false`: a person does that ([rejoin](runbooks/rejoin.md)).",
    "stall_failover": "A database that has stalled for `stall_patience` is killed, and the other node takes over.",
}

_HEAD = """# The agent: states and rules

Made by `python3 docs/write_states.py` from the table that the agent itself uses. Do not edit.

In each state the first rule whose condition holds decides. Where none holds, the state stays.

## What is never given up

* **Two databases are never open at the same time**, with the exceptions below.
* **A write that was acknowledged is not lost.** It is acknowledged when the replica has stored it, or when the other node
  is known not to open ("alone").

Four things carry that:

1. **The term** (epoch, writer, alone or not) is on both disks and, where there is one, at the witness. The highest is true.
   Where it says "alone", nobody but its writer opens by itself. A term under which nothing was acknowledged yet is only
   proposed; a proposal never outranks a term of the same epoch that was acted on. Agents that are switched on (again) have no
   term: an open database was opened by a person, and stays open. What the witness keeps from before counts for them only where the
   database is closed and the other machine is dead.
2. **The promise.** A closed node promises with every heartbeat: after your beat of that time I do not open before
   `promote_after`, unless you ask me to. The writer counts from when it *sent* that beat, by its own clock that also runs
   while the machine sleeps. It closes itself while the promise still holds. So delay, loss, one-way cuts and sleep make it
   close earlier, never later. The promise holds over a restart of the daemon: a new one waits for that long before it
   opens, so where its first words echo nothing yet, the last echo of the former one counts on.
3. **Ceding.** A node that says "go on without me" writes that to its disk first, and cannot take it back. Only a later
   term of the writer, in which the replica acknowledges again, ends it.
4. **Evidence** where there is neither lease nor promise: the peer is silent on both networks and its machine has not answered
   anything for a second (TCP to the health port and the database's, pings on each network), the own gateway does answer and did
   all the time, and the gateway sends the service address to nobody else.
   An answer of the gateway counts from when its question was *sent*, however late it is read, and for `self_fence_after`
   less one tick: the peer, if it lives, has heard the beat that left together with that question. So a busy gateway and a
   busy machine do not cut a node off, and a node that is cut off still closes in time.

## Settings

Set in the inventory as `tandem_agent_policy`, a mapping, and taken by the next `site.yml`:

```yaml
tandem_agent_policy:
  stall_failover: true
```

The times below may be set there as well, but for `tick`. Preflight refuses an unknown name, and times that contradict each other.

| setting | default | |
| --- | --- | --- |
{settings}

## What remains unsafe

* **Without a witness, both networks cut between the nodes, while each still reaches the gateway.** The replica promotes
  itself. The old primary closes as soon as it sees that the gateway delivers the service address to the other node: that is
  before the replica decides, as keepalived moves the address within 0.4 s. Where that cannot be seen (no service address,
  two gateways, keepalived stopped) both stay open. With `alone_on_evidence: false` the old one then acknowledges nothing, so
  nothing is lost; the price is that writes also wait when the replica's node really dies, until a person says so.
  With `alone_on_evidence: true` both acknowledge, and one side's writes are lost. A witness ends this.
* **A node that stood still** (SIGSTOP, a paused virtual machine) can be open from its thaw to its first step and the time that
  closing takes, {budget:.2f} s at most. Its commits wait for a replica that no longer follows, so nothing of that is acknowledged.
* **The agent alone is dead or stopped, and in the same time its node is cut off**: nobody closes that database. The other
  node promotes itself. Nothing is lost, as above, unless the stopped one was alone: then the other one does not open.
  systemd ends an agent that hangs (`WatchdogSec`) and starts it again at once; the new one closes a database that it may not
  leave open. Where it cannot be started, a person has to close it: the alarm is `peer_agent_silent` as long as the node answers.
* **What a person says** (`failover` although the peer lives, `boot_alone`) is believed.
* **A replica that loses its power together with the primary** may have lost the end of its relay log. It is not promotable before
  it has heard the primary again. A person who opens it should know that.

## Where it rather waits

* The agent of a living machine is silent: no failover, an alarm. Its database may be open.
* A database is slow: no failover, an alarm after `stall_patience`; a failover only with `stall_failover`.
* The witness is not reachable, and the replica dies: the primary closes when its lease ends, unless the replica has ceded.
* Agents are switched on, and the witness is not reachable: they decide nothing before it has answered once.
* A node boots alone: it waits for the other one, the lease (as the last writer), or a person. What was alone before may open.
* Each node has transactions that the other one lacks, and no term says who is right: nobody opens.
"""


def as_markdown() -> str:
    """The whole document."""
    policy = Policy("a", "b")
    parts = [_HEAD.format(budget=policy.close_budget, settings=_settings(policy)), _times(policy), "## States\n"]
    for state in State:
        parts.append(f"### {state.value}\n\n| | when | then | does | because |\n| --- | --- | --- | --- | --- |")
        for number, row in enumerate(rows(state), 1):
            then = "" if row.next is state else row.next.value
            does = "; ".join([action.value for action in row.actions] + [_effect(effect) for effect in row.effects])
            parts.append(f"| {number} | {row.condition.replace('_', ' ')} | {then} | {does} | {row.reason} |")
        parts.append("")
    parts.append(_conditions())
    parts.append(_atlas())
    return "\n".join(parts).rstrip() + "\n"


def _effect(effect: Effect) -> str:
    return f"*{effect.value}*"


def _settings(policy: Policy) -> str:
    shown = {True: "`true`", False: "`false`", None: "never"}
    return "\n".join(f"| `{name}` | {shown[getattr(policy, name)]} | {text} |" for name, text in _SETTINGS.items())


def _times(policy: Policy) -> str:
    text = (Policy.__doc__ or "").split("How the times hang together.")[1]
    lines = "\n".join(line[4:] if line.startswith("    ") else line for line in text.strip().splitlines())
    rows_of_times = [
        f"| `{field.name}` | {getattr(policy, field.name):g} |"
        for field in dataclasses.fields(policy)
        if isinstance(getattr(policy, field.name), float)
    ]
    return "\n".join(["## Times\n", lines, "", "| time | seconds |", "| --- | --- |", *rows_of_times, ""])


def _atlas() -> str:
    """The tables of agent/atlas.py."""
    times = Times()
    lines = [
        "\n## Atlas\n",
        f"With `tandem_sql_proxy: atlas`. The health daemon asks this node's Atlas, and what is behind it, every {times.every:g} s, in a thread of",
        "its own. The first rule that has held for so long decides. Nothing is done while an operation works on this node or the agent is",
        f"paused, nor in the first {times.settle:g} s for one that has never been seen to work. The writer is never taken offline: HAProxy behind",
        "Atlas holds who would write, and an offline writer is what a fence leaves.",
        "",
        "| when | for | does | because |",
        "| --- | --- | --- | --- |",
        *(f"| {row.condition.replace('_', ' ')} | {getattr(times, row.after):g} s | {row.act.value} | {row.reason} |" for row in ATLAS),
        "",
        f"It is ended at most once in {times.restart_every:g} s. An alarm comes after {times.alarm_after:g} s:",
        "",
        "| alarm | when |",
        "| --- | --- |",
        *(f"| `{alarm}` | {' '.join((getattr(Signs, name).__doc__ or '').split())} |" for name, alarm in ALARMS_OF.items()),
        "",
        *(f"* **{row.condition.replace('_', ' ')}**: {' '.join((getattr(Signs, row.condition).__doc__ or '').split())}" for row in ATLAS),
    ]
    return "\n".join(lines)


def _conditions() -> str:
    """Conditions whose name does not say everything."""
    lines = ["## Conditions\n"]
    names: t.Iterable[str] = sorted({row.condition for state in State for row in rows(state)})
    for name in names:
        doc = getattr(Facts, name).__doc__
        if doc:
            lines.append(f"* **{name.replace('_', ' ')}**: {' '.join(doc.split())}")
    return "\n".join(lines)
