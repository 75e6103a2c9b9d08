# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a former primary back as the replica: attach it when its transactions are a subset, else save the rest and copy anew."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

from ..decide import ASK, Node
from ..errant import Saved, save
from ..errors import Refused, TandemError
from ..gates import errant_of
from ..gtid import MARIADB, GtidSet
from ..seed.datadir import DataDirectory
from ..server import Server, look
from ..state import STOPPED, ServerState
from .attaching import GO_BACK, Local, Source, as_data, attach, copies, require_copyable, take_up

# Ways back.
ATTACH = "attach"
COPY = "copy"


@dataclass
class Rejoined:
    """What was found and done."""

    way: str
    reason: str
    errant: str = ""
    saved: Saved | None = None
    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def rejoin(
    local: Local,
    source: Source,
    *,
    replace: bool,
    discard: bool,
    dry_run: bool,
    arm: bool = True,
    save_them: t.Callable[[Server, GtidSet], Saved] = save,
) -> Rejoined:
    """Raises Refused with all data as they were.

    replace: data may be replaced by a copy, extra transactions saved first. discard: also where they cannot be saved.
    arm: the primary waits for its replica again. Where an agent looks after the pair, it does that itself once the replica is in step.
    """
    directory = DataDirectory(local.datadir)
    # First: what an interrupted copy has left may not start, and says nothing of what this server has.
    actions = take_up(local, source, directory, dry_run=dry_run)
    if dry_run and GO_BACK in actions:
        return Rejoined(ATTACH, "An earlier copy was interrupted; what its data are is seen when they are back.", actions=actions)
    stopped = _start(local, dry_run=dry_run)
    actions += stopped
    if stopped and dry_run:
        return Rejoined(ATTACH, "Its database is stopped; what it has is seen when it runs.", actions=[*actions, f"follow {source.name}"])
    here, there = look(local.endpoint, local.datadir), look(source.endpoint)
    here = as_data(directory, here, there)
    if not there.running:
        raise Refused(f"Whether {source.name} is the primary cannot be seen: {there.reason or there.state}", "See playbooks/status.yml.")
    if not there.writable:
        raise Refused(
            f"{source.name} does not take writes, so it is not the primary.",
            "See playbooks/status.yml; playbooks/failover.yml opens a survivor.",
        )
    errant = _errant(local, source, here, there)
    if not errant:
        outcome = attach(local, source, "auto" if replace or here.virgin else ASK, dry_run=dry_run)
        copied = any(action.startswith(copies(source)) for action in outcome.actions)
        way = COPY if copied and not here.virgin else ATTACH
        rejoined = Rejoined(way, outcome.reason, actions=[*actions, *outcome.actions], warnings=outcome.warnings)
    else:
        rejoined = Rejoined(
            COPY,
            f"{local.name} has {_count(errant)} that {source.name} never had.",
            str(errant),
            actions=[*actions, f"save {_count(errant)}", f"copy all data from {source.name}", f"replicate from {source.name}"],
        )
        require_copyable(local, source, here)
        if not dry_run and not replace:
            raise Refused(
                f"{rejoined.reason} Nothing was replaced.", "Run playbooks/rejoin.yml (again): it shows what it will save and asks."
            )
        if not dry_run:
            _copy(local, source, errant, rejoined, discard, save_them)
    if arm and not dry_run:
        _arm(source, rejoined)
    return rejoined


def _start(local: Local, *, dry_run: bool) -> list[str]:
    if look(local.endpoint, local.datadir).state != STOPPED:
        return []
    if not dry_run:
        local.service.start()
    return [f"start the database of {local.name}; it starts closed"]


def _errant(local: Local, source: Source, here: ServerState, there: ServerState) -> GtidSet:
    if not here.running or here.virgin or here.engine != there.engine:
        return GtidSet(there.engine or MARIADB)
    return errant_of(Node(local.name, "", here), Node(source.name, source.endpoint.host, there))


def _copy(
    local: Local, source: Source, errant: GtidSet, rejoined: Rejoined, discard: bool, save_them: t.Callable[[Server, GtidSet], Saved]
) -> None:
    server = Server.at(local.endpoint)
    try:
        server.close_for_writes()
        rejoined.saved = save_them(server, errant)
    except (TandemError, OSError) as error:
        if not discard:
            raise
        rejoined.warnings.append(f"Not saved, as you said discard: {error}")
    finally:
        server.close()
    rejoined.warnings += attach(local, source, "always", dry_run=False).warnings


def _arm(source: Source, rejoined: Rejoined) -> None:
    """The primary waits for its replica again."""
    try:
        with contextlib.closing(Server.at(source.endpoint)) as server:
            if not server.observe().semi_sync_source:
                server.set_semi_sync(source=True, replica=True)
                rejoined.actions.append(f"{source.name} waits for its replica again")
    except TandemError as error:
        rejoined.warnings.append(f"Semi-sync on {source.name} is not switched on: {error}")


def _count(errant: GtidSet) -> str:
    count = errant.count()
    return "1 transaction" if count == 1 else f"{count} transactions"
