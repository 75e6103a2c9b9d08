# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may write where: one primary, a replica that refuses everybody, and nothing that changes data there by itself."""

from __future__ import annotations

from ..gtid import MARIADB, MYSQL
from ..inspection import ANSWERED, DENIED
from ..state import ABSENT, STOPPED
from .model import FAIL, PASS, UNKNOWN, WARN, Context, Finding, OnNode, OnPair, Rule, Seen, is_on, some, unseen

# They come with the server, or with its package.
_OF_THE_SERVER = frozenset({"root", "mysql", "mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "debian-sys-maint"})
_NOT_MARIADB = {"SYSTEM VARIABLES ADMIN"}


def _primary(context: Context) -> Finding:
    expected = "one takes writes"
    writable = [seen.name for seen in context.both if seen.server.writable]
    if len(writable) == 1:
        return Finding(PASS, writable[0], expected)
    if writable:
        remedy = "Close the one that is not the primary: tandem.lemp.primary with state=closed. " + context.pair.decision.remedy
        return Finding(FAIL, writable, expected, f"{' and '.join(writable)} both take writes.", remedy.strip())
    decision = context.pair.decision
    reason = f"No server takes writes. {decision.reason}"
    return Finding(FAIL, "none", expected, reason, decision.remedy or "Run playbooks/database.yml: it opens the right one.")


def _read_only(context: Context, seen: Seen) -> Finding | None:
    if not context.is_replica(seen):
        return None
    if seen.server.read_only:
        return Finding(PASS, "ON", "ON")
    remedy = f"SET GLOBAL read_only = ON on {seen.name}, then see rpl-errant."
    return Finding(FAIL, "OFF", "ON", f"{seen.name} replicates and takes writes: its data will differ.", remedy)


def _super_read_only(context: Context, seen: Seen) -> Finding | None:
    """MySQL only; MariaDB has no such switch before 12, and there read_only has more values."""
    if not context.is_replica(seen) or seen.server.super_read_only is None:
        return None
    if seen.server.super_read_only:
        return Finding(PASS, "ON", "ON")
    reason = f"Administrators may write on {seen.name}."
    return Finding(WARN, "OFF", "ON", reason, f"SET GLOBAL super_read_only = ON on {seen.name}.")


def _bypass(context: Context, seen: Seen) -> Finding:
    expected = "only administrators"
    found = seen.more.bypass
    if found is None:
        return unseen(seen, "bypass", expected)
    known = _OF_THE_SERVER | context.limits.administrators
    others = {}
    for account, privileges in found.items():
        dangerous = _dangerous(seen, privileges)
        if account.rpartition("@")[0] not in known and dangerous:
            others[account] = ", ".join(dangerous)
    if not others:
        return Finding(PASS, expected, expected)
    names = some(list(others))
    if seen.mariadb:
        reason = f"{names} may write where read_only is on: closing a server does not stop them."
    else:
        reason = f"{names} may write where only read_only is on, or switch it off."
    remedy = f"REVOKE {', '.join(sorted(set(', '.join(others.values()).split(', '))))} ON *.* from them; an application needs no such thing."
    return Finding(FAIL, others, expected, reason, remedy)


def _dangerous(seen: Seen, privileges: tuple[str, ...]) -> list[str]:
    """Since MariaDB 10.11 SUPER is not enough to write; MySQL has no READ ONLY ADMIN."""
    if not seen.mariadb:
        return [one for one in privileges if one != "READ ONLY ADMIN"]
    version = tuple(int(part) for part in seen.server.version.split(".")[:2] if part.isdigit())
    harmless = {"CONNECTION ADMIN", *_NOT_MARIADB} | ({"SUPER"} if version >= (10, 11) else set())
    # With SUPER one may still switch read_only off: MariaDB asks for READ_ONLY ADMIN since 10.11.
    return [one for one in privileges if one not in harmless]


def _events(context: Context, seen: Seen) -> Finding | None:
    events = seen.more.events
    if not (context.is_replica(seen) or context.is_primary(seen)):
        return None
    replica = context.is_replica(seen)
    expected = "none enabled" if replica else "none left disabled by replication"
    if events is None:
        return unseen(seen, "tables", expected)
    runs = is_on(seen.more.setting("event_scheduler"))
    enabled = [event.name for event in events if event.enabled]
    waiting = [event.name for event in events if event.waiting]
    if replica and enabled:
        reason = f"{some(enabled)} {'runs' if runs else 'is enabled'} on {seen.name} too: its work is done twice, or fails there."
        return Finding(FAIL if runs else WARN, enabled, expected, reason, "ALTER EVENT ... DISABLE ON SLAVE, on the replica.")
    if not replica and waiting:
        reason = f"{some(waiting)} came by replication, and since {seen.name} was promoted nobody runs it."
        return Finding(WARN, waiting, expected, reason, "ALTER EVENT ... ENABLE, on the primary; DISABLE for a one-time event that has run.")
    return Finding(PASS, expected, expected)


def _triggers(context: Context, seen: Seen) -> Finding | None:
    """Rows that are replicated hold what triggers did on the source: they do not fire again, unless MariaDB is told so."""
    value = seen.more.setting("slave_run_triggers_for_rbr")
    if value is None or not context.is_replica(seen):
        return None
    if value.upper() == "NO":
        return Finding(PASS, "do not run for replicated rows", "do not run for replicated rows")
    count = "Some" if seen.more.triggers is None else str(seen.more.triggers)
    reason = f"Triggers run again on {seen.name} for replicated rows. {count} of them exist."
    harmless = seen.more.triggers == 0
    return Finding(PASS if harmless else WARN, value, "NO", reason, "SET GLOBAL slave_run_triggers_for_rbr = NO.")


def _answers(_context: Context, seen: Seen) -> Finding | None:
    expected, state = "answers", seen.server.state
    if seen.server.running:
        return Finding(PASS, expected, expected)
    if state in (STOPPED, ABSENT):
        return Finding(FAIL, state, expected, seen.server.reason, f"Start the database of {seen.name}.")
    return Finding(UNKNOWN, state, expected, seen.server.reason, f"See whether {seen.name} runs, and its database.")


def _operator(context: Context, seen: Seen) -> Finding | None:
    """Is this node let in at the other one as the operator? Every operation on the pair has to be."""
    if seen is not context.here:
        return None
    other, expected = context.there, "logs in over TLS"
    if other.more.access == ANSWERED:
        return Finding(PASS, expected, expected)
    if other.more.access == DENIED:
        remedy = "Give the password that the server knows, or run playbooks/database.yml: it sets the one of the inventory."
        return Finding(FAIL, "refused", expected, f"{other.name} refuses {seen.name}: {other.more.reason}", remedy)
    return Finding(UNKNOWN, None, expected, f"{other.name} did not answer. {other.more.reason}", f"Make {other.name} answer.")


ANSWERS = OnNode("role-answers", _answers, blind=False)
OPERATOR = OnNode("role-operator", _operator, blind=False)
RULES: tuple[Rule, ...] = (
    OnPair("role-primary", _primary),
    OnNode("role-read-only", _read_only),
    OnNode("role-super-read-only", _super_read_only, MYSQL),
    OnNode("role-bypass", _bypass),
    OnNode("role-events", _events),
    OnNode("role-triggers", _triggers, MARIADB),
)
