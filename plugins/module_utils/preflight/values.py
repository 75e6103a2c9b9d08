# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each variable by itself: is it known, is it there, is its value of the right kind, is it the same on both nodes?"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Any

from .fault import Fault, Nodes, both, listing
from .variables import FREE_PREFIXES, KNOWN, VARIABLES, Kind, Variable

Unreadable = dict[str, dict[str, str]]
"""Why a variable of a node cannot be evaluated, by node and variable."""

_INTERFACE = re.compile(r"[^\s/]{1,15}")


def address(value: Any) -> ipaddress.IPv4Address | None:
    """Read an IPv4 address, or return None."""
    if not isinstance(value, str):
        return None
    try:
        return ipaddress.IPv4Address(value)
    except ValueError:
        return None


def network(value: Any) -> ipaddress.IPv4Network | None:
    """Read an IPv4 network whose host bits are zero, or return None."""
    if not isinstance(value, str) or "/" not in value:
        return None
    try:
        return ipaddress.IPv4Network(value)
    except ValueError:
        return None


def any_network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Read a network of either family whose host bits are zero, or return None."""
    if not isinstance(value, str) or "/" not in value:
        return None
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        return None


def number(value: Any) -> int | None:
    """Read a whole number, or return None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
        return int(value)
    return None


def check(nodes: Nodes, unreadable: Unreadable) -> Iterator[Fault]:
    """Find the faults of single variables."""
    yield from _unreadable(nodes, unreadable)
    yield from _unknown(nodes, unreadable)
    for variable in VARIABLES:
        readable = [node for node in nodes if variable.name not in unreadable.get(node, {})]
        yield from _absent(nodes, variable, readable)
        values = both(nodes, variable.name)
        wrong = {node: reason for node, value in values.items() if (reason := _wrong(variable, value))}
        yield from _grouped(wrong, len(nodes))
        if not wrong and not variable.may_differ and len(set(map(repr, values.values()))) > 1:
            shown = "" if variable.kind in (Kind.SECRET, Kind.MAPPING) else f": {listing(values.values())}"
            yield Fault(
                "both nodes",
                f"{variable.name} differs between {listing(values)}{shown}.",
                "Set it once, in group_vars.",
            )


def _unreadable(nodes: Nodes, unreadable: Unreadable) -> Iterator[Fault]:
    by_variable: dict[tuple[str, str], list[str]] = {}
    for node, reasons in unreadable.items():
        for name, reason in reasons.items():
            by_variable.setdefault((name, reason), []).append(node)
    for (name, reason), where in by_variable.items():
        yield Fault(
            _where(where, nodes), f"{name} cannot be evaluated: {reason}.", "Correct the expression in the inventory."
        )


def _where(some: list[str], nodes: Nodes) -> str:
    return "both nodes" if len(some) == len(nodes) == 2 else listing(some)


def _unknown(nodes: Nodes, unreadable: Unreadable) -> Iterator[Fault]:
    found: dict[str, list[str]] = {}
    for node, variables in nodes.items():
        for name in sorted({*variables, *unreadable.get(node, {})}):
            if name.startswith("tandem_") and name not in KNOWN and not name.startswith(FREE_PREFIXES):
                found.setdefault(name, []).append(node)
    for name, where in found.items():
        yield Fault(_where(where, nodes), f"{name} is not a variable of this collection.", did_you_mean(name, KNOWN))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the most similar of the known words, or say what to do without one."""
    similar = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"Did you mean {similar[0]}?" if similar else "Remove it, or see docs/variables.md for the known ones."


def _absent(nodes: Nodes, variable: Variable, readable: list[str]) -> Iterator[Fault]:
    if not variable.required:
        return
    missing = [node for node in readable if nodes[node].get(variable.name) in (None, "", [])]
    if not missing:
        return
    where = _where(missing, nodes)
    file = "hosts.yml for each node" if variable.per_host else "the group_vars of the pair"
    hint = f" It is one of {listing(variable.choices)}." if variable.choices else ""
    yield Fault(where, f"{variable.name} is not set.", f"{variable.text} Set it in {file}.{hint}")


def _grouped(wrong: dict[str, tuple[str, str]], count: int) -> Iterator[Fault]:
    """Say a fault that both nodes share once."""
    shared = set(wrong.values())
    if len(wrong) == count > 1 and len(shared) == 1:
        for what, remedy in shared:
            yield Fault("both nodes", what, remedy)
        return
    for node, (what, remedy) in wrong.items():
        yield Fault(node, what, remedy)


def _wrong(variable: Variable, value: Any) -> tuple[str, str] | None:
    name, kind = variable.name, variable.kind
    if kind is Kind.CHOICE:
        return _wrong_choice(variable, value)
    if kind is Kind.NUMBER:
        return _wrong_number(variable, value)
    if kind is Kind.ADDRESS and address(value) is None:
        return f"{name} is {value!r}, which is not an IPv4 address.", "Write it as four numbers, such as 192.0.2.10."
    if kind is Kind.ADDRESSES and not (isinstance(value, list) and all(map(_any_address, value))):
        return f"{name} is {value!r}, which is not a list of addresses.", "Write one address per line."
    if kind is Kind.NETWORK and network(value) is None:
        return _wrong_network(name, value)
    if kind is Kind.NETWORKS:
        if not isinstance(value, list):
            return f"{name} is {value!r}, which is not a list.", "Write it as a list of networks."
        return next((_wrong_network(name, item, any_family=True) for item in value if any_network(item) is None), None)
    if kind is Kind.INTERFACE and not (isinstance(value, str) and _INTERFACE.fullmatch(value)):
        return f"{name} is {value!r}, which is not the name of an interface.", "Look it up with: ip -brief address."
    if kind is Kind.YESNO and not isinstance(value, bool):
        return f"{name} is {value!r}.", "Write true or false, without quotes."
    if kind in (Kind.DIRECTORY, Kind.FILE) and not (isinstance(value, str) and value.startswith("/")):
        return f"{name} is {value!r}, which is not an absolute path.", "Start it with / or with {{ inventory_dir }}."
    if kind is Kind.HOSTS:
        return _wrong_hosts(name, value)
    if kind is Kind.MAPPING and not isinstance(value, dict):
        return f"{name} is not a mapping.", "Write one key and its value per line, indented below it."
    if kind is Kind.LIST and not isinstance(value, list):
        return f"{name} is {value!r}, which is not a list.", "Write one entry with a leading dash per line."
    return None


def _any_address(value: Any) -> bool:
    try:
        ipaddress.ip_interface(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def _wrong_choice(variable: Variable, value: Any) -> tuple[str, str] | None:
    if value in variable.choices:
        return None
    if value in variable.later:
        return (
            f"{variable.name} is {value!r}, which is not available in this version.",
            f"Choose {' or '.join(variable.choices)}.",
        )
    near = difflib.get_close_matches(str(value), variable.choices, n=1)
    return (
        f"{variable.name} is {value!r}, which is not one of its values.",
        f"Did you mean {near[0]}?" if near else f"Choose {' or '.join(variable.choices)}.",
    )


def _wrong_number(variable: Variable, value: Any) -> tuple[str, str] | None:
    found = number(value)
    if found is None:
        return f"{variable.name} is {value!r}, which is not a whole number.", "Write digits only."
    if isinstance(value, str):
        # The roles compare and count with it, and texts have another order: '99' comes after '101'.
        return f"{variable.name} is {value!r}, which is a text.", "Write the number without quotes; on the command line, -e '{\"NAME\": 15}'."
    if found < variable.least or (variable.most and found > variable.most):
        upper = f" to {variable.most}" if variable.most else " or more"
        return f"{variable.name} is {found}.", f"It has to be {variable.least}{upper}."
    return None


def _wrong_network(name: str, value: Any, any_family: bool = False) -> tuple[str, str]:
    read = ipaddress.ip_interface if any_family else ipaddress.IPv4Interface
    try:
        loose = read(value).network if isinstance(value, str) and "/" in value else None
    except ValueError:
        loose = None
    what = f"{name} is {value!r}, which is not {'a' if any_family else 'an IPv4'} network."
    example = "192.0.2.0/24 or 2001:db8::/32" if any_family else "192.0.2.0/24"
    return what, f"Did you mean {loose}?" if loose else f"Write it as address/prefix, such as {example}."


def _wrong_hosts(name: str, value: Any) -> tuple[str, str] | None:
    example = "Write a list of entries with a name and an address."
    if not isinstance(value, list):
        return f"{name} is not a list.", example
    for entry in value:
        if not isinstance(entry, dict) or not entry.get("name") or address(entry.get("address")) is None:
            return f"{name} holds {entry!r}, which lacks a name or a valid address.", example
    return None
