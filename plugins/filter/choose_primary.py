# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who of two databases is the primary, by what both said of themselves."""

from __future__ import annotations

DOCUMENTATION = r"""
name: choose_primary
author: The tandem.lemp developers (@tandem-lemp)
version_added: 0.1.0
short_description: Tell the primary of a pair from what both servers said
description:
  - The server that takes writes and holds data is the primary. Of two closed ones it is the one with all transactions.
    Of two new ones it is the first.
  - When nobody can tell, RV(_value) has no primary and says why, and what to do.
options:
  _input:
    description:
      - Two nodes in the order of their group, each with its C(name), its C(address) inside the pair, and as C(server)
        what M(tandem.lemp.database_info) returned as RV(tandem.lemp.database_info#module:server).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Ask who is the primary
  ansible.builtin.set_fact:
    decision: "{{ [node_a, node_b] | tandem.lemp.choose_primary }}"
  vars:
    node_a: {name: node-a, address: 192.0.2.11, server: "{{ hostvars['node-a'].database.server }}"}
    node_b: {name: node-b, address: 192.0.2.12, server: "{{ hostvars['node-b'].database.server }}"}
"""

RETURN = r"""
_value:
  description: C(primary) is a name or null, C(reason) says why, C(remedy) what to do when there is none.
  type: dict
"""

import dataclasses
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node, choose_primary
from ansible_collections.tandem.lemp.plugins.module_utils.state import ServerState


def decision(nodes: t.Any) -> dict[str, t.Any]:
    """What decide.choose_primary says of two nodes given as data."""
    if not isinstance(nodes, (list, tuple)) or len(nodes) != 2:
        raise AnsibleFilterError("choose_primary wants the two nodes of a pair.")
    try:
        first, second = (
            Node(str(node["name"]), str(node["address"]), ServerState.from_dict(node["server"])) for node in nodes
        )
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"choose_primary wants name, address and server of each node: {error}") from error
    return dataclasses.asdict(choose_primary((first, second)))


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"choose_primary": decision}
