# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tandem_agent_policy: as the agent would read it. One wrong word, and no agent would start."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ..agent.policy import Policy
from .fault import Fault, Nodes, listing
from .values import did_you_mean

ELSEWHERE = {
    "failover": "tandem_failover",
    "failback": "tandem_failback",
    "preferred": "tandem_preferred",
    "witness": "tandem_witness",
    "driver": "tandem_witness",
    "gateway": "tandem_outside_reference",
    "tick": "health_interval",
}
"""Settings of the agent that have a variable of their own."""

KEYS = tuple(field.name for field in dataclasses.fields(Policy) if field.name not in ("name", "peer", *ELSEWHERE))
_DEFAULT = {field.name: field.default for field in dataclasses.fields(Policy)}
_MAY_BE_NONE = ("boot_alone",)


def check(nodes: Nodes) -> Iterator[Fault]:
    """Find what the agent would refuse. Both nodes have the same values: the first one's are judged."""
    for variables in list(nodes.values())[:1]:
        given = variables.get("tandem_agent_policy")
        if not isinstance(given, dict):
            return
        wrong = list(_keys(given))
        for what, remedy in wrong or _together(given):
            yield Fault("both nodes", what, remedy)


def _keys(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    unknown = [str(key) for key in given if key not in KEYS and key not in ELSEWHERE]
    if unknown:
        what = f"tandem_agent_policy has no setting {listing(unknown)}."
        yield what, did_you_mean(unknown[0], KEYS) if len(unknown) == 1 else f"It has {listing(KEYS)}."
    for key, value in given.items():
        name = f"tandem_agent_policy.{key}"
        if key in ELSEWHERE:
            yield f"{name} is set elsewhere.", f"Set {ELSEWHERE[key]} instead."
        elif key in KEYS and isinstance(_DEFAULT[key], bool):
            if not isinstance(value, bool):
                yield f"{name} is {value!r}.", "Write true or false, without quotes."
        elif key in KEYS and not (value is None and key in _MAY_BE_NONE) and not _is_time(value):
            yield f"{name} is {value!r}.", "Write seconds, as a number above 0 without quotes."


def _together(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        Policy(name="a", peer="b", **given)
    except ValueError as error:
        yield f"tandem_agent_policy: {error}", "See docs/agent-states.md#times, and change one of them."


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
