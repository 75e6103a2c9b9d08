#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pair_info
short_description: Look at both database servers of a pair, together
version_added: 0.1.0
description:
  - Asks the server of this machine by its socket, and the other one over TLS as the operator.
  - Tells who takes writes, who follows whom, how far behind, what only one of them has, what would be lost if the
    primary died now, and how long a switchover would pause writes.
  - A server that does not answer is not an error here. What then cannot be told is null.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
  - tandem.lemp.database
  - tandem.lemp.database.operator
  - tandem.lemp.database.peer
seealso:
  - module: tandem.lemp.replication_check
  - module: tandem.lemp.database_info
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Look at the pair
  tandem.lemp.pair_info:
    name: node-a
    address: 192.0.2.11
    peer_host: 192.0.2.12
    peer_name: node-b
    operator_password: "{{ tandem_secret_operator }}"
  register: seen

- name: Nothing would be lost
  ansible.builtin.assert:
    that:
      - seen.pair.at_risk == 0
"""

RETURN = r"""
pair:
  description: Both together. What cannot be told is null.
  returned: always
  type: dict
  contains:
    primary:
      description: The only server that takes writes and follows nobody.
      type: str
    replica:
      description: The only server that follows the other one.
      type: str
    reason:
      description: Why the primary is, or would have to be, whom the filter P(tandem.lemp.choose_primary#filter) names.
      type: str
    remedy:
      description: What to do when nobody can tell.
      type: str
    roles:
      description:
        - For each server V(primary), V(replica), V(stray) (takes writes although it follows somebody), V(closed) (refuses
          writes and does not follow the other one) or V(unknown).
      type: dict
    follows:
      description: For each server the name of the other one, or the address, that it is told to follow. Null is nobody or unknown.
      type: dict
    lag_transactions:
      description: Transactions of the primary that the replica has not applied.
      type: int
    lag_seconds:
      description: The same in seconds, as the replica sees it.
      type: int
    errant:
      description:
        - For each server what the other one lacks, by its origin (MySQL a UUID with its tag, MariaDB a domain and a server),
          as C(transactions) and C(at_most) how many. The primary of a replica is never errant.
      type: dict
    not_received:
      description: Transactions of the primary that the replica has not even received.
      type: int
    at_risk:
      description:
        - Acknowledged transactions that would be lost if the primary died now. 0 while commits wait for the replica
          (semi-synchronous replication is active), else RV(pair.not_received).
      type: int
    pause:
      description:
        - How long a switchover would pause writes, in milliseconds, as C(total) and its parts C(fence), C(drain),
          C(catch_up) and C(promote); C(reason) says why it cannot be told.
        - C(drain) takes for granted that the oldest open transaction runs for as long again. C(catch_up) is the lag.
          The others are round trips that were measured and a constant.
      type: dict
  sample: {primary: node-a, replica: node-b, lag_transactions: 0, at_risk: 0}
nodes:
  description:
    - This server and the other one, each with C(name), C(address) and C(server), as P(tandem.lemp.choose_primary#filter)
      takes them. C(server) is what M(tandem.lemp.database_info) returns.
    - C(primary) and C(replica) hold options of M(tandem.lemp.primary) and M(tandem.lemp.replica) that describe the
      server as it is; null for one that does not answer, and C(replica) also for one that follows nobody.
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.inspection import Address, look_at_both
from ansible_collections.tandem.lemp.plugins.module_utils.login import (
    LOGIN_OPTIONS,
    OPERATOR_OPTIONS,
    PEER_OPTIONS,
    endpoint_here,
    endpoint_there,
)
from ansible_collections.tandem.lemp.plugins.module_utils.pair import see


def as_inputs(node: Node) -> dict[str, t.Any]:
    """One node in the shape of what filters and modules take."""
    server, told = node.server, node.server.replication
    replica = None
    if told is not None:
        replica = {
            "state": "attached",
            "source_host": told.source_host,
            "source_port": told.source_port,
            "replication_user": told.source_user,
            "connect_retry": told.connect_retry,
        }
    primary = {"state": "open" if server.writable else "closed"} if server.running else None
    return {"name": node.name, "address": node.address, "server": server.as_dict(), "primary": primary, "replica": replica}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            **OPERATOR_OPTIONS,
            **PEER_OPTIONS,
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        (here, more_here), (there, more_there) = look_at_both(
            Address(params["name"], params["address"], endpoint_here(params)),
            Address(
                params["peer_name"] or params["peer_host"],
                params["peer_host"],
                endpoint_there(params, params["peer_host"], params["peer_port"]),
            ),
            params["datadir"],
        )
        pair = see((here, there), {here.name: more_here, there.name: more_there})
    except TandemError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, pair=pair.as_dict(), nodes=[as_inputs(here), as_inputs(there)])


if __name__ == "__main__":
    main()
