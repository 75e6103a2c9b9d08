# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a backup on to a point in time: which binary logs, from where to where, what comes back and what is lost."""

from __future__ import annotations

import bisect
import itertools
import os
import subprocess
import time
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..connection import Endpoint
from ..errors import GtidError, OperationFailed, Refused
from ..gtid import MARIADB, MYSQL, GtidSet
from .archive import LogFile
from .binlog import Transaction, single, transactions
from .manifest import stamp

NOW = "latest"
_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%z")
_READER = {MARIADB: "mariadb-binlog", MYSQL: "mysqlbinlog"}
_CLIENT = {MARIADB: "mariadb", MYSQL: "mysql"}
_ELSEWHERE = "Take another backup, or another point in time."
_POLL = 0.2
Reader: t.TypeAlias = "t.Callable[[Path, str], t.Iterable[Transaction]]"


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
    passed: bool = False  # the other server has something from the point on too: nothing before the point is lacking here


class _Spans:
    """Numbers, as ranges in order."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __iter__(self) -> t.Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def has(self, number: int) -> bool:
        at = bisect.bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def add(self, first: int, last: int) -> None:
        """Numbers of which none is there yet."""
        at = bisect.bisect_right(self._firsts, first)
        self._firsts.insert(at, first)
        self._lasts.insert(at, last)
        for left in (at, at - 1):
            if 0 <= left < len(self._firsts) - 1 and self._lasts[left] + 1 == self._firsts[left + 1]:
                del self._firsts[left + 1], self._lasts[left]


class _Known:
    """The transactions that a server has, quick to ask and to extend. MariaDB: of a set only the newest of each domain counts."""

    def __init__(self, have: GtidSet) -> None:
        self.engine = have.flavor
        self._text = str(have)
        self._newest: dict[int, tuple[int, int]] = {}
        self._spans: dict[str, _Spans] = {}
        for item in self._text.split(",") if self._text else []:
            if self.engine == MARIADB:
                domain, server, last = item.split("-", 2)
                self._note(int(domain), int(server), int(last.rpartition(".")[2]))
                continue
            name, *parts = item.split(":")
            for first, _dash, last in (part.partition("-") for part in parts if part[0].isdigit()):
                self._spans.setdefault(name, _Spans()).add(int(first), int(last or first))
        self._from_set = {domain: last for domain, (_server, last) in self._newest.items()}

    def _note(self, domain: int, server: int, last: int) -> None:
        if last > self._newest.get(domain, (0, 0))[1]:
            self._newest[domain] = (server, last)

    def has(self, gtid: str) -> bool:
        if not gtid:
            return False
        name, number = self._parts(gtid)
        if self.engine == MARIADB and number <= self._from_set.get(int(name.partition("-")[0]), 0):
            return True
        return name in self._spans and self._spans[name].has(number)

    def add(self, gtid: str) -> None:
        if not gtid or self.has(gtid):
            return
        name, number = self._parts(gtid)
        if self.engine == MARIADB:
            domain, _dash, server = name.partition("-")
            self._note(int(domain), int(server), number)
        self._spans.setdefault(name, _Spans()).add(number, number)

    def _parts(self, gtid: str) -> tuple[str, int]:
        name, _mark, number = gtid.rpartition("-" if self.engine == MARIADB else ":")
        return name, int(number)

    def all(self) -> GtidSet:
        if self.engine == MARIADB:
            said = [f"{domain}-{server}-{last}" for domain, (server, last) in self._newest.items()]
            return GtidSet.parse(",".join(said), MARIADB)
        more = GtidSet(MYSQL, {(name, ""): spans for name, spans in self._spans.items()})
        return GtidSet.parse(self._text, MYSQL) | more


def plan_replay(
    have: GtidSet,
    files: t.Sequence[LogFile],
    point: Point,
    taken: int,
    read: Reader = transactions,
    other: GtidSet | None = None,
) -> Replay:
    """Walk the binary logs from the backup, which was taken at that time, on. Raises Refused if the point cannot be reached.

    The files may be those of both servers of a pair, which say the same in other portions: one server's are walked.
    other: what the other server has.
    """
    # A later file may claim to need nothing: MySQL does not list what it got by a copy instead of by its binary log.
    begins = {one.server: at for at, one in enumerate(files) if one.created <= taken and _covers(have, one) and _joins(have, one, read)}
    if not begins:
        if point.replays:
            raise Refused("No binary log reaches back to this backup.", _ELSEWHERE)
        return Replay(point, gtid=str(have))
    after = [one for at, one in enumerate(files) if at >= begins.get(one.server, 0)]
    refusals = []
    # The files of one server go on from each other, unless its number was changed.
    for by_one, at in itertools.product((True, False), sorted(begins.values(), reverse=True)):
        try:
            return _Walk(have, point, taken, read, other, by_one).over(files[at], after)
        except Refused as error:
            refusals.append(error)
    raise refusals[0]


class _Walk:
    """One way through the binary logs."""

    def __init__(self, have: GtidSet, point: Point, taken: int, read: Reader, other: GtidSet | None, by_one: bool) -> None:
        self._have, self._point, self._taken, self._read, self._other, self._by_one = have, point, taken, read, other, by_one
        self._plan = Replay(point)
        self._seen = _Known(have)
        self._result = _Known(have)
        self._done = not point.replays
        self._found = False

    def over(self, begin: LogFile, files: t.Sequence[LogFile]) -> Replay:
        previous = GtidSet(self._have.flavor)
        aside = []
        for one in [begin, *(one for one in files if one is not begin)]:
            if self._done or (self._mine(begin, one) and _covers(self._seen.all(), one) and _goes_on(previous, one)):
                previous = self._walk(one)
            else:
                aside.append(one)
        for one in aside:
            if not self._done and not self._may_be_left_out(one):
                raise Refused(
                    f"{one.name}, begun {moment(one.created)} UTC, follows transactions that are in no binary log here"
                    " (or the history was changed by a restore).",
                    _ELSEWHERE,
                )
        if self._point.gtid and not self._found:
            raise Refused(f"Transaction {self._point.gtid} is in no binary log after this backup.", _ELSEWHERE)
        for one in aside:
            for each in self._new_of(one):
                self._plan.lost.add(each)
        self._plan.gtid = str(self._result.all())
        return self._plan

    def _mine(self, begin: LogFile, one: LogFile) -> bool:
        return one.server == begin.server or not self._by_one

    def _walk(self, one: LogFile) -> GtidSet:
        """Returns what its server had at its end, as far as the file says."""
        plan = self._plan
        walked = _Known(GtidSet.parse(one.before, self._have.flavor))
        for each in self._read(Path(one.path), self._have.flavor):
            walked.add(each.gtid)
            if self._seen.has(each.gtid):
                continue
            self._seen.add(each.gtid)
            if not self._done and self._point.reached(each):
                self._done = self._found = True
                if plan.files and plan.files[-1] is one:
                    plan.stop = each.start
            if self._done:
                plan.lost.add(each)
                plan.passed = plan.passed or (self._found and self._is_of_both(each))
                continue
            if not plan.files:
                plan.start = each.start
            if not plan.files or plan.files[-1] is not one:
                plan.files.append(one)
            plan.replayed.add(each)
            self._result.add(each.gtid)
        return walked.all()

    def _is_of_both(self, one: Transaction) -> bool:
        return bool(one.gtid) and self._other is not None and single(one.gtid, self._have.flavor) <= self._other

    def _new_of(self, one: LogFile) -> t.Iterator[Transaction]:
        for each in self._read(Path(one.path), self._have.flavor):
            if not self._seen.has(each.gtid):
                self._seen.add(each.gtid)
                yield each

    def _may_be_left_out(self, one: LogFile) -> bool:
        """All of it was walked in other files, or came after the point; and it knows of nothing that was not walked."""
        found = [each.when for each in self._read(Path(one.path), self._have.flavor) if not self._seen.has(each.gtid)]
        if not _covers(self._seen.all(), one):
            return False
        if self._point.time is not None and self._point.time <= one.created:
            return self._joins_what_was_seen(one) and all(when >= self._point.time for when in found)
        return not found and self._is_of_this_history(one)

    def _joins_what_was_seen(self, one: LogFile) -> bool:
        """MySQL: a file that lists nothing was begun after a copy. What that held, only the first transaction after it tells."""
        if self._have.flavor != MYSQL or one.before:
            return True
        for first in self._read(Path(one.path), MYSQL):
            name, _colon, number = first.gtid.rpartition(":")
            return bool(name) and (self._seen.has(first.gtid) or self._seen.has(f"{name}:{int(number) - 1}"))
        return False

    def _is_of_this_history(self, one: LogFile) -> bool:
        """Not of a server that was begun anew since. All that it does not list came before what it lists, or holds."""
        if self._have.flavor == MYSQL:
            return bool(one.before) or any(True for _each in self._read(Path(one.path), MYSQL))
        # Numbers that begin anew in an empty server look like those of old.
        return one.created <= self._taken or not GtidSet.parse(one.before, MARIADB).behind(self._have)


def newest_of(have: GtidSet, logs: t.Sequence[str], read: Reader = transactions) -> int:
    """When the newest of these transactions was written, by the clock of its writer; 0: the binary logs do not tell.

    logs: their paths, the newest last.
    """
    known = _Known(have)
    for path in reversed(logs):
        found = [one.when for one in read(Path(path), have.flavor) if known.has(one.gtid)]
        if found:
            return max(found)
    return 0


def _covers(have: GtidSet, one: LogFile) -> bool:
    return not have.behind(GtidSet.parse(one.before, have.flavor))


def _joins(have: GtidSet, one: LogFile, read: Reader) -> bool:
    """MySQL: a file that lists nothing begins with what is there, or with the one after it: the backup and a copy take their time."""
    if have.flavor == MARIADB or one.before:
        return True
    for first in read(Path(one.path), MYSQL):
        name, _colon, number = first.gtid.rpartition(":")
        return not name or int(number) == 1 or _Known(have).has(first.gtid) or _Known(have).has(f"{name}:{int(number) - 1}")
    return True


def _goes_on(previous: GtidSet, one: LogFile) -> bool:
    """The file knows all of the one before it; if not, it is another server's, or the binary log was begun anew in between."""
    return not GtidSet.parse(one.before, previous.flavor).behind(previous)


def replay(
    plan: Replay,
    engine: str,
    target: Endpoint,
    timeout: float,
    watch: t.Callable[[], None],
    clock: t.Callable[[], float] = time.monotonic,
) -> None:
    """Feed the transactions to a server. Raises OperationFailed at the first that it does not take.

    watch: asked again and again meanwhile; what it raises ends the replay.
    """
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
            refused = _watched(sink, watch, timeout, clock)
            _out, unread = source.communicate(timeout=60)
        except BaseException as error:
            source.kill()
            sink.kill()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise OperationFailed(f"Replaying the binary logs was not done after {timeout:g} s.", "Give it more time.") from error
    if sink.returncode != 0:
        raise OperationFailed(f"A transaction was refused: {refused.decode(errors='replace').strip()[-500:]}", _ELSEWHERE)
    if source.returncode != 0:
        raise OperationFailed(f"The binary logs cannot be read: {unread.decode(errors='replace').strip()[-500:]}", _ELSEWHERE)


def _watched(sink: subprocess.Popen[bytes], watch: t.Callable[[], None], timeout: float, clock: t.Callable[[], float]) -> bytes:
    """What it said when it ended. Raises TimeoutExpired, or what watch() raises."""
    deadline = clock() + timeout
    while True:
        try:
            _out, said = sink.communicate(timeout=_POLL)
            return bytes(said)
        except subprocess.TimeoutExpired:
            if clock() >= deadline:
                raise
        watch()


def moment(seconds: int) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))
