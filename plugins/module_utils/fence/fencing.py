# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fence or unfence one node by several drivers. Every fence is proven, and recorded before it is made."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..errors import OperationFailed, Refused, TandemError
from .atlas import AtlasOffline
from .driver import Driver
from .read_only import ReadOnly
from .record import Record
from .restoring import KILLED, RESTORE

FENCED = "fenced"
UNFENCED = "unfenced"
_CLOSED = "closed"


@dataclass
class Outcome:
    """By driver: the state before and after, and what the proof said. warnings: what may still keep applications out."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    proof: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.actions)


def fence(drivers: t.Iterable[Driver], record: Record, *, dry_run: bool) -> Outcome:
    """Accounts last: the canary's is among them. A driver that fails leaves the ones before it fenced, and recorded.

    A database that is closed already, a replica's, is recorded all the same: its agent would let it become the primary.
    Those that are not enough come first, since they keep new sessions away, and are proven last: their proof takes seconds.
    Raises Refused where there are no others.
    """
    outcome = Outcome()
    ordered = _ordered(drivers)
    if any(driver.name == RESTORE for driver in ordered):
        raise Refused("A restore is no fence.", "Name another driver.")
    if ordered and not any(driver.sufficient for driver in ordered):
        raise Refused(f"{ordered[0].name} alone is no fence: some sessions go on writing.", "Add the driver read_only.")
    late: list[Driver] = []
    made: list[str] = []
    for driver in ordered:
        was = driver.fenced()
        hold = was and isinstance(driver, ReadOnly) and driver.name not in record.read()
        outcome.before[driver.name] = _CLOSED if hold else _word(was)
        outcome.after[driver.name] = FENCED
        if not was:
            outcome.actions.append(f"fence by {_what(driver)}")
        elif hold:
            outcome.actions.append(f"keep it closed by {driver.name}")
        if dry_run:
            continue
        if not was:
            try:
                _make(driver, record)
            except TandemError as error:
                _also_fenced(error, made)
                raise
            made.append(driver.name)
        elif hold:
            record.keep(driver.name, driver.plan())
        if driver.sufficient:
            outcome.proof[driver.name] = driver.prove()
        else:
            late.append(driver)
    for driver in late:
        try:
            outcome.proof[driver.name] = driver.prove()
        except OperationFailed as error:
            # What holds whatever this one does has been proven, and must not be lost with its error.
            remedy = "The database is fenced, which holds whatever that does." if {"read_only", "grants"} & set(outcome.proof) else error.remedy
            raise OperationFailed(f"Fenced and proven by {' and '.join(outcome.proof)}. {error.message}", remedy) from error
    return outcome


def _make(driver: Driver, record: Record) -> None:
    """One that cannot be made is taken back, and forgotten unless it was half made before."""
    planned = driver.plan()
    new = driver.name not in record.read()
    record.keep(driver.name, planned)
    try:
        driver.fence(planned)
    except TandemError as error:
        if not new or driver.fenced():
            raise
        try:
            driver.unfence(planned)
        except TandemError as second:
            raise OperationFailed(
                f"The fence by {driver.name} could not be made: {error} Nor could it be taken back: {second}",
                "Run playbooks/unfence.yml when that is mended.",
            ) from error
        record.drop(driver.name)
        raise OperationFailed(f"The fence by {driver.name} could not be made: {error}", f"{driver.name} was taken back.") from error


def _also_fenced(error: TandemError, made: t.Sequence[str]) -> None:
    """A later one failed: those before it stand, and whoever reads the error has to know how they are taken away."""
    if made:
        error.remedy = " ".join(
            filter(None, [error.remedy, f"Still fenced by {' and '.join(made)}: playbooks/unfence.yml, for the same node, with -e drivers={','.join(made)}."])
        )


def unfence(drivers: t.Iterable[Driver], record: Record, *, dry_run: bool) -> Outcome:
    """In the opposite order. Whether the database may open is asked before anything is changed: Refused where it may not.

    A standby that nobody has fenced is not opened: that would make it the primary. Nor is anything opened in the middle of a restore.
    """
    outcome = Outcome()
    known = record.read()
    ordered = _ordered(drivers)
    todo: list[tuple[Driver, dict[str, t.Any] | None]] = []
    if RESTORE in known and not any(driver.name == RESTORE for driver in ordered):
        raise Refused("A restore works on this node.", KILLED)
    for driver in reversed(ordered):
        recorded = known.get(driver.name)
        was = driver.left() if isinstance(driver, AtlasOffline) else driver.fenced()
        outcome.before[driver.name] = outcome.after[driver.name] = _word(was)
        if not was and recorded is None:
            continue
        if isinstance(driver, ReadOnly):
            if recorded is None:
                driver.require_no_standby()
            if not driver.stays_closed(recorded):
                outcome.proof[driver.name] = driver.allowed()
            elif was:
                outcome.proof[driver.name] = (
                    "it follows the other one, which takes writes now, and stays closed"
                    if recorded and recorded.get("was_open")
                    else "it was closed before it was fenced, and stays closed"
                )
        elif driver.name == "grants" and recorded is None:
            continue
        todo.append((driver, recorded))
    for driver, recorded in todo:
        stays = isinstance(driver, ReadOnly) and driver.stays_closed(recorded)
        if not stays:
            outcome.after[driver.name] = UNFENCED
        forgotten = "forget the restore" if driver.name == RESTORE else f"forget the fence by {driver.name}" if stays else ""
        outcome.actions.append(forgotten or f"unfence by {_what(driver)}")
        if not dry_run:
            driver.unfence(recorded)
            record.drop(driver.name)
    for driver in ordered:
        if isinstance(driver, AtlasOffline):
            outcome.warnings += driver.unknown()
    others = sorted(set(known) - {driver.name for driver in ordered})
    if others:
        outcome.warnings.append(
            f"A fence of this node by {' and '.join(others)} is still recorded. Run playbooks/unfence.yml again with -e drivers={','.join(others)}."
        )
    return outcome


def _ordered(drivers: t.Iterable[Driver]) -> list[Driver]:
    return sorted(drivers, key=lambda driver: (driver.sufficient, driver.name == "grants"))


def _what(driver: Driver) -> str:
    return f"{driver.name}: {driver.takes}" if isinstance(driver, AtlasOffline) else driver.name


def _word(fenced: bool) -> str:
    return FENCED if fenced else UNFENCED
