#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rejoin
short_description: Bring a former primary back as the replica
version_added: 0.1.0
description:
  - Runs on the node that was away. Starts its database if it is stopped; it starts closed.
  - When the primary has all of its transactions, it is attached by GTID and catches up.
  - When it has transactions that the primary never had (errant transactions), these are saved first, as SQL that can be applied
    again and as JSON that a person can read, in C(/var/lib/tandem/errant). Then the primary is copied over it.
  - O(source_host) and O(replication_password) are required.
  - Afterwards the primary waits for its replica again (semi-synchronous replication); see O(agent).
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.database
  - tandem.lemp.database.operator
  - tandem.lemp.database.replica
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  replace:
    description:
      - If this server has extra transactions, save them and copy the primary over it. Otherwise that is refused.
      - So is a copy over data whose missing transactions the primary has purged. A server without data is copied to in any case.
    type: bool
    default: false
  discard:
    description: With O(replace), copy the primary over this server even if its extra transactions cannot be saved. They are lost then.
    type: bool
    default: false
  agent:
    description:
      - Whether an agent (C(tandem_failover)) looks after the pair. Then it makes the primary wait for its replica again by itself,
        as soon as the replica is in step.
    type: bool
    default: false
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Bring the old primary back
  tandem.lemp.rejoin:
    name: node-a
    source_host: 192.0.2.12
    source_name: node-b
    replication_password: "{{ tandem_secret_replication }}"
    operator_password: "{{ tandem_secret_operator }}"
    replace: true
"""

RETURN = r"""
way:
  description: V(attach), or V(copy) where data are replaced.
  returned: success
  type: str
reason:
  description: Why this way.
  returned: success
  type: str
errant:
  description: Transactions that the primary never had.
  returned: success
  type: str
saved:
  description: Directory in which these were saved; empty if there are none.
  returned: success
  type: str
actions:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
story:
  description: The same for a person, line by line.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError, of_the_system
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import held
from ansible_collections.tandem.lemp.plugins.module_utils.login import LOGIN_OPTIONS, OPERATOR_OPTIONS
from ansible_collections.tandem.lemp.plugins.module_utils.operations.asked import REPLICA_OPTIONS, local_of, source_of
from ansible_collections.tandem.lemp.plugins.module_utils.operations.rejoin import Rejoined, rejoin


def story(name: str, source: str, done: Rejoined) -> list[str]:
    """For a person."""
    lines = [f"rejoin of {name} to {source}: {done.reason}"]
    lines += [f"  {action}" for action in done.actions] or ["  nothing to do"]
    if done.errant:
        lines.append(f"  transactions that {source} never had: {done.errant}")
    if done.saved is not None:
        lines.append(f"  {done.saved.transactions} of them are saved in {done.saved.directory} (transactions.sql, transactions.json)")
    return lines + [f"  warning: {warning}" for warning in done.warnings]


def main() -> None:
    choices = {"replace": {"type": "bool", "default": False}, "discard": {"type": "bool", "default": False}, "agent": {"type": "bool", "default": False}}
    module = AnsibleModule(
        argument_spec={**LOGIN_OPTIONS, **OPERATOR_OPTIONS, **REPLICA_OPTIONS, **choices},
        supports_check_mode=True,
    )
    params = module.params
    if not params["source_host"] or not params["replication_password"]:
        module.fail_json(msg="rejoin needs source_host and replication_password.")
    source = source_of(params)
    try:
        with held(params["name"], not module.check_mode):
            done = rejoin(
                local_of(params, module.log),
                source,
                replace=params["replace"],
                discard=params["discard"],
                dry_run=module.check_mode,
                arm=not params["agent"],
            )
    except TandemError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{module.params['name']}: {of_the_system(error)}")
    module.exit_json(
        changed=bool(done.actions),
        way=done.way,
        reason=done.reason,
        errant=done.errant,
        saved=done.saved.directory if done.saved else "",
        actions=done.actions,
        story=story(params["name"], source.name, done),
        diff={"before": "", "after": "".join(f"{action}\n" for action in done.actions)},
    )


if __name__ == "__main__":
    main()
