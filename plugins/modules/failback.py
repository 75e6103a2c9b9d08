#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: failback
short_description: Bring the role of the primary and the addresses home, while everybody works
version_added: 0.1.0
description:
  - What M(tandem.lemp.switchover) does, with the bounds of somebody who is in no hurry. It is refused unless both nodes are equal but for what is
    being written at the moment. The addresses come along.
  - Runs on the present primary. The node named in O(to) must be its replica already (M(tandem.lemp.rejoin)). The playbook C(failback.yml) sees to
    that, waits for it, and makes the files equal first.
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
    details: Nothing is done when role and addresses are at the node named in O(to) already.
options:
  to:
    description: Name of the node that is home, as the inventory has it.
    type: str
    required: true
  move_vips:
    description: Bring the addresses home as well, also where the role is there already.
    type: bool
    default: true
  max_lag:
    description: Seconds that the replica may be behind.
    type: float
    default: 2
  max_transactions_behind:
    description: Transactions that it may be behind.
    type: int
    default: 1000
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: See the plan and the gates
  tandem.lemp.failback:
    to: node-a
  check_mode: true

- name: Bring everything home
  tandem.lemp.failback:
    to: node-a
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
            "to": {"type": "str", "required": True},
            "move_vips": {"type": "bool", "default": True},
            "max_lag": {"type": "float", "default": 2},
            "max_transactions_behind": {"type": "int", "default": 1000},
            **SWITCH_OPTIONS,
        },
        supports_check_mode=True,
    )
    carry_out(module)


if __name__ == "__main__":
    main()
