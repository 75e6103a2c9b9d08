#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Print the state of the pair as one table and a verdict
version_added: 0.1.0
description:
  - Draws what M(tandem.lemp.node_info) found on both nodes, with a verdict in words, or prints it as JSON.
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
    description:
      - What was found on each node, by its name, as M(tandem.lemp.node_info) returned it under RV(tandem.lemp.node_info#module:node).
      - A node that could not be asked has a C(reason) instead of C(node).
    type: dict
    required: true
  vips:
    description: The addresses that move, by the name of their network.
    type: dict
    required: true
  names:
    description: The node that belongs to each address, so that the table can name it.
    type: dict
    default: {}
  services:
    description: Services that have to run on each node.
    type: list
    elements: str
    default: [nginx, php-fpm, database, haproxy, keepalived, tandem-health]
  files_interval:
    description: Seconds between two runs of a file job. One that has not run for far longer is reported.
    type: int
    default: 15
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
- name: Print the state of the pair
  tandem.lemp.report:
    nodes:
      node-a: "{{ hostvars['node-a'].node_observed }}"
      node-b: "{{ hostvars['node-b'].node_observed }}"
    vips:
      outside: 192.0.2.100
      inside: 198.51.100.100
  run_once: true
"""

RETURN = r"""
state:
  description: How the pair is. V(degraded) means that visitors are served, and that the next fault may be one too many.
  returned: success
  type: str
  sample: healthy
pair:
  description: Who serves, who takes writes, and every problem.
  returned: success
  type: dict
  sample: {state: healthy, active: node-a, primary: node-a, problems: []}
nodes:
  description: What was found on each node.
  returned: success
  type: dict
"""
