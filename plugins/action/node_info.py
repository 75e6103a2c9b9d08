# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name. A node that cannot be asked is an answer too: its reason is returned."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            answer = self._execute_module(task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            answer = {"msg": str(error)}
        if "node" in answer:
            result.update(answer)
            return result
        lines = [str(answer.get(key) or "").strip() for key in ("module_stderr", "msg")]
        words = next((line for line in lines if line), "no reason given")
        result.update(changed=False, reason=" ".join(words.split()).rstrip("."))
        return result
