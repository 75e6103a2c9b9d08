# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that mean something only together with another one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.preflight import together

HOME = {"tandem_failback": "when_in_sync", "tandem_preferred": "node-b", "tandem_failover": "automatic", "tandem_outside_reference": "192.0.2.1"}
LOST = "neither tandem_outside_reference nor tandem_witness is set"
PAGE = {"tandem_status_page": "/tandem/", "tandem_tls": "pair", "tandem_status_page_users": ["ops:$6$salt$hash"]}


def faults(**variables: Any) -> list[str]:
    return [str(fault) for fault in together.check({"node-a": variables, "node-b": variables})]


@pytest.mark.parametrize("variables", [{}, HOME, {**HOME, "tandem_failover": "manual"}, PAGE, {"tandem_failback": "never", "tandem_preferred": "node-a"},
                                       {"tandem_failover": "automatic", "tandem_witness": {"driver": "ssh"}}, {"tandem_failover": "manual"}])  # fmt: skip
def test_what_fits_has_no_fault(variables: dict[str, Any]) -> None:
    assert faults(**variables) == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({**HOME, "tandem_failover": "none"}, "tandem_failover is none"),
        ({**HOME, "tandem_failover": None}, "tandem_failover is none"),
        ({**HOME, "tandem_preferred": ""}, "tandem_preferred is not set. Name the node to go back to: node-a and node-b."),
        ({**HOME, "tandem_preferred": "node-c"}, "tandem_preferred is 'node-c', which is no node of the pair."),
        ({"tandem_failback": "never", "tandem_preferred": "node-c"}, "which is no node of the pair"),
        ({"tandem_failover": "automatic"}, LOST),
        ({"tandem_failover": "automatic", "tandem_inside_reference": "198.51.100.1", "tandem_witness": {}}, LOST),
        ({**PAGE, "tandem_status_page": "/tandem"}, "It begins and ends with a slash"),
        ({**PAGE, "tandem_tls": "none"}, "tandem_tls is none"),
        ({**PAGE, "tandem_tls": None}, "tandem_tls is none"),
        ({**PAGE, "tandem_status_page_users": []}, "names nobody"),
        ({**PAGE, "tandem_status_page_users": ["ops:in-clear"]}, "not NAME:HASH"),
        ({"tandem_notifications": [{"type": "sms"}]}, "tandem_notifications[0].type: one of mail, webhook, exec needed."),
        ({"tandem_notifications": [{"type": "webhook", "url": "in-clear"}]}, "tandem_notifications[0].url: "),
    ],
)
def test_what_does_not_fit_is_said_once(variables: dict[str, Any], expected: str) -> None:
    found = faults(**variables)
    assert len(found) == 1
    assert expected in found[0]
    assert "in-clear" not in found[0]


def test_what_only_an_agent_uses_is_worth_a_word_without_one() -> None:
    notified = {"tandem_notifications": [{"type": "exec"}], "tandem_witness": {}}
    assert len(list(together.advice({"node-a": notified}))) == 1
    assert list(together.advice({"node-a": {**notified, "tandem_failover": "manual"}})) == []
    assert list(together.advice({})) == []
