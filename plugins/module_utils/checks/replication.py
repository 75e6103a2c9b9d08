# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replication itself: who follows whom, how, how far behind, and whether the data are the same history."""

from __future__ import annotations

from ..gtid import MARIADB
from .model import FAIL, PASS, UNKNOWN, WARN, Context, Finding, OnNode, OnPair, Rule, Seen, is_on, some

_ATTACH = "Run playbooks/database.yml: it attaches the replica."
_CONFIGURE = "Run playbooks/database.yml: it writes the setting and restarts the replica first."


def _source(context: Context) -> Finding:
    expected = "one follows the other"
    primary, replica = context.primary, context.replica
    if primary is not None and replica is not None:
        return Finding(PASS, f"{replica.name} follows {primary.name}", expected)
    followed = {name: whom for name, whom in context.pair.follows.items() if whom}
    if len(followed) == 2:
        return Finding(FAIL, followed, expected, "Each is told to follow the other one.", "Decide who is primary, and detach it.")
    if not followed:
        return Finding(FAIL, "nobody follows", expected, "No server follows the other one: nothing is copied.", _ATTACH)
    reason = f"{' and '.join(str(whom) for whom in followed.values())} is followed, and is not the one primary: see role-primary."
    return Finding(WARN, followed, expected, reason, "See role-primary.")


def _connected(context: Context, seen: Seen) -> Finding | None:
    if seen.told is None or not context.is_replica(seen):
        return None
    told, expected = seen.told, "connected"
    if told.io_connected:
        return Finding(PASS, f"connected to {told.source_host}", expected)
    reason = told.io_error or ("It tries to connect." if told.io_running else "Its receiving thread was stopped.")
    remedy = _start(seen)
    if told.io_running:
        remedy = "Mend what it says; it tries again by itself. If it is the account or TLS: playbooks/database.yml."
    value = f"error {told.io_errno}" if told.io_errno else "connecting" if told.io_running else "stopped"
    return Finding(FAIL, value, expected, f"{seen.name} receives nothing: {reason}", remedy)


def _applying(context: Context, seen: Seen) -> Finding | None:
    if seen.told is None or not context.is_replica(seen):
        return None
    told, expected = seen.told, "running"
    if told.sql_running:
        return Finding(PASS, "running", expected)
    value = f"error {told.sql_errno}" if told.sql_errno else "stopped"
    reason = told.sql_error or "Its applying thread was stopped."
    remedy = f"Mend what it says, then {_start(seen)}" if told.sql_errno else _start(seen)
    return Finding(FAIL, value, expected, f"{seen.name} applies nothing: {reason}", remedy)


def _start(seen: Seen) -> str:
    return f"{'START SLAVE' if seen.mariadb else 'START REPLICA'} on {seen.name}, or run playbooks/database.yml."


def _source_info(context: Context, seen: Seen) -> Finding | None:
    """What the replica remembers of its source survives a crash and names no file and offset."""
    if seen.told is None or not context.is_replica(seen):
        return None
    expected = "follows by GTID"
    if not seen.told.follows_gtid:
        reason = f"{seen.name} follows by file and offset, which name nothing on another server."
        return Finding(FAIL, "by file and offset", expected, reason, _ATTACH)
    repository = seen.more.setting("master_info_repository")
    if repository is not None and repository.upper() != "TABLE":
        reason = f"{seen.name} keeps its place in a file, which a crash leaves behind its data."
        return Finding(WARN, f"by GTID, kept in {repository}", "kept in TABLE", reason, "Set master_info_repository = TABLE.")
    return Finding(PASS, f"by GTID, from {seen.told.source_host}:{seen.told.source_port}", expected)


def _lag(context: Context, seen: Seen) -> Finding | None:
    if seen.told is None or not context.is_replica(seen):
        return None
    limit = context.limits.lag_seconds
    expected = f"{limit} s or less, without a delay"
    if seen.more.delay:
        reason = f"{seen.name} is told to stay {seen.more.delay} s behind."
        return Finding(FAIL, f"delayed by {seen.more.delay} s", expected, reason, "Set its delay to 0.")
    seconds = seen.told.lag_seconds
    if seconds is None:
        return Finding(UNKNOWN, None, expected, f"How far {seen.name} is behind is not known.", "See rpl-connected and rpl-applying.")
    behind = context.pair.lag_transactions
    value = f"{seconds} s" if behind is None else f"{seconds} s, {behind} transactions"
    if seconds <= limit:
        return Finding(PASS, value, expected)
    return Finding(WARN, value, expected, f"{seen.name} is behind.", "See what it is busy with: SHOW PROCESSLIST there.")


def _gtid_mode(_context: Context, seen: Seen) -> Finding:
    expected = "gtid_strict_mode ON" if seen.mariadb else "gtid_mode ON, enforce_gtid_consistency ON"
    if seen.mariadb:
        value = seen.more.setting("gtid_strict_mode")
        if is_on(value):
            return Finding(PASS, expected, expected)
        reason = f"{seen.name} lets transactions in out of order, so that errant ones are not noticed."
        return Finding(UNKNOWN if value is None else WARN, f"gtid_strict_mode {value}", expected, reason, _CONFIGURE)
    mode, consistency = seen.more.setting("gtid_mode"), seen.more.setting("enforce_gtid_consistency")
    value = f"gtid_mode {mode}, enforce_gtid_consistency {consistency}"
    if mode == "ON" and is_on(consistency):
        return Finding(PASS, value, expected)
    return Finding(FAIL, value, expected, f"{seen.name} gives its transactions no names.", _CONFIGURE)


def _domain(context: Context) -> Finding:
    domains = {seen.name: seen.more.setting("gtid_domain_id") for seen in context.both}
    if len(set(domains.values())) == 1:
        return Finding(PASS, next(iter(domains.values())), "the same on both")
    reason = "With two domains each server numbers its own transactions: strict mode sees no divergence."
    return Finding(WARN, domains, "the same on both", reason, _CONFIGURE)


def _errant(context: Context) -> Finding:
    expected = "none"
    found = {name: some([one.transactions for one in parts]) for name, parts in context.pair.errant.items() if parts}
    if any(parts is None for parts in context.pair.errant.values()):
        return Finding(UNKNOWN, None, expected, "The two sets cannot be compared.", "")
    if not found:
        return Finding(PASS, "none", expected)
    names = " and ".join(found)
    decision = context.pair.decision
    if decision.primary is None:
        return Finding(FAIL, found, expected, decision.reason, decision.remedy)
    if context.pair.primary is None and len(found) == 1:
        return Finding(WARN, found, expected, f"{names} has transactions that the other one lacks, and nobody is primary.", _ATTACH)
    return Finding(
        FAIL,
        found,
        expected,
        f"{names} has transactions that the other one lacks: the data differ.",
        f"Save what they hold if it matters; then copy the primary to {names}: playbooks/database.yml -e tandem_database_seed=always.",
    )


def _semi_sync(context: Context, seen: Seen) -> Finding | None:
    """Only the side that belongs to the role is on: a replica that waits for its own replica would wait for ever."""
    server = seen.server
    if not (context.is_primary(seen) or context.is_replica(seen)):
        return None
    primary = context.is_primary(seen)
    expected = "active as source" if primary else "on as replica, off as source"
    if server.semi_sync_source is None or server.semi_sync_replica is None:
        return Finding(FAIL, "not loaded", expected, f"{seen.name} has not loaded semi-synchronous replication.", _CONFIGURE)
    sides = f"source {'on' if server.semi_sync_source else 'off'}, replica {'on' if server.semi_sync_replica else 'off'}"
    if primary and not server.semi_sync_source:
        return Finding(FAIL, sides, expected, f"{seen.name} acknowledges commits that only it has.", "Run playbooks/database.yml.")
    clients = [value for name, value in seen.more.status.items() if name.endswith("_clients")]
    if primary and not server.semi_sync_active and any(value not in ("", "0") for value in clients):
        reason = f"A replica is there to confirm what {seen.name} commits, and commits do not wait for it yet."
        return Finding(WARN, f"{sides}, not active", expected, reason, "It resumes with the next commit. Check again after one.")
    if primary and not server.semi_sync_active:
        reason = f"No replica confirms what {seen.name} commits: it goes on alone, and what it acknowledges now could be lost."
        return Finding(WARN, f"{sides}, not active", expected, reason, "See rpl-connected of the replica.")
    if primary:
        return Finding(PASS, f"{sides}, active", expected)
    if not server.semi_sync_replica:
        remedy = f"Run playbooks/database.yml, then restart the receiving thread of {seen.name}."
        return Finding(FAIL, sides, expected, f"{seen.name} does not confirm what it receives.", remedy)
    if server.semi_sync_source:
        return Finding(WARN, sides, expected, f"{seen.name} would wait for a replica of its own.", "Run playbooks/database.yml.")
    return Finding(PASS, sides, expected)


def _relay_recovery(_context: Context, seen: Seen) -> Finding:
    value = seen.more.setting("relay_log_recovery")
    if is_on(value):
        return Finding(PASS, value, "ON")
    reason = f"After a crash {seen.name} trusts a relay log that may be torn."
    return Finding(UNKNOWN if value is None else WARN, value, "ON", reason, _CONFIGURE)


def _tls(context: Context, seen: Seen) -> Finding | None:
    if seen.told is None or not context.is_replica(seen):
        return None
    expected = "TLS, with the source's certificate verified"
    if seen.told.tls and seen.told.tls_verified:
        return Finding(PASS, expected, expected)
    if seen.told.tls:
        return Finding(WARN, "TLS, not verified", expected, f"{seen.name} does not check whom it follows.", _ATTACH)
    return Finding(FAIL, "no TLS", expected, f"{seen.name} receives everything in clear text.", _ATTACH)


def _login(context: Context, seen: Seen) -> Finding | None:
    """Can this node log in at the other one as the replication account? After a swap of roles it has to."""
    if seen is not context.here:
        return None
    login, expected, other = seen.more.login, "logs in over TLS, may replicate", context.other(seen)
    if login is None:
        return Finding(UNKNOWN, None, expected, "The password of the replication account was not given.", "Give replication_password.")
    if login.allowed is None:
        return Finding(UNKNOWN, None, expected, f"{other.name} did not answer. {login.reason}", f"Make {other.name} answer.")
    if not login.allowed:
        reason = f"{other.name} refuses the replication account of {seen.name}: {login.reason}"
        return Finding(FAIL, "refused", expected, reason, "Run playbooks/database.yml: it makes the account.")
    if not login.may_replicate:
        reason = f"The replication account of {seen.name} may not replicate from {other.name}."
        return Finding(FAIL, "lacks REPLICATION SLAVE", expected, reason, "Run playbooks/database.yml: it grants the privilege.")
    return Finding(PASS, expected, expected)


def _lineage(context: Context) -> Finding:
    value = {seen.name: seen.server.lineage for seen in context.both}
    here, there = value.values()
    if here and here == there:
        return Finding(PASS, here, "the same data")
    if not here or not there:
        named = [name for name, lineage in value.items() if not lineage]
        reason = f"The data of {' and '.join(named)} have no name (table tandem.lineage)."
        return Finding(WARN, value, "the same data", reason, "Run playbooks/database.yml.")
    return Finding(FAIL, value, "the same data", "The two servers hold different data.", _ATTACH)


def _at_risk(context: Context) -> Finding | None:
    """What would be lost if the primary died now."""
    primary, expected = context.primary, "0 transactions"
    if primary is None or context.replica is None:
        return None
    if context.pair.at_risk is None:
        return Finding(UNKNOWN, None, expected, "What the replica has received is not known.", "")
    value = f"{context.pair.at_risk} transactions"
    if not context.pair.at_risk:
        return Finding(PASS, value, expected)
    return Finding(WARN, value, expected, f"They would be lost if {primary.name} died now.", "See rpl-semi-sync and rpl-connected.")


RULES: tuple[Rule, ...] = (
    OnPair("rpl-source", _source),
    OnNode("rpl-connected", _connected),
    OnNode("rpl-applying", _applying),
    OnNode("rpl-source-info", _source_info),
    OnNode("rpl-lag", _lag),
    OnNode("rpl-gtid-mode", _gtid_mode),
    OnPair("rpl-gtid-domain", _domain, MARIADB),
    OnPair("rpl-errant", _errant),
    OnPair("rpl-lineage", _lineage),
    OnPair("rpl-at-risk", _at_risk),
    OnNode("rpl-semi-sync", _semi_sync),
    OnNode("rpl-relay-recovery", _relay_recovery),
    OnNode("rpl-tls", _tls),
    OnNode("rpl-login", _login),
)
