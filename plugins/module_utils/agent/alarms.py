# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent's alarms mean to a person. An alarm is a name that is there as long as it is so."""

from __future__ import annotations

import typing as t

# Worst first.
ALARMS: t.Mapping[str, tuple[str, str]] = {
    "both_open": ("critical", "both databases take writes"),
    "nobody_is_primary": ("critical", "no database takes writes"),
    "opened_by_somebody_else": ("critical", "somebody else opened the database for writes"),
    "diverged": ("critical", "the database has transactions that the primary does not have"),
    "memory_not_kept": ("critical", "the agent's memory cannot be written: the node closes, if it must, and decides nothing else"),
    "policies_differ": ("critical", "the nodes' agents have different witnesses or times: neither follows a silent primary"),
    "hands_silent": ("critical", "the hand of this node does not answer, or is of another version: the node takes nothing over"),
    "isolated": ("critical", "the node is cut off and has closed its database"),
    "manual_failover_needed": ("critical", "the primary is gone and the policy is failover: manual"),
    "data_comparison_failed": ("critical", "the nodes cannot tell whose data is newer"),
    "both_masters": ("critical", "keepalived holds the service addresses on both nodes: do VRRP's packets (protocol 112) pass between them?"),
    "address_elsewhere": ("critical", "the service address is sent elsewhere"),
    "atlas_dead": ("critical", "Atlas takes no connections"),
    "atlas_frozen": ("critical", "Atlas takes connections and answers nobody"),
    "atlas_refuses": ("critical", "Atlas refuses the application's account"),
    "atlas_no_writes": ("critical", "Atlas passes no writes on"),
    "database_stalled": ("warning", "the database is stalled: slow is not dead"),
    "alone": ("warning", "the primary goes on without a replica: commits wait for nobody"),
    "writes_wait_for_the_replica": ("warning", "commits wait for a replica that is away"),
    "replica_not_in_step": ("warning", "the replica is not in step with the primary: it cannot take over"),
    "peer_agent_silent": ("warning", "the peer's machine answers, its agent does not"),
    "atlas_reader_away": ("warning", "Atlas reads from the primary: its reader is not up"),
    "atlas_altered": ("warning", "the backends or accounts of Atlas are not those that were configured"),
    "atlas_admin_silent": ("warning", "the admin port of Atlas does not answer: no fence could take it offline"),
    "witness_not_reachable": ("warning", "the witness does not answer"),
}


def described(name: str) -> tuple[str, str]:
    """Severity and words. An unheard-of alarm is a warning with its name for words."""
    return ALARMS.get(name, ("warning", name.replace("_", " ")))
