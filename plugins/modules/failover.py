#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: failover
short_description: Make this node the primary when the old one is dead, stopped or beyond reach
version_added: 0.1.0
description:
  - Runs on the survivor. Looks at the old primary by several independent paths and returns what each of them said.
  - Fences what can still be fenced and proves it; applies everything that was received; fetches what only the old primary has,
    out of its binary log, while its host lives; opens this server; sends connections and addresses here; proves that an
    application can write.
  - Until this server is opened everything can be taken back, and is, when a step fails.
  - If this process, the controller or a node dies half-way, each node finishes alone (see role C(operations)).
  - The old primary starts closed whenever it comes back. It is rejoined by another runbook.
  - Needs what role C(operations) installs on both nodes.
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
    details: Returns the evidence, every gate's answer and the plan.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Nothing is done when this server takes writes already and the other one does not.
options:
  peer_is:
    description:
      - V(dead) says that somebody has made sure that the old primary is powered off, and stays so.
      - Needed when its hand does not answer, as silence is no proof. Refused while anything of it still answers.
    type: str
    choices: [unknown, dead]
    default: unknown
  force_fence:
    description: Close an old primary that still takes writes, or stop one that hangs, instead of refusing.
    type: bool
    default: false
  give_up_rescue:
    description: Go on without what only the old primary has. It is reported as lost.
    type: bool
    default: false
  deadline:
    description:
      - Seconds from the beginning until this server may open, all waits included. Then everything is taken back.
      - By default only the single waits are bounded.
    type: float
  move_vips:
    description: Take the addresses to this node as well, if they are not here already.
    type: bool
    default: true
  peer_outside_address:
    description: Outside address of the old primary, to knock there too.
    type: str
    default: ""
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: See the evidence, the gates and the plan
  tandem.lemp.failover:
    peer_outside_address: 203.0.113.11
  check_mode: true

- name: Fail over from a node that was powered off
  tandem.lemp.failover:
    peer_is: dead
    peer_outside_address: 203.0.113.11
"""

RETURN = r"""
report:
  description:
    - The operation, the evidence, the gates, the steps with times in milliseconds, and what may be lost.
    - Its C(lost) is C(none), C(unknown) when the old primary could not be asked, or the transactions that are not here.
  returned: always
  type: dict
story:
  description: The same for a person, line by line.
  returned: always
  type: list
  elements: str
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import HandConfig
from ansible_collections.tandem.lemp.plugins.module_utils.operations.failover import (
    Failover,
    Report,
    Wish,
    hands,
    story,
)
from ansible_collections.tandem.lemp.plugins.module_utils.operations.running import offline_writers


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "peer_is": {"type": "str", "choices": ["unknown", "dead"], "default": "unknown"},
            "force_fence": {"type": "bool", "default": False},
            "give_up_rescue": {"type": "bool", "default": False},
            "move_vips": {"type": "bool", "default": True},
            "deadline": {"type": "float"},
            "peer_outside_address": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    wish = Wish(
        peer_is_dead=module.params["peer_is"] == "dead",
        force_fence=module.params["force_fence"],
        give_up_rescue=module.params["give_up_rescue"],
        move_vips=module.params["move_vips"],
        deadline=module.params["deadline"],
        outside=module.params["peer_outside_address"],
    )
    report = Report(result="refused")
    try:
        bounds.require(module.params, deadline=(1, bounds.LONG))
        config = HandConfig.load()
        report.old, report.new = config.peer.name, config.node.name
        with hands(config) as (here, there, why):
            operation = Failover(here, there, config.peer.name, wish, why)
            report = operation.report
            if module.check_mode:
                operation.rehearse()
            else:
                operation.run()
        report.warnings += offline_writers(config, report.new)
    except TandemError as error:
        module.fail_json(
            # The whole report would bury what a tired person has to read.
            msg=str(error), changed=report.result in ("half done", "undone"), story=story(asdict(report))
        )
    changed = report.result != "nothing to do"
    before = {"primary": None if changed else report.new}
    module.exit_json(
        changed=changed, report=asdict(report), story=story(asdict(report)), diff={"before": before, "after": {"primary": report.new}}
    )


if __name__ == "__main__":
    main()
