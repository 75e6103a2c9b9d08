# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and networks seen together: inside their network, distinct, no overlap."""

from __future__ import annotations

from collections.abc import Iterator

from .fault import Fault, Nodes, both, listing
from .values import address, network, number

SIDES = ("outside", "inside")


def check(nodes: Nodes) -> Iterator[Fault]:
    """Find the faults between addresses, networks, priorities and router ids."""
    for side in SIDES:
        yield from _in_network(nodes, side)
    yield from _distinct(nodes)
    yield from _overlap(nodes)
    yield from _different_numbers(nodes)
    yield from _interfaces(nodes)


def _in_network(nodes: Nodes, side: str) -> Iterator[Fault]:
    """Each address has to be a host address of the network of its side. What both nodes share is said once."""
    said = set()
    for node, variables in nodes.items():
        home = network(variables.get(f"tandem_{side}_network"))
        if home is None:
            continue
        for part in ("address", "vip", "reference"):
            name = f"tandem_{side}_{part}"
            found = address(variables.get(name))
            if found is None or (name, found) in said:
                continue
            said.add((name, found))
            where = node if part == "address" else "both nodes"
            if found not in home:
                yield Fault(where, f"{name} {found} is not in {home}.", f"Correct it, or tandem_{side}_network.")
            elif home.prefixlen < 31 and found == home.network_address:
                yield Fault(where, f"{name} {found} is the network address of {home}.", "Choose a host address.")
            elif home.prefixlen < 31 and found == home.broadcast_address:
                yield Fault(where, f"{name} {found} is the broadcast address of {home}.", "Choose a host address.")


def _distinct(nodes: Nodes) -> Iterator[Fault]:
    """No address may have two uses. A VIP is one use however many nodes name it."""
    uses: dict[str, list[str]] = {}
    for node, variables in nodes.items():
        for side in SIDES:
            for part in ("address", "vip", "reference"):
                name = f"tandem_{side}_{part}"
                found = address(variables.get(name))
                if found is None:
                    continue
                use = f"{name} of {node}" if part == "address" else name
                if use not in uses.setdefault(str(found), []):
                    uses[str(found)].append(use)
    for found_text, where in uses.items():
        if len(where) > 1:
            yield Fault("both nodes", f"{found_text} is used twice: {listing(where)}.", "Give each its own address.")


def _overlap(nodes: Nodes) -> Iterator[Fault]:
    said = set()
    for variables in nodes.values():
        outside = network(variables.get("tandem_outside_network"))
        inside = network(variables.get("tandem_inside_network"))
        if outside and inside and outside.overlaps(inside) and (outside, inside) not in said:
            said.add((outside, inside))
            yield Fault(
                "both nodes",
                f"the outside network {outside} and the inside network {inside} overlap.",
                "They have to be two networks, on two interfaces.",
            )


def _different_numbers(nodes: Nodes) -> Iterator[Fault]:
    priorities = {node: number(value) for node, value in both(nodes, "tandem_priority").items()}
    if len(priorities) > 1 and len(set(priorities.values())) < len(priorities):
        yield Fault(
            listing(priorities),
            f"tandem_priority is {listing(sorted(set(map(str, priorities.values()))))} on both.",
            "Give the node that should take the addresses first the higher number.",
        )
    said = set()
    for variables in nodes.values():
        ids = [number(variables.get(f"tandem_{side}_router_id")) for side in SIDES]
        if ids[0] is not None and ids[0] == ids[1] and ids[0] not in said:
            said.add(ids[0])
            yield Fault(
                "both nodes",
                f"tandem_outside_router_id and tandem_inside_router_id are both {ids[0]}.",
                "Give each VIP its own router id.",
            )


def _interfaces(nodes: Nodes) -> Iterator[Fault]:
    same = [
        node
        for node, variables in nodes.items()
        if variables.get("tandem_outside_interface")
        and variables.get("tandem_outside_interface") == variables.get("tandem_inside_interface")
    ]
    if same:
        name = nodes[same[0]]["tandem_outside_interface"]
        yield Fault(
            listing(same),
            f"{name} is both the outside and the inside interface.",
            "The pair needs two networks: use two interfaces, or a VLAN on one.",
        )
