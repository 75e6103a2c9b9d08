#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_info
short_description: Say what a machine is before anything is installed on it
version_added: 0.1.0
description:
  - Gathers in one round trip what M(tandem.lemp.inventory_check) judges. Distribution, Python, memory, free space, interfaces,
    packages, accounts, clock, who listens on which port, files that are missing, and which machines answer for the addresses that are to move.
  - Changes nothing, and needs nothing that a fresh machine lacks.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
options:
  questions:
    description:
      - Addresses to ask for on the wire, see M(tandem.lemp.address_in_use).
      - An entry that names an interface the machine lacks, or no valid address, is passed over; judging it is not this module's part.
    type: list
    elements: dict
    default: []
    suboptions:
      interface:
        description: The interface to ask on.
        type: str
        required: true
      address:
        description: The address to ask for.
        type: str
        required: true
  disks:
    description: Paths whose file system is measured. A path need not exist yet.
    type: list
    elements: str
    default: [/, /var/lib/mysql]
  packages:
    description: Packages of which to say whether they are installed, or can be.
    type: list
    elements: str
    default: [mariadb-server, mysql-server]
  files:
    description: Files of which to say whether they are missing.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look at the machine
  tandem.lemp.preflight_info:
    questions:
      - interface: eth0
        address: 192.0.2.100
  register: preflight_observed
"""

RETURN = r"""
machine:
  description: What was found.
  returned: success
  type: dict
  sample:
    distribution: debian
    distribution_version: "12"
    memory_mb: 2048
"""

import ipaddress
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.duplicate_address import ProbeError, find_holders
from ..module_utils.machine import describe


def answers(questions: list[dict[str, str]], interfaces: dict[str, Any]) -> dict[str, list[str]]:
    """Ask for each address that can be asked for."""
    wanted = []
    for question in questions:
        try:
            address = str(ipaddress.IPv4Address(question["address"]))
        except ValueError:
            continue
        if interfaces.get(question["interface"], {}).get("up"):
            wanted.append((question["interface"], address))
    return {address: sorted(macs) for address, macs in find_holders(wanted).items()}


def main() -> None:
    question = {"interface": {"type": "str", "required": True}, "address": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "questions": {"type": "list", "elements": "dict", "default": [], "options": question},
            "disks": {"type": "list", "elements": "str", "default": ["/", "/var/lib/mysql"]},
            "packages": {"type": "list", "elements": "str", "default": ["mariadb-server", "mysql-server"]},
            "files": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )

    def run(command: list[str]) -> tuple[int, str, str]:
        code, out, err = module.run_command(command, environ_update={"LC_ALL": "C"}, handle_exceptions=False)
        return code, out, err

    def run_if_present(command: list[str]) -> tuple[int, str, str]:
        try:
            return run(command)
        except OSError as error:
            return 127, "", str(error)

    found = describe(run_if_present, module.params["disks"], module.params["packages"], module.params["files"])
    try:
        found["answers"] = answers(module.params["questions"], found["interfaces"])
    except ProbeError as error:
        found["answers"] = {}
        module.warn(f"Nobody was asked who has the addresses that are to move: {error}.")
    module.exit_json(changed=False, machine=found, clock=time.time())


if __name__ == "__main__":
    main()
