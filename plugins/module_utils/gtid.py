# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of global transaction identifiers of both dialects, as intervals: a set of billions costs what a set of one does.

MySQL prints real sets: ``uuid[:tag]:first-last:...``. MariaDB prints the last transaction of each domain, or (as
gtid_binlog_state) of each domain and server; here that means "this one and all of that server's earlier ones in the domain".
What subtraction leaves of such a range is written ``domain-server-first..last``, which no server prints.
"""

from __future__ import annotations

import re
import typing as t

from .errors import GtidError

MARIADB = "mariadb"
MYSQL = "mysql"

# The largest numbers the servers themselves accept.
_LAST_GNO = 2**63 - 2
_LAST_SEQUENCE = 2**64 - 1
_LAST_ID = 2**32 - 1

_UUID = re.compile(r"\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?", re.ASCII)
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}", re.ASCII)
_INTERVAL = re.compile(r"([0-9]{1,19})\s*(?:-\s*([0-9]{1,19}))?", re.ASCII)
_MARIADB = re.compile(r"([0-9]{1,10})-([0-9]{1,10})-([0-9]{1,20})(?:\.\.([0-9]{1,20}))?", re.ASCII)

Interval = tuple[int, int]
Ranges = tuple[Interval, ...]
# MySQL: (uuid, tag). MariaDB: (domain, server).
Key: t.TypeAlias = "tuple[str, str] | tuple[int, int]"


class GtidSet:
    """An immutable set. ``a <= b``: a is a subset of b. ``a - b``: what b lacks of a. ``a | b``: both together."""

    __slots__ = ("_ranges", "flavor")

    def __init__(self, flavor: str, ranges: t.Mapping[Key, t.Iterable[Interval]] | None = None) -> None:
        if flavor not in (MARIADB, MYSQL):
            raise GtidError(f"There is no GTID flavor {flavor!r}.", f"Use {MARIADB} or {MYSQL}.")
        self.flavor = flavor
        self._ranges: dict[Key, Ranges] = {}
        for key in sorted(ranges or {}, key=_order):
            merged = _merge((ranges or {})[key])
            if merged:
                self._ranges[key] = merged

    @classmethod
    def parse(cls, text: str, flavor: str) -> GtidSet:
        """Read a set as a server prints it, in any order, with any white space."""
        ranges: dict[Key, list[Interval]] = {}
        read = _read_mysql if flavor == MYSQL else _read_mariadb
        if not isinstance(text, str):
            raise GtidError(f"A GTID set is text, not {type(text).__name__}.")
        for item in text.split(","):
            item = item.strip()
            if item:
                for key, interval in read(item):
                    ranges.setdefault(key, []).append(interval)
        return cls(flavor, ranges)

    def __str__(self) -> str:
        return ",".join(_mysql_text(self._ranges) if self.flavor == MYSQL else _mariadb_text(self._ranges))

    def __repr__(self) -> str:
        return f"GtidSet.parse({str(self)!r}, {self.flavor!r})"

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __hash__(self) -> int:
        return hash((self.flavor, tuple(self._ranges.items())))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GtidSet):
            return NotImplemented
        return self.flavor == other.flavor and self._ranges == other._ranges

    def __le__(self, other: GtidSet) -> bool:
        return not self - other

    def __lt__(self, other: GtidSet) -> bool:
        return self <= other and self != other

    def __or__(self, other: GtidSet) -> GtidSet:
        self._same_flavor(other)
        union: dict[Key, list[Interval]] = {key: list(ranges) for key, ranges in self._ranges.items()}
        for key, ranges in other._ranges.items():
            union.setdefault(key, []).extend(ranges)
        return GtidSet(self.flavor, union)

    def __sub__(self, other: GtidSet) -> GtidSet:
        self._same_flavor(other)
        return GtidSet(
            self.flavor, {key: _subtract(ranges, other._ranges.get(key, ())) for key, ranges in self._ranges.items()}
        )

    def count(self) -> int:
        """How many transactions. MariaDB: an upper bound, as servers of a domain share one sequence; see behind()."""
        return sum(last - first + 1 for ranges in self._ranges.values() for first, last in ranges)

    def behind(self, other: GtidSet) -> int:
        """How many transactions of the other set are missing here, as close as the flavor allows."""
        self._same_flavor(other)
        if self.flavor == MYSQL:
            return (other - self).count()
        here, there = self._newest(), other._newest()
        return sum(max(0, last - here.get(domain, (0, 0))[1]) for domain, (_server, last) in there.items())

    def lacks(self, other: GtidSet) -> int:
        """How many transactions of the other set are missing here, also where both servers have written since they were one.

        MariaDB: their numbers come from one sequence, so behind() alone takes what is written here for what was written there.
        What the newest server of a domain wrote after all others is compared by itself. Unless that is everything: then a copy
        was made here that does not list it.
        """
        if self.flavor == MYSQL:
            return self.behind(other)
        missing = other - self
        here, count = self._newest(), 0
        for domain, (server, last) in other._newest().items():
            own = missing.own(server, other)._ranges.get((domain, server), ())
            copied = (domain, server) not in self._ranges and own[:1] == ((1, last),)
            alone = 0 if copied else sum(end - first + 1 for first, end in own)
            count += max(alone, last - here.get(domain, (0, 0))[1])
        return count

    def reached(self, wanted: GtidSet) -> bool:
        """Has everything up to there been applied here?

        MySQL: all of it is here. MariaDB: the newest of each domain is, which was written after all others; a copy may not
        list servers that wrote long ago.
        """
        self._same_flavor(wanted)
        if self.flavor == MYSQL:
            return wanted <= self
        return all(
            last <= max((ranges[-1][1] for key, ranges in self._ranges.items() if key == (domain, server)), default=0)
            for domain, (server, last) in wanted._newest().items()
        )

    def without_newest_of(self, uuid: str, known: GtidSet) -> GtidSet:
        """MySQL: without what a source has sent and does not count as executed yet: its newest, after all it knows of itself."""
        last: dict[Key, int] = {key: ranges[-1][1] for key, ranges in known._ranges.items() if key[0] == uuid.lower()}
        return GtidSet(
            MYSQL,
            {key: [one for one in ranges if one[0] <= last.get(key, one[0])] for key, ranges in self._ranges.items()},
        )

    def own(self, server: int, everything: GtidSet) -> GtidSet:
        """MariaDB: what one server wrote itself after all that it knows of others.

        everything: all that this server has. In strict mode its log only counts upwards, so a number that is not above those
        of the others was theirs.
        """
        others = {key: ranges for key, ranges in everything._ranges.items() if key[1] != server}
        newest = GtidSet(MARIADB, others)._newest()
        return GtidSet(
            MARIADB,
            {
                key: [(max(first, newest.get(int(key[0]), (0, 0))[1] + 1), last) for first, last in ranges]
                for key, ranges in self.of_server(server)._ranges.items()
            },
        )

    def below(self, lowest: t.Mapping[int, int]) -> GtidSet:
        """MySQL: all of it. MariaDB: what comes before the lowest number of a domain that a log still has.

        The servers of a domain share one sequence: a number that a log jumps over was another server's. A domain that no log
        has is whole.
        """
        if self.flavor == MYSQL:
            return self
        return GtidSet(
            MARIADB,
            {
                key: [(first, min(last, lowest.get(int(key[0]), last + 1) - 1)) for first, last in ranges]
                for key, ranges in self._ranges.items()
            },
        )

    def of_server(self, server: int | str) -> GtidSet:
        """The part that one server made: MariaDB by server_id, MySQL by UUID."""
        place, wanted = (0, str(server).lower()) if self.flavor == MYSQL else (1, int(server))
        return GtidSet(self.flavor, {key: ranges for key, ranges in self._ranges.items() if key[place] == wanted})

    def position(self) -> str:
        """MariaDB: the newest transaction of each domain, as gtid_slave_pos wants it. MySQL: the set itself."""
        if self.flavor == MYSQL:
            return str(self)
        return ",".join(f"{domain}-{server}-{last}" for domain, (server, last) in sorted(self._newest().items()))

    def newest_last(self) -> str:
        """MariaDB, for gtid_binlog_state: it takes the last one named for the newest of its domain, whatever the numbers are."""
        return ",".join(sorted(_mariadb_text(self._ranges), key=lambda item: int(item.rpartition("-")[2])))

    def _newest(self) -> dict[int, tuple[int, int]]:
        newest: dict[int, tuple[int, int]] = {}
        for key, ranges in self._ranges.items():
            domain, server, last = int(key[0]), int(key[1]), ranges[-1][1]
            if last > newest.get(domain, (0, 0))[1]:
                newest[domain] = (server, last)
        return newest

    def _same_flavor(self, other: GtidSet) -> None:
        if self.flavor != other.flavor:
            raise GtidError(f"A {self.flavor} set cannot be compared with a {other.flavor} set.")


def _order(key: Key) -> tuple[int, int, str, str]:
    first, second = key
    return (first, int(second), "", "") if isinstance(first, int) else (0, 0, first, str(second))


def _merge(intervals: t.Iterable[Interval]) -> Ranges:
    """Sorted, disjoint, not even touching."""
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if first > last:
            continue
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _subtract(ranges: Ranges, minus: Ranges) -> list[Interval]:
    left: list[Interval] = []
    position = 0
    for first, last in ranges:
        while position < len(minus) and minus[position][1] < first:
            position += 1
        look = position
        while first <= last and look < len(minus) and minus[look][0] <= last:
            if minus[look][0] > first:
                left.append((first, minus[look][0] - 1))
            first = minus[look][1] + 1
            look += 1
        if first <= last:
            left.append((first, last))
    return left


def _read_mysql(item: str) -> t.Iterator[tuple[Key, Interval]]:
    source, *parts = (part.strip() for part in item.lower().split(":"))
    match = _UUID.fullmatch(source)
    if match is None:
        raise GtidError(f"{_excerpt(item)} does not begin with the UUID of a server.")
    uuid = "-".join(match.groups())
    tag, expecting = "", True
    for part in parts:
        interval = _INTERVAL.fullmatch(part)
        if interval is not None:
            first, last = int(interval[1]), int(interval[2] or interval[1])
            if first == 0 or max(first, last) > _LAST_GNO:
                raise GtidError(f"{_excerpt(item)}: transactions are numbered from 1 to {_LAST_GNO}.")
            yield (uuid, tag), (first, last)
            expecting = False
        elif _TAG.fullmatch(part) and (not expecting or tag == ""):
            tag, expecting = part, True
        else:
            raise GtidError(f"{_excerpt(item)}: {_excerpt(part)} is neither an interval nor a tag.")
    if expecting:
        raise GtidError(f"{_excerpt(item)} names no transaction.")


def _read_mariadb(item: str) -> t.Iterator[tuple[Key, Interval]]:
    match = _MARIADB.fullmatch(item)
    if match is None:
        raise GtidError(f"{_excerpt(item)} is not of the form domain-server-sequence.")
    domain, server, number = int(match[1]), int(match[2]), int(match[3])
    first, last = (number, int(match[4])) if match[4] else (1, number)
    if max(domain, server) > _LAST_ID or last > _LAST_SEQUENCE or (match[4] and not 1 <= first <= last):
        raise GtidError(f"{_excerpt(item)}: a number is out of range.")
    yield (domain, server), (first, last)


def _mysql_text(ranges: t.Mapping[Key, Ranges]) -> t.Iterator[str]:
    text: dict[str, str] = {}
    for (uuid, tag), intervals in ranges.items():
        parts = [str(first) if first == last else f"{first}-{last}" for first, last in intervals]
        text[str(uuid)] = ":".join([text.get(str(uuid), str(uuid)), *([str(tag)] if tag else []), *parts])
    return iter(text.values())


def _mariadb_text(ranges: t.Mapping[Key, Ranges]) -> t.Iterator[str]:
    for (domain, server), intervals in ranges.items():
        for first, last in intervals:
            yield f"{domain}-{server}-{last}" if first == 1 else f"{domain}-{server}-{first}..{last}"


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
