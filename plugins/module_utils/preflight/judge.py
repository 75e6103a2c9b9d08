# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All faults of an inventory and its machines, in the order in which a person would mend them: hosts.yml, the group, the secrets, the machines."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from . import addresses, agent_policy, atlas, fixed, machines, names, secrets, sites, together, values, witness
from .fault import Fault, Nodes, listing


def inventory_faults(
    nodes: Nodes,
    unreadable: values.Unreadable | None = None,
    seen: machines.Machines | None = None,
    unreachable: dict[str, str] | None = None,
    hosts: dict[str, str] | None = None,
    resolve: names.Resolve = lambda _name: [],
    group: str = "tandem",
    witnesses: dict[str, str] | None = None,
    is_file: Callable[[str], bool] = lambda _path: True,
) -> list[Fault]:
    """Judge the inventory as a whole, and the machines as far as they could be asked.

    is_file: whether there is one on the controller. hosts, witnesses: where Ansible connects to, by name: the nodes, and the hosts of group tandem_witness.
    """
    found: list[Fault] = []
    everything = (
        _pair(nodes, group),
        names.check(nodes, hosts or {}, resolve),
        values.check(nodes, unreadable or {}),
        fixed.check(nodes),
        addresses.check(nodes),
        sites.check(nodes),
        together.check(nodes),
        agent_policy.check(nodes),
        secrets.check(nodes),
        atlas.check(nodes, is_file),
        witness.check(nodes, hosts or {}, witnesses or {}, resolve),
        _unreachable(unreachable or {}),
        machines.check(nodes, seen or {}),
    )
    for fault in itertools.chain.from_iterable(everything):
        if fault not in found:
            found.append(fault)
    return found


def _unreachable(unreachable: dict[str, str]) -> Iterator[Fault]:
    for node, reason in unreachable.items():
        yield Fault(node, f"it cannot be asked: {reason}.", "Correct ansible_host, ansible_user or the machine's ssh.")


def _pair(nodes: dict[str, dict[str, Any]], group: str) -> Iterator[Fault]:
    if len(nodes) != 2:
        names = f": {listing(nodes)}" if nodes else ""
        yield Fault(
            f"group {group}",
            f"it has {len(nodes)} {'host' if len(nodes) == 1 else 'hosts'}{names}.",
            "A pair is exactly two.",
        )
