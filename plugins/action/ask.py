# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a plan and asks once for the whole run. In check mode nobody is asked: the plan was all that was wanted."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsiblePromptNoninteractive
from ansible.plugins.action import ActionBase

_YES = ("yes", "true", "y")


class ActionModule(ActionBase):
    _requires_connection = False
    BYPASS_HOST_LOOP = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, wanted = self.validate_argument_spec(
            argument_spec={
                "lines": {"type": "list", "elements": "str", "required": True},
                "question": {"type": "str", "required": True},
                "confirm": {"type": "str", "default": ""},
            }
        )
        for line in ["", *wanted["lines"], ""]:
            self._display.display(line)
        result.update(changed=False)
        if self._task.check_mode or wanted["confirm"].lower() in _YES:
            return result
        try:
            answer = self._display.prompt_until(f"{wanted['question']} [yes/no] ")
        except AnsiblePromptNoninteractive:
            result.update(failed=True, msg=f"{wanted['question']} Nobody is here to answer: say -e confirm=yes. Nothing was changed.")
            return result
        if answer.decode(errors="replace").strip().lower() not in _YES:
            result.update(failed=True, msg="Not confirmed. Nothing was changed.")
        return result
