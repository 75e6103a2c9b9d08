#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Break something on a node on purpose, and watch what becomes of what is written
version_added: 0.1.0
description:
  - Runs on both nodes at once. Each tries a write on its own database 50 times a second, as an application would, and asks for a page as often.
    One of the two is the victim, and breaks its part after some seconds.
  - Run again with O(phase=count) when the pair is whole again, which says which rows are there, then with O(phase=clean).
  - Needs what role C(operations) installs. Playbook C(drill.yml) has the gates, the question and the result.
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is broken and nothing is written. Says what would be broken.
  diff_mode:
    support: none
    details: What it does is undone by the pair.
  idempotent:
    support: none
    details: It breaks something each time.
options:
  phase:
    description:
      - V(watch) writes, looks and breaks. V(count) says which rows are in this database.
      - V(clean) removes them where the database takes writes. The replica follows.
    type: str
    choices: [watch, count, clean]
    default: watch
  fault:
    description:
      - What is broken. V(stop_database) lets the server stand still for O(hold) seconds, the others kill processes.
    type: str
    choices: [kill_database, kill_nginx, kill_php_fpm, kill_keepalived, kill_agent, stop_database]
    required: true
  victim:
    description: Whether it is broken on this node.
    type: bool
    default: false
  run:
    description: Keeps the rows of drills apart. Lower-case letters and digits.
    type: str
    required: true
  page:
    description: What to ask for. Nothing is asked for when it is empty.
    type: str
    default: ""
  seconds:
    description: How long to watch.
    type: float
    default: 20
  moment:
    description: Seconds until the fault.
    type: float
    default: 3
  hold:
    description: Seconds for which V(stop_database) lasts.
    type: float
    default: 3
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Kill the database of node-a, and watch from both nodes
  tandem.lemp.drill:
    fault: kill_database
    victim: "{{ inventory_hostname == 'node-a' }}"
    run: d1
"""

RETURN = r"""
struck:
  description: The processes that got the signal, or would get it.
  returned: O(phase=watch)
  type: list
  elements: int
seen:
  description: What was acknowledged and when, when this database surely took writes, and when pages came. Times in seconds.
  returned: O(phase=watch), not in check mode
  type: dict
present:
  description: The rows of this drill that are in this database.
  returned: O(phase=count), O(phase=clean)
  type: list
  elements: str
role:
  description: V(primary) if this database takes writes now.
  returned: O(phase=count), O(phase=clean)
  type: str
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.drill import fault, watching
from ansible_collections.tandem.lemp.plugins.module_utils.drill.rows import check_name, rows
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused, TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import HandConfig


def watch(params: dict[str, t.Any], config: HandConfig, dry_run: bool) -> dict[str, t.Any]:
    """Both nodes; the victim breaks its part."""
    found = fault.processes(fault.FAULTS[params["fault"]][0]) if params["victim"] else []
    if params["victim"] and not found:
        fault.strike(params["fault"], [])
    if dry_run:
        return {"struck": found}
    struck: list[int] = []

    def strike() -> None:
        # Asked for anew: what ran three seconds ago may have been replaced.
        struck.extend(fault.strike(params["fault"], fault.processes(fault.FAULTS[params["fault"]][0]), hold=params["hold"]))

    plan = watching.Plan(
        seconds=params["seconds"],
        moment=params["moment"],
        hold=params["hold"] if params["fault"] == "stop_database" else 0.0,
        act=strike if params["victim"] else None,
        undo=(lambda: fault.release(struck)) if params["fault"] == "stop_database" else (lambda: None),
    )
    seen = watching.watch(config.canary(), params["run"], config.node.name, params["page"], plan)
    return {"struck": struck, "seen": dataclasses.asdict(seen)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "phase": {"type": "str", "choices": ["watch", "count", "clean"], "default": "watch"},
            "fault": {"type": "str", "choices": list(fault.FAULTS), "required": True},
            "victim": {"type": "bool", "default": False},
            "run": {"type": "str", "required": True},
            "page": {"type": "str", "default": ""},
            "seconds": {"type": "float", "default": 20},
            "moment": {"type": "float", "default": 3},
            "hold": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    params: dict[str, t.Any] = module.params
    try:
        check_name(params["run"])
        if not 0 < params["moment"] + params["hold"] < params["seconds"] <= 300:
            raise Refused("The moment and the hold of a drill are within its seconds, which are 300 at most.", "Nothing was broken.")
        config = HandConfig.load()
        if params["phase"] == "watch":
            result = watch(params, config, module.check_mode)
        else:
            result = rows(config.root(), params["run"], params["phase"] == "clean" and not module.check_mode)
    except TandemError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(result.get("struck")), **result)


if __name__ == "__main__":
    main()
