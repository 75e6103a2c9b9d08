# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules switchover and failback share: options as data (doc_fragments/switching.py describes them), and what they do."""

from __future__ import annotations

import typing as t
from dataclasses import asdict

from .. import bounds
from ..errors import Refused, TandemError
from ..gates import Limits
from ..hand.config import HandConfig
from .addresses import operation_for
from .running import hands, offline_writers, story
from .switchover import Report, Wish

SWITCH_OPTIONS: dict[str, t.Any] = {
    "drain": {"type": "float", "default": 2},
    "max_pause": {"type": "float", "default": 5},
    "deadline": {"type": "float"},
    "atlas_offline": {"type": "bool", "default": False},
    "max_transaction_seconds": {"type": "float", "default": 5},
    "require_semi_sync": {"type": "bool", "default": False},
}


def wish_of(params: t.Mapping[str, t.Any]) -> Wish:
    """What the operator wants."""
    return Wish(
        drain=params["drain"],
        max_pause=params["max_pause"],
        deadline=params["deadline"],
        move_vips=params["move_vips"],
        atlas_offline=params["atlas_offline"],
        limits=Limits(
            max_lag=params["max_lag"],
            max_transactions_behind=params["max_transactions_behind"],
            max_transaction_seconds=params["max_transaction_seconds"],
            require_semi_sync=params["require_semi_sync"],
        ),
    )


def carry_out(module: t.Any) -> None:
    """Move the role as the AnsibleModule is told, on the present primary; ends the module."""
    report = Report()
    changed = False
    try:
        bounds.require(
            module.params,
            drain=(0, 60), deadline=(1, bounds.LONG), max_lag=(0, bounds.LONG), max_transactions_behind=(0, 2**62), max_transaction_seconds=(0, bounds.LONG),
        )  # fmt: skip
        config = HandConfig.load()
        wanted = module.params["to"] or config.peer.name
        report.old, report.new = config.node.name, config.peer.name
        if wanted not in (config.node.name, config.peer.name):
            raise Refused(f"{wanted} is no node of this pair.", f"Name {config.node.name} or {config.peer.name}.")
        with hands(config) as (here, there):
            operation = operation_for(here, there, wanted, wish_of(module.params))
            report = operation.report
            if report.result != "nothing to do":
                (operation.rehearse if module.check_mode else operation.run)()
            changed = report.result in ("planned", "done")
        report.warnings += offline_writers(config, report.new)
    except TandemError as error:
        # The whole report would bury what a tired person has to read.
        module.fail_json(msg=str(error), changed=report.result in ("half done", "undone"), story=story(asdict(report)))
    what = "addresses" if report.kind == "addresses" else "primary"
    before = {what: report.old if changed else report.new}
    module.exit_json(changed=changed, report=asdict(report), story=story(asdict(report)), diff={"before": before, "after": {what: report.new}})
