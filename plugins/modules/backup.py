#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up the database server of this machine, and prove that the backup can be restored
version_added: 0.1.0
description:
  - Takes a physical copy of a running MariaDB (C(mariadb-backup)) or MySQL (C(CLONE LOCAL DATA DIRECTORY)) server, with its
    GTID position, as one compressed file.
  - Restores it to a scratch instance on the same machine before it counts. That one listens on a socket only, is last in
    every queue, and is removed afterwards.
  - A backup appears under its name from one moment to the next, complete and on the disk, or not at all.
  - Archives the closed binary logs, so that any point in time after the oldest backup can be restored.
  - Refuses when a table of MySQL keeps data and is not InnoDB, because C(CLONE) would copy it empty.
  - Refuses when the disk has too little room for the copy and its test, and while another backup or restore is at work.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.database
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: A backup changes nothing of what it copies; RV(actions) says what was made and removed.
  idempotent:
    support: none
    details: Each call makes a backup.
options:
  name:
    description: What the backup calls this machine.
    type: str
    required: true
  directory:
    description: Where the backups of this machine are.
    type: path
    default: /var/backups/tandem
  copy:
    description: V(false) only archives binary logs.
    type: bool
    default: true
  binlogs:
    description: Whether to archive the binary logs.
    type: bool
    default: true
  unreadable:
    description:
      - What follows where the binary logs cannot be read here (encrypted, or with tagged GTIDs), and so are not archived.
        V(auto) fails with O(copy=false) and warns otherwise, V(warn) warns.
    type: str
    choices: [auto, warn]
    default: auto
  verify:
    description:
      - V(full) runs C(CHECK TABLE) on every table of the restored copy. V(quick) starts it, counts its tables, and compares its
        position.
    type: str
    choices: [full, quick]
    default: full
  keep:
    description: How many backups to keep. The newest verified one is never removed.
    type: int
    default: 7
  timeout:
    description: How long each part may take, in seconds.
    type: int
    default: 14400
notes:
  - What is being done is told to the journal of the machine, at least every ten seconds during the copy.
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Back up this server
  tandem.lemp.backup:
    name: "{{ inventory_hostname }}"

- name: Archive its binary logs
  tandem.lemp.backup:
    name: "{{ inventory_hostname }}"
    copy: false
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
story:
  description: The same for a person, with sizes and durations.
  returned: success
  type: list
  elements: str
backup:
  description: The manifest of the new backup; null if none was made.
  returned: success
  type: dict
path:
  description: Its directory, or an empty text.
  returned: success
  type: str
removed:
  description: Backups that were removed.
  returned: success
  type: list
  elements: str
binlogs:
  description: Binary logs that were archived.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.backup.making import FULL, QUICK, Wish, make
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError, of_the_system
from ansible_collections.tandem.lemp.plugins.module_utils.login import LOGIN_OPTIONS, endpoint_here


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            "name": {"type": "str", "required": True},
            "directory": {"type": "path", "default": "/var/backups/tandem"},
            "copy": {"type": "bool", "default": True},
            "binlogs": {"type": "bool", "default": True},
            "unreadable": {"type": "str", "choices": ["auto", "warn"], "default": "auto"},
            "verify": {"type": "str", "choices": [FULL, QUICK], "default": FULL},
            "keep": {"type": "int", "default": 7},
            "timeout": {"type": "int", "default": 14400},
        },
        supports_check_mode=True,
    )
    params = module.params
    wish = Wish(
        node=params["name"],
        endpoint=endpoint_here(params),
        datadir=params["datadir"],
        directory=params["directory"],
        keep=params["keep"],
        verify=params["verify"],
        copy=params["copy"],
        binlogs=params["binlogs"],
        timeout=params["timeout"],
        say=module.log,
        archive_or_fail=not params["copy"] and params["unreadable"] == "auto",
    )
    try:
        bounds.require(params, keep=(1, 100000), timeout=(1, bounds.LONG))
        made = make(wish, dry_run=module.check_mode)
    except TandemError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{params['name']}: {of_the_system(error)}")
    for warning in made.warnings:
        module.warn(warning)
    module.exit_json(
        changed=bool(made.actions),
        actions=made.actions,
        story=made.story(),
        backup=made.backup.as_dict() if made.backup else None,
        path=made.path,
        removed=made.removed,
        binlogs=made.binlogs,
    )


if __name__ == "__main__":
    main()
