# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two observed nodes seen together. A node that could not be asked is unknown, not down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

NETWORKS = ("outside", "inside")


@dataclass(frozen=True)
class Node:
    """What one node was seen to be. seen is None when it could not be asked."""

    name: str
    seen: Mapping[str, Any] | None
    reason: str = ""

    @property
    def said(self) -> Mapping[str, Any]:
        """What the node's health daemon says; empty when it is silent."""
        return (self.seen or {}).get("health", {}).get("said") or {}

    @property
    def database(self) -> Mapping[str, Any]:
        return self.said.get("database") or {}

    @property
    def role(self) -> str | None:
        """primary, replica, or None for unknown."""
        return self.database.get("role")

    @property
    def replication(self) -> Mapping[str, Any] | None:
        return self.database.get("replication")

    @property
    def fences(self) -> Mapping[str, bool]:
        """By what a person keeps applications from writing here, and what of that had been open. What a restore holds is none of them."""
        return {driver: was_open for driver, was_open in ((self.seen or {}).get("fences") or {}).items() if driver != "restore"}

    def holds(self, network: str) -> bool | None:
        """Whether the node holds the VIP of a network; None for unknown."""
        return None if self.seen is None else bool(self.seen["addresses"].get(network))

    def service(self, name: str) -> str | None:
        return None if self.seen is None else self.seen["services"].get(name)


@dataclass(frozen=True)
class Pair:
    """Both nodes, and the names of their addresses."""

    nodes: tuple[Node, ...]
    vips: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    expected: frozenset[str] = frozenset()
    files_interval: float = 15

    def holders(self, network: str) -> list[Node]:
        return [node for node in self.nodes if node.holds(network)]

    def unknown(self) -> list[Node]:
        return [node for node in self.nodes if node.seen is None]

    def primaries(self) -> list[Node]:
        return [node for node in self.nodes if node.role == "primary"]

    def name_of(self, address: str | None) -> str:
        """Name the node that an address, with or without a port, belongs to."""
        host = (address or "").rpartition(":")[0] if (address or "").count(":") == 1 else address or ""
        return self.names.get(host, address or "unknown")


def one(nodes: Iterable[Node]) -> str | None:
    """Return the name of the only node, or None when there is none or more than one."""
    found = [node.name for node in nodes]
    return found[0] if len(found) == 1 else None
