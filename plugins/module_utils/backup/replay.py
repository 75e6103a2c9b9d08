# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a backup on to a point in time: which binary logs, from where to where, what comes back and what is lost."""

from __future__ import annotations

import bisect
import os
import subprocess
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..connection import Endpoint
from ..errors import GtidError, OperationFailed, Refused
from ..gtid import MARIADB, MYSQL, GtidSet
from .archive import LogFile
from .binlog import Transaction, transactions
from .manifest import stamp

NOW = "latest"
_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%z")
_READER = {MARIADB: "mariadb-binlog", MYSQL: "mysqlbinlog"}
_CLIENT = {MARIADB: "mariadb", MYSQL: "mysql"}
_ELSEWHERE = "Take another backup, or another point in time."


@dataclass(frozen=True)
class Point:
    """Where to stop: before the first transaction at or after a time, before one transaction, at the end, or at once."""

    text: str = ""
    time: int | None = None
    gtid: str = ""

    @property
    def replays(self) -> bool:
        return bool(self.text)

    def reached(self, one: Transaction) -> bool:
        if self.time is not None:
            return one.when >= self.time
        return bool(self.gtid) and one.gtid == self.gtid

    def __str__(self) -> str:
        if self.time is not None:
            return f"just before {moment(self.time)} UTC"
        if self.gtid:
            return f"just before transaction {self.gtid}"
        return "the last transaction there is" if self.text == NOW else "the moment of the backup"


def point_of(text: str, engine: str, now: float) -> Point:
    """A time (UTC, or with an offset), a GTID, "latest", or nothing. Raises Refused."""
    text = text.strip()
    if text in ("", NOW):
        return Point(text)
    for form in _FORMS:
        try:
            read = datetime.strptime(text.replace("Z", "+0000") if "%z" in form else text, form)
        except ValueError:
            continue
        time = int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
        if time > now:
            raise Refused(f"{moment(time)} UTC is still to come.", "Times are UTC unless they carry an offset.")
        return Point(text, time=time)
    try:
        gtid = GtidSet.parse(text, engine)
    except GtidError as error:
        raise Refused(
            f"{text!r} is neither a time nor a transaction of {engine}.",
            "Say until='2026-11-21 10:00:00' (UTC), one GTID, or latest.",
        ) from error
    if "," in text or (engine == MYSQL and gtid.count() != 1):
        raise Refused(f"{text!r} is more than one transaction.", "Name the first one that shall not come back.")
    return Point(text, gtid=str(gtid))


@dataclass
class Span:
    """Some transactions in a row."""

    count: int = 0
    first: Transaction | None = None
    last: Transaction | None = None

    def add(self, one: Transaction) -> None:
        self.count += 1
        self.first = self.first or one
        self.last = one

    def __str__(self) -> str:
        if self.first is None or self.last is None:
            return "nothing"
        name = "transaction" if self.count == 1 else "transactions"
        one = f"{self.first.gtid or 'a transaction'} of {moment(self.first.when)}"
        if self.count == 1:
            return f"1 {name}: {one}"
        return f"{self.count} {name}: {one} to {self.last.gtid or 'a transaction'} of {moment(self.last.when)} UTC"


@dataclass
class Replay:
    """What to feed to a server that has the backup's data."""

    point: Point
    files: list[LogFile] = field(default_factory=list)
    start: int = 4
    stop: int | None = None
    replayed: Span = field(default_factory=Span)
    lost: Span = field(default_factory=Span)
    gtid: str = ""  # what the server has afterwards


class _Known:
    """The transactions that a server has, quick to ask and to extend. MariaDB: the newest of each domain counts."""

    def __init__(self, have: GtidSet) -> None:
        self.engine = have.flavor
        self._text = str(have)
        self._newest: dict[int, tuple[int, int]] = {}
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        self._more: dict[str, list[tuple[int, int]]] = {}
        for item in self._text.split(",") if self._text else []:
            if self.engine == MARIADB:
                domain, server, last = item.split("-", 2)
                self._note(int(domain), int(server), int(last.rpartition(".")[2]))
            else:
                name, *parts = item.split(":")
                spans = [part.partition("-") for part in parts if part[0].isdigit()]
                self._ranges[name] = sorted((int(first), int(last or first)) for first, _dash, last in spans)

    def _note(self, domain: int, server: int, last: int) -> None:
        if last > self._newest.get(domain, (0, 0))[1]:
            self._newest[domain] = (server, last)

    def has(self, gtid: str) -> bool:
        if not gtid:
            return False
        if self.engine == MARIADB:
            domain, _server, sequence = (int(part) for part in gtid.split("-"))
            return sequence <= self._newest.get(domain, (0, 0))[1]
        name, _colon, number = gtid.partition(":")
        spans = self._ranges.get(name, [])
        at = bisect.bisect_right(spans, (int(number), 2**63)) - 1
        return at >= 0 and spans[at][0] <= int(number) <= spans[at][1]

    def add(self, gtid: str) -> None:
        if not gtid:
            return
        if self.engine == MARIADB:
            domain, server, sequence = (int(part) for part in gtid.split("-"))
            self._note(domain, server, sequence)
            return
        name, _colon, number = gtid.partition(":")
        spans = self._more.setdefault(name, [])
        if spans and spans[-1][1] + 1 == int(number):
            spans[-1] = (spans[-1][0], int(number))
        else:
            spans.append((int(number), int(number)))

    def all(self) -> GtidSet:
        if self.engine == MARIADB:
            said = [f"{domain}-{server}-{last}" for domain, (server, last) in self._newest.items()]
            return GtidSet.parse(",".join(said), MARIADB)
        more = GtidSet(MYSQL, {(name, ""): spans for name, spans in self._more.items()})
        return GtidSet.parse(self._text, MYSQL) | more


def plan_replay(
    have: GtidSet,
    files: t.Sequence[LogFile],
    point: Point,
    taken: int,
    read: t.Callable[[Path, str], t.Iterable[Transaction]] = transactions,
) -> Replay:
    """Walk the binary logs from the backup, which was taken at that time, on. Raises Refused if the point cannot be reached."""
    plan = Replay(point, gtid=str(have))
    known = _Known(have)
    seen = _Known(have)
    result = _Known(have)
    # A later file may claim to need nothing: MySQL does not list what it got by a copy instead of by its binary log.
    begin = max((at for at, one in enumerate(files) if one.created <= taken and _covers(have, one)), default=None)
    if begin is None:
        if point.replays:
            raise Refused("No binary log reaches back to this backup.", _ELSEWHERE)
        return plan
    over = not point.replays
    found = False
    previous = GtidSet(have.flavor)
    for one in files[begin:]:
        if not over and not (_covers(seen.all(), one) and _goes_on(previous, one)):
            if point.time is None or point.time > one.created:
                raise Refused(
                    f"{one.name}, begun {moment(one.created)} UTC, follows transactions that are in no binary log here"
                    " (or the history was changed by a restore).",
                    _ELSEWHERE,
                )
            over = True
        walked = _Known(GtidSet.parse(one.before, have.flavor))
        for each in read(Path(one.path), have.flavor):
            seen.add(each.gtid)
            walked.add(each.gtid)
            if known.has(each.gtid):
                continue
            if not over and point.reached(each):
                over = found = True
                if plan.files and plan.files[-1] is one:
                    plan.stop = each.start
            if over:
                plan.lost.add(each)
                continue
            if not plan.files:
                plan.start = each.start
            if not plan.files or plan.files[-1] is not one:
                plan.files.append(one)
            plan.replayed.add(each)
            result.add(each.gtid)
        previous = walked.all()
    if point.gtid and not found:
        raise Refused(f"Transaction {point.gtid} is in no binary log after this backup.", _ELSEWHERE)
    plan.gtid = str(result.all())
    return plan


def _covers(have: GtidSet, one: LogFile) -> bool:
    return not have.behind(GtidSet.parse(one.before, have.flavor))


def _goes_on(previous: GtidSet, one: LogFile) -> bool:
    """The file knows all of the one before it; if not, the server's binary log was begun anew in between."""
    return not GtidSet.parse(one.before, previous.flavor).behind(previous)


def replay(plan: Replay, engine: str, target: Endpoint, timeout: float) -> None:
    """Feed the transactions to a server. Raises OperationFailed at the first that it does not take."""
    if not plan.files:
        return
    limits = [f"--start-position={plan.start}", *([] if plan.stop is None else [f"--stop-position={plan.stop}"])]
    reader = [_READER[engine], "--no-defaults", *limits, *(one.path for one in plan.files)]
    client = [_CLIENT[engine], "--no-defaults", "--binary-mode", "--max-allowed-packet=1G", f"--socket={target.socket}", f"--user={target.user}"]
    secret = {"MYSQL_PWD": target.password} if target.password else {}
    with (
        subprocess.Popen(reader, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TZ": "UTC"}) as source,
        subprocess.Popen(
            client, stdin=source.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **secret}
        ) as sink,
    ):
        if source.stdout is not None:
            source.stdout.close()
        try:
            _out, refused = sink.communicate(timeout=timeout)
            _out, unread = source.communicate(timeout=60)
        except subprocess.TimeoutExpired as error:
            source.kill()
            sink.kill()
            raise OperationFailed(f"Replaying the binary logs was not done after {timeout:g} s.", "Give it more time.") from error
    if sink.returncode != 0:
        raise OperationFailed(f"A transaction was refused: {refused.decode(errors='replace').strip()[-500:]}", _ELSEWHERE)
    if source.returncode != 0:
        raise OperationFailed(f"The binary logs cannot be read: {unread.decode(errors='replace').strip()[-500:]}", _ELSEWHERE)


def moment(seconds: int) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))
