# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the checks of both nodes as plain text, without the frame that a debug task would put around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.checks.judge import merge, worst
from ..module_utils.checks.table import counts, draw, verdict

COLORS = {"pass": "green", "unknown": "yellow", "warn": "yellow", "fail": "red"}


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, wanted = self.validate_argument_spec(
            argument_spec={
                "nodes": {"type": "dict", "required": True},
                "output": {"type": "str", "choices": ["table", "json"], "default": "table"},
                "output_file": {"type": "path"},
            }
        )
        rows = merge({name: said.get("rows") or [] for name, said in wanted["nodes"].items()})
        silent = {
            name: str(said.get("reason") or said.get("msg") or "no reason given")
            for name, said in wanted["nodes"].items()
            if not said.get("rows")
        }
        found = {"state": worst(rows), "rows": rows, "counts": counts(rows), "silent": silent}
        if wanted["output"] == "json":
            lines = json.dumps(found, indent=2, sort_keys=True).splitlines()
            for line in lines:
                self._display.display(line)
        else:
            lines = self._show(found)
        if wanted["output_file"]:
            try:
                Path(wanted["output_file"]).write_text("\n".join(lines) + "\n", encoding="utf-8")
            except OSError as error:
                return {**result, "changed": False, "failed": True, "msg": f"{wanted['output_file']} was not written: {error.strerror}."}
        result.update(changed=False, **found)
        return result

    def _show(self, found: dict[str, Any]) -> list[str]:
        """Print table and verdict, each line in the color of its state; return the text."""
        table = draw(found["rows"])
        last = verdict(found["rows"], found["silent"])
        self._display.display("")
        for state, line in table:
            self._display.display(line, color=COLORS.get(state))
        self._display.display("")
        for line in last:
            self._display.display(line, color=COLORS[found["state"]])
        self._display.display("")
        return [*(line for _state, line in table), "", *last]
