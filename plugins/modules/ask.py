#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ask
short_description: Show a plan and ask whether to go on
version_added: 0.1.0
description:
  - Prints lines, then asks a question that is answered by C(yes) or C(no). Anything but C(yes) fails the task.
  - Where nobody can answer it fails at once, and says how to confirm beforehand.
  - In check mode nobody is asked. Runs on the controller and connects to nothing.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
    details: Prints, and does not ask.
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
  question:
    description: What to ask.
    type: str
    required: true
  confirm:
    description: V(yes) answers beforehand.
    type: str
    default: ""
notes:
  - This is an action. The module of the same name only holds its documentation.
"""

EXAMPLES = r"""
- name: Show the plan and ask
  tandem.lemp.ask:
    lines: "{{ plan.story }}"
    question: Switch over?
    confirm: "{{ confirm | default('') }}"
"""

RETURN = r"""
{}
"""
