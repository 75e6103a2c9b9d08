# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the server of this machine a replica of another one, copying its data when they do not fit."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import dataclass, replace

from ..connection import Endpoint
from ..decide import ASK, CONFIGURE, NOTHING, PURGED, REFUSE, SEED, START, Attachment, Node, extra, plan_attach
from ..errors import OperationFailed, Refused, TandemError, Unreachable
from ..gates import errant_of
from ..gtid import MARIADB, MYSQL, GtidSet
from ..room import cause, require_rest
from ..runner import Runner, Service
from ..seed import mariadb, mysql
from ..seed.datadir import DataDirectory
from ..server import Server, look
from ..state import RUNNING, STOPPED, Replication, ServerState
from .opening import Outcome, role_of

_DENIED = (1045, 1698)
_POLL = 0.2
_START_TIMEOUT = 60.0
_ASKS = "Run playbooks/rejoin.yml (again): it shows the plan, and asks before it copies the primary over these data."
GO_BACK = "go back to the data from before an interrupted copy"


@dataclass(frozen=True)
class Source:
    """Whom to follow, and how."""

    name: str
    endpoint: Endpoint  # as the operator, over TLS
    user: str
    password: str
    ca: str
    connect_retry: int = 1

    def options(self, engine: str) -> dict[str, t.Any]:
        """In new words; the dialect knows the old ones."""
        options: dict[str, t.Any] = {
            "SOURCE_HOST": self.endpoint.host,
            "SOURCE_PORT": self.endpoint.port,
            "SOURCE_USER": self.user,
            "SOURCE_PASSWORD": self.password,
            "SOURCE_CONNECT_RETRY": self.connect_retry,
            "SOURCE_SSL": 1,
            "SOURCE_SSL_CA": self.ca,
            "SOURCE_SSL_VERIFY_SERVER_CERT": 1,
        }
        if engine == MYSQL:
            # 9.x gives up after ten attempts otherwise.
            options["SOURCE_RETRY_COUNT"] = 0
        return options

    def differs(self, told: Replication | None, stored_password: str | None) -> bool:
        """True if the server is told something else than this."""
        if told is None:
            return True
        seen = (told.source_host, told.source_port, told.source_user, told.tls_ca, told.connect_retry)
        wanted = (self.endpoint.host, self.endpoint.port, self.user, self.ca, self.connect_retry)
        secret = stored_password is not None and stored_password != self.password
        return seen != wanted or secret or not (told.follows_gtid and told.tls and told.tls_verified)


@dataclass(frozen=True)
class Local:
    """The server of this machine, its files and its service."""

    name: str
    endpoint: Endpoint
    datadir: str
    service: Service
    runner: Runner
    donor: mariadb.Donor
    seed_timeout: float
    say: t.Callable[[str], None]
    clock: t.Callable[[], float] = time.monotonic
    pause: t.Callable[[float], None] = time.sleep

    def observe(self) -> tuple[ServerState, str | None]:
        """The state and, if it runs, the password that it stores for its source."""
        state = look(self.endpoint, self.datadir)
        if state.state != RUNNING:
            return state, None
        server = Server.at(self.endpoint)
        try:
            return state, server.stored_password()
        finally:
            server.close()


def copies(source: Source) -> str:
    """The step that replaces all data."""
    return f"copy all data from {source.name}"


def attach(local: Local, source: Source, seed: str, *, dry_run: bool) -> Outcome:
    """Attach; the outcome says what it took. Raises Refused with everything as it was.

    seed: auto, never, always, or ask: the plan tells of a copy, and it is made only when it was asked for.
    """
    directory = DataDirectory(local.datadir)
    taken_up = take_up(local, source, directory, dry_run=dry_run)
    if not dry_run:
        directory.drop_gone()
    # This one first: a replica seen after its source could seem to be ahead of it.
    here, password = local.observe()
    there = Node(source.name, source.endpoint.host, look(source.endpoint))
    node = Node(local.name, "", as_data(directory, here, there.server))
    plan = plan_attach(node, there, seed, source.differs(here.replication, password))
    if plan.action == REFUSE:
        raise Refused(plan.reason, plan.remedy)
    if plan.action == SEED and seed == ASK and not dry_run:
        raise Refused(f"{plan.reason} Nothing was replaced.", _ASKS)
    outcome = Outcome(role_of(here), _wanted(here, source), taken_up, plan.reason)
    if plan.action == NOTHING:
        outcome.actions += _straighten(local, here, dry_run=dry_run)
        if plan.errant:
            outcome.warnings.append(plan.reason)
        return outcome
    outcome.actions += _steps(plan, here, source)
    size = require_copyable(local, source, here) if plan.action == SEED else 0
    if dry_run:
        return outcome
    if plan.action == SEED:
        _seed(local, source, here, there.server, directory, size)
    else:
        try:
            _follow(local, source, here, configure=plan.action == CONFIGURE)
        except _Purged as error:
            if seed == ASK:
                raise OperationFailed(f"{error} Nothing was replaced.", _ASKS) from None
            if seed == "never":
                raise OperationFailed(str(error), f"Copying {source.name} is forbidden by seed=never.") from None
            outcome.actions.append(f"copy all data from {source.name}, which has purged the binary logs needed here")
            _seed(local, source, here, there.server, directory, require_copyable(local, source, here))
    return outcome


def detach(local: Local, *, dry_run: bool) -> Outcome:
    """Forget the source. The server stays closed for writes."""
    here, _password = local.observe()
    outcome = Outcome(role_of(here), {**role_of(here), "source": None}, reason="Asked to.")
    if not here.running:
        raise Unreachable(f"The database of {local.name} does not answer. {here.reason}", "Start it first.")
    if here.replication is not None:
        outcome.actions.append(f"stop replicating from {here.replication.source_host}")
        if not dry_run:
            server = Server.at(local.endpoint)
            try:
                server.stop_replica()
                server.forget_source()
            finally:
                server.close()
    return outcome


class _Purged(OperationFailed):
    """The source has purged the binary logs that this server needs."""


def _wanted(here: ServerState, source: Source) -> dict[str, t.Any]:
    return {
        **role_of(here),
        "read_only": True,
        "super_read_only": None if here.engine == MARIADB else True,
        "semi_sync_source": False,
        "source": source.endpoint.host,
        "lineage": "present",
    }


def _steps(plan: Attachment, here: ServerState, source: Source) -> list[str]:
    steps = []
    if here.writable:
        steps.append("close for writes")
    if plan.action == SEED:
        steps.append(copies(source))
    if plan.action in (SEED, CONFIGURE):
        steps.append(f"replicate from {source.name} as {source.user}")
    if plan.action == START:
        steps.append(f"start replicating from {source.name}")
    return steps


def _straighten(local: Local, here: ServerState, *, dry_run: bool) -> list[str]:
    """A healthy replica whose flags are not those of a replica."""
    steps = []
    if here.super_read_only is False:
        steps.append("close for writes")
    if here.semi_sync_source:
        steps.append("switch the source side of semi-sync off")
    if steps and not dry_run:
        server = Server.at(local.endpoint)
        try:
            server.close_for_writes()
            server.set_semi_sync(source=False, replica=True)
        finally:
            server.close()
    return steps


def _follow(local: Local, source: Source, here: ServerState, *, configure: bool) -> None:
    """Close, tell whom to follow, start, and wait until it works."""
    server = Server.at(local.endpoint)
    try:
        server.close_for_writes()
        if here.replication is not None:
            server.stop_replica()
        server.leave_events()
        server.set_semi_sync(source=False, replica=True)
        if configure:
            if server.dialect.engine == MARIADB:
                # What this server wrote itself as a primary counts too.
                server.set_position(server.observe().transactions)
            server.set_source(source.options(server.dialect.engine))
        server.start_replica()
        _wait_until_healthy(local, server, source)
        # A switchover that was broken off may have left it to whoever compares.
        server.start_at_boot(True)
    finally:
        server.close()


def _wait_until_healthy(local: Local, server: Server, source: Source) -> None:
    deadline = local.clock() + _START_TIMEOUT
    while True:
        told = server.observe().replication
        if told is None:
            raise OperationFailed(f"{local.name} forgot its source while it was started.", "Run this again.")
        if told.healthy:
            return
        if told.io_errno in PURGED:
            raise _Purged(f"{source.name} has purged binary logs that {local.name} needs: {told.io_error}")
        if told.io_errno in _DENIED:
            raise OperationFailed(
                f"{source.name} refuses {source.user}, with which {local.name} replicates: {told.io_error}",
                "Check the password of that account (tandem_secret_replication), and from which addresses it may come.",
            )
        if told.sql_errno:
            raise OperationFailed(
                f"{local.name} cannot apply what {source.name} sends (error {told.sql_errno}): {told.sql_error}",
                "Its data differ. Copy them anew with seed=always.",
            )
        if local.clock() > deadline:
            raise OperationFailed(
                f"{local.name} does not replicate from {source.name} after {_START_TIMEOUT:g} s:"
                f" {told.io_error or told.sql_error or 'no error is reported'}",
                "Look at the log of the database here, and whether the port is reachable.",
            )
        local.pause(_POLL)


def take_up(local: Local, source: Source, directory: DataDirectory, *, dry_run: bool) -> list[str]:
    """If an earlier copy was killed half-way: keep it if it works, go back to the old data if not. Returns what that took.

    Raises Refused where the new data have become more than a copy.
    """
    if not directory.interrupted():
        return []
    here, _password = local.observe()
    if directory.swapped() and here.state == STOPPED and not dry_run:
        # What it has, it alone can tell. One that does not start is what going back is for.
        with contextlib.suppress(TandemError):
            local.service.start()
        here, _password = local.observe()
    told = here.replication
    if here.running and told is not None and told.healthy and told.source_host == source.endpoint.host:
        if not dry_run:
            directory.keep_new()
        return ["remove the data from before the copy"]
    _require_nothing_of_its_own(local, source, directory, here)
    if not dry_run:
        local.say("an earlier copy was interrupted: going back to the data from before")
        local.service.stop()
        directory.restore()
        local.service.start()
    return [GO_BACK]


def _require_nothing_of_its_own(local: Local, source: Source, directory: DataDirectory, here: ServerState) -> None:
    """Whoever opened the copy has written to it: going back would undo that, and nobody would know."""
    if not (directory.swapped() and here.running and here.lineage):
        return
    there = look(source.endpoint)
    if not there.running:
        raise Refused(
            f"{local.name} keeps the data from before an interrupted copy in {directory.old}. Whether its present data hold more than"
            f" {source.name} has cannot be seen: {there.reason or there.state}",
            f"Start {source.name} first. Nothing was changed.",
        )
    more = _more_than(there, here)
    if more:
        raise Refused(
            f"An earlier copy or restore on {local.name} was interrupted: {directory.old} holds the data from before. Going back to"
            f" them would lose transactions that the present data have and {source.name} lacks: {more}.",
            f"Nothing was changed. To keep the present data, remove {directory.work} and run this again."
            " After an interrupted restore run playbooks/restore.yml again.",
        )


def _more_than(there: ServerState, here: ServerState) -> GtidSet:
    """What this server has and the source never had."""
    if here.engine != there.engine:
        return here.transactions
    return errant_of(Node("", "", here), Node("", "", there))


def require_copyable(local: Local, source: Source, here: ServerState) -> int:
    """Bytes that a copy of the source takes. Raises Refused, before anything is given up, where it does not fit or would lack rows."""
    remote = Server.at(source.endpoint)
    try:
        size, engine = remote.data_size(), remote.dialect.engine
    finally:
        remote.close()
    if engine == MYSQL:
        mysql.require_clonable(source.endpoint, source.name)
    # CLONE replaces data in place: what is here makes room for what comes.
    present = mysql.size_of(local.endpoint) if engine == MYSQL and here.running else 0
    DataDirectory(local.datadir).require_space(max(0, size - present))
    return size


def as_data(directory: DataDirectory, here: ServerState, there: ServerState) -> ServerState:
    """What a broken CLONE has left looks like a replica that lacks a little. It is none, and holds no data.

    But a server with a name for its data and transactions that the source lacks was written to since, or the CLONE never began.
    """
    if not (here.running and directory.clone_broken()):
        return here
    if there.running and here.lineage and _more_than(there, here):
        return here
    return replace(here, schemas=(), lineage="", replication=None, gtid="")


def _seed(local: Local, source: Source, here: ServerState, there: ServerState, directory: DataDirectory, size: int) -> None:
    local.say(f"copying about {size // 2**20} MiB from {source.name}")
    if there.engine == MYSQL:
        _seed_mysql(local, source, here, there, directory)
    else:
        _seed_mariadb(local, source, there, directory, size)


def _seed_mysql(local: Local, source: Source, before: ServerState, there: ServerState, directory: DataDirectory) -> None:
    broken = directory.clone_broken()
    directory.begin_clone()
    try:
        mysql.clone(local.endpoint, source.endpoint, local.service, local.seed_timeout, local.clock, local.pause)
    except TandemError:
        here, _password = local.observe()
        if not broken and here.running and (here.lineage, here.schemas, here.gtid) == (before.lineage, before.schemas, before.gtid):
            directory.keep_new()
        raise
    here, _password = local.observe()
    if not here.running or extra(there, here):
        raise OperationFailed(
            f"After the copy, {local.name} is {here.state} and lacks {extra(there, here)}.", "Run this again; see its log."
        )
    directory.keep_new()
    _follow(local, source, here, configure=True)


def _seed_mariadb(local: Local, source: Source, there: ServerState, directory: DataDirectory, size: int) -> None:
    missing = mariadb.tools_missing()
    if missing:
        raise Refused(f"{local.name} lacks {', '.join(missing)}.", "Run role database.")
    told = [local.clock()]

    def progress(received: int) -> None:
        require_rest(directory.path)
        if local.clock() - told[0] >= 10:
            told[0] = local.clock()
            local.say(f"copied {received // 2**20} MiB of about {size // 2**20} MiB")

    try:
        target = directory.begin()
        mariadb.receive(local.donor, target, local.seed_timeout, progress, local.clock)
        position = mariadb.prepare(target, directory.path, local.runner, local.seed_timeout)
    except (TandemError, OSError) as error:
        why = cause(directory.path, error)
        directory.drop_seed()
        raise OperationFailed(
            f"The copy of {source.name} did not come to {local.name}: {why}",
            "The data here are as they were, and nothing of the copy was kept.",
        ) from error
    # The state of the binary log was read before the copy; what came since has only moved its newest entries.
    history = there.transactions | position
    try:
        local.service.stop()
        directory.swap()
        local.service.start()
        _adopt(local, history, position)
        here, _password = local.observe()
        _follow(local, source, here, configure=True)
    except (TandemError, OSError) as error:
        local.say(f"the copy does not work, going back: {error}")
        if directory.interrupted():
            local.service.stop()
        directory.restore()
        local.service.start()
        raise OperationFailed(
            f"The copy of {source.name} did not work on {local.name}: {error}", "Its old data are back. Mend what it says and run this again."
        ) from error
    directory.keep_new()


def _adopt(local: Local, history: GtidSet, position: GtidSet) -> None:
    """Tell a copied MariaDB what its data already contain."""
    server = Server.at(local.endpoint)
    try:
        server.close_for_writes()
        server.begin_binlog(history)
        server.set_position(position)
    finally:
        server.close()
