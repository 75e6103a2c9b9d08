# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with this node's Atlas, and what is done about it: two tables, as the state machine has one. Pure.

Its writer is never touched: HAProxy behind it holds who would write, and a writer that is offline is the mark of a fence.
"""

from __future__ import annotations

import enum
import math
import typing as t
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..atlas.admin import OFFLINE, RO, RW, UP
from ..atlas.client import How
from ..atlas.probe import Look

_Key = tuple[str, str]


class Act(enum.Enum):
    """What the daemon does."""

    RESTART = "end Atlas: systemd starts it again"
    READER_OFFLINE = "take the reader offline at the admin port"
    READER_ONLINE = "put the reader online again"


@dataclass(frozen=True)
class Times:
    """Seconds."""

    every: float = 1.0  # between two looks
    old: float = 30.0  # a look that is older says nothing
    settle: float = 120.0  # for one that has never been seen to work: perhaps it is still being installed
    alarm_after: float = 5.0  # one that was put online, or has just started, is looked at by Atlas within 4 s
    offline_after: float = 3.0  # HAProxy leaves a server that hangs within a second or two
    online_after: float = 5.0
    restart_after: float = 15.0
    restart_every: float = 60.0


@dataclass(frozen=True)
class Known:
    """What one judgement leaves for the next.

    since: each condition that holds, and since when it has held without a break. mine: readers that the agent itself
    has taken offline; those that a person has taken offline stay so.
    """

    look: Look = field(default_factory=Look)
    at: float = -math.inf
    began: float | None = None
    worked: bool = False
    since: t.Mapping[str, float] = field(default_factory=dict)
    mine: frozenset[str] = frozenset()
    restarted: float = -math.inf
    restarts: int = 0


@dataclass(frozen=True)
class Signs:
    """A look in words. Each public property that says True or False is a condition of the tables."""

    look: Look
    servers: tuple[_Key, ...]
    mine: frozenset[str]

    @cached_property
    def dead(self) -> bool:
        """Nobody takes connections at its port for applications."""
        return self.look.login.how is How.REFUSED

    @cached_property
    def frozen(self) -> bool:
        """It takes connections and does not answer: not the login, or not a statement."""
        return How.SILENT in (self.look.login.how, self.look.reads.how, self.look.writes.how)

    @cached_property
    def refuses(self) -> bool:
        """It says no to the one account that it has."""
        return self.look.login.how is How.BROKEN

    @cached_property
    def works(self) -> bool:
        return self.look.login.ok and not self.frozen

    @cached_property
    def no_writes(self) -> bool:
        """Its writer is not up, or a statement for the writer fails through Atlas."""
        unused = self.look.admin.ok and not any(self.look.state(key) == UP for key in self._of(RW))
        return self.look.login.ok and (unused or self.look.writes.how is How.BROKEN)

    @cached_property
    def reader_away(self) -> bool:
        """It has a reader, and uses none: the primary is read."""
        readers = self._of(RO)
        return self.look.admin.ok and bool(readers) and not any(self.look.state(key) == UP for key in readers)

    @cached_property
    def altered(self) -> bool:
        """Its backends or accounts are not those that the role has configured: somebody was at the admin port."""
        if not self.look.admin.ok:
            return False
        return {one.key for one in self.look.backends} != set(self.servers) or self.look.users != 1

    @cached_property
    def admin_silent(self) -> bool:
        """It works, and its admin port does not: no fence could take it offline."""
        return self.look.login.ok and not self.look.admin.ok

    # What is done about it.

    @cached_property
    def frozen_by_itself(self) -> bool:
        """It is frozen, although each backend that it may use answers: nothing holds it but itself."""
        used = [key for key in self.servers if self.look.state(key) != OFFLINE]
        return self.frozen and bool(used) and all(self.look.answers(key) for key in used)

    @cached_property
    def reader_hangs(self) -> bool:
        """A reader that Atlas may use does not answer, and the writer does, so that it can be read instead."""
        writer = any(self.look.answers(key) and self.look.state(key) == UP for key in self._of(RW))
        return writer and bool(self.hanging)

    @cached_property
    def reader_is_back(self) -> bool:
        """A reader that the agent itself has taken offline answers again."""
        return bool(self.returning)

    @cached_property
    def hanging(self) -> list[str]:
        return [key[0] for key in self._of(RO) if self.look.state(key) not in ("", OFFLINE) and not self.look.answers(key)]

    @cached_property
    def returning(self) -> list[str]:
        return [key[0] for key in self._of(RO) if key[0] in self.mine and self.look.state(key) == OFFLINE and self.look.answers(key)]

    def _of(self, kind: str) -> list[_Key]:
        return [key for key in self.servers if key[1] == kind]

    def holds(self, condition: str) -> bool:
        return bool(getattr(self, condition))


@dataclass(frozen=True)
class Row:
    """condition: the name of a property of Signs, that has held for so many seconds (after: a field of Times)."""

    condition: str
    after: str
    act: Act
    reason: str


# The first one that holds decides; nothing is done while an operation works on this node, or the agent is paused.
TABLE: tuple[Row, ...] = (
    Row("frozen_by_itself", "restart_after", Act.RESTART, "everything behind it answers, and it does not: it hangs by itself"),
    Row("reader_hangs", "offline_after", Act.READER_OFFLINE, "whoever connects to it through Atlas stops everybody else; the writer is read instead"),
    Row("reader_is_back", "online_after", Act.READER_ONLINE, "it answers again, and the agent itself had taken it offline"),
)
# Condition and alarm.
ALARMS_OF: t.Mapping[str, str] = {
    "dead": "atlas_dead",
    "frozen": "atlas_frozen",
    "refuses": "atlas_refuses",
    "no_writes": "atlas_no_writes",
    "reader_away": "atlas_reader_away",
    "altered": "atlas_altered",
    "admin_silent": "atlas_admin_silent",
}
_WATCHED = (*ALARMS_OF, *(row.condition for row in TABLE))


@dataclass(frozen=True)
class Judgement:
    """row: what is done now; None: nothing. targets: the addresses that it is about."""

    known: Known
    row: Row | None = None
    targets: tuple[str, ...] = ()


def judge(known: Known, servers: tuple[_Key, ...], look: Look, now: float, busy: bool, times: Times | None = None) -> Judgement:
    """After each look. servers: address and type of what the role has configured."""
    times = times or Times()
    # One that is not offline any more has been put online by somebody, or forgotten by a restart.
    mine = frozenset(address for address in known.mine if not look.admin.ok or look.state((address, RO)) == OFFLINE)
    signs = Signs(look, servers, mine)
    # Without a look for so long nobody knows whether it has held all the time.
    since = known.since if now - known.at <= times.old else {}
    held = {name: since.get(name, now) for name in _WATCHED if signs.holds(name)}
    known = replace(
        known, look=look, at=now, began=now if known.began is None else known.began, worked=known.worked or signs.works, since=held, mine=mine
    )
    if busy or _perhaps_new(known, now, times):
        return Judgement(known)
    for row in TABLE:
        if row.condition not in held or now - held[row.condition] < getattr(times, row.after):
            continue
        if row.act is Act.RESTART:
            if now - known.restarted < times.restart_every:
                continue
            return Judgement(replace(known, restarted=now, restarts=known.restarts + 1), row)
        if row.act is Act.READER_OFFLINE:
            targets = tuple(signs.hanging)
            return Judgement(replace(known, mine=mine | set(targets)), row, targets)
        return Judgement(known, row, tuple(signs.returning))
    return Judgement(known)


def _perhaps_new(known: Known, now: float, times: Times) -> bool:
    return known.began is None or (not known.worked and now - known.began < times.settle)


def alarms(known: Known, now: float, times: Times | None = None) -> tuple[str, ...]:
    """Names, as long as it is so."""
    times = times or Times()
    if now - known.at > times.old or _perhaps_new(known, now, times):
        return ()
    return tuple(name for condition, name in ALARMS_OF.items() if now - known.since.get(condition, now) >= times.alarm_after)


def state(known: Known, servers: tuple[_Key, ...], now: float, times: Times | None = None) -> tuple[str, str]:
    """One word (up, dead, frozen, refuses, unknown) and why."""
    times = times or Times()
    if now - known.at > times.old:
        return "unknown", "it has not been looked at"
    look, signs = known.look, Signs(known.look, servers, known.mine)
    if signs.works:
        return "up", ""
    if signs.frozen:
        asked = next((what, each.text) for what, each in (("login", look.login), ("a read", look.reads), ("a write", look.writes)) if each.how is How.SILENT)
        held = [f"{key[0]}: {look.servers[key].text}" for key in servers if key in look.servers and not look.answers(key)]
        return "frozen", f"{asked[0]}: {asked[1]}" + (f"; behind it {', '.join(held)}" if held else "")
    return "dead" if signs.dead else "refuses", look.login.text


def plain(known: Known, servers: tuple[_Key, ...], now: float) -> dict[str, t.Any]:
    """For people and machines. None: not known."""
    word, reason = state(known, servers, now)
    look = known.look if word != "unknown" else Look()
    listed = [*servers, *(one.key for one in look.backends if one.key not in servers)]
    return {
        "state": word,
        "reason": reason,
        "age": round(now - known.at, 1) if known.at > -math.inf else None,
        "admin": _said(look.admin.how),
        "admin_reason": look.admin.text,
        "reads": _said(look.reads.how),
        "reads_reason": look.reads.text,
        "writes": _said(look.writes.how),
        "writes_reason": look.writes.text,
        "accounts": look.users,
        "altered": None if not look.admin.ok else Signs(look, servers, known.mine).altered,
        "restarts": known.restarts,
        "backends": [
            {
                "address": key[0],
                "type": key[1],
                "state": look.state(key) or None,
                "answers": _said(look.servers[key].how) if key in look.servers else None,
                "reason": look.servers[key].text if key in look.servers else "",
                "configured": key in servers,
                "taken_offline": key[1] == RO and key[0] in known.mine and look.state(key) == OFFLINE,
            }
            for key in listed
        ],
    }


def _said(how: How) -> bool | None:
    return None if how is How.UNASKED else how is How.OK
