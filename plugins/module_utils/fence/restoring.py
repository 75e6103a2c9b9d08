# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore takes many steps on both nodes, none of which may be undone by an agent. Its record stands beside those of the fences.

It closes nothing. While it is there the agent leaves its node to whoever has written it, as it does with a fence.
"""

from __future__ import annotations

import typing as t

from ..errors import OperationFailed, Refused
from .record import Record

RESTORE = "restore"
# Fences of the database itself; those of proxies are not in the way of its opening.
OF_PERSONS = frozenset({"read_only", "grants"})
KILLED = "If that was killed: run playbooks/restore.yml again, or, for each node, playbooks/unfence.yml -e node=NODE -e drivers=restore."


def of_persons(record: Record | None = None) -> list[str]:
    """By what a person keeps the database of this node closed. A record that cannot be read may say so."""
    try:
        return sorted(OF_PERSONS & set((record or Record()).read()))
    except OperationFailed as error:
        return [f"what nobody can tell ({error})"]


def hold(record: Record, *, dry_run: bool) -> list[str]:
    """From now on the agent leaves this node alone. One that an earlier restore has left behind does as well."""
    if RESTORE in record.read():
        return []
    if not dry_run:
        record.keep(RESTORE, {})
    return ["keep the agent from opening or closing the database"]


def release(record: Record, *, dry_run: bool) -> list[str]:
    """The agent decides again, unless a fence is there."""
    if RESTORE not in record.read():
        return []
    if not dry_run:
        record.drop(RESTORE)
    return ["leave the database to the agent again"]


def require_unfenced(record: Record, name: str) -> None:
    """Raises Refused where a person keeps the database of this node closed. Whoever restores opens it under the record of the restore."""
    recorded = record.read()
    drivers = sorted(OF_PERSONS & set(recorded))
    if drivers and RESTORE not in recorded:
        raise Refused(
            f"{name} is fenced ({', '.join(drivers)}) and stays closed. Nothing was changed.",
            f"Take that away first: playbooks/unfence.yml -e node={name} -e drivers={','.join(drivers)}",
        )


class Restoring:
    """What a killed restore has left behind, to be taken away like a fence."""

    name = RESTORE
    sufficient = False

    def __init__(self, record: Record) -> None:
        self._record = record

    def fenced(self) -> bool:
        return RESTORE in self._record.read()

    def plan(self) -> dict[str, t.Any]:
        return {}

    def fence(self, planned: t.Mapping[str, t.Any]) -> None:
        del planned
        raise OperationFailed("A restore is no fence.", "Name another driver.")

    def prove(self) -> str:
        raise OperationFailed("A restore is no fence.", "Name another driver.")

    def unfence(self, recorded: t.Mapping[str, t.Any] | None) -> None:
        """Nothing but the record was changed, and that is dropped by whoever asks for this."""
