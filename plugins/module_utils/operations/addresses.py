# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the addresses to the primary's node, where the role is already. No database is touched."""

from __future__ import annotations

import typing as t

from ..errors import OperationFailed, Refused, TandemError
from ..gates import Gate, require
from ..hand.client import HandClient
from ..hand.journal import new_name
from .switchover import VIP_WAIT, Report, Switchover, Wish

NOTHING = "nothing to do"
_TITLE = "Addresses on {}"


class AddressMove:
    """From the hand on the node that may hold them to the hand on the primary's."""

    def __init__(self, old: HandClient, new: HandClient) -> None:
        self.old, self.new = old, new
        self.report = Report(operation=new_name(), kind="addresses", old=old.name, new=new.name)

    def _look(self) -> bool:
        """False: there is nothing to do. Raises Refused where the role is elsewhere."""
        new, old = self.new.call("observe"), self.old.call("observe")
        if not old["holds_any_vip"]:
            if not new["holds_vips"]:
                self.report.warnings.append(f"{self.new.name} does not hold all addresses, and {self.old.name} holds none that it could give.")
            self.report.result = NOTHING
            return False
        gates = [_role(self.new.name, new["server"], True), _role(self.old.name, old["server"], False)]
        self.report.gates = [gate.as_dict() for gate in gates]
        self.report.result = "refused"
        require(gates, "move of the addresses")
        return True

    def rehearse(self) -> Report:
        """The plan. Raises Refused."""
        if self._look():
            self.report.result = "planned"
            self.report.steps = [self._step("planned")]
        return self.report

    def run(self) -> Report:
        """Do it. Raises Refused (nothing was changed) or OperationFailed; the report says how far it came."""
        self.report.result = "refused"
        for hand in (self.old, self.new):
            self.report.warnings += hand.call(
                "begin", operation=self.report.operation, kind=self.report.kind, old=self.old.name, new=self.new.name
            )
        try:
            if self._look():
                self._move()
        finally:
            for hand in (self.old, self.new):
                try:
                    hand.call("end", outcome=self.report.result)
                except TandemError as error:
                    self.report.warnings.append(str(error))
        return self.report

    def _move(self) -> None:
        self.report.result = "half done"
        self.report.steps = [self._step("failed")]
        moved = self.old.call("give_addresses", VIP_WAIT + 5, seconds=VIP_WAIT)
        self.report.vips_ms = round(moved["seconds"] * 1000, 1)
        if not self.new.call("has_addresses", VIP_WAIT + 5, seconds=VIP_WAIT):
            raise OperationFailed(
                f"{self.new.name} has not taken the addresses within {VIP_WAIT:g} s.",
                f"What keeps it from that: playbooks/status.yml, and systemctl status keepalived on {self.new.name}.",
            )
        self.report.result = "done"
        self.report.steps = [self._step("done")]

    def _step(self, state: str) -> dict[str, t.Any]:
        took = self.report.vips_ms or 0.0
        return {"name": "vips", "title": _TITLE.format(self.new.name), "began_ms": 0.0, "ms": took, "state": state, "said": ""}


def operation_for(here: HandClient, there: HandClient, wanted: str, wish: Wish) -> Switchover | AddressMove:
    """What makes the wanted node the primary, or only brings the addresses there. Its report says so where nothing is to be done.

    here: the hand of the node on which this runs. Raises Refused where that shall be the primary and is not.
    """
    old, new = (there, here) if wanted == here.name else (here, there)
    operation = between(old, new, wish)
    if wanted == here.name and isinstance(operation, Switchover) and operation.report.result != NOTHING:
        raise Refused(f"{wanted} is this node.", "Run this on the present primary.")
    return operation


def between(old: HandClient, new: HandClient, wish: Wish) -> Switchover | AddressMove:
    """The same, from wherever it runs."""
    is_there = new.call("observe")["server"]["writable"] and not old.call("observe")["server"]["writable"]
    if is_there and wish.move_vips:
        return AddressMove(old, new)
    operation = Switchover(old, new, wish)
    if is_there:
        operation.report.result = NOTHING
    return operation


def _role(name: str, server: t.Mapping[str, t.Any], wanted: bool) -> Gate:
    words = {True: "takes writes", False: "takes no writes"}
    return Gate(
        f"role-of-{name}", bool(server["writable"]) is wanted, words[bool(server["writable"])], words[wanted],
        "The addresses go where the role is: move that first.",
    )  # fmt: skip
