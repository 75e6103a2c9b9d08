# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of a list of packet filter rules, and whether they would lock Ansible out."""

from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_faults
author: The tandem.lemp developers
version_added: 0.1.0
short_description: Say what is wrong with a list of packet filter rules
description:
  - Checks protocols, ports and source addresses.
  - Checks that the present ssh connection could be made again under these rules.
options:
  _input:
    description: The rules as role C(tandem.lemp.firewall) takes them.
    type: list
    elements: dict
    required: true
  ssh_connection:
    description: Value of E(SSH_CONNECTION) on the node. Empty when Ansible came another way.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Refuse wrong rules
  ansible.builtin.assert:
    that: rules | tandem.lemp.firewall_faults(ssh_connection='198.51.100.7 50022 192.0.2.11 22') | length == 0
"""

RETURN = r"""
_value:
  description: One sentence per fault.
  type: list
  elements: str
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_WITH_PORTS = ("tcp", "udp")
_PROTOCOLS = (*_WITH_PORTS, "vrrp", "any")
_NAME = re.compile(r"[A-Za-z0-9 ._,:/()-]{1,100}")


def _port_range(port: Any) -> tuple[int, int]:
    """First and last port of 80, "80" or "9000-9010"; ValueError when it is none."""
    first, dash, last = str(port).partition("-")
    low, high = int(first), int(last) if dash else int(first)
    if not 0 < low <= high < 65536:
        raise ValueError(port)
    return low, high


def _networks(rule: Mapping[str, Any]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(source) for source in rule.get("sources") or []]


def _rule_faults(rule: Mapping[str, Any]) -> Iterator[str]:
    name = str(rule.get("name", ""))
    if not _NAME.fullmatch(name):
        yield f"Firewall rule {name!r} needs a name of plain letters, digits and spaces, at most 100 of them."
    protocol = rule.get("protocol")
    if protocol not in _PROTOCOLS:
        yield f"Firewall rule '{name}' has the protocol {protocol!r}; it must be one of {', '.join(_PROTOCOLS)}."
    ports = rule.get("ports") or []
    if protocol in _WITH_PORTS and not ports:
        yield f"Firewall rule '{name}' names no port; give ports, or protocol any."
    if protocol not in _WITH_PORTS and ports:
        yield f"Firewall rule '{name}' has ports, which {protocol} has not."
    for port in ports:
        try:
            _port_range(port)
        except ValueError:
            yield f"Firewall rule '{name}' has the port {port!r}; give 1 to 65535 or a range as 9000-9010."
    for source in rule.get("sources") or []:
        try:
            ipaddress.ip_network(source)
        except ValueError as error:
            yield f"Firewall rule '{name}' has the source {source!r}: {error}."


def _admits(rule: Mapping[str, Any], client: str, port: int) -> bool:
    # A rule bound to an interface is no proof: which one the client comes by is not known here.
    if rule.get("interface") or rule["protocol"] not in ("tcp", "any"):
        return False
    if rule["protocol"] == "tcp" and not any(low <= port <= high for low, high in map(_port_range, rule["ports"])):
        return False
    # A link-local client carries its zone: fe80::1%eth0.
    address = ipaddress.ip_address(client.partition("%")[0])
    networks = _networks(rule)
    return not networks or any(address in network for network in networks)


def firewall_faults(rules: Iterable[Mapping[str, Any]], ssh_connection: str = "") -> list[str]:
    """One sentence for each fault of the rules."""
    rules = list(rules)
    faults = [fault for rule in rules for fault in _rule_faults(rule)]
    parts = ssh_connection.split()
    if faults or len(parts) != 4:
        return faults
    client, port = parts[0], int(parts[3])
    if not any(_admits(rule, client, port) for rule in rules):
        faults.append(
            f"These rules would cut the ssh connection that Ansible uses now: it comes from {client} to port {port}, "
            "which no rule admits. Add its network to tandem_management_networks; firewall_ssh_sources, where the role is used by itself."
        )
    return faults


class FilterModule:
    """Filters of the firewall role."""

    def filters(self) -> dict[str, Any]:
        return {"firewall_faults": firewall_faults}
