# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring one backend of an Atlas to the state that is wanted, and save that if it is asked for."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Refused, TandemError
from .admin import OFFLINE, UNKNOWN, UP, Admin, Backend, plain_address
from .config import Config, mend

SETTLE = 5.0  # seconds within which a health check under way may undo an offline
ABSENT, PRESENT, ONLINE = "absent", "present", "online"


@dataclass(frozen=True)
class Wish:
    """What is wanted of an address. type: rw, ro, or None for whatever it is there as. timeout and settle: seconds.

    settle: None: as long as a backend of that state needs, since one that is up is not checked.
    """

    address: str
    state: str
    type: str | None = None
    timeout: float = 10
    settle: float | None = None
    save: bool = False
    config_file: str = ""


@dataclass
class Outcome:
    """before and after: state by "address (type)", of what was wished for. backends: all, as they are now."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    backends: tuple[Backend, ...] = ()


def bring(admin: Admin, wish: Wish, *, dry_run: bool) -> Outcome:
    """Nothing is changed where the wish cannot be understood, or its file not be read: Refused, UnknownBackend, CommandFailed."""
    if wish.save and wish.state not in (PRESENT, ABSENT):
        raise Refused(f"SAVE CONFIG does not keep that a backend is {wish.state}.", "Save with the states present and absent only.")
    file = Config.load(Path(wish.config_file)) if wish.save else None
    if file:
        file.says(())  # raises where it is not understood
    outcome = Outcome()
    act: t.Callable[[Admin, Wish, bool, Outcome], None] = _ACTS[wish.state]
    act(admin, wish, dry_run, outcome)
    if file and (outcome.actions or not file.says(admin.backends())):
        done = list(outcome.actions)
        outcome.actions.append("save the configuration")
        if not dry_run:
            try:
                admin.save_config()
                mend(file, admin.backends())
            except TandemError as error:
                if done:
                    error.message += f" Done before, and not taken back: {', '.join(done)}."
                raise
    outcome.backends = admin.backends()
    return outcome


def _name(address: str, kind: str) -> str:
    return f"{address} ({kind})"


def _present(admin: Admin, wish: Wish, dry_run: bool, outcome: Outcome) -> None:
    address, kind = plain_address(wish.address), str(wish.type)
    name = _name(address, kind)
    now = next((one for one in admin.backends() if one.key == (address, kind)), None)
    outcome.before[name] = now.state if now else ABSENT
    outcome.after[name] = now.state if now else UNKNOWN
    if now is None:
        outcome.actions.append(f"add {name}")
        if not dry_run:
            outcome.after[name] = admin.add(address, kind).state


def _absent(admin: Admin, wish: Wish, dry_run: bool, outcome: Outcome) -> None:
    found = [one for one in admin.backends() if one.address == wish.address and wish.type in (None, one.type)]
    for one in found:
        name = _name(*one.key)
        outcome.before[name], outcome.after[name] = one.state, ABSENT
        outcome.actions.append(f"remove {name}")
        if not dry_run:
            admin.remove(*one.key)


def _offline(admin: Admin, wish: Wish, dry_run: bool, outcome: Outcome) -> None:
    found = admin.find(wish.address, wish.type)
    for one in found:
        name = _name(*one.key)
        outcome.before[name], outcome.after[name] = one.state, OFFLINE
        if one.state != OFFLINE:
            outcome.actions.append(f"set {name} offline")
            if not dry_run:
                admin.set_offline(*one.key)
    if dry_run:
        return
    for one in found:
        seconds = wish.settle if wish.settle is not None else 0 if one.state == UP else SETTLE
        again = admin.hold_offline(*one.key, seconds) if seconds else 0
        outcome.actions += [f"set {_name(*one.key)} offline again, after a probe had undone it"] * again


def _online(admin: Admin, wish: Wish, dry_run: bool, outcome: Outcome) -> None:
    """Only what is offline is told: anything else is probed anyway, and one that is up would go down for seconds."""
    found = admin.find(wish.address, wish.type)
    for one in found:
        name = _name(*one.key)
        outcome.before[name] = OFFLINE if one.state == OFFLINE else UP
        outcome.after[name] = UP
        if one.state == OFFLINE:
            outcome.actions.append(f"set {name} online")
            if not dry_run:
                admin.set_online(*one.key)
    if not dry_run:
        for one in found:
            admin.wait_up(*one.key, wish.timeout)


_ACTS = {PRESENT: _present, ABSENT: _absent, OFFLINE: _offline, ONLINE: _online}
