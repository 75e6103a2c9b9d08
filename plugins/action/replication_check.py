# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name. A node that cannot be reached is an answer too; what a module complains of fails."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(self._execute_module(task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            words = " ".join(str(error).split()).rstrip(".")
            result.update(changed=False, reachable=False, reason=words, rows=[], state="unknown")
        return result
