#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: See how one node of the pair is
version_added: 0.1.0
description:
  - Gathers in one round trip the addresses that the node holds, its services, what its health service says (with role and replication
    of the database), where its SQL proxy leads, whether its web server answers, the last runs of its file jobs, and its disks.
  - Changes nothing. A part that does not answer is reported as such and is no failure.
  - M(tandem.lemp.report) draws what was found on both nodes.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
options:
  vips:
    description: The addresses that move, by the name of their network.
    type: dict
    default: {}
  health_port:
    description: Port of the health service on 127.0.0.1.
    type: int
    default: 9200
  web_path:
    description: What to ask the web server for.
    type: str
    default: /healthz
  proxy_socket:
    description: The socket of HAProxy.
    type: path
    default: /run/haproxy/admin.sock
  atlas:
    description: The admin port of this node's Atlas. Without it, none is asked.
    type: dict
    suboptions:
      host:
        description: Its address.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 2345
      user:
        description: The administrator.
        type: str
        required: true
      password:
        description: The administrator's password.
        type: str
        required: true
  file_state:
    description: Directory with one file per file job, named after it, in which the job leaves the result of its last run.
    type: path
    default: /run/tandem/file_sync
  disks:
    description: Paths whose file system is measured.
    type: list
    elements: str
    default: [/, /var/lib/mysql]
notes:
  - Runs as root, because the socket of HAProxy is open to nobody else.
"""

EXAMPLES = r"""
- name: Look at the node
  tandem.lemp.node_info:
    vips:
      outside: 192.0.2.100
      inside: 198.51.100.100
  register: node_observed
"""

RETURN = r"""
node:
  description: What was found.
  returned: success
  type: dict
  contains:
    addresses:
      description: Whether the node holds each VIP.
      type: dict
      sample: {outside: true, inside: true}
    services:
      description: The state of each service; V(absent) when it is not installed.
      type: dict
      sample: {nginx: active, keepalived: active}
    health:
      description: What the health service says under C(said), or null there, with a reason.
      type: dict
    proxy:
      description: The state of each server of each backend of HAProxy; null when it does not answer.
      type: dict
    atlas:
      description: The backends of Atlas and their states, or the reason why it does not say; null where none is asked.
      type: dict
    fences:
      description: The drivers by which a person has fenced the node, and whether the database was open before.
      type: dict
      sample: {atlas: false, read_only: true}
    web:
      description: Whether the web server answers, and how fast.
      type: dict
    files:
      description: The last run of each file job.
      type: list
      elements: dict
    disks:
      description: The file system of each path.
      type: dict
    time:
      description: The node's clock.
      type: float
    uptime:
      description: Seconds since the node started.
      type: float
    load:
      description: Load of the last minute.
      type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.atlas.wire import Endpoint
from ..module_utils.status.observe import node


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "vips": {"type": "dict", "default": {}},
            "health_port": {"type": "int", "default": 9200},
            "web_path": {"type": "str", "default": "/healthz"},
            "proxy_socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
            "atlas": {
                "type": "dict",
                "options": {
                    "host": {"type": "str", "required": True},
                    "port": {"type": "int", "default": 2345},
                    "user": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "file_state": {"type": "path", "default": "/run/tandem/file_sync"},
            "disks": {"type": "list", "elements": "str", "default": ["/", "/var/lib/mysql"]},
        },
        supports_check_mode=True,
    )

    def run(command: list[str]) -> tuple[int, str, str]:
        try:
            code, out, err = module.run_command(command, environ_update={"LC_ALL": "C"}, handle_exceptions=False)
        except OSError as error:
            return 127, "", str(error)
        return code, out, err

    asked = module.params["atlas"]
    port = Endpoint(asked["host"], asked["port"], asked["user"], asked["password"], timeout=3) if asked else None
    module.exit_json(changed=False, node=node(run, {**module.params, "atlas": port}))


if __name__ == "__main__":
    main()
