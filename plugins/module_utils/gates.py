# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that are asked before a role moves. Pure: what was seen goes in, answers with value, bound and remedy come out."""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass

from .decide import COPY_ANEW, Node, follows
from .errors import Refused
from .gtid import MYSQL, GtidSet
from .state import Session

_DDL = re.compile(r"\s*(?:/\*.*?\*/\s*)*(alter|create|drop|truncate|rename|optimize|repair|analyze)\b", re.IGNORECASE | re.DOTALL)
_NO_DDL = re.compile(r"\s*create\s+temporary\b", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """What is tolerated. Seconds, transactions, bytes."""

    max_lag: float = 10
    max_transactions_behind: int = 10000
    max_transaction_seconds: float = 5
    min_disk_free: int = 256 * 2**20
    require_semi_sync: bool = False


@dataclass(frozen=True)
class Gate:
    """One question and its answer."""

    name: str
    passed: bool
    found: str
    needed: str
    remedy: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name}: found {self.found}; needed: {self.needed}. {self.remedy}".strip()


@dataclass(frozen=True)
class Seen:
    """What the gates of a switchover look at."""

    old: Node
    new: Node
    sessions: tuple[Session, ...] = ()  # of the old primary
    new_sessions: tuple[Session, ...] = ()
    new_disk_free: int | None = None
    proxies: t.Mapping[str, t.Mapping[str, t.Any] | None] | None = None  # by node
    logins: t.Mapping[str, t.Sequence[str]] | None = None  # by node: accounts that cannot log in
    left_out: t.Mapping[str, t.Sequence[str]] | None = None  # by node: filters and a delay of replication


def of_switchover(seen: Seen, limits: Limits) -> list[Gate]:
    """All gates, in the order in which a person would ask."""
    old, new = seen.old, seen.new
    gates = [
        Gate("both-answer", old.server.running and new.server.running, _answers(old, new), "both databases answer",
             "Start the one that does not; if it is lost, this is a failover."),
    ]  # fmt: skip
    if not gates[0].passed:
        return gates
    gates += [
        Gate("old-is-primary", old.server.writable, _open(old), f"{old.name} takes writes", "See playbooks/status.yml."),
        Gate("new-is-closed", not new.server.writable, _open(new), f"{new.name} is closed",
             f"Two servers take writes. Close {new.name}: playbooks/fence.yml." if old.server.writable else f"{new.name} has the role already."),
        *_replication(old, new, limits),
        *_fitness(old, new, seen, limits),
        *work(seen.sessions, seen.new_sessions, limits),
        *_traffic(seen),
        *_logins(seen),
        *_left_out(seen),
    ]  # fmt: skip
    return gates


def not_fenced(name: str, observed: t.Mapping[str, t.Any]) -> Gate:
    """Whoever fenced it means it to stay closed. observed: what its hand has seen."""
    fences = list(observed.get("fenced") or ())
    return Gate("not-fenced", not fences, f"{name} is fenced by {' and '.join(fences)}" if fences else "no fence", f"no fence of a person on {name}",
                f"playbooks/unfence.yml -e node={name}, after which it is closed as before.")  # fmt: skip


def require(gates: t.Iterable[Gate], what: str) -> None:
    """Raises Refused with every gate that says no."""
    closed = [gate for gate in gates if not gate.passed]
    if closed:
        raise Refused(f"No {what}. " + " ".join(str(gate) for gate in closed), "Nothing was changed.")


def _replication(old: Node, new: Node, limits: Limits) -> list[Gate]:
    told = new.server.replication
    following = follows(new, old)
    running = told is not None and told.healthy
    found = "no source" if told is None else (told.io_error or told.sql_error or _threads(told.io_connected, told.sql_running))
    gates = [
        Gate("replicates", bool(following and running), found if following or told is None else f"follows {told.source_host}",
             f"{new.name} replicates from {old.name}", f"playbooks/rejoin.yml, or START REPLICA on {new.name}."),
    ]  # fmt: skip
    if old.server.engine != new.server.engine:
        return gates
    behind = new.server.transactions.behind(old.server.transactions)
    lag = told.lag_seconds if told is not None else None
    errant = str(errant_of(new, old))
    gates += [
        Gate("lag", behind <= limits.max_transactions_behind and (lag is not None and lag <= limits.max_lag),
             f"{behind} transactions, {'unknown' if lag is None else lag} s behind",
             f"at most {limits.max_transactions_behind} transactions and {limits.max_lag:g} s", "Wait: playbooks/catchup.yml."),
        Gate("no-errant", not errant, errant or "none", f"{new.name} has nothing that {old.name} lacks",
             f"playbooks/rejoin.yml saves them and copies {new.name} anew."),
        Gate("semi-sync", old.server.semi_sync_active or not limits.require_semi_sync,
             "active" if old.server.semi_sync_active else "not active", "commits wait for the replica" if limits.require_semi_sync
             else "nothing (require_semi_sync is off)", "See playbooks/check.yml."),
    ]  # fmt: skip
    return gates


def _fitness(old: Node, new: Node, seen: Seen, limits: Limits) -> list[Gate]:
    free = seen.new_disk_free
    return [
        Gate("version", old.server.engine == new.server.engine and _series(new) >= _series(old),
             f"{new.server.engine} {new.server.version} after {old.server.engine} {old.server.version}",
             "the same engine, not older", f"Upgrade {new.name} first."),
        Gate("binary-log", new.server.log_bin, "on" if new.server.log_bin else "off", f"{new.name} writes one",
             "Run playbooks/database.yml."),
        Gate("disk", free is not None and free >= limits.min_disk_free,
             "unknown" if free is None else f"{free // 2**20} MiB free on {new.name}", f"{limits.min_disk_free // 2**20} MiB",
             f"Make room on {new.name}."),
    ]  # fmt: skip


def work(sessions: t.Iterable[Session], new_sessions: t.Iterable[Session], limits: Limits) -> list[Gate]:
    """What must not be broken off. sessions: of the old primary; new_sessions: of the new one."""
    sessions = tuple(sessions)
    long = [s for s in sessions if (s.transaction_seconds or 0) > limits.max_transaction_seconds]
    changing = [s for s in (*sessions, *new_sessions) if is_ddl(s.statement) and not s.idle]
    return [
        Gate("no-long-transaction", not long, "; ".join(_session(s) for s in long) or "none",
             f"none older than {limits.max_transaction_seconds:g} s", "Let them end, or end them (KILL), or allow more."),
        Gate("no-ddl", not changing, "; ".join(_session(s) for s in changing) or "none", "no running DDL",
             "Let it end: interrupted half-way it costs more."),
    ]  # fmt: skip


def _traffic(seen: Seen) -> list[Gate]:
    gates = []
    for name, proxy in (seen.proxies or {}).items():
        if proxy is None:
            continue
        servers = proxy["servers"]
        up = sorted(s for s, state in servers.items() if str(state).startswith("UP") and not s.endswith("-read"))
        gates.append(
            Gate(f"proxy-{name}", up == [seen.old.name], proxy["reason"] or f"leads to {', '.join(up) or 'nobody'}",
                 f"the writer port of {name} leads to {seen.old.name}", "See playbooks/status.yml; run playbooks/sql_proxy.yml.")
        )  # fmt: skip
    return gates


def _logins(seen: Seen) -> list[Gate]:
    return [
        Gate(f"accounts-{name}", not wrong, "; ".join(wrong) or "replication and canary log in",
             f"the accounts that {name} needs log in", "Run playbooks/database.yml: it sets them right.")
        for name, wrong in (seen.logins or {}).items()
    ]  # fmt: skip


def _left_out(seen: Seen) -> list[Gate]:
    return [
        Gate(f"filters-{name}", not found, "; ".join(found) or "none", f"{name} replicates everything, without a delay",
             f"Remove that from its configuration, and {COPY_ANEW}. What was left out never arrived. See playbooks/check.yml.")
        for name, found in (seen.left_out or {}).items()
    ]  # fmt: skip


def errant_of(new: Node, old: Node) -> GtidSet:
    """What the replica has and its source never had.

    MySQL: all but the newest of the source itself. With after-sync a replica has a commit a moment before its source
    counts it as executed. MariaDB: what the replica wrote itself; a replica that was made by a copy may list older servers
    that its source has forgotten, and these are no errant transactions.
    """
    more = new.server.transactions - old.server.transactions
    if new.server.engine != MYSQL:
        return more.own(new.server.server_id, new.server.transactions)
    return more.without_newest_of(old.server.server_uuid, old.server.transactions)


def is_ddl(statement: str) -> bool:
    """True for a statement that changes tables, not only what they hold."""
    return bool(_DDL.match(statement)) and not _NO_DDL.match(statement)


def _session(session: Session) -> str:
    age = f" open for {session.transaction_seconds:.0f} s" if session.transaction_seconds else ""
    return f"session {session.id} of {session.user}{age}"


def _answers(old: Node, new: Node) -> str:
    silent = [f"{node.name}: {node.server.reason or node.server.state}" for node in (old, new) if not node.server.running]
    return " ".join(silent) or "both"


def _open(node: Node) -> str:
    return f"{node.name} takes writes" if node.server.writable else f"{node.name} is closed"


def _threads(io: bool, sql: bool) -> str:
    return f"receiving {'runs' if io else 'stopped'}, applying {'runs' if sql else 'stopped'}"


def _series(node: Node) -> tuple[int, ...]:
    return tuple(int(part) for part in node.server.version.split(".")[:2])


# A failover.


@dataclass(frozen=True)
class SeenAlone:
    """What the gates of a failover look at. old is None: its hand cannot be asked.

    known: what the old primary has executed, by its server or by the files of its binary log; None: unknown.
    evidence: rows of path, answer and alive (True, False, or None where a path cannot tell).
    """

    new: Node
    old_name: str
    evidence: tuple[t.Mapping[str, t.Any], ...] = ()
    old: Node | None = None
    known: GtidSet | None = None
    known_reason: str = ""
    new_disk_free: int | None = None


def of_failover(seen: SeenAlone, *, peer_is_dead: bool, force_fence: bool, give_up_rescue: bool, limits: Limits) -> list[Gate]:
    """All gates, in the order in which a person would ask."""
    new, old = seen.new, seen.old
    gates = [
        Gate("survivor-answers", new.server.running, new.server.reason or new.server.state, f"the database of {new.name} answers",
             "Start it."),
    ]  # fmt: skip
    if not gates[0].passed:
        return gates
    gates += [
        Gate("survivor-is-closed", not new.server.writable, _open(new), f"{new.name} is closed", "See playbooks/status.yml."),
        Gate("data-of-the-pair", _of_the_pair(new, old), _lineage(new, old), f"{new.name} holds the data of this pair",
             f"{new.name} was never a replica here. Restore a backup, or open {seen.old_name}."),
        _received(new),
        Gate("binary-log", new.server.log_bin, "on" if new.server.log_bin else "off", f"{new.name} writes one",
             "Run playbooks/database.yml."),
        Gate("disk", seen.new_disk_free is not None and seen.new_disk_free >= limits.min_disk_free,
             "unknown" if seen.new_disk_free is None else f"{seen.new_disk_free // 2**20} MiB free on {new.name}",
             f"{limits.min_disk_free // 2**20} MiB", f"Make room on {new.name}."),
    ]  # fmt: skip
    if old is None:
        return [*gates, _dead(seen, peer_is_dead)]
    return [*gates, *_of_the_old(seen, old, peer_is_dead, force_fence, give_up_rescue)]


def _dead(seen: SeenAlone, peer_is_dead: bool) -> Gate:
    alive = [f"{row['path']}: {row['answer']}" for row in seen.evidence if row["alive"]]
    if alive:
        return Gate("old-is-dead", False, "; ".join(alive), f"nothing of {seen.old_name} answers",
                    f"It lives. Power it off, or make its hand answer (ssh from {seen.new.name}, inside), then run this again.")  # fmt: skip
    silent = sum(row["alive"] is False for row in seen.evidence)
    return Gate(
        "old-is-dead", peer_is_dead, f"silence on {silent} paths" + ("" if peer_is_dead else ", which is no proof"),
        "somebody says that it is powered off",
        f"Look at {seen.old_name} (console, power), make sure that it is off and stays off, then say -e peer_is=dead.",
    )  # fmt: skip


def _of_the_old(seen: SeenAlone, old: Node, peer_is_dead: bool, force_fence: bool, give_up_rescue: bool) -> list[Gate]:
    gates = [
        Gate("old-is-not-declared-dead", not peer_is_dead, f"its hand answers{' and peer_is=dead was said' if peer_is_dead else ''}",
             f"nobody calls {old.name} dead while it answers", "Leave out peer_is."),
        Gate("old-takes-no-writes", not old.server.writable or force_fence, _open(old) if old.server.running else old.server.state,
             f"{old.name} takes no writes", f"It works: playbooks/switchover.yml is the right runbook. If {seen.new.name} cannot"
             " catch up, -e force_fence=true closes it first."),
        Gate("old-is-seen", old.server.state != "unknown" or force_fence,
             old.server.reason if old.server.state == "unknown" else old.server.state,
             f"it is known whether {old.name} runs", f"It hangs: -e force_fence=true stops its service first, or look at {old.name}."),
    ]  # fmt: skip
    if old.server.state == "absent":
        return gates
    unknown = seen.known is None
    gates.append(
        Gate("old-data-are-known", not unknown or give_up_rescue or old.server.state == "unknown",
             seen.known_reason if unknown else "yes", f"it is known what {old.name} has",
             f"Start its database: it starts closed. If it is lost, -e give_up_rescue=true goes on with what {seen.new.name} has.")
    )  # fmt: skip
    if seen.known is not None and seen.known.flavor == seen.new.server.transactions.flavor:
        here = seen.new.server.transactions
        lacking = here.lacks(seen.known)
        more = here - seen.known
        own = more if here.flavor == MYSQL else more.of_server(seen.new.server.server_id)
        if here.flavor == MYSQL and not old.server.running:
            own = _beyond(more, seen.known)
        gates.append(
            Gate("not-diverged", not (own and lacking) or give_up_rescue,
                 f"{seen.new.name} lacks {lacking} transactions, {old.name} lacks {own or 'none'}", "at most one of the two has more",
                 f"Decide which one to keep: open {old.name} with tandem.lemp.primary, or give up what only it has"
                 " (-e give_up_rescue=true); playbooks/rejoin.yml saves the rest.")
        )  # fmt: skip
    return gates


def _beyond(more: GtidSet, logged: GtidSet) -> GtidSet:
    """The part of ``more`` that is newer than what the files of a MySQL binary log know of the same source.

    After a copy (CLONE) older transactions are in a table of the server only, which nobody reads while it is down.
    """
    found = GtidSet(MYSQL)
    for item in filter(None, str(more).split(",")):
        source = item.partition(":")[0]
        known = str(logged.of_server(source))
        if known:
            newest = re.split(r"[:-]", known)[-1]
            found = found | (GtidSet.parse(item, MYSQL) - GtidSet.parse(f"{source}:1-{newest}", MYSQL))
    return found


def _of_the_pair(new: Node, old: Node | None) -> bool:
    other = old.server.lineage if old is not None and old.server.running else ""
    return bool(new.server.lineage) and other in ("", new.server.lineage)


def _lineage(new: Node, old: Node | None) -> str:
    if old is not None and old.server.running and old.server.lineage:
        return f"{new.server.lineage or 'none'}; {old.name} has {old.server.lineage}"
    return new.server.lineage or "none"


def _received(new: Node) -> Gate:
    """What semi-sync has acknowledged may be in the relay log only."""
    told = new.server.replication
    if told is None:
        return Gate("relay-log", True, "no source", f"{new.name} applies all that it has received")
    received = GtidSet.parse(told.retrieved, new.server.engine)
    pending = new.server.transactions.behind(received)
    stuck = bool(told.sql_errno) or (pending > 0 and not told.sql_running)
    found = told.sql_error or (f"{pending} transactions to apply, applying {'runs' if told.sql_running else 'is stopped'}")
    start = "START REPLICA SQL_THREAD" if new.server.engine == MYSQL else "START SLAVE SQL_THREAD"
    return Gate("relay-log", not stuck, found, f"{new.name} applies all that it has received",
                f"Mend what it says, then {start} (the SQL thread alone: starting both may throw the relay log away).")  # fmt: skip
