# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of everything that was written during a drill."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drill_verdict
author: The tandem.lemp developers (@tandem-lemp)
version_added: 0.1.0
short_description: Judge a drill by what both nodes saw
description:
  - Every write that was acknowledged has to be in both databases, and never may both have taken writes.
options:
  _input:
    description:
      - By node, C(seen) and C(struck) of M(tandem.lemp.drill) while it watched, C(present) and C(role) when it counted.
    type: dict
    required: true
  fault:
    description: What was broken.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Judge the drill
  ansible.builtin.debug:
    msg: "{{ drill_of_both | tandem.lemp.drill_verdict(fault='kill_database') }}"
"""

RETURN = r"""
_value:
  description: C(lines) for a person, C(faultless), and C(verdict) with the figures.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.tandem.lemp.plugins.module_utils.drill import story


def drill_verdict(nodes: t.Any, fault: str) -> dict[str, t.Any]:
    """What story.judge says of both."""
    try:
        verdict = story.judge(nodes)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise AnsibleFilterError(f"drill_verdict wants seen, struck, present and role of both nodes: {error!r}") from error
    return {"lines": story.tell(fault, verdict), "faultless": story.faultless(verdict), "verdict": verdict}


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"drill_verdict": drill_verdict}
