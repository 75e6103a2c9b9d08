#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: switchover
short_description: Move the role of the primary to the other node while everybody works
version_added: 0.1.0
description:
  - Runs on the present primary. Everything that clients feel happens in one process on this node.
  - Checks every gate; holds new connections at the proxies of both nodes; lets those in flight end; closes this server and
    proves that an application cannot write; lets the other one apply the rest; opens it; sends everybody there; turns
    replication round; proves that what is written there arrives here.
  - Until the other server is opened everything can be taken back, and is, when a step fails or O(max_pause) is over.
    Then this server is proven to take writes again.
  - If this process, the controller or a node dies half-way, each node finishes alone (see role C(operations)).
  - Needs what role C(operations) installs on both nodes.
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
    details: Returns the plan and every gate's answer.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Nothing is done when the node named in O(to) is the primary already, but for its addresses with O(move_vips).
options:
  to:
    description: Name of the node that shall be the primary. By default the one that is not.
    type: str
  drain:
    description: Seconds that connections in flight may take to end by themselves, before they are ended.
    type: float
    default: 2
  max_pause:
    description: Seconds from the moment when new connections are held until the other server may open. Then everything is taken back. At most 8.
    type: float
    default: 5
  deadline:
    description:
      - Seconds from the beginning until the other server may open, all waits included. Then everything is taken back.
      - By default only the single waits are bounded.
    type: float
  move_vips:
    description:
      - Move the addresses to the new primary's node as well.
      - Where the node named in O(to) is the primary already, only they move, unless they are there.
    type: bool
    default: false
  max_lag:
    description: Seconds that the replica may be behind.
    type: float
    default: 10
  max_transactions_behind:
    description: Transactions that it may be behind.
    type: int
    default: 10000
  max_transaction_seconds:
    description: Age of an open transaction that stops a switchover.
    type: float
    default: 5
  require_semi_sync:
    description: Refuse when commits do not wait for the replica at the moment.
    type: bool
    default: false
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: See the plan and the gates
  tandem.lemp.switchover:
  check_mode: true

- name: Switch over
  tandem.lemp.switchover:
    to: node-b
    max_pause: 3
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

import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused, TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.gates import Limits
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import HandConfig
from ansible_collections.tandem.lemp.plugins.module_utils.operations.addresses import operation_for
from ansible_collections.tandem.lemp.plugins.module_utils.operations.running import hands, offline_writers, story
from ansible_collections.tandem.lemp.plugins.module_utils.operations.switchover import Report, Wish


def wish_of(params: dict[str, t.Any]) -> Wish:
    """What the operator wants."""
    return Wish(
        drain=params["drain"],
        max_pause=params["max_pause"],
        deadline=params["deadline"],
        move_vips=params["move_vips"],
        limits=Limits(
            max_lag=params["max_lag"],
            max_transactions_behind=params["max_transactions_behind"],
            max_transaction_seconds=params["max_transaction_seconds"],
            require_semi_sync=params["require_semi_sync"],
        ),
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "to": {"type": "str"},
            "drain": {"type": "float", "default": 2},
            "max_pause": {"type": "float", "default": 5},
            "deadline": {"type": "float"},
            "move_vips": {"type": "bool", "default": False},
            "max_lag": {"type": "float", "default": 10},
            "max_transactions_behind": {"type": "int", "default": 10000},
            "max_transaction_seconds": {"type": "float", "default": 5},
            "require_semi_sync": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    report = Report()
    changed = False
    try:
        bounds.require(
            module.params,
            drain=(0, 60), deadline=(1, bounds.LONG), max_lag=(0, bounds.LONG), max_transactions_behind=(0, 2**62), max_transaction_seconds=(0, bounds.LONG),
        )  # fmt: skip
        config = HandConfig.load()
        wanted = module.params["to"] or config.peer.name
        report.old, report.new = config.node.name, config.peer.name
        if wanted not in (config.node.name, config.peer.name):
            raise Refused(f"{wanted} is no node of this pair.", f"Name {config.node.name} or {config.peer.name}.")
        with hands(config) as (here, there):
            operation = operation_for(here, there, wanted, wish_of(module.params))
            report = operation.report
            if report.result != "nothing to do":
                (operation.rehearse if module.check_mode else operation.run)()
            changed = report.result in ("planned", "done")
        report.warnings += offline_writers(config, report.new)
    except TandemError as error:
        # The whole report would bury what a tired person has to read.
        module.fail_json(msg=str(error), changed=report.result in ("half done", "undone"), story=story(asdict(report)))
    what = "addresses" if report.kind == "addresses" else "primary"
    before = {what: report.old if changed else report.new}
    module.exit_json(changed=changed, report=asdict(report), story=story(asdict(report)), diff={"before": before, "after": {what: report.new}})


if __name__ == "__main__":
    main()
