# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints lines as they are, without the frame that a debug task would put around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, wanted = self.validate_argument_spec(
            argument_spec={
                "lines": {"type": "list", "elements": "str", "required": True},
                "data": {"type": "dict", "default": {}},
                "file": {"type": "path"},
            }
        )
        for line in ["", *wanted["lines"], ""]:
            self._display.display(line)
        result.update(changed=False)
        if wanted["file"]:
            text = json.dumps(wanted["data"], indent=2, sort_keys=True) + "\n"
            try:
                Path(wanted["file"]).write_text(text, encoding="utf-8")
            except OSError as error:
                result.update(failed=True, msg=f"What is told above was done; {wanted['file']} was not written: {error.strerror}.")
        return result
