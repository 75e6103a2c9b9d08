#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: options
short_description: Refuse options of a runbook that make no sense
version_added: 0.1.0
description:
  - Looks at the variables given by C(-e) before a runbook touches anything. One that resembles an option without being one, a node
    that is none of the pair, a number that is none, a word that is not known, what is no NAME=VALUE, and a report that could not be written are refused.
  - Refuses C(--limit) where a runbook needs both nodes.
  - Knows the runbooks of this collection by the name of the playbook that is run.
  - Runs on the controller, once, and connects to nothing.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  group:
    description: The group of the pair.
    type: str
    default: tandem
notes:
  - This is an action. The module of the same name only holds its documentation.
"""

EXAMPLES = r"""
- name: See that the options make sense
  tandem.lemp.options:
"""

RETURN = r"""
{}
"""
