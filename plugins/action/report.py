# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the state of the pair as plain text, without the frame that a debug task would put around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.status.pair import Node, Pair
from ..module_utils.status.table import draw, sentences, summary
from ..module_utils.status.verdict import State, problems, state

COLORS = {State.HEALTHY: "green", State.DEGRADED: "yellow", State.DOWN: "red"}
SERVICES = ["nginx", "php-fpm", "database", "haproxy", "keepalived", "tandem-health"]


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, wanted = self.validate_argument_spec(
            argument_spec={
                "nodes": {"type": "dict", "required": True},
                "vips": {"type": "dict", "required": True},
                "names": {"type": "dict", "default": {}},
                "services": {"type": "list", "elements": "str", "default": SERVICES},
                "files_interval": {"type": "int", "default": 15},
                "output": {"type": "str", "choices": ["table", "json"], "default": "table"},
                "output_file": {"type": "path"},
            }
        )
        pair = Pair(
            nodes=tuple(
                Node(name, seen.get("node"), str(seen.get("reason", ""))) for name, seen in wanted["nodes"].items()
            ),
            vips=wanted["vips"],
            names=wanted["names"],
            expected=frozenset(wanted["services"]),
            files_interval=wanted["files_interval"],
        )
        for_machines = summary(pair)
        if wanted["output"] == "json":
            text = json.dumps(for_machines, indent=2, sort_keys=True)
            self._display.display(text)
        else:
            text = self._show(pair)
        if wanted["output_file"]:
            try:
                Path(wanted["output_file"]).write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                return {**result, "changed": False, "failed": True, "msg": f"{wanted['output_file']} was not written: {error.strerror}."}
        result.update(changed=False, state=for_machines["pair"]["state"], **for_machines)
        return result

    def _show(self, pair: Pair) -> str:
        """Print table and verdict, the verdict in the color of its state; return the text."""
        found = problems(pair)
        table, verdict = draw(pair), sentences(pair, found)
        self._display.display("")
        for line in table:
            self._display.display(line)
        self._display.display("")
        for line in verdict:
            self._display.display(line, color=COLORS[state(found)])
        self._display.display("")
        return "\n".join([*table, "", *verdict])
