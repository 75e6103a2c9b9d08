#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: primary
short_description: Open the database server of this machine for writes, or close it
version_added: 0.1.0
description:
  - Opens the local MariaDB or MySQL server, after having made sure that the other one of the pair is closed.
  - A server that replicates applies what it has received, and then forgets its source.
  - The other server is asked over TLS. Where it cannot be asked yet, what it said in the same playbook counts
    (O(peer_observed)). Where nothing is known of it, the answer is no.
  - A server that is closed and fenced by a person (C(read_only) or C(grants) of M(tandem.lemp.write_fence)) is not opened;
    C(playbooks/unfence.yml) takes that away. M(tandem.lemp.restore) opens under a record of its own.
  - Gives the data a name (table C(tandem.lineage)), by which copies of them are recognised.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.database
  - tandem.lemp.database.operator
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: A server that is told to restart (O(restart_service)) is restarted every time.
options:
  state:
    description:
      - V(open) takes writes, V(closed) refuses them. Closing is always allowed.
    type: str
    choices: [open, closed]
    default: open
  name:
    description: What messages call this server.
    type: str
    default: this server
  peer_host:
    description: Address of the other server. Required for O(state=open).
    type: str
  peer_port:
    description: Its port.
    type: int
    default: 3306
  peer_name:
    description: What messages call it. By default O(peer_host).
    type: str
  peer_observed:
    description:
      - What P(tandem.lemp.database_info#module) returned as RV(tandem.lemp.database_info#module:server) on the other
        node in this playbook. Used only if the other server does not let the operator in.
    type: dict
  peer_state:
    description:
      - V(dead) says that the other server is surely off. You answer for that. An answer of the other server still counts more.
    type: str
    choices: [alive, dead]
    default: alive
  restart_service:
    description:
      - Unit of the database server. If given, a server that is open is restarted, comes back closed as always, and is
        opened again at once.
    type: str
  timeout:
    description: How long to wait, in seconds, until what was received is applied, and for an answer after a restart.
    type: int
    default: 60
  agent:
    description:
      - Whether an agent (C(tandem_failover)) looks after the pair. Then whether commits wait for the replica of a server that
        is open already is left to it.
    type: bool
    default: false
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Open the primary
  tandem.lemp.primary:
    peer_host: 192.0.2.12
    peer_name: node-b
    operator_password: "{{ tandem_secret_operator }}"

- name: Restart the primary with a new configuration
  tandem.lemp.primary:
    peer_host: 192.0.2.12
    operator_password: "{{ tandem_secret_operator }}"
    restart_service: mariadb

- name: Close it
  tandem.lemp.primary:
    state: closed
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
reason:
  description: Why the server may be open.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError, Unreachable
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.fence.restoring import require_unfenced
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import held
from ansible_collections.tandem.lemp.plugins.module_utils.login import (
    LOGIN_OPTIONS,
    OPERATOR_OPTIONS,
    endpoint_here,
    endpoint_there,
)
from ansible_collections.tandem.lemp.plugins.module_utils.operations.opening import (
    Outcome,
    close_for_writes,
    open_for_writes,
    restart_and_open,
    role_of,
)
from ansible_collections.tandem.lemp.plugins.module_utils.runner import Runner, Service
from ansible_collections.tandem.lemp.plugins.module_utils.seed.datadir import DataDirectory
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server, look
from ansible_collections.tandem.lemp.plugins.module_utils.state import ABSENT, ServerState


def look_at_peer(params: dict[str, t.Any]) -> Node:
    """The other server: its own answer, or else what it said in this playbook."""
    state = look(endpoint_there(params, params["peer_host"], params["peer_port"]))
    if not state.running and params["peer_observed"]:
        state = ServerState.from_dict(params["peer_observed"])
    return Node(params["peer_name"] or params["peer_host"], params["peer_host"], state)


def run(module: AnsibleModule) -> Outcome:
    params = module.params
    here = look(endpoint_here(params), params["datadir"])
    if not here.running:
        if module.check_mode and here.state == ABSENT:
            return Outcome({}, {}, ["open for writes"], "It will be installed.")
        raise Unreachable(f"The database of {params['name']} does not answer: {here.reason}", "Start it first.")
    if params["restart_service"] and here.writable and params["state"] == "open":
        if module.check_mode:
            return Outcome(role_of(here), role_of(here), ["restart", "open for writes"], "Asked to.")
        service = Service(params["restart_service"], Runner())
        return restart_and_open(
            endpoint_here(params), service, params["name"], lambda: look_at_peer(params), timeout=params["timeout"]
        )
    if params["state"] == "open" and not here.writable:
        require_unfenced(Record(), params["name"])
    server = Server.at(endpoint_here(params))
    try:
        if params["state"] == "closed":
            return close_for_writes(server, dry_run=module.check_mode)
        outcome, _verdict = open_for_writes(
            server,
            params["name"],
            look_at_peer(params),
            peer_is_dead=params["peer_state"] == "dead",
            timeout=params["timeout"],
            dry_run=module.check_mode,
            agent=params["agent"],
        )
        if not module.check_mode:
            # It takes writes: an interrupted copy of these data is never undone any more.
            DataDirectory(params["datadir"]).keep_new()
        return outcome
    finally:
        server.close()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            **OPERATOR_OPTIONS,
            "state": {"type": "str", "choices": ["open", "closed"], "default": "open"},
            "name": {"type": "str", "default": "this server"},
            "peer_host": {"type": "str"},
            "peer_port": {"type": "int", "default": 3306},
            "peer_name": {"type": "str"},
            "peer_observed": {"type": "dict"},
            "peer_state": {"type": "str", "choices": ["alive", "dead"], "default": "alive"},
            "restart_service": {"type": "str"},
            "timeout": {"type": "int", "default": 60},
            "agent": {"type": "bool", "default": False},
        },
        required_if=[("state", "open", ["peer_host"])],
        supports_check_mode=True,
    )
    try:
        with held(module.params["name"], not module.check_mode):
            outcome = run(module)
    except TandemError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=outcome.changed,
        actions=outcome.actions,
        reason=outcome.reason,
        diff={"before": outcome.before, "after": outcome.after if outcome.changed else outcome.before},
    )


if __name__ == "__main__":
    main()
