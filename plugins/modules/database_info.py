#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_info
short_description: Look at the database server of this machine
version_added: 0.1.0
description:
  - Reads engine, role, GTID sets, replication, semi-synchronous replication and schemas of a MariaDB or MySQL server.
  - A server that does not answer is not an error here but a state, so that the other one of a pair can still be judged.
  - Feed RV(server) of both nodes to the filter P(tandem.lemp.choose_primary#filter) to know who is the primary.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
  - tandem.lemp.database
options:
  config_files:
    description:
      - Files that the server reads when it starts. Those that are newer than its start are returned as RV(newer_files).
    type: list
    elements: path
    default: []
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Look at the database
  tandem.lemp.database_info:
  register: database

- name: Stop unless it is a healthy replica
  ansible.builtin.assert:
    that:
      - database.server.replication is not none
      - database.server.replication.healthy
"""

RETURN = r"""
server:
  description: What was seen. Values that could not be seen are null.
  returned: always
  type: dict
  contains:
    state:
      description:
        - V(running), V(stopped) (data, but no server), V(absent) (no data directory yet) or V(unknown) (it could not be asked).
      type: str
    reason:
      description: Why the state is not V(running).
      type: str
    engine:
      description: V(mariadb) or V(mysql).
      type: str
    version:
      description: Three numbers.
      type: str
    hostname:
      description: Name by which the server calls its machine.
      type: str
    port:
      description: TCP port.
      type: int
    server_id:
      description: Number of the server in replication.
      type: int
    server_uuid:
      description: Identity of the server in MySQL's GTIDs; empty on MariaDB.
      type: str
    datadir:
      description: Its data directory.
      type: str
    started:
      description: When its process started, in seconds since 1970; 0 if that cannot be told.
      type: float
    log_bin:
      description: Whether it writes a binary log.
      type: bool
    read_only:
      description: Whether it is closed for the writes of ordinary accounts.
      type: bool
    super_read_only:
      description: MySQL only, whether it is closed for administrators too.
      type: bool
    gtid:
      description: All transactions it has, in canonical form.
      type: str
    gtid_purged:
      description: MySQL only, those that are no longer in its binary logs.
      type: str
    replication:
      description: The source it is told to follow and how that goes, or null.
      type: dict
    semi_sync_source:
      description: Whether commits wait for a replica; null if not loaded.
      type: bool
    semi_sync_replica:
      description: Whether it confirms what it receives; null if not loaded.
      type: bool
    semi_sync_active:
      description: Whether commits really wait for a replica at this moment.
      type: bool
    replicas:
      description: Addresses of the replicas that are connected now.
      type: list
      elements: str
    schemas:
      description: Schemas of users.
      type: list
      elements: str
    lineage:
      description: Name of the data, the same on every copy of them.
      type: str
    writable:
      description: Whether it answers and takes writes.
      type: bool
    virgin:
      description: Whether it holds nothing that anybody could miss.
      type: bool
newer_files:
  description: Those of O(config_files) that the running server has not read yet.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.login import LOGIN_OPTIONS, endpoint_here
from ansible_collections.tandem.lemp.plugins.module_utils.server import look


def newer(files: list[str], started: float) -> list[str]:
    """The files that were written after the server started."""
    if not started:
        return []
    return [path for path in files if os.path.exists(path) and os.stat(path).st_mtime > started]


def main() -> None:
    module = AnsibleModule(
        argument_spec={**LOGIN_OPTIONS, "config_files": {"type": "list", "elements": "path", "default": []}},
        supports_check_mode=True,
    )
    server = look(endpoint_here(module.params), module.params["datadir"])
    module.exit_json(
        changed=False, server=server.as_dict(), newer_files=newer(module.params["config_files"], server.started)
    )


if __name__ == "__main__":
    main()
