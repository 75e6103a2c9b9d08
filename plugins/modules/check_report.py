#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: check_report
short_description: Print the checks of both nodes as one table
version_added: 0.1.0
description:
  - Makes one list of what M(tandem.lemp.replication_check) found on both nodes, the worst first, and prints it as a table
    with remedies, or as JSON.
  - Of itself a node knows most. Of both nodes the worst that either knows counts.
  - Runs on the controller. It connects to nothing.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
    details: Only O(output_file) is written, and it is written in check mode too, because it holds what was read.
  diff_mode:
    support: none
    details: Nothing of the pair is changed.
  idempotent:
    support: full
options:
  nodes:
    description: What M(tandem.lemp.replication_check) returned on each node, by the name of the node.
    type: dict
    required: true
  output:
    description: V(table) for a person, V(json) for a program.
    type: str
    choices: [table, json]
    default: table
  output_file:
    description: A file on the controller that gets the same text.
    type: path
notes:
  - This is an action. The module of the same name only holds its documentation.
"""

EXAMPLES = r"""
- name: Print what was checked
  tandem.lemp.check_report:
    nodes:
      node-a: "{{ hostvars['node-a'].check }}"
      node-b: "{{ hostvars['node-b'].check }}"
  run_once: true
"""

RETURN = r"""
state:
  description: The worst of all rows, V(fail), V(warn), V(unknown) or V(pass).
  returned: success
  type: str
  sample: pass
rows:
  description: One list for both nodes, as RV(tandem.lemp.replication_check#module:rows).
  returned: success
  type: list
  elements: dict
counts:
  description: How many rows there are of each state.
  returned: success
  type: dict
  sample: {pass: 61, warn: 0, fail: 0, unknown: 0}
silent:
  description: Nodes that could not be asked, each with the reason.
  returned: success
  type: dict
"""
