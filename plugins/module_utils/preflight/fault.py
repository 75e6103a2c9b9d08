# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fault: where it is, what was found, what to do about it."""

from __future__ import annotations

from typing import Any, NamedTuple

Nodes = dict[str, dict[str, Any]]
"""The tandem_* variables of each node, and those that fixed.NAMES lists, by the node's name in the inventory. Values that cannot be evaluated are absent."""


class Fault(NamedTuple):
    """A reason to stop, in words for the person who has to mend it."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}"


def listing(values: Any) -> str:
    """Join values for a sentence: a, b and c."""
    words = [str(value) for value in values]
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def both(nodes: Nodes, name: str) -> dict[str, Any]:
    """Return the values one variable has on the nodes that have it."""
    return {node: variables[name] for node, variables in nodes.items() if variables.get(name) not in (None, "")}
