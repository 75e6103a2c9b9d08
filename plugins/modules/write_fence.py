#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: write_fence
short_description: Keep applications from writing on this node, and prove it
version_added: 0.1.0
description:
  - Fences this node by one or several drivers, and proves each fence by trying what an application would.
  - What is changed is recorded first (C(/var/lib/tandem/fence.json)), so that V(unfenced) restores exactly that.
  - Unfencing opens the database only if the other one surely takes no writes and has nothing that this one lacks.
    A replica that was closed before it was fenced stays closed. A node that was not fenced at all is refused where it follows the
    other one or that one is fenced. A database that is stopped on the other node is compared by its
    binary log.
  - Unfencing by V(atlas) acts as soon as one Atlas that answers keeps its writer offline. Of one that does not answer, as its
    node is dead, it warns. It also warns of fences of this node by other drivers, which stay.
  - Refuses while an operation is running on this node. Needs what role C(operations) installs.
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description: Whether applications shall be kept out.
    type: str
    choices: [fenced, unfenced]
    default: fenced
  drivers:
    description:
      - V(read_only) closes the database. It holds for everybody who comes from anywhere, but for administrators.
      - V(haproxy) lets nobody through the writer port of this node, until HAProxy is restarted.
      - V(atlas) takes the writer of both nodes' Atlas offline, which holds until Atlas is restarted, and tries a statement for the
        writer through that of this node. It is refused alone, since
        sessions that are pinned to the writer go on writing. Give V(read_only) as well. It is refused on a node whose database is
        not the open one, since nobody could write anywhere.
      - V(grants) locks the accounts of applications and ends their sessions, past the binary log. It also keeps out an
        application that bypasses read_only.
      - V(restore) is no fence, and only for O(state=unfenced). It forgets a restore that was killed, so that the agent decides again.
        Nothing else is unfenced while its record is there.
    type: list
    elements: str
    choices: [read_only, atlas, haproxy, grants, restore]
    default: [read_only]
  peer_is:
    description:
      - V(dead) says that somebody has made sure that the other node is powered off, or that its data are lost for good. An answer of
        its database still counts more.
    type: str
    choices: [unknown, dead]
    default: unknown
  drain:
    description: Seconds that sessions may take to come between two statements before they are ended.
    type: float
    default: 2
  timeout:
    description: Seconds to wait, before opening, until what was received is applied.
    type: float
    default: 60
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Close the database of this node for applications
  tandem.lemp.write_fence:

- name: Keep out applications that bypass read_only as well
  tandem.lemp.write_fence:
    drivers: [grants, read_only]

- name: Take it back
  tandem.lemp.write_fence:
    state: unfenced
    drivers: [grants, read_only]
"""

RETURN = r"""
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
proof:
  description: By driver, what the attempt to write said, or why the database may open.
  returned: success
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import AT_WORK
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.client import Account
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wire import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.decide import Node
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused, TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.fence.atlas import AtlasOffline, require_open
from ansible_collections.tandem.lemp.plugins.module_utils.fence.driver import Driver
from ansible_collections.tandem.lemp.plugins.module_utils.fence.fencing import FENCED, UNFENCED, Outcome, fence, unfence
from ansible_collections.tandem.lemp.plugins.module_utils.fence.grants import Accounts
from ansible_collections.tandem.lemp.plugins.module_utils.fence.haproxy import WriterPort
from ansible_collections.tandem.lemp.plugins.module_utils.fence.here import look_at_peer
from ansible_collections.tandem.lemp.plugins.module_utils.fence.read_only import ReadOnly
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.fence.restoring import RESTORE, Restoring
from ansible_collections.tandem.lemp.plugins.module_utils.hand.actions import Actions
from ansible_collections.tandem.lemp.plugins.module_utils.hand.config import HandConfig
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import held
from ansible_collections.tandem.lemp.plugins.module_utils.server import Server


def run(module: AnsibleModule, config: HandConfig, server: Server) -> Outcome:
    """One fence or unfence."""
    params: dict[str, t.Any] = module.params
    record = Record()
    drivers: list[Driver] = []
    for name in dict.fromkeys(params["drivers"]):
        if name == "read_only":
            drivers.append(
                ReadOnly(
                    Actions(config), server, lambda: look_at_peer(config),
                    peer_is_dead=params["peer_is"] == "dead", drain=params["drain"], timeout=params["timeout"],
                )
            )  # fmt: skip
        elif name == RESTORE:
            drivers.append(Restoring(record))
        elif name == "haproxy":
            if not config.proxy.control:
                raise Refused("This node has no HAProxy.", "Leave out the driver haproxy.")
            drivers.append(WriterPort(config.proxy))
        elif name == "atlas":
            # A fence that was recorded before the pair left Atlas can be forgotten.
            if not config.atlas and not (params["state"] == UNFENCED and name in record.read()):
                raise Refused("This pair has no Atlas.", "Leave out the driver atlas.")
            if params["state"] == FENCED:
                known = record.read()
                opened = [driver for driver in known if driver == name or known[driver].get("was_open")]
                require_open(Node(config.node.name, config.node.address, server.observe()), opened, lambda: look_at_peer(config))
            drivers.append(of_both_nodes(config))
        else:
            drivers.append(Accounts(config.root(), config.canary(), config.own_accounts, config.engine))
    act = fence if params["state"] == FENCED else unfence
    return act(drivers, record, dry_run=module.check_mode)


def of_both_nodes(config: HandConfig) -> AtlasOffline:
    """One that hangs must not keep the database open for long."""
    own = config.atlas_application
    return AtlasOffline(
        [Endpoint(port.host, port.port, port.user, port.password, timeout=AT_WORK) for port in config.atlas],
        application=(own.host, own.port, Account(own.user, own.password, AT_WORK)) if own else None,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["fenced", "unfenced"], "default": "fenced"},
            "drivers": {
                "type": "list", "elements": "str", "choices": ["read_only", "atlas", "haproxy", "grants", "restore"],
                "default": ["read_only"],
            },
            "peer_is": {"type": "str", "choices": ["unknown", "dead"], "default": "unknown"},
            "drain": {"type": "float", "default": 2},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )  # fmt: skip
    try:
        bounds.require(module.params, drain=(0, 600), timeout=(0, bounds.LONG))
        config = HandConfig.load()
        with held(config.node.name, not module.check_mode):
            server = Server.at(config.root())
            try:
                outcome = run(module, config, server)
            finally:
                server.close()
    except TandemError as error:
        module.fail_json(msg=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(
        changed=outcome.changed,
        actions=outcome.actions,
        proof=outcome.proof,
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
