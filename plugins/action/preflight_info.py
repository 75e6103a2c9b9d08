# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, and adds what only the controller knows.

A node that cannot be asked is a finding like any other: it is returned with its reason, so that all faults can be
listed together. And the two moments of the controller's clock between which the node's clock was read are noted.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


def reason(result: dict[str, Any]) -> str:
    """Say in one line why a module could not run."""
    lines = [str(result.get(key) or "").strip() for key in ("module_stderr", "msg")]
    words = next((line for line in lines if line), "no reason given")
    return " ".join(words.split()).rstrip(".")


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result["changed"] = False
        before = time.time()
        try:
            answer = self._execute_module(task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            answer = {"msg": str(error)}
        after = time.time()
        if "machine" not in answer:
            result["reason"] = reason(answer)
            return result
        clock = answer.pop("clock")
        answer["machine"]["clock_offset"] = [clock - after, clock - before]
        result.update(answer)
        return result
