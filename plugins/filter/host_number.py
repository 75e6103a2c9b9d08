# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The number of an address in its network: short, stable, and distinct on every machine of it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_number
author: The tandem.lemp developers (@tandem-lemp)
version_added: 0.1.0
short_description: Number of an address within its network
description:
  - 192.0.2.11 in 192.0.2.0/24 is 11. Serves as server_id of a database, which must be distinct within a pair.
options:
  _input:
    description: An address.
    type: str
    required: true
  network:
    description: The network that it is in.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Number the servers
  ansible.builtin.debug:
    msg: "{{ '192.0.2.11' | tandem.lemp.host_number('192.0.2.0/24') }}"
"""

RETURN = r"""
_value:
  description: The number, from 1 to 4294967295.
  type: int
"""

import ipaddress
import typing as t

from ansible.errors import AnsibleFilterError

_LAST = 2**32 - 1


def host_number(address: t.Any, network: t.Any) -> int:
    """How far an address is from the beginning of its network."""
    try:
        ip, net = ipaddress.ip_address(str(address)), ipaddress.ip_network(str(network), strict=False)
    except ValueError as error:
        raise AnsibleFilterError(f"host_number: {error}") from error
    if ip not in net:
        raise AnsibleFilterError(f"host_number: {ip} is not in {net}.")
    # Of a very large network (IPv6) the low 32 bits are what is left to tell machines apart.
    return (int(ip) - int(net.network_address)) & _LAST or _LAST


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"host_number": host_number}
