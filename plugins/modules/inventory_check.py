#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_check
short_description: Judge the inventory of a pair and its two machines, all faults in one go
version_added: 0.1.0
description:
  - Looks at every C(tandem_) variable of every host of a group, and at what M(tandem.lemp.preflight_info) found on the machines.
  - Prints and returns the faults. Each says where it is, what is wrong, and what to do. Stopping is the part of the playbook.
  - Runs on the controller. It connects to nothing and changes nothing.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
options:
  group:
    description: Inventory group that holds the two nodes.
    type: str
    default: tandem
  observed:
    description: Name of the variable in which each node's result of M(tandem.lemp.preflight_info) is registered.
    type: str
    default: preflight_observed
notes:
  - This is an action. The module of the same name only holds its documentation.
"""

EXAMPLES = r"""
- name: Judge the inventory and both machines
  tandem.lemp.inventory_check:
    group: tandem
  register: judged
  run_once: true

- name: Stop when anything is wrong
  ansible.builtin.assert:
    that: judged.faults | length == 0
"""

RETURN = r"""
faults:
  description: Every fault, in the order in which one would mend them.
  returned: always
  type: list
  elements: str
  sample: ["both nodes: tandem_outside_vip 192.0.2.255 is the broadcast address of 192.0.2.0/24. Choose a host address."]
advice:
  description: What is worth knowing and no reason to stop.
  returned: always
  type: list
  elements: str
  sample: []
"""
