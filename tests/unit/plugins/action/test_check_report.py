# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action prints and returns, without a controller around it."""

from __future__ import annotations

import json
from unittest.mock import MagicMock

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.tandem.lemp.plugins.action.check_report import ActionModule

ROW = {
    "check": "rpl-applying",
    "state": "fail",
    "value": "stopped",
    "expected": "running",
    "reason": "Its applying thread was stopped.",
    "remedy": "Start it.",
    "nodes": ["server2"],
}


@pytest.fixture
def report(monkeypatch):
    def run(nodes, output="table", output_file=None):
        wanted = {"nodes": nodes, "output": output, "output_file": output_file}
        monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
        monkeypatch.setattr(ActionBase, "validate_argument_spec", lambda *_arguments, **_more: (None, wanted))
        action = ActionModule(MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        action._display = MagicMock()
        result = action.run()
        return result, [call.args[0] for call in action._display.display.call_args_list]

    return run


def test_a_silent_node_does_not_make_the_controller_unreachable(report):
    """Ansible takes a result with "unreachable" for a lost connection, and with "failed" or "rc" for a failure."""
    result, printed = report({"server1": {"reachable": False, "reason": "no route", "rows": []}, "server2": {"rows": [ROW]}})
    assert not {"unreachable", "failed", "rc"} & set(result)
    assert result["silent"] == {"server1": "no route"} and result["state"] == "fail"
    assert any("server1 cannot be reached: no route" in line for line in printed)


def test_json_is_json_and_the_file_has_the_same(report, tmp_path):
    path = tmp_path / "check.json"
    result, printed = report({"server2": {"rows": [ROW]}}, "json", str(path))
    said = json.loads("\n".join(printed))
    assert said == json.loads(path.read_text(encoding="utf-8"))
    assert said["rows"] == [ROW] == result["rows"] and said["counts"]["fail"] == 1


def test_a_module_that_failed_is_named(report):
    result, _printed = report({"server1": {"failed": True, "msg": "PyMySQL is missing"}})
    assert result["silent"] == {"server1": "PyMySQL is missing"} and result["state"] == "unknown"
