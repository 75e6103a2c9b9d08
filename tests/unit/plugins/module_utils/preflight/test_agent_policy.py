# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tandem_agent_policy: a wrong word in it would keep both agents from starting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy
from ansible_collections.tandem.lemp.plugins.module_utils.preflight import agent_policy

ROOT = Path(__file__).resolve().parents[5]


def faults(policy: Any) -> list[str]:
    return [str(fault) for fault in agent_policy.check({node: {"tandem_agent_policy": policy} for node in ("node-a", "node-b")})]


def test_nothing_set_and_what_the_agent_takes_have_no_fault() -> None:
    given = {"boot_alone": 300, "stall_failover": True, "stall_patience": 20.5}
    assert faults(given) == faults({}) == faults(None) == faults({"boot_alone": None}) == []
    assert Policy("a", "b", **given).boot_alone == 300


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"bootalone": 300}, "tandem_agent_policy has no setting bootalone. Did you mean boot_alone?"),
        ({"name": "x", "other": 1}, "tandem_agent_policy has no setting name and other. It has alone_on_evidence, "),
        ({"failover": "automatic"}, "tandem_agent_policy.failover is set elsewhere. Set tandem_failover instead."),
        ({"tick": 1}, "Set health_interval instead."),
        ({"stall_failover": "yes"}, "tandem_agent_policy.stall_failover is 'yes'. Write true or false"),
        ({"boot_alone": "300"}, "tandem_agent_policy.boot_alone is '300'. Write seconds"),
        ({"cooldown": True}, "tandem_agent_policy.cooldown is True. Write seconds"),
        ({"lease": 0}, "tandem_agent_policy.lease is 0. Write seconds"),
        ({"promote_after": 0.5}, "tandem_agent_policy: promote_after is 0.5 s:"),
    ],
)
def test_what_the_agent_would_refuse_is_said_once(policy: dict[str, Any], expected: str) -> None:
    (told,) = faults(policy)
    assert expected in told


def test_the_playbook_passes_it_on() -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "sql_proxy.yml").read_text(encoding="utf-8"))
    (role,) = (role for role in plays[0]["roles"] if role["role"] == "tandem.lemp.health")
    assert role["vars"]["health_agent_policy"].startswith("{{ tandem_agent_policy | default({}, true)")


@pytest.mark.parametrize("name", agent_policy.KEYS)
def test_each_setting_is_in_the_document(name: str) -> None:
    assert f"| `{name}` | " in (ROOT / "docs" / "agent-states.md").read_text(encoding="utf-8")
