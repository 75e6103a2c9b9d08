# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is broken on purpose unless the pair can mend it."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.drill.gates import broken, missing
from ansible_collections.tandem.lemp.plugins.module_utils.drill.rows import check_name
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused

WHOLE: dict[str, t.Any] = {
    "time": 1000.0,
    "severity": 0,
    "agent": {"state": "primary", "policy": {"failover": "automatic"}, "alarms": [], "operation": None, "paused_until": None, "cooldown_until": None},
    "peer": {"alive": True, "severity": 0, "down": [], "agent": {"state": "replica", "in_step": True, "paused_until": 0.0}},
}


def but(path: str, value: object) -> dict[str, t.Any]:
    seen = copy.deepcopy(WHOLE)
    *parents, last = path.split(".")
    place = seen
    for parent in parents:
        place = place[parent]
    place[last] = value
    return seen


def test_a_whole_pair_has_nothing_against_it() -> None:
    assert missing(WHOLE) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("agent", None),
        ("agent.state", "primary alone"),
        ("agent.state", "replica"),
        ("agent.policy", {"failover": "manual"}),
        ("agent.alarms", ["alone"]),
        ("agent.operation", {"action": "rejoin"}),
        ("agent.paused_until", 2000.0),
        ("severity", 1),
        ("peer", {}),
        ("peer.alive", False),
        ("peer.severity", 2),
        ("peer.severity", None),
        ("peer.agent", None),
        ("peer.agent.state", "rejoining"),
        ("peer.agent.in_step", False),
        ("peer.agent.paused_until", 2000.0),
    ],
)
def test_anything_else_has(path: str, value: object) -> None:
    assert broken(but(path, value))


def test_a_cool_down_breaks_nothing_but_forbids_a_drill() -> None:
    seen = but("agent.cooldown_until", 1600.0)
    assert broken(seen) == []
    assert missing(seen)


@pytest.mark.parametrize("run", ["", "a-b", "%", "A", "x" * 17])
def test_the_name_of_a_drill_is_no_pattern(run: str) -> None:
    with pytest.raises(Refused):
        check_name(run)
