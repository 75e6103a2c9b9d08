# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Atlas lets nobody new through to the writer. It is never enough: what is pinned to the writer goes on writing.

Pinned are open transactions, sessions without autocommit (the default of many libraries), and sessions right after an
insert. So this only keeps new ones away while another driver closes the database and ends what is left.
"""

from __future__ import annotations

import typing as t

from ..atlas.admin import OFFLINE, RW, UP, Admin, Backend
from ..atlas.client import WRITE, Account, How, ask
from ..atlas.errors import NotListening, Silent
from ..atlas.wire import Endpoint
from ..decide import Node
from ..errors import OperationFailed, Refused, TandemError

_Key = tuple[str, str]


def require_open(here: Node, recorded: t.Collection[str], peer: t.Callable[[], Node]) -> None:
    """Raises Refused where this node's database is not the open one: its fence would stop the writes of the other one.

    recorded: the drivers by which this node was fenced when it was the open one; it is closed by that. peer: asked only then.
    """
    if here.server.writable or (recorded and not peer().server.writable):
        return
    raise Refused(
        f"The database of {here.name} is not the open one. The driver atlas takes the writers of both nodes' Atlas offline, and they"
        " lead to the one that is: nobody could write anywhere. Nothing was changed.",
        "Leave out the driver atlas, or name the node whose database is open.",
    )


class AtlasOffline:
    """The writers of these instances, offline.

    instances: their admin ports, the nearest one first. Whether an Atlas that does not answer lets anybody through is not
    known: the others are fenced all the same, and prove() fails.
    addresses: backends that are meant, whatever their type; none: all that take writes.
    application: where applications of this node connect to its own Atlas, and as whom; None: no write is tried there.
    settle: seconds that a backend which was not up is watched, since a health check under way may undo it.
    timeout: seconds to wait, when the fence is taken away, until each is up.
    """

    name = "atlas"
    takes = "the writers of both nodes' Atlas"
    sufficient = False

    def __init__(
        self,
        instances: t.Sequence[Endpoint],
        *,
        addresses: t.Collection[str] = (),
        application: tuple[str, int, Account] | None = None,
        settle: float = 5,
        timeout: float = 10,
    ) -> None:
        self._instances = tuple(instances)
        self._addresses = frozenset(addresses)
        self._application = application
        self._settle = settle
        self._timeout = timeout
        self._failed: dict[str, str] = {}
        self._unsettled: set[tuple[str, _Key]] = set()
        self._silent: dict[str, str] = {}

    def _meant(self, admin: Admin) -> list[Backend]:
        return [one for one in admin.backends() if (one.address in self._addresses if self._addresses else one.type == RW)]

    def fenced(self) -> bool:
        """False also where one does not answer: it is not known to be fenced."""
        try:
            for instance in self._instances:
                with Admin(instance) as admin:
                    if any(one.state != OFFLINE for one in self._meant(admin)):
                        return False
        except TandemError:
            return False
        return True

    def left(self) -> bool:
        """Whether any that answers keeps a writer offline: the node of the other one may never come back."""
        found = False
        for instance in self._instances:
            try:
                with Admin(instance) as admin:
                    found = any(one.state == OFFLINE for one in self._meant(admin)) or found
            except TandemError as error:
                self._silent[str(instance)] = str(error)
        return found

    def unknown(self) -> list[str]:
        """Of which nobody knows whether it lets applications through again, a sentence for each."""
        return [
            f"Whether the Atlas of {instance} uses its writer is not known: {said} If its node is dead, nothing is to be done:"
            " a restart of Atlas ends the fence there. Otherwise run playbooks/unfence.yml again when it answers."
            for instance, said in self._silent.items()
        ]

    def plan(self) -> dict[str, t.Any]:
        """What somebody else had taken offline before, and shall stay so. Of an Atlas that does not answer: nothing.

        It is not asked again by fence(): closing the database waits for that.
        """
        before: dict[str, list[list[str]]] = {}
        self._failed.clear()
        for instance in self._instances:
            try:
                with Admin(instance) as admin:
                    before[str(instance)] = [list(one.key) for one in self._meant(admin) if one.state == OFFLINE]
            except TandemError as error:
                before[str(instance)] = []
                self._failed[str(instance)] = str(error)
        return {"offline_before": before}

    def fence(self, planned: t.Mapping[str, t.Any]) -> None:
        """All that can be. What could not be is said by prove(), so that the database is closed in any case."""
        del planned  # for the way back only
        for instance in self._instances:
            if str(instance) in self._failed:
                continue
            try:
                with Admin(instance) as admin:
                    for one in self._meant(admin):
                        if one.state != UP:
                            self._unsettled.add((str(instance), one.key))
                        if one.state != OFFLINE:
                            admin.set_offline(*one.key)
            except TandemError as error:
                self._failed[str(instance)] = str(error)

    def prove(self) -> str:
        """That each is still offline, and that this node's own refuses a write. Who is pinned is not seen by either."""
        failed = dict(self._failed)
        shown: list[str] = []
        for instance in self._instances:
            if str(instance) in failed:
                continue
            try:
                with Admin(instance) as admin:
                    shown += self._prove(instance, admin)
            except TandemError as error:
                failed[str(instance)] = str(error)
        if failed:
            raise OperationFailed(
                "Not every Atlas is known to keep applications from the writer. " + " ".join(failed.values()),
                "Fence the database, which holds whatever Atlas does.",
            )
        refused = self._refused() if self._application else ""
        return f"offline: {', '.join(shown) or 'no writer is listed'}{refused}; sessions that are pinned are not stopped by this"

    def _refused(self) -> str:
        """A statement for the writer does not pass, although whoever says it is let in."""
        host, port, account = self._application or ("", 0, Account("", ""))
        login = ask(host, port, account)
        answer = ask(host, port, account, WRITE) if login.ok else login
        if answer.how is How.REFUSED or (login.ok and answer.how is How.BROKEN):
            return f"; a statement for the writer through {host}:{port}: {answer.text}"
        said = "it came through" if answer.ok else answer.text
        raise OperationFailed(
            f"Atlas says that no writer is used, and a statement for the writer through {host}:{port} was not refused: {said}.",
            "Fence the database, which holds whatever Atlas does.",
        )

    def _prove(self, instance: Endpoint, admin: Admin) -> t.Iterator[str]:
        for one in self._meant(admin):
            if (str(instance), one.key) in self._unsettled:
                admin.hold_offline(*one.key, self._settle)
            elif one.state != OFFLINE:
                raise OperationFailed(f"{one.address} is {one.state} at the Atlas of {instance}.", "Does something else set it online?")
            yield f"{one.address} at {instance}"

    def unfence(self, recorded: t.Mapping[str, t.Any] | None) -> None:
        """Online, all at once, and then seen up. What somebody else had taken offline stays so.

        One that does not answer fails only where none does, see unknown(): its node may be dead.
        """
        self._silent.clear()
        before = (recorded or {}).get("offline_before") or {}
        failed: list[str] = []
        told: list[tuple[Endpoint, list[_Key]]] = []
        for instance in self._instances:
            stays = {tuple(key) for key in before.get(str(instance)) or ()}
            try:
                with Admin(instance) as admin:
                    keys = [one.key for one in self._meant(admin) if one.key not in stays]
                    for one in self._meant(admin):
                        if one.key in keys and one.state == OFFLINE:
                            admin.set_online(*one.key)
                told.append((instance, keys))
            except (NotListening, Silent) as error:
                self._silent[str(instance)] = str(error)
            except TandemError as error:
                failed.append(str(error))
        if not told:
            failed += self._silent.values()
        for instance, keys in told:
            try:
                with Admin(instance) as admin:
                    for key in keys:
                        admin.wait_up(*key, self._timeout)
            except TandemError as error:
                failed.append(str(error))
        self._unsettled.clear()
        if failed:
            raise OperationFailed("Not every Atlas uses the writer again. " + " ".join(failed), "Mend that, and run it again.")
