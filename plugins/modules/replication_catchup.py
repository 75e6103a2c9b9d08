#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_catchup
short_description: Wait until the replica has applied what the primary has written
version_added: 0.1.0
description:
  - Runs on the replica. Waits for the transactions that the primary has when the module starts.
  - Fails early when the wait cannot end, because replication has stopped or nothing moves any more, and says why.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.database
  - tandem.lemp.database.operator
attributes:
  check_mode:
    support: full
    details: Waits as well. Nothing is changed by waiting.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  name:
    description: What messages call this server.
    type: str
    default: this server
  source_host:
    description: Address of the primary.
    type: str
    required: true
  source_port:
    description: Its port.
    type: int
    default: 3306
  source_name:
    description: What messages call it. By default O(source_host).
    type: str
  timeout:
    description: How long to wait, in seconds.
    type: float
    default: 300
  stuck_after:
    description: Seconds without any progress after which the wait is given up.
    type: float
    default: 30
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Wait for the replica
  tandem.lemp.replication_catchup:
    source_host: 192.0.2.11
    operator_password: "{{ tandem_secret_operator }}"
    timeout: 600
"""

RETURN = r"""
transactions:
  description: How many the replica lacked.
  returned: success
  type: int
seconds:
  description: How long it took.
  returned: success
  type: float
story:
  description: The same for a person, line by line.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.login import (
    LOGIN_OPTIONS,
    OPERATOR_OPTIONS,
    endpoint_here,
    endpoint_there,
)
from ansible_collections.tandem.lemp.plugins.module_utils.operations.catchup import catch_up
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            **OPERATOR_OPTIONS,
            "name": {"type": "str", "default": "this server"},
            "source_host": {"type": "str", "required": True},
            "source_port": {"type": "int", "default": 3306},
            "source_name": {"type": "str"},
            "timeout": {"type": "float", "default": 300},
            "stuck_after": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        bounds.require(params, timeout=(0, bounds.LONG), stuck_after=(1, bounds.LONG))
        source = Server.at(endpoint_there(params, params["source_host"], params["source_port"]))
        try:
            wanted = source.executed()
        finally:
            source.close()
        replica = Server.at(endpoint_here(params))
        try:
            done = catch_up(
                replica, params["name"], wanted, timeout=params["timeout"], stuck_after=params["stuck_after"], say=module.log
            )
        finally:
            replica.close()
    except TandemError as error:
        module.fail_json(msg=str(error))
    told = f"{params['name']} has everything that {params['source_name'] or params['source_host']} had"
    if done.transactions:
        told += f": {done.transactions} transactions in {done.seconds:.1f} s, {done.rate:.0f} a second"
    module.exit_json(changed=False, transactions=done.transactions, seconds=done.seconds, story=[f"{told}."])


if __name__ == "__main__":
    main()
