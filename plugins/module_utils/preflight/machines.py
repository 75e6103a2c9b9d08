# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machines said about themselves, against what the inventory says about them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, TypeAlias

from . import atlas, ports
from .addresses import SIDES
from .fault import Fault, Nodes, both, listing
from .sites import SYSTEM_ACCOUNTS
from .values import address, any_network, network, number

Machines: TypeAlias = "dict[str, dict[str, Any] | None]"
"""What module preflight_info returned for each node; None for a node that could not be asked."""

SUPPORTED = {"debian": ("12", "13")}
LEAST_PYTHON = (3, 11)
MOST_CLOCK_DIFFERENCE = 2.0
SERVERS = {"mariadb": "mariadb-server", "mysql": "mysql-server"}
LEAST_MEMORY_MB = 900
LEAST_FREE_MB = 1500
HOMES = "/var/lib/tandem/sites/"
"""Below it is the home of each site's user, as role php_fpm makes it."""


def check(nodes: Nodes, machines: Machines) -> Iterator[Fault]:
    """Find the faults of the machines."""
    for node, seen in machines.items():
        if seen is None:
            continue
        variables = nodes.get(node, {})
        yield from _system(node, variables, seen)
        yield from _room(node, variables, seen)
        yield from _interfaces(node, variables, seen)
        yield from _engine(node, variables, seen)
        yield from _accounts(node, variables, seen["homes"])
        yield from ports.check(node, variables, seen["listeners"], seen["atlas_units"])
        yield from atlas.check_machine(node, variables, seen["distribution"])
        for path in seen["files_missing"]:
            yield Fault(node, f"there is no file {path}.", "Put it there first, or correct the variable that names it.")
        yield from _way_in(node, variables, seen)
    known = {node: seen for node, seen in machines.items() if seen is not None}
    yield from _two_machines(known)
    yield from _clocks(known)
    yield from _addresses_in_use(nodes, known)


def advice(machines: Machines) -> Iterator[str]:
    """Say what will take a primary down some night. Not a fault: the pair can be built."""
    for node, seen in machines.items():
        if seen is not None and seen["upgrades_itself"]:
            yield (
                f"{node} installs updates by itself. That restarts the database, which starts closed: of the primary, no page can save anything then. "
                "Switch it off on both (systemctl disable --now apt-daily-upgrade.timer), and use playbooks/rolling_update.yml."
            )


def _system(node: str, variables: dict[str, Any], seen: dict[str, Any]) -> Iterator[Fault]:
    if not seen["root"]:
        yield Fault(node, "Ansible is not root there.", "Set ansible_user: root, or ansible_become: true.")
    if not seen["systemd"]:
        yield Fault(node, "systemd is not running.", "The services of the pair need it as process 1.")
    name, version = seen["distribution"], seen["distribution_version"]
    if version not in SUPPORTED.get(name, ()) and variables.get("tandem_unsupported_ok") is not True:
        supported = listing(f"{key.capitalize()} {value}" for key, values in SUPPORTED.items() for value in values)
        yield Fault(
            node,
            f"it runs {seen['distribution_title'] or 'an unknown system'}; supported are {supported}.",
            "Set tandem_unsupported_ok: true to go on at your own risk.",
        )
    python = tuple(seen["python"][:2])
    if python < LEAST_PYTHON:
        yield Fault(
            node,
            f"its Python is {'.'.join(map(str, python))}.",
            f"Python {'.'.join(map(str, LEAST_PYTHON))} or newer is needed; see ansible_python_interpreter.",
        )


def _room(node: str, variables: dict[str, Any], seen: dict[str, Any]) -> Iterator[Fault]:
    least = number(variables.get("tandem_minimum_memory_mb")) or LEAST_MEMORY_MB
    if seen["memory_mb"] < least:
        yield Fault(
            node,
            f"it has {seen['memory_mb']} MB of memory, fewer than {least}.",
            "Add memory, or set tandem_minimum_memory_mb.",
        )
    least = number(variables.get("tandem_minimum_free_mb")) or LEAST_FREE_MB
    said = set()
    for path, disk in seen["disks"].items():
        if disk["free_mb"] < least and disk["device"] not in said:
            said.add(disk["device"])
            yield Fault(
                node,
                f"{path} has {disk['free_mb']} MB free, fewer than {least}.",
                "Make room, or set tandem_minimum_free_mb.",
            )


def _interfaces(node: str, variables: dict[str, Any], seen: dict[str, Any]) -> Iterator[Fault]:
    present = seen["interfaces"]
    names = [name for name in present if name != "lo"]
    for side in SIDES:
        name = variables.get(f"tandem_{side}_interface")
        own = address(variables.get(f"tandem_{side}_address"))
        if not isinstance(name, str):
            continue
        if name not in present:
            holder = next((found for found in names if str(own) in present[found]["addresses"]), None)
            hint = f"{own} is on {holder}: write that." if holder else f"It has {listing(names)}."
            yield Fault(node, f"tandem_{side}_interface {name} does not exist.", hint)
            continue
        if not present[name]["up"]:
            yield Fault(node, f"interface {name} is down.", "Bring it up, and make it come up at boot.")
        if own is None:
            continue
        prefixes = present[name]["addresses"]
        if str(own) not in prefixes:
            found = listing(prefixes) or "no IPv4 address"
            yield Fault(node, f"tandem_{side}_address {own} is not on {name}, which has {found}.", "Correct either.")
            continue
        home = network(variables.get(f"tandem_{side}_network"))
        if home and own in home and prefixes[str(own)] != home.prefixlen:
            yield Fault(
                node,
                f"{own} has the prefix /{prefixes[str(own)]} on {name}, and tandem_{side}_network is {home}.",
                "Make them equal.",
            )


def _engine(node: str, variables: dict[str, Any], seen: dict[str, Any]) -> Iterator[Fault]:
    engine = variables.get("tandem_database_engine")
    if engine not in SERVERS:
        return
    installed, available = seen["packages_installed"], seen["packages_available"]
    for other, package in SERVERS.items():
        if other != engine and package in installed:
            yield Fault(
                node,
                f"{package} is installed, and tandem_database_engine is {engine}.",
                f"Set it to {other}, or start from a machine without {package}.",
            )
    wanted = SERVERS[engine]
    if wanted not in installed and available is not None and wanted not in available:
        offered = [other for other, package in SERVERS.items() if package in available]
        hint = f"Set tandem_database_engine: {offered[0]}, or add" if offered else "Add"
        yield Fault(
            node,
            f"{seen['distribution_title']} has no package {wanted}.",
            f"{hint} a package source that has it.",
        )


def _accounts(node: str, variables: dict[str, Any], homes: dict[str, str]) -> Iterator[Fault]:
    """An account that is somebody's would get another shell and no password, and its owner could not log in any more."""
    sites = variables.get("tandem_sites")
    for site in sites if isinstance(sites, list) else []:
        user = str(site.get("user")) if isinstance(site, dict) else ""
        if user in homes and user not in SYSTEM_ACCOUNTS and not homes[user].startswith(HOMES):
            yield Fault(
                node,
                f"the account {user} is there already, with the home {homes[user]}: it is no site's.",
                f"Give site {site.get('name', '?')} a user of its own; it is made.",
            )


def _way_in(node: str, variables: dict[str, Any], seen: dict[str, Any]) -> Iterator[Fault]:
    """The firewall must not lock out the machine that sets it."""
    networks = variables.get("tandem_management_networks")
    client = _client(seen["ssh_client"])
    if client is None or not isinstance(networks, list):
        return
    homes = [any_network(item) for item in networks]
    if homes and all(homes) and not any(client in home for home in homes if home):
        yield Fault(
            node,
            f"this ssh session comes from {client}, which is in none of tandem_management_networks.",
            "Add its network, or the firewall would lock you out.",
        )


def _client(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read the address of a client; a link-local one carries its zone: fe80::1%eth0."""
    try:
        return ipaddress.ip_address(value.partition("%")[0] if isinstance(value, str) else "")
    except ValueError:
        return None


def _two_machines(machines: dict[str, dict[str, Any]]) -> Iterator[Fault]:
    users: dict[str, list[str]] = {}
    for node, seen in machines.items():
        if seen["machine"]:
            users.setdefault(seen["machine"], []).append(node)
    for where in users.values():
        if len(where) > 1:
            yield Fault(
                listing(where),
                "they are one machine, or clones: /etc/machine-id is the same.",
                "Correct ansible_host; on a clone run: rm /etc/machine-id; systemd-machine-id-setup.",
            )


def _clocks(machines: dict[str, dict[str, Any]]) -> Iterator[Fault]:
    """Each clock is known within the time the question took: only a certain difference is a fault."""
    ranges = {node: seen["clock_offset"] for node, seen in machines.items() if seen["clock_offset"]}
    if len(ranges) != 2:
        return
    (first, (low, high)), (second, (other_low, other_high)) = ranges.items()
    least = max(low - other_high, other_low - high)
    if least > MOST_CLOCK_DIFFERENCE:
        yield Fault(
            listing(ranges),
            f"their clocks differ by at least {least:.1f} s.",
            f"Set them: {first} is {low:+.1f} s and {second} is {other_low:+.1f} s from the controller's clock.",
        )


def _addresses_in_use(nodes: Nodes, machines: dict[str, dict[str, Any]]) -> Iterator[Fault]:
    """A VIP may be held by the pair itself, and by nobody else. The same for an address of a node."""
    own = {
        interface["mac"] for seen in machines.values() for interface in seen["interfaces"].values() if interface["mac"]
    }
    found: dict[str, set[str]] = {}
    for seen in machines.values():
        for answered, macs in seen["answers"].items():
            found.setdefault(answered, set()).update(mac for mac in macs if mac not in own)
    for side in SIDES:
        for vip in sorted({str(value) for value in both(nodes, f"tandem_{side}_vip").values()}):
            if len(machines) == len(nodes) and found.get(vip):
                yield Fault(
                    "both nodes",
                    f"tandem_{side}_vip {vip} is in use by another machine ({listing(sorted(found[vip]))}).",
                    "Free it, or choose another address.",
                )
