#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_check
short_description: Check whether a pair replicates well, and could swap its roles
version_added: 0.1.0
description:
  - Asks the database server of this machine by its socket, and the other one over TLS as the operator, and judges nearly
    fifty things that replication and a swap of roles need, and nine of Atlas where there is one.
  - Each row has a code that never changes. C(docs/runbooks/check.md) has a list.
  - Of the other server the operator may not see everything; such rows are V(unknown). Run the module on both nodes, and
    M(tandem.lemp.check_report) makes one list of it, as C(playbooks/check.yml) does.
  - A server that does not answer is not an error. Rows about the pair are then V(unknown), and the rest answers.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
  - tandem.lemp.database
  - tandem.lemp.database.operator
  - tandem.lemp.database.peer
options:
  replication_user:
    description: Account with which each server logs in at the other one to follow it.
    type: str
    default: tandem_repl
  replication_password:
    description: Its password. Without it that login is not tried.
    type: str
    default: ""
  administrators:
    description: Accounts that may bypass C(read_only), besides O(operator_user) and those that come with the server.
    type: list
    elements: str
    default: []
  max_lag:
    description: Seconds that the replica may be behind.
    type: int
    default: 10
  max_transaction:
    description: Seconds that a transaction may be open.
    type: int
    default: 10
  max_clock_difference:
    description: Seconds that the clocks may be apart.
    type: float
    default: 1.0
  min_certificate_days:
    description: Days that a certificate has to be valid.
    type: int
    default: 30
  min_retention:
    description: Hours that binary logs have to be kept.
    type: int
    default: 24
  max_disk_percent:
    description: How full the disk of the data directory may be.
    type: int
    default: 90
  min_connections:
    description: Connections that the proxies of both nodes may open together. 0 compares with what was used until now.
    type: int
    default: 0
  atlas:
    description: The Atlas of this node. Without it there are no rows about one.
    type: dict
    suboptions:
      admin_address:
        description: Where its administrators connect.
        type: str
        required: true
      admin_port:
        description: The port of that.
        type: int
        default: 2345
      admin_user:
        description: Name of the administrator.
        type: str
        default: tandem
      admin_password:
        description: The administrator's password.
        type: str
        required: true
      proxy_address:
        description: Where applications connect.
        type: str
        default: 127.0.0.1
      proxy_port:
        description: The port of that.
        type: int
        default: 1234
      user:
        description: The one account of the proxy.
        type: str
        required: true
      password:
        description: The account's password.
        type: str
        required: true
      threads:
        description: Its event threads. Each is asked.
        type: int
        default: 2
      writers:
        description: Servers that take writes, as address and port.
        type: list
        elements: str
        required: true
      readers:
        description: Servers that are read from, as address and port.
        type: list
        elements: str
        default: []
      config_file:
        description: Its configuration file.
        type: path
        required: true
      config_sha256:
        description: Checksum of what role atlas writes. Whoever knows it could try passwords, so it is never shown.
        type: str
        default: ""
      unit:
        description: Its unit of systemd, as it is named in remedies.
        type: str
        default: atlas-main
notes:
  - On the controller an action of the same name runs it. A node that cannot be reached is then an answer too, with RV(reachable=false).
seealso:
  - module: tandem.lemp.pair_info
  - module: tandem.lemp.check_report
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Check the pair
  tandem.lemp.replication_check:
    name: node-a
    address: 192.0.2.11
    peer_host: 192.0.2.12
    peer_name: node-b
    operator_password: "{{ tandem_secret_operator }}"
    replication_password: "{{ tandem_secret_replication }}"
  register: check

- name: Nothing is wrong
  ansible.builtin.assert:
    that:
      - check.rows | selectattr('state', 'eq', 'fail') | length == 0
"""

RETURN = r"""
rows:
  description: What was checked, sorted by code and node.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Code of the check.
      type: str
    state:
      description: V(pass), V(warn), V(fail) or V(unknown).
      type: str
    value:
      description: What was found. Null if that cannot be told.
      type: raw
    expected:
      description: What should have been found.
      type: raw
    reason:
      description: Why that is bad. Empty for V(pass).
      type: str
    remedy:
      description: What to do.
      type: str
    nodes:
      description: Whom it is about.
      type: list
      elements: str
  sample:
    - check: rpl-semi-sync
      state: pass
      value: source on, replica on, active
      expected: active as source
      reason: ""
      remedy: ""
      nodes: [node-a]
state:
  description: The worst of all rows. V(warn) is worse than V(unknown).
  returned: always
  type: str
  sample: pass
pair:
  description: As M(tandem.lemp.pair_info) returns it.
  returned: when the node was reached
  type: dict
reachable:
  description: Whether the node was reached.
  returned: always
  type: bool
reason:
  description: Why not.
  returned: when the node was not reached
  type: str
"""

import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import RO, RW
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import Account
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.probe import Watched, look
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wire import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.checks.atlas import AtlasSeen, read_file
from ansible_collections.tandem.lemp.plugins.module_utils.checks.judge import judge, worst
from ansible_collections.tandem.lemp.plugins.module_utils.checks.model import Context, Limits, Seen
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.inspection import Address, look_at_both, try_login
from ansible_collections.tandem.lemp.plugins.module_utils.login import (
    LOGIN_OPTIONS,
    OPERATOR_OPTIONS,
    PEER_OPTIONS,
    endpoint_here,
    endpoint_there,
)
from ansible_collections.tandem.lemp.plugins.module_utils.pair import see

ATLAS_OPTIONS: dict[str, t.Any] = {
    "admin_address": {"type": "str", "required": True},
    "admin_port": {"type": "int", "default": 2345},
    "admin_user": {"type": "str", "default": "tandem"},
    "admin_password": {"type": "str", "required": True, "no_log": True},
    "proxy_address": {"type": "str", "default": "127.0.0.1"},
    "proxy_port": {"type": "int", "default": 1234},
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "threads": {"type": "int", "default": 2},
    "writers": {"type": "list", "elements": "str", "required": True},
    "readers": {"type": "list", "elements": "str", "default": []},
    "config_file": {"type": "path", "required": True},
    "config_sha256": {"type": "str", "default": "", "no_log": True},
    "unit": {"type": "str", "default": "atlas-main"},
}


def observe(params: dict[str, t.Any]) -> Context:
    """Look at both, and try the login that replication needs."""
    there = endpoint_there(params, params["peer_host"], params["peer_port"])
    (node_here, more_here), (node_there, more_there) = look_at_both(
        Address(params["name"], params["address"], endpoint_here(params)),
        Address(params["peer_name"] or params["peer_host"], params["peer_host"], there),
        params["datadir"],
    )
    if params["replication_password"]:
        account = {"user": params["replication_user"], "password": params["replication_password"]}
        more_here = dataclasses.replace(more_here, login=try_login(dataclasses.replace(there, **account)))
    return Context(
        here=Seen(node_here, more_here),
        there=Seen(node_there, more_there),
        pair=see((node_here, node_there), {node_here.name: more_here, node_there.name: more_there}),
        now=time.time(),
        limits=Limits(
            lag_seconds=params["max_lag"],
            transaction_seconds=params["max_transaction"],
            clock_seconds=params["max_clock_difference"],
            certificate_days=params["min_certificate_days"],
            retention_hours=params["min_retention"],
            disk_percent=params["max_disk_percent"],
            connections_needed=params["min_connections"],
            administrators=frozenset([params["operator_user"], *params["administrators"]]),
        ),
        atlas=see_atlas(params["atlas"]) if params["atlas"] else None,
    )


def see_atlas(params: dict[str, t.Any]) -> AtlasSeen:
    """Ask the Atlas of this node, and what is behind it."""
    servers = tuple((address, kind) for kind, found in ((RW, params["writers"]), (RO, params["readers"])) for address in found)
    watched = Watched(
        Endpoint(params["admin_address"], params["admin_port"], params["admin_user"], params["admin_password"], 3),
        (params["proxy_address"], params["proxy_port"]),
        Account(params["user"], params["password"], 3),
        servers,
        params["threads"],
    )
    return AtlasSeen(look(watched), servers, read_file(params["config_file"], params["config_sha256"]), params["unit"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            **OPERATOR_OPTIONS,
            **PEER_OPTIONS,
            "replication_user": {"type": "str", "default": "tandem_repl"},
            "replication_password": {"type": "str", "default": "", "no_log": True},
            "administrators": {"type": "list", "elements": "str", "default": []},
            "max_lag": {"type": "int", "default": 10},
            "max_transaction": {"type": "int", "default": 10},
            "max_clock_difference": {"type": "float", "default": 1.0},
            "min_certificate_days": {"type": "int", "default": 30},
            "min_retention": {"type": "int", "default": 24},
            "max_disk_percent": {"type": "int", "default": 90},
            "min_connections": {"type": "int", "default": 0},
            "atlas": {"type": "dict", "options": ATLAS_OPTIONS},
        },
        supports_check_mode=True,
    )
    try:
        context = observe(module.params)
        rows = [row.as_dict() for row in judge(context)]
    except TandemError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, reachable=True, rows=rows, state=worst(rows), pair=context.pair.as_dict())


if __name__ == "__main__":
    main()
