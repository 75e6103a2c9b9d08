#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: address_in_use
short_description: Ask the wire who answers for an IPv4 address
version_added: 0.1.0
description:
  - Sends ARP probes (RFC 5227) from the node and reports the hardware addresses that answer.
  - A probe carries no sender address, so it disturbs nobody, and nothing on the node or on the wire is changed.
  - An address that the node itself holds does not answer. See RV(held_here).
  - Needs nothing but Python and the right to open raw sockets, so it works on a machine on which nothing is installed yet.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
options:
  address:
    description: The IPv4 address to ask for.
    type: str
    required: true
  interface:
    description: The interface on whose network the address would be.
    type: str
    required: true
  wait:
    description: Seconds to wait for answers, over all probes.
    type: float
    default: 0.9
  probes:
    description: How many probes to send.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Make sure that nobody else has the service address
  tandem.lemp.address_in_use:
    address: 192.0.2.100
    interface: eth0
  register: asked
  failed_when: asked is failed or asked.in_use
"""

RETURN = r"""
in_use:
  description: Whether another machine answers for the address.
  returned: success
  type: bool
  sample: false
held_here:
  description: Whether this node itself holds the address, on any interface.
  returned: success
  type: bool
  sample: false
holders:
  description: Hardware addresses of the machines that answer.
  returned: success
  type: list
  elements: str
  sample: ["02:00:5e:10:00:01"]
"""

import ipaddress

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.duplicate_address import ProbeError, find_holders
from ..module_utils.machine import interfaces


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "interface": {"type": "str", "required": True},
            "wait": {"type": "float", "default": 0.9},
            "probes": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        address = str(ipaddress.IPv4Address(wanted["address"]))
    except ValueError:
        module.fail_json(msg=f"{wanted['address']!r} is not an IPv4 address.")
    try:
        found = find_holders([(wanted["interface"], address)], wanted["probes"], wanted["wait"])
    except ProbeError as error:
        module.fail_json(msg=f"Cannot ask for {address}: {error}.")
    holders = sorted(found[address])
    held_here = any(address in link["addresses"] for link in interfaces(module.run_command).values())
    module.exit_json(changed=False, in_use=bool(holders), held_here=held_here, holders=holders)


if __name__ == "__main__":
    main()
