# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers that can stand in for one another: identity, versions, and what has to be the same on both."""

from __future__ import annotations

import typing as t

from ..gtid import MYSQL
from .model import FAIL, PASS, UNKNOWN, WARN, Context, Finding, OnPair, Rule, Seen, compare, some

_CONFIGURE = "Run playbooks/database.yml: it gives both the same configuration."


def _server_id(context: Context) -> Finding:
    here, there = (seen.server.server_id for seen in context.both)
    value = {seen.name: seen.server.server_id for seen in context.both}
    if here != there and here and there:
        return Finding(PASS, value, "two numbers")
    reason = f"Both servers have server_id {here}: each takes the other's transactions for its own and drops them."
    if here != there:
        reason = "A server has server_id 0, and refuses replicas."
    return Finding(FAIL, value, "two numbers", reason, _CONFIGURE)


def _server_uuid(context: Context) -> Finding:
    here, there = (seen.server.server_uuid for seen in context.both)
    value = {seen.name: seen.server.server_uuid for seen in context.both}
    if here != there:
        return Finding(PASS, value, "two of them")
    remedy = "Stop the replica's server, remove auto.cnf from its data directory, start it."
    return Finding(FAIL, value, "two of them", "Both servers have the same server_uuid: one was copied from the other.", remedy)


def _engine(context: Context) -> Finding:
    reason = "MariaDB and MySQL do not understand each other's transactions."
    return compare(context, "kind", "one kind", lambda seen: seen.server.engine, FAIL, reason, "Use one of them on both.")


def _version(context: Context) -> Finding:
    versions = {seen.name: seen.server.version for seen in context.both}
    expected = "the replica is not older"
    primary, replica = context.primary, context.replica
    here, there = (_series(seen) for seen in context.both)
    if here == there:
        same = len(set(versions.values())) == 1
        if same:
            return Finding(PASS, next(iter(versions.values())), expected)
        return Finding(WARN, versions, "the same on both", "The two servers differ in their last number.", "Upgrade the older one.")
    if primary is None or replica is None:
        return Finding(WARN, versions, expected, "The two versions differ.", "Upgrade the older one, the replica first.")
    if _series(replica) > _series(primary):
        reason = f"{replica.name} is newer than {primary.name}: the roles can be swapped, but not swapped back."
        return Finding(WARN, versions, expected, reason, f"Upgrade {primary.name} once {replica.name} is the primary.")
    reason = f"{replica.name} is older than {primary.name}: it may not understand what it receives."
    return Finding(FAIL, versions, expected, reason, f"Upgrade {replica.name}.")


def _series(seen: Seen) -> tuple[int, ...]:
    return tuple(int(part) for part in seen.server.version.split(".")[:2] if part.isdigit())


def _innodb(context: Context) -> Finding:
    for seen in context.both:
        if seen.more.engines is not None and "InnoDB" not in seen.more.engines:
            return Finding(FAIL, "absent", "on both", f"{seen.name} has no InnoDB.", "Look why in the log of its service.")
    reason = "Tablespaces of one server do not fit the other one: it cannot be copied file by file."
    return compare(
        context, "page size", "the same page size", _setting("innodb_page_size"), FAIL, reason, "Initialise the replica with the same size."
    )


def _engines(context: Context) -> Finding:
    expected = "every engine in use is on both"
    lacking = []
    for seen in context.both:
        other = context.other(seen)
        if other.more.engines is None:
            return Finding(UNKNOWN, None, expected, f"{other.name} does not name its storage engines.", "")
        lacking += [f"{other.name} lacks {one}" for one in seen.more.used_engines or () if one not in (*other.more.engines, "unknown")]
    if lacking:
        reason = f"{some(lacking)}: tables of the other server cannot be made there."
        return Finding(FAIL, lacking, expected, reason, "Install the engine there, or convert the tables to InnoDB.")
    if all(seen.more.used_engines is None for seen in context.both):
        return Finding(UNKNOWN, None, expected, "Which engines are in use cannot be seen.", "Run this check on both nodes.")
    return compare(
        context, "default engine", expected, _setting("default_storage_engine"), WARN, "The default storage engines differ.", _CONFIGURE
    )


def _case(context: Context) -> Finding:
    reason = "A table name that is found on one server may not be found on the other one."
    remedy = "It is fixed when a server is initialised: copy the primary to a server that was initialised with its value."
    return compare(context, "lower_case_table_names", "the same on both", _setting("lower_case_table_names"), FAIL, reason, remedy)


def _time_zone(context: Context) -> Finding:
    def zone(seen: Seen) -> str | None:
        value = seen.more.setting("time_zone")
        return seen.more.setting("system_time_zone") if value == "SYSTEM" else value

    reason = "NOW() on one server is another hour than on the other one."
    return compare(context, "time zone", "the same on both", zone, WARN, reason, "Set the same time zone on both nodes.")


def _charset(context: Context) -> Finding:
    def words(seen: Seen) -> str | None:
        names = [seen.more.setting(name) for name in ("character_set_server", "collation_server")]
        return None if None in names else " ".join(str(name) for name in names)

    reason = "A table that is made after a swap of roles gets another character set."
    return compare(context, "character set", "the same on both", words, WARN, reason, _CONFIGURE)


def _clock(context: Context) -> Finding:
    limit = context.limits.clock_seconds
    expected = f"less than {limit:g} s apart"
    offsets = [seen.more.clock_offset for seen in context.both]
    if offsets[0] is None or offsets[1] is None:
        return Finding(UNKNOWN, None, expected, "Not both clocks could be read.", "")
    apart = abs(offsets[0] - offsets[1])
    value = f"{apart:.3f} s"
    # What the network takes may hide a difference, never make one.
    if apart - sum(seen.more.clock_error for seen in context.both) < limit:
        return Finding(PASS, value, expected)
    reason = "The clocks differ: the lag in seconds is wrong by as much, and so are times after a swap of roles."
    return Finding(WARN, value, expected, reason, "See chronyc tracking on both nodes.")


def _setting(name: str) -> t.Callable[[Seen], str | None]:
    return lambda seen: seen.more.setting(name)


RULES: tuple[Rule, ...] = (
    OnPair("id-server-id", _server_id),
    OnPair("id-server-uuid", _server_uuid, MYSQL),
    OnPair("id-engine", _engine),
    OnPair("id-version", _version),
    OnPair("id-innodb", _innodb),
    OnPair("id-storage-engines", _engines),
    OnPair("id-table-names", _case),
    OnPair("id-time-zone", _time_zone),
    OnPair("id-charset", _charset),
    OnPair("id-clock", _clock),
)
