# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: those of the nodes, and those that have to lead somewhere. Who resolves is passed in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from .fault import Fault, Nodes, both, listing

Resolve = Callable[[str], list[str]]
"""Returns the addresses of a name, none when it has none."""

_NODE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE)


def check(nodes: Nodes, hosts: dict[str, str], resolve: Resolve) -> Iterator[Fault]:
    """Find the faults of names. hosts is where Ansible connects to, by node."""
    for node in nodes:
        if not _NODE.fullmatch(node):
            yield Fault(node, "this is not a host name.", "Use letters, digits and dashes: it goes into /etc/hosts.")
    used: dict[str, list[str]] = {}
    for node, host in hosts.items():
        found = [host] if is_address(host) else resolve(host)
        if not found:
            yield Fault(node, f"the name {host} does not resolve.", "Set ansible_host to its address.")
        for address in found[:1]:
            used.setdefault(address, []).append(node)
    for address, where in used.items():
        if len(where) > 1 and not ipaddress.ip_address(address).is_loopback:
            yield Fault(listing(where), f"Ansible would reach both at {address}.", "Correct ansible_host.")
    vips = {str(value): name for name in _VIPS for value in both(nodes, name).values()}
    for node, host in hosts.items():
        if host in vips:
            yield Fault(node, f"ansible_host is {vips[host]}, which moves.", "Use an address that stays.")


_VIPS = ("tandem_outside_vip", "tandem_inside_vip")


def is_address(text: str) -> bool:
    """Is it an address, and no name?"""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def advice(nodes: Nodes, resolve: Resolve) -> Iterator[str]:
    """Say which site names do not lead to the outside VIP yet. Not a fault: DNS often follows when the pair works."""
    for variables in nodes.values():
        sites, vip = variables.get("tandem_sites"), variables.get("tandem_outside_vip")
        for site in sites if isinstance(sites, list) else []:
            names = site.get("server_names") if isinstance(site, dict) else None
            for name in names if isinstance(names, list) else []:
                if not isinstance(name, str) or "." not in name or name.startswith("*"):
                    continue
                found = resolve(name)
                if vip not in found:
                    leads = f"leads to {listing(found)}" if found else "has no address"
                    yield f"{name} {leads}; visitors will find the site once it leads to {vip}."
        return
