#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tell
short_description: Print lines, and keep what they say as JSON
version_added: 0.1.0
description:
  - Prints lines as they are, without the frame of a debug task. Runs on the controller and connects to nothing.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
    details: O(file) is written in check mode too, because it holds what was read.
  diff_mode:
    support: none
    details: Nothing of the pair is changed.
  idempotent:
    support: full
options:
  lines:
    description: What to print.
    type: list
    elements: str
    required: true
  data:
    description: What to write to O(file).
    type: dict
    default: {}
  file:
    description: A file on the controller that gets O(data) as JSON.
    type: path
notes:
  - This is an action. The module of the same name only holds its documentation.
"""

EXAMPLES = r"""
- name: Tell what was done
  tandem.lemp.tell:
    lines: "{{ switchover_done.story }}"
    data: "{{ switchover_done.report }}"
    file: report.json
"""

RETURN = r"""
{}
"""
