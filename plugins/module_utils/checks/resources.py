# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs now and what runs out: transactions, statements, connections, disk, certificates."""

from __future__ import annotations

import ssl

from .model import FAIL, PASS, UNKNOWN, WARN, Context, Finding, OnNode, Rule, Seen, some, unseen


def _transactions(context: Context, seen: Seen) -> Finding:
    limit = context.limits.transaction_seconds
    expected = f"none older than {limit} s"
    if seen.more.transactions is None:
        return unseen(seen, "transactions", expected)
    old = [work for work in seen.more.transactions if work.seconds > limit]
    if not old:
        return Finding(PASS, f"{len(seen.more.transactions)} open", expected)
    value = [f"{work.user}, thread {work.id}, {work.seconds} s, {work.what}" for work in old]
    reason = f"A switchover has to wait for transactions of {seen.name}, or to break them."
    return Finding(WARN, value, expected, reason, f"Let them end, or KILL {some([str(work.id) for work in old])} on {seen.name}.")


def _ddl(_context: Context, seen: Seen) -> Finding:
    expected = "none running"
    if seen.more.ddl is None:
        return unseen(seen, "ddl", expected)
    if not seen.more.ddl:
        return Finding(PASS, "none", expected)
    value = [f"{work.what} of {work.user}, thread {work.id}, {work.seconds} s" for work in seen.more.ddl]
    return Finding(WARN, value, expected, "It runs again on the replica, for as long, and all else waits behind it.", "Wait until it ends.")


def _connections(context: Context, seen: Seen) -> Finding:
    most, peak = seen.more.number("max_connections"), seen.more.status.get("max_used_connections", "")
    needed = context.limits.connections_needed
    expected = f"max_connections {needed} or more" if needed else "peak below 85 % of max_connections"
    if most is None or not peak.isdigit():
        return Finding(UNKNOWN, None, expected, f"{seen.name} does not say.", "")
    value = f"{most:.0f}, peak {peak}"
    if needed and most < needed:
        reason = f"The proxies may open {needed} connections to {seen.name}, and it takes {most:.0f}."
        return Finding(WARN, value, expected, reason, "Raise database_max_connections, or lower those of the proxies.")
    if int(peak) >= 0.85 * most:
        return Finding(WARN, value, expected, f"{seen.name} was nearly full.", "Raise database_max_connections.")
    return Finding(PASS, value, expected)


def _disk(context: Context, seen: Seen) -> Finding:
    limit = context.limits.disk_percent
    expected = f"less than {limit} % used"
    space = seen.more.disk
    if space is None:
        return Finding(UNKNOWN, None, expected, f"The disk of {seen.name} is seen only from there.", f"Run this check on {seen.name}.")
    value = f"{space['used_percent']} % used, {space['free_mb']} MB free"
    if space["used_percent"] < limit:
        return Finding(PASS, value, expected)
    state = FAIL if space["free_mb"] < 200 or space["used_percent"] >= 98 else WARN
    return Finding(state, value, expected, f"The disk of {seen.name}'s database is nearly full.", "Make room.")


def _certificate(context: Context, seen: Seen) -> Finding:
    least = context.limits.certificate_days
    expected = f"{least} days or more left"
    try:
        left = (ssl.cert_time_to_seconds(" ".join(seen.more.certificate_ends.split())) - context.now) / 86400
    except ValueError:
        reason = f"{seen.name} does not say until when its certificate is valid."
        return Finding(UNKNOWN, seen.more.certificate_ends or None, expected, reason, "openssl x509 -enddate -in its certificate.")
    value = f"{left:.0f} days left"
    remedy = "Run playbooks/base.yml, which renews it, then playbooks/database.yml."
    if left < 0:
        return Finding(FAIL, value, expected, f"The certificate of {seen.name} has expired: nobody can follow it.", remedy)
    return Finding(PASS, value, expected) if left >= least else Finding(WARN, value, expected, f"{seen.name}'s expires soon.", remedy)


RULES: tuple[Rule, ...] = (
    OnNode("now-transactions", _transactions),
    OnNode("now-ddl", _ddl),
    OnNode("now-connections", _connections),
    OnNode("now-disk", _disk, blind=False),
    OnNode("now-certificate", _certificate),
)
