# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness: a machine that is neither of the two, and everything that its driver needs. No message shows a secret."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from .fault import Fault, Nodes, listing
from .names import Resolve, is_address
from .values import did_you_mean, number

# The keys of each driver: those that are needed, and the others.
DRIVERS = {
    "ssh": (("host",), ("port", "user", "host_key")),
    "dns": (("server", "zone", "record", "key_name", "key_secret"), ("port", "algorithm")),
}
ALGORITHMS = ("hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
_HOST_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]{40,}={0,3}( .*)?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_ADDRESSES = ("tandem_outside_address", "tandem_inside_address", "tandem_outside_vip", "tandem_inside_vip")
_LEAST_BYTES = 16


def check(nodes: Nodes, hosts: dict[str, str], witnesses: dict[str, str], resolve: Resolve) -> Iterator[Fault]:
    """hosts, witnesses: where Ansible connects to, by name."""
    given = next((node["tandem_witness"] for node in nodes.values() if node.get("tandem_witness")), None)
    if not isinstance(given, dict):
        return
    for what, remedy in _faults(given, nodes, hosts, witnesses, resolve):
        yield Fault("both nodes", what, remedy)


def _faults(
    given: dict[str, Any], nodes: Nodes, hosts: dict[str, str], witnesses: dict[str, str], resolve: Resolve
) -> Iterator[tuple[str, str]]:
    driver = given.get("driver")
    if driver not in DRIVERS:
        found = "is not set" if driver in (None, "") else f"is {driver!r}, which is not one of its values"
        yield f"tandem_witness.driver {found}.", f"Choose {' or '.join(DRIVERS)}."
        return
    needed, others = DRIVERS[driver]
    for key in given:
        if key not in ("driver", *needed, *others):
            yield f"tandem_witness.{key} is not a key of driver {driver}.", did_you_mean(str(key), [*needed, *others])
    for key in needed:
        if given.get(key) in (None, ""):
            yield f"tandem_witness.{key} is not set.", f"Driver {driver} needs {listing(needed)}; see docs/agent.md."
    port = given.get("port")
    if port is not None and not 1 <= (number(port) or 0) <= 65535:
        yield f"tandem_witness.port is {port!r}.", "It has to be 1 to 65535."
    yield from _ssh(given, witnesses) if driver == "ssh" else _dns(given)
    yield from _third(str(given.get("host" if driver == "ssh" else "server") or ""), nodes, hosts, witnesses if driver == "ssh" else {}, resolve)


def _ssh(given: dict[str, Any], witnesses: dict[str, str]) -> Iterator[tuple[str, str]]:
    key, user = given.get("host_key"), given.get("user")
    if user is not None and not (isinstance(user, str) and _USER.fullmatch(user)):
        yield f"tandem_witness.user is {user!r}, which is not the name of an account.", "Use small letters, digits and dashes."
    if user == "root":
        yield "tandem_witness.user is root.", "Use an account that is good for nothing else, such as tandem-witness."
    if key and not (isinstance(key, str) and _HOST_KEY.fullmatch(key.strip())):
        yield "tandem_witness.host_key is not the public key of a host.", "It is one line of: ssh-keyscan -t ed25519 HOST, without the host."
    if not key and not witnesses:
        yield (
            "tandem_witness.host_key is not set, and group tandem_witness is empty.",
            "Name the key (ssh-keyscan -t ed25519 HOST), or put the witness into that group.",
        )
    if len(witnesses) > 1:
        yield f"group tandem_witness has {len(witnesses)} hosts: {listing(witnesses)}.", "Two witnesses could contradict each other: keep one."


def _dns(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    server = given.get("server")
    if server and not is_address(str(server)):
        yield f"tandem_witness.server is {server!r}, which is not an address.", "Write the address of the zone's primary server: names may not resolve then."
    zone, record = str(given.get("zone") or ""), str(given.get("record") or "")
    for key, value in (("zone", zone), ("record", record), ("key_name", str(given.get("key_name") or ""))):
        if value and not _DOMAIN.fullmatch(value):
            yield f"tandem_witness.{key} is {value!r}, which is not a name in the DNS.", "Use letters, digits, dashes and dots."
    full = record.rstrip(".").lower()
    if record.endswith(".") and zone and full != zone.rstrip(".").lower() and not full.endswith("." + zone.rstrip(".").lower()):
        yield f"tandem_witness.record {record} is not in the zone {zone}.", "Write it without a dot at its end, below the zone."
    algorithm = given.get("algorithm")
    if algorithm is not None and algorithm not in ALGORITHMS:
        yield f"tandem_witness.algorithm is {algorithm!r}.", did_you_mean(str(algorithm), ALGORITHMS)
    secret = given.get("key_secret")
    if secret and not _is_secret(secret):
        what = f"tandem_witness.key_secret is not {_LEAST_BYTES} or more bytes in base64."
        yield what, "Make one with: tsig-keygen -a hmac-sha256 NAME, and keep it in an encrypted secrets.yml."


def _third(host: str, nodes: Nodes, hosts: dict[str, str], witnesses: dict[str, str], resolve: Resolve) -> Iterator[tuple[str, str]]:
    """A witness that dies with a node is none."""
    of_node: dict[str, str] = {}
    for node, variables in nodes.items():
        of_node[node.lower()] = node
        for name in _ADDRESSES:
            if isinstance(variables.get(name), str):
                of_node[variables[name]] = node if name.endswith("_address") else "an address that moves"
        connected = hosts.get(node, node)
        for found in [connected.lower(), *([] if is_address(connected) else resolve(connected))]:
            of_node.setdefault(found, node)
    places = [host.lower(), *([] if is_address(host) or not host else resolve(host))]
    same = next((of_node[place] for place in places if place in of_node), None) or next((each for each in witnesses if each in nodes), None)
    loopback = any(is_address(place) and ipaddress.ip_address(place).is_loopback for place in places)
    if same or loopback:
        whose = "the node itself" if loopback else same
        yield f"the witness is {whose}: with it, it would be lost.", "Use a third machine that shares neither power nor network with one node alone."


def _is_secret(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(base64.b64decode(value, validate=True)) >= _LEAST_BYTES
    except (binascii.Error, ValueError):
        return False
