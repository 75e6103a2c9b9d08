# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at what was given by -e before a runbook begins. Connects to nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ..module_utils.runbooks import faults, limited, strangers


def runbooks() -> list[str]:
    """The playbooks of this run: by their file, or by their name in a collection."""
    return [Path(name).stem if name.endswith((".yml", ".yaml")) else name.rpartition(".")[2] for name in context.CLIARGS.get("args") or ()]


def why_not(file: str) -> str:
    """Why a file cannot be written; empty if it can."""
    path = Path(file).expanduser()
    place = path if path.exists() else path.parent
    if path.is_dir():
        return "it is a directory"
    if not place.exists():
        return f"there is no directory {place}"
    return "" if os.access(place, os.W_OK) else "that is not allowed"


class ActionModule(ActionBase):
    _requires_connection = False
    BYPASS_HOST_LOOP = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        scope = task_vars or {}
        _checked, wanted = self.validate_argument_spec(argument_spec={"group": {"type": "str", "default": "tandem"}})
        said = dict(load_extra_vars(self._loader))
        names = runbooks()
        nodes = [str(name) for name in scope["groups"].get(wanted["group"], [])]
        found = faults(names, said, nodes, why_not)
        limit = limited(names, said, nodes, scope["ansible_play_hosts_all"])
        found += [limit] if limit else []
        result.update(changed=False)
        if found:
            result.update(failed=True, msg=" ".join([*found, "Nothing was changed."]))
        for name in strangers(names, said):
            self._display.warning(f"Nothing here looks at {name}, which was given by -e.")
        return result
