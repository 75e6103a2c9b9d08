# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the variables of the pair from the inventory and lets the engine judge them."""

from __future__ import annotations

import os
import socket
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.preflight import fixed, machines, together
from ..module_utils.preflight import names as site_names
from ..module_utils.preflight.judge import inventory_faults


def resolve(name: str) -> list[str]:
    """Ask the controller's resolver for the addresses of a name."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(entry[4][0]) for entry in found})


class Variables:
    """The variables of one node, each evaluated by itself, so that one that cannot be does not hide the others."""

    def __init__(self, hostvars: Any) -> None:
        self.values: dict[str, Any] = {}
        self.unreadable: dict[str, str] = {}
        for name in sorted(hostvars):
            if name.startswith("tandem_") or name in fixed.NAMES:
                try:
                    self.values[name] = hostvars[name]
                except AnsibleError as error:
                    self.unreadable[name] = _short(error)


def _short(error: AnsibleError) -> str:
    """Shorten what Ansible says to its last sentence: the reason."""
    return str(error).strip().rpartition(": ")[2].rstrip(".") or "unknown reason"


class ActionModule(ActionBase):
    _requires_connection = False
    _VALID_ARGS = frozenset(("group", "observed"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        scope = task_vars or {}
        group = self._task.args.get("group", "tandem")
        observed = self._task.args.get("observed", "preflight_observed")
        hostvars = scope["hostvars"]
        names = list(scope["groups"].get(group, []))
        variables = {name: Variables(hostvars[name]) for name in names}
        nodes = {name: variables[name].values for name in names}
        asked = {name: hostvars[name].get(observed) or {} for name in names}
        seen = {name: asked[name].get("machine") for name in names}
        faults = inventory_faults(
            nodes,
            unreadable={name: variables[name].unreadable for name in names},
            seen=seen,
            unreachable={name: asked[name]["reason"] for name in names if "reason" in asked[name]},
            hosts={name: str(hostvars[name].get("ansible_host", name)) for name in names},
            resolve=resolve,
            group=group,
            witnesses={name: str(hostvars[name].get("ansible_host", name)) for name in scope["groups"].get("tandem_witness", [])},
            is_file=os.path.isfile,
        )
        result["changed"] = False
        result["faults"] = [str(fault) for fault in faults]
        result["advice"] = [*together.advice(nodes), *machines.advice(seen), *site_names.advice(nodes, resolve)]
        for line in result["advice"]:
            self._display.warning(line)
        if faults:
            self._display.display("")
            for place, fault in enumerate(faults, 1):
                self._display.display(f"{place:3}. {fault.where}: {fault.what}", color="red")
                self._display.display(f"     {fault.remedy}")
            self._display.display("")
        return result
