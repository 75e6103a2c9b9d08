# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""May something be broken on purpose? From what the daemon of one node says of both. Pure."""

from __future__ import annotations

import typing as t

Status = t.Mapping[str, t.Any]
_WHOLE = ("primary", "replica")


def broken(seen: Status) -> list[str]:
    """What is not as it should be in a whole pair whose agents decide by themselves."""
    agent, peer = seen.get("agent") or {}, seen.get("peer") or {}
    theirs, now = peer.get("agent") or {}, seen.get("time") or 0.0
    states = sorted([agent.get("state") or "no agent", theirs.get("state") or "silent"])
    rows = [
        (states == list(_WHOLE), f"the agents are {agent.get('state') or 'absent'} here, {theirs.get('state') or 'silent'} on the other node"),
        ((agent.get("policy") or {}).get("failover") == "automatic", "the policy is not failover: automatic"),
        (not agent.get("alarms"), f"alarms: {', '.join(agent.get('alarms') or [])}"),
        (not agent.get("operation"), "an operation runs"),
        (max(agent.get("paused_until") or 0.0, theirs.get("paused_until") or 0.0) <= now, "it is paused"),
        (seen.get("severity") == 0, f"this node is not whole: {seen.get('reason')}"),
        (bool(peer.get("alive")) and peer.get("severity") == 0, f"the other node is not whole: {', '.join(peer.get('down') or []) or 'silent'}"),
        (agent.get("state") != "primary" or theirs.get("in_step") is True, "the replica is not in step"),
    ]
    return [what for fine, what in rows if not fine]


def missing(seen: Status) -> list[str]:
    """The same, and what would keep the next failover from being automatic."""
    cooling = (seen.get("agent") or {}).get("cooldown_until")
    return broken(seen) + (["the last failover is not acknowledged yet (tandem ack)"] if cooling else [])
