#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: switchover
short_description: Move the role of the primary to the other node while everybody works
version_added: 0.1.0
description:
  - Runs on the present primary. Everything that clients feel happens in one process on this node.
  - Checks every gate; holds new connections at the proxies of both nodes; lets those in flight end; closes this server and
    proves that an application cannot write; lets the other one apply the rest; opens it; sends everybody there; turns
    replication round; proves that what is written there arrives here.
  - Until the other server is opened everything can be taken back, and is, when a step fails or O(max_pause) is over.
    Then this server is proven to take writes again.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.switching
attributes:
  check_mode:
    support: full
    details: Returns the plan and every gate's answer.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Nothing is done when the node named in O(to) is the primary already, but for its addresses with O(move_vips).
options:
  to:
    description: Name of the node that shall be the primary. By default the one that is not.
    type: str
  move_vips:
    description:
      - Move the addresses to the new primary's node as well.
      - Where the node named in O(to) is the primary already, only they move, unless they are there.
    type: bool
    default: false
  max_lag:
    description: Seconds that the replica may be behind.
    type: float
    default: 10
  max_transactions_behind:
    description: Transactions that it may be behind.
    type: int
    default: 10000
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: See the plan and the gates
  tandem.lemp.switchover:
  check_mode: true

- name: Switch over
  tandem.lemp.switchover:
    to: node-b
    max_pause: 3
"""

RETURN = r"""
report:
  description: The operation, its gates, its steps with times in milliseconds, the pause, and what happened to connections.
  returned: success
  type: dict
story:
  description: The same for a person, line by line.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.operations.switching import SWITCH_OPTIONS, carry_out


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "to": {"type": "str"},
            "move_vips": {"type": "bool", "default": False},
            "max_lag": {"type": "float", "default": 10},
            "max_transactions_behind": {"type": "int", "default": 10000},
            **SWITCH_OPTIONS,
        },
        supports_check_mode=True,
    )
    carry_out(module)


if __name__ == "__main__":
    main()
