# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure decisions over what was observed. Every one carries its reason; every no also what to do."""

from __future__ import annotations

from dataclasses import dataclass

from .gtid import MYSQL, GtidSet
from .state import ABSENT, STOPPED, ServerState

# What attaching a replica takes.
NOTHING = "nothing"  # it follows already
START = "start"  # told to follow, but stopped
CONFIGURE = "configure"  # its data fit: only tell it whom to follow
SEED = "seed"  # its data do not fit: copy the source first
REFUSE = "refuse"
# Of the words for whether data may be copied: only where a person said yes to a plan.
ASK = "ask"
# The source has purged what the replica asks for; each server has its own number for it.
PURGED = (1236, 13114)

_KEEP_ONE = (
    "Nothing was changed. Decide which data to keep. With an agent: `tandem open --yes` on the node that has them;"
    " without: SET GLOBAL read_only = OFF there. Then run playbooks/rejoin.yml. "
)

# A replica that follows is left alone whatever is said of copies.
COPY_ANEW = (
    "copy the replica anew: STOP REPLICA there (with an agent, tandem pause first), then playbooks/database.yml -e tandem_database_seed=always"
)


@dataclass(frozen=True)
class Node:
    """A server under the name that the operator knows it by. fenced: by what a person keeps it closed, where that was asked."""

    name: str
    address: str
    server: ServerState
    fenced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Who is primary. No primary: nobody can tell, and remedy says what to do."""

    primary: str | None
    reason: str
    remedy: str = ""


@dataclass(frozen=True)
class Verdict:
    """Yes, or no with the remedy."""

    allowed: bool
    reason: str
    remedy: str = ""


@dataclass(frozen=True)
class Attachment:
    """What it takes to make one server follow the other."""

    action: str
    reason: str
    remedy: str = ""
    errant: str = ""


def follows(node: Node, other: Node) -> bool:
    """True if the node is told to replicate from the other one."""
    told = node.server.replication
    if told is None:
        return False
    if told.source_uuid and told.source_uuid == other.server.server_uuid:
        return True
    return told.source_host in {other.address, other.name, other.server.hostname} - {""}


def choose_primary(nodes: tuple[Node, Node]) -> Decision:
    """Ask both servers who the primary is. Whoever takes writes and has data is; a virgin never wins over data."""
    first, second = nodes
    unknown = [node for node in nodes if not node.server.running and node.server.state != ABSENT]
    writable = [node for node in nodes if node.server.writable and not node.server.virgin]
    if len(writable) == 2:
        return _of_two_writable(first, second)
    if len(writable) == 1:
        return Decision(writable[0].name, f"{writable[0].name} takes writes and the other one does not.")
    if unknown:
        return _with_unknown(nodes, unknown)
    virgins = [node for node in nodes if node.server.virgin]
    if len(virgins) == 2:
        return Decision(first.name, f"Neither server holds data yet: {first.name} is the first host of the group.")
    if virgins:
        name = (first if virgins[0] is second else second).name
        return Decision(name, f"{name} holds data, {virgins[0].name} holds none.")
    return _of_two_closed(first, second)


def _of_two_writable(first: Node, second: Node) -> Decision:
    for replica, source in ((second, first), (first, second)):
        told = replica.server.replication
        one_way = follows(replica, source) and not follows(source, replica)
        if one_way and told is not None and told.running and not extra(replica.server, source.server):
            return Decision(source.name, f"{replica.name} replicates from {source.name} and only lacks read_only.")
    return Decision(
        None,
        f"{first.name} and {second.name} both take writes, and both hold data.",
        "Nothing was changed. Find out which one the application uses (row SQL writer port of playbooks/status.yml), fence the other one"
        " (playbooks/fence.yml -e node=THAT), and run playbooks/rejoin.yml. " + _difference(first, second),
    )


def _with_unknown(nodes: tuple[Node, Node], unknown: list[Node]) -> Decision:
    others = [node for node in nodes if node not in unknown]
    reasons = " ".join(f"{node.name}: {node.server.state}, {node.server.reason}" for node in unknown)
    if not others:
        return Decision(None, f"Neither database can be asked. {reasons}", "Look at the logs of the database on both nodes.")
    return Decision(
        None,
        f"{others[0].name} is closed for writes, and {unknown[0].name} cannot be asked whether it has newer data. {reasons}",
        f"Start the database of {unknown[0].name}. {_lost_for_good(others[0].name)}",
    )


def _lost_for_good(survivor: str) -> str:
    return f"If it is lost for good (powered off): playbooks/failover.yml -e to={survivor} -e peer_is=dead."


def _of_two_closed(first: Node, second: Node) -> Decision:
    """Both closed, both with data: after a power cut, say. The data decide, and a relation breaks the tie."""
    replicas = [(one, other) for one, other in ((second, first), (first, second)) if follows(one, other)]
    if first.server.engine != second.server.engine:
        return Decision(None, f"{first.name} runs {first.server.engine}, {second.name} runs {second.server.engine}.", "Use one.")
    if not related(first.server, second.server) and not replicas:
        return Decision(
            None,
            f"{first.name} and {second.name} both hold data, and nothing says that these are the same data.",
            _KEEP_ONE + _difference(first, second),
        )
    more_first, more_second = extra(first.server, second.server), extra(second.server, first.server)
    if more_first and more_second:
        # A MariaDB replica that was attached by position lists older servers only on one side; a relation settles that.
        return Decision(
            None,
            f"{first.name} and {second.name} each have transactions that the other one lacks.",
            _KEEP_ONE + _difference(first, second),
        )
    if len(replicas) == 1:
        replica, source = replicas[0]
        if not extra(replica.server, source.server):
            return Decision(source.name, f"{replica.name} is told to replicate from {source.name}.")
        return Decision(
            replica.name, f"{replica.name} is told to replicate from {source.name}, but has newer transactions than it."
        )
    if more_first or more_second:
        name = (first if more_first else second).name
        return Decision(name, f"{name} has all transactions of the other one, and more.")
    return Decision(first.name, f"Both have the same transactions: {first.name} is the first host of the group.")


def related(one: ServerState, other: ServerState) -> bool:
    """True if both carry the name of the same data."""
    return bool(one.lineage) and one.lineage == other.lineage


def extra(one: ServerState, other: ServerState) -> str:
    """The transactions that the other one lacks."""
    if one.engine != other.engine:
        return one.gtid
    return str(one.transactions - other.transactions)


def may_open(local: Node, peer: Node, *, peer_is_dead: bool = False, was_open: bool = False) -> Verdict:
    """May this server take writes? Only if the other one surely does not, and has nothing that this one lacks.

    A server that was open until its restart a moment ago is the primary whatever else the closed one has.
    peer_is_dead: somebody answers for that; what the other one's server says itself counts more.
    A stopped one is compared like a closed one where its binary log was read: it carries its engine then.
    """
    if peer.server.writable:
        return Verdict(
            False,
            f"{peer.name} takes writes.",
            f"Only one of the two may. To move the role, close {peer.name} first (tandem.lemp.primary, state=closed).",
        )
    if local.server.writable:
        return Verdict(True, f"{local.name} takes writes already.")
    stopped = peer.server.state == STOPPED
    if peer_is_dead and not peer.server.running:
        return Verdict(True, f"{peer.name} was declared dead.")
    if peer.server.state == ABSENT or (stopped and was_open):
        return Verdict(True, f"No database runs on {peer.name}; it starts read-only.")
    if stopped and not peer.server.engine:
        return Verdict(
            False,
            f"No database runs on {peer.name}, and what it has cannot be seen. {peer.server.reason}",
            f"Start it: it starts closed. If its data are lost for good: playbooks/unfence.yml -e node={local.name} -e peer_is=dead.",
        )
    if not (peer.server.running or stopped):
        return Verdict(
            False,
            f"Whether {peer.name} takes writes cannot be seen. {peer.server.reason}",
            f"Make {peer.name} answer. {_lost_for_good(local.name)}",
        )
    missing = extra(peer.server, local.server)
    if missing and not was_open and (stopped or related(local.server, peer.server) or follows(local, peer) or follows(peer, local)):
        return Verdict(
            False,
            f"{peer.name} has transactions that {local.name} lacks: {_short(peer.server, local.server)}.",
            f"Open {peer.name} instead, or let {local.name} replicate from it first.",
        )
    if stopped:
        return Verdict(True, f"No database runs on {peer.name}; it starts read-only, and has nothing that {local.name} lacks.")
    return Verdict(True, f"{peer.name} is closed for writes.")


def plan_attach(local: Node, source: Node, seed: str, settings_differ: bool) -> Attachment:
    """How to make the local server a replica of the source; seed is auto, never, always or ask."""
    refusal = _unfit_source(local, source)
    if refusal is not None:
        return refusal
    here, there = local.server, source.server
    told = here.replication
    attached = follows(local, source)
    if here.virgin:
        return _with_seed(local, source, seed, f"{local.name} holds no data yet.")
    if not here.running:
        return _with_seed(local, source, seed, f"The data of {local.name} cannot be seen. {here.reason}")
    errant = extra(here, there)
    healthy = attached and told is not None and told.healthy and not errant
    if seed == "always" and not healthy:
        return _with_seed(local, source, seed, f"{local.name} does not replicate from {source.name}, and seed=always.")
    if attached and told is not None and told.healthy and not settings_differ and not here.writable:
        reason = f"{local.name} replicates from {source.name}."
        if errant:
            reason = f"{local.name} replicates from {source.name}, but has transactions that it lacks: {_short(here, there)}."
        return Attachment(NOTHING, reason, errant=errant)
    if errant:
        return Attachment(
            REFUSE,
            f"{local.name} has transactions that {source.name} lacks: {_short(here, there)}.",
            "Nothing was changed. Save what they hold if it matters, then copy the source over them with seed=always.",
            errant,
        )
    if not related(here, there) and not attached:
        return Attachment(
            REFUSE,
            f"{local.name} holds data ({', '.join(here.schemas) or 'no schemas'}) that do not come from {source.name}.",
            "Nothing was changed. To replace them by a copy of the source, say seed=always.",
        )
    # MariaDB tells of it only whoever asks: a plan shows what the last attempt has heard.
    heard = seed == ASK and attached and told is not None and told.io_errno in PURGED
    if heard or not _still_there(here, there):
        return _with_seed(local, source, seed, f"{source.name} has purged binary logs that {local.name} still needs.")
    if attached and not settings_differ:
        return Attachment(START, f"{local.name} is told to replicate from {source.name}, but does not.")
    return Attachment(CONFIGURE, f"The data of {local.name} are those of {source.name}, {_behind(here, there)} behind.")


def _unfit_source(local: Node, source: Node) -> Attachment | None:
    here, there = local.server, source.server
    if not there.running:
        return Attachment(
            REFUSE, f"The source {source.name} cannot be asked. {there.reason}", "Start it, or mend what it says; then run this again."
        )
    if follows(source, local):
        return Attachment(
            REFUSE,
            f"{source.name} itself replicates from {local.name}.",
            f"Detach {source.name} first, or swap the two names: the primary is asked, not declared.",
        )
    if not there.writable:
        return Attachment(
            REFUSE, f"{source.name} is closed for writes, so it is not the primary.", "Open it with tandem.lemp.primary first."
        )
    if not there.log_bin:
        return Attachment(REFUSE, f"{source.name} writes no binary log.", "Run role database on it.")
    if here.running:
        if here.engine != there.engine:
            return Attachment(REFUSE, f"{local.name} runs {here.engine}, {source.name} runs {there.engine}.", "Use one engine.")
        if here.server_id == there.server_id:
            return Attachment(REFUSE, f"Both servers have server_id {here.server_id}.", "Give them distinct ones.")
        if _series(here) < _series(there):
            return Attachment(
                REFUSE,
                f"{local.name} runs {here.version}, older than {source.name} with {there.version}.",
                f"Upgrade {local.name} first: a replica may be newer than its source, never older.",
            )
        if here.replicas and here.writable and not here.virgin:
            return Attachment(
                REFUSE,
                f"{local.name} takes writes and feeds replicas ({', '.join(here.replicas)}): it is a primary.",
                "Nothing was changed. Close it first if it is not.",
            )
    return None


def _with_seed(local: Node, source: Node, seed: str, reason: str) -> Attachment:
    if seed == "never":
        return Attachment(REFUSE, reason, f"Copying {source.name} to {local.name} is forbidden by seed=never.")
    here = local.server
    if not here.virgin and not here.running and seed != "always":
        return Attachment(REFUSE, reason, "Start its database. If its data are lost, say seed=always to replace them.")
    if here.running and here.replicas and not here.virgin:
        return Attachment(REFUSE, f"{local.name} feeds replicas ({', '.join(here.replicas)}).", "Detach them first.")
    return Attachment(SEED, reason, errant=extra(here, source.server) if here.running else "")


def _still_there(here: ServerState, there: ServerState) -> bool:
    """MySQL says what it has purged. MariaDB only answers the replica that asks."""
    if there.engine != MYSQL or not there.gtid_purged:
        return True
    return GtidSet.parse(there.gtid_purged, there.engine) <= here.transactions


def _behind(here: ServerState, there: ServerState) -> str:
    count = here.transactions.behind(there.transactions)
    return "1 transaction" if count == 1 else f"{count} transactions"


def _series(state: ServerState) -> tuple[int, ...]:
    return tuple(int(part) for part in state.version.split(".")[:2])


def _short(one: ServerState, other: ServerState) -> str:
    """The transactions that the other one lacks, for a person: of MariaDB's ranges the newest, which is surely one of them."""
    if one.engine != other.engine:
        return one.gtid
    more = one.transactions - other.transactions
    return str(more) if one.engine == MYSQL or not more else f"the newest is {more.position()}"


def _difference(first: Node, second: Node) -> str:
    """Both sides of a disagreement, so that somebody can choose."""
    told = []
    for one, other in ((first, second), (second, first)):
        more = _short(one.server, other.server)
        schemas = ", ".join(one.server.schemas) or "none"
        told.append(f"{one.name}: schemas {schemas}; transactions the other one lacks: {more or 'none'}.")
    return " ".join(told)
