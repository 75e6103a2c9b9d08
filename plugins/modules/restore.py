#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Restore a backup of tandem.lemp.backup, up to a point in time
version_added: 0.1.0
description:
  - Restores beside the server (V(scratch)) to look into it, or in place of its data (V(restored)).
  - Goes on from the backup to a point in time by replaying archived and present binary logs.
  - Makes everything ready beside the present data and tests it there. Only then the server is stopped and the data are
    swapped. If it does not start with them, the old data come back.
  - Refuses to replace the data of a server that takes writes; close it first with P(tandem.lemp.primary#module).
  - A restored server stays closed for writes. P(tandem.lemp.primary#module) opens it, P(tandem.lemp.replica#module) with
    C(seed=always) copies it to the other one.
  - Numbers of lost transactions are never given out again, so that a server that still has them cannot be mistaken for a replica.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.database
attributes:
  check_mode:
    support: full
    details: RV(story) is the plan, with what would be lost.
  diff_mode:
    support: none
    details: What is replaced is a whole data directory; RV(story) says what comes and what goes.
  idempotent:
    support: partial
    details: All but V(scratch) and V(restored) are. A restore is done each time.
options:
  state:
    description:
      - V(listed) only lists. V(scratch) starts a scratch instance with the backup. V(absent) removes that.
        V(restored) replaces the data of the server.
      - V(held) writes down that a restore works on this node. Until V(released) the agent opens and closes nothing there, and does
        not promote. It also outlasts whoever has asked for it, and a reboot.
    type: str
    choices: [listed, scratch, absent, restored, held, released]
    default: listed
  name:
    description: What messages call this server.
    type: str
    default: this server
  directory:
    description: Where the backups of this machine are.
    type: path
    default: /var/backups/tandem
  backup:
    description: Name of the backup, or V(latest) for the newest verified one that is older than O(until).
    type: str
    default: latest
  until:
    description:
      - A time (C(2026-11-21 10:00:00), UTC unless it carries an offset) or the GTID of a transaction. Everything before it is
        restored, nothing from it on. A backup counts only if it was taken before the second of that time.
      - V(latest) restores up to the last transaction there is. Empty restores the backup as it is.
    type: str
    default: ""
  also_known:
    description:
      - Transactions of the other server, as P(tandem.lemp.database_info#module) returns them in C(server.gtid).
      - With O(until), the data are replaced only if this server has them all, or has something of both servers from that point on.
        It waits a minute for them.
    type: str
    default: ""
  service:
    description: Unit of the database server. By default C(mariadb) or C(mysql), whichever this machine has.
    type: str
  timeout:
    description: How long each part may take, in seconds.
    type: int
    default: 14400
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: List the backups
  tandem.lemp.restore:

- name: Look into yesterday
  tandem.lemp.restore:
    state: scratch
    until: "2026-11-20 10:00:00"

- name: Close the server
  tandem.lemp.primary:
    name: "{{ inventory_hostname }}"
    state: closed

- name: Replace the data by what they were before a mistake
  tandem.lemp.restore:
    state: restored
    until: "2026-11-21 10:00:00"
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
story:
  description: The same for a person, with what is lost.
  returned: success
  type: list
  elements: str
backups:
  description: For O(state=listed), the manifests, the oldest first.
  returned: O(state=listed)
  type: list
  elements: dict
chosen:
  description: Name of the backup that O(backup) and O(until) mean, or an empty text.
  returned: O(state=listed)
  type: str
refusal:
  description: Why there is none.
  returned: O(state=listed)
  type: str
backup:
  description: Name of the backup that is restored.
  returned: O(state=scratch) or O(state=restored)
  type: str
replayed:
  description: How many transactions were replayed after it.
  returned: O(state=scratch) or O(state=restored)
  type: int
lost:
  description: How many transactions came after the point in time.
  returned: O(state=scratch) or O(state=restored)
  type: int
socket:
  description: Socket of the scratch instance.
  returned: O(state=scratch)
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.backup.restoring import (
    LATEST,
    Restored,
    Wish,
    as_lines,
    choose,
    remove_scratch,
    to_scratch,
    to_server,
)
from ansible_collections.tandem.lemp.plugins.module_utils.backup.store import Store
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused, TandemError, of_the_system
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.fence.restoring import hold, release
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import held
from ansible_collections.tandem.lemp.plugins.module_utils.login import LOGIN_OPTIONS, endpoint_here
from ansible_collections.tandem.lemp.plugins.module_utils.runner import Runner, Service


def wish_of(module: AnsibleModule) -> Wish:
    params = module.params
    runner = Runner()
    service = params["service"]
    if not service:
        service = "mysql" if runner.run(["systemctl", "cat", "mariadb"], check=False).status != 0 else "mariadb"
    return Wish(
        node=params["name"],
        endpoint=endpoint_here(params),
        datadir=params["datadir"],
        service=Service(service, runner),
        directory=params["directory"],
        backup=params["backup"],
        until=params["until"],
        also_known=params["also_known"],
        timeout=params["timeout"],
        say=module.log,
        runner=runner,
    )


def listed(wish: Wish) -> dict[str, t.Any]:
    found, faults = Store(wish.directory).backups()
    chosen, refusal = "", ""
    try:
        chosen = choose(found, faults, wish.backup, wish.until, wish.now())[0].name
    except Refused as error:
        refusal = f"{wish.node}: {error}"
    return {
        "chosen": chosen,
        "refusal": refusal,
        "changed": False,
        "actions": [],
        "backups": [one.as_dict() for one in found],
        "story": as_lines(found, faults, wish.node),
    }


def told(done: Restored) -> dict[str, t.Any]:
    return {
        "changed": True,
        "actions": done.actions,
        "story": done.story,
        "backup": done.backup.name,
        "replayed": done.replay.replayed.count,
        "lost": done.replay.lost.count,
        "socket": done.socket,
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    state = module.params["state"]
    if state in ("held", "released"):
        actions = (hold if state == "held" else release)(Record(), dry_run=module.check_mode)
        return {"changed": bool(actions), "actions": actions, "story": actions}
    wish = wish_of(module)
    if state == "listed":
        return listed(wish)
    if state == "absent":
        actions = remove_scratch(wish, dry_run=module.check_mode)
        return {"changed": bool(actions), "actions": actions, "story": actions or ["there is no scratch instance"]}
    if state == "scratch":
        return told(to_scratch(wish, dry_run=module.check_mode))
    with held(wish.node, not module.check_mode):
        return told(to_server(wish, dry_run=module.check_mode))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            "state": {"type": "str", "choices": ["listed", "scratch", "absent", "restored", "held", "released"], "default": "listed"},
            "name": {"type": "str", "default": "this server"},
            "directory": {"type": "path", "default": "/var/backups/tandem"},
            "backup": {"type": "str", "default": LATEST},
            "until": {"type": "str", "default": ""},
            "also_known": {"type": "str", "default": ""},
            "service": {"type": "str"},
            "timeout": {"type": "int", "default": 14400},
        },
        supports_check_mode=True,
    )
    try:
        bounds.require(module.params, timeout=(1, bounds.LONG))
        result = run(module)
    except TandemError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{module.params['name']}: {of_the_system(error)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
