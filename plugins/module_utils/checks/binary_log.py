# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The binary log: is there one, of the right kind, complete, durable, and kept for long enough."""

from __future__ import annotations

from ..decide import COPY_ANEW
from ..gtid import MYSQL, GtidSet
from .model import FAIL, PASS, UNKNOWN, WARN, Context, Finding, OnNode, OnPair, Rule, Seen, is_on, unseen

_CONFIGURE = "Run playbooks/database.yml: it writes the setting and restarts the replica first."


def _binary_log(_context: Context, seen: Seen) -> Finding:
    if seen.server.log_bin:
        return Finding(PASS, "on", "on")
    return Finding(FAIL, "off", "on", f"{seen.name} writes no binary log, so nobody can follow it.", _CONFIGURE)


def _format(_context: Context, seen: Seen) -> Finding:
    value, expected = seen.more.setting("binlog_format"), "ROW"
    if value is None:
        # The variable may be gone one day; rows are what is left then.
        return Finding(UNKNOWN, None, expected, f"{seen.name} has no binlog_format.", "")
    if value.upper() == expected:
        return Finding(PASS, value, expected)
    reason = f"{seen.name} logs statements, which another server may carry out differently."
    return Finding(FAIL if value.upper() == "STATEMENT" else WARN, value, expected, reason, _CONFIGURE)


def _row_image(_context: Context, seen: Seen) -> Finding | None:
    value = seen.more.setting("binlog_row_image")
    if value is None or value.upper() == "FULL":
        return None if value is None else Finding(PASS, value, "FULL")
    reason = f"{seen.name} logs rows only in part: what a transaction replaced cannot be read back."
    return Finding(WARN, value, "FULL", reason, _CONFIGURE)


def _updates(_context: Context, seen: Seen) -> Finding:
    value = seen.more.setting("log_replica_updates", "log_slave_updates")
    if is_on(value):
        return Finding(PASS, value, "ON")
    reason = f"{seen.name} does not log what it receives: after a promotion nobody could follow it."
    return Finding(UNKNOWN if value is None else FAIL, value, "ON", reason, _CONFIGURE)


def _durable(_context: Context, seen: Seen) -> Finding:
    expected = "sync_binlog 1, innodb_flush_log_at_trx_commit 1"
    log, engine = seen.more.setting("sync_binlog"), seen.more.setting("innodb_flush_log_at_trx_commit")
    value = f"sync_binlog {log}, innodb_flush_log_at_trx_commit {engine}"
    if log is None or engine is None:
        return Finding(UNKNOWN, None, expected, f"{seen.name} does not say.", "")
    if log == "1" and engine == "1":
        return Finding(PASS, value, expected)
    return Finding(WARN, value, expected, f"A power cut of {seen.name} may lose what it acknowledged.", _CONFIGURE)


def _filters(_context: Context, seen: Seen) -> Finding:
    expected = "no filters"
    if seen.more.filters is None:
        return unseen(seen, "filters", expected)
    if not seen.more.filters:
        return Finding(PASS, "none", expected)
    names = ", ".join(sorted(seen.more.filters))
    reason = f"{seen.name} leaves data out of replication: the two servers will differ."
    return Finding(FAIL, dict(seen.more.filters), expected, reason, f"Remove {names} from its configuration, restart it, and {COPY_ANEW}.")


def _retention(context: Context, seen: Seen) -> Finding:
    hours = context.limits.retention_hours
    expected = f"{hours} h or more"
    seconds = seen.more.number("binlog_expire_logs_seconds")
    days = seen.more.number("expire_logs_days")
    kept = seconds if seconds else (days or 0) * 86400
    if seconds is None and days is None:
        return Finding(UNKNOWN, None, expected, f"{seen.name} does not say.", "")
    if not kept:
        return Finding(WARN, "for ever", expected, f"{seen.name} never removes binary logs: its disk fills up.", _CONFIGURE)
    value = f"{kept / 3600:g} h"
    if kept >= 3600 * hours:
        return Finding(PASS, value, expected)
    return Finding(WARN, value, expected, f"A replica that is away from {seen.name} for longer has to be copied anew.", _CONFIGURE)


def _purged(context: Context) -> Finding | None:
    """MySQL says what it has purged. MariaDB only tells the replica that asks, and then rpl-connected fails."""
    primary, replica = context.primary, context.replica
    if primary is None or replica is None:
        return None
    missing = GtidSet.parse(primary.server.gtid_purged, MYSQL) - replica.server.transactions
    if not missing:
        return Finding(PASS, "none", "none purged that the replica needs")
    return Finding(
        FAIL,
        str(missing),
        "none purged that the replica needs",
        f"{primary.name} has purged transactions that {replica.name} still needs.",
        f"Copy {primary.name} to {replica.name}: playbooks/database.yml -e tandem_database_seed=always.",
    )


RULES: tuple[Rule, ...] = (
    OnNode("bin-log", _binary_log),
    OnNode("bin-format", _format),
    OnNode("bin-row-image", _row_image),
    OnNode("bin-updates", _updates),
    OnNode("bin-durable", _durable),
    OnNode("bin-filters", _filters),
    OnNode("bin-retention", _retention),
    OnPair("bin-purged", _purged, MYSQL),
)
