# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a backup: beside the server to look into it, or in place of its data. All is made ready before anything is given up."""

from __future__ import annotations

import shutil
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ..connection import Connection, Endpoint
from ..errors import OperationFailed, Refused, TandemError
from ..gtid import MARIADB, MYSQL, GtidSet
from ..room import cause, mib, require_rest
from ..runner import Runner, Service
from ..seed.datadir import DataDirectory
from ..server import Server, look
from ..state import ServerState
from . import archive, engines, scratch
from .binlog import BinlogError
from .making import RESTORE, keep_binlogs
from .manifest import Manifest, seconds
from .replay import Point, Replay, moment, plan_replay, point_of, replay
from .scratch import Scratch, own
from .store import Store
from .stream import checksum

LATEST = "latest"
LOOK = "look"
# So far beyond every transaction of the old history that none of its numbers is ever used twice, and that a server
# which was away is told to copy the data anew.
_JUMP = 1_000_000
_CATCH_UP = 60.0
# What belongs to the machine and not to the data.
_MACHINE = ("auto.cnf", "mysqld-auto.cnf")


@dataclass(frozen=True)
class Wish:
    """What to restore, and where."""

    node: str
    endpoint: Endpoint
    datadir: str
    service: Service
    directory: str
    backup: str
    until: str
    also_known: str  # transactions of the other server
    timeout: float
    say: t.Callable[[str], None]
    runner: Runner
    now: t.Callable[[], float] = time.time


@dataclass
class Restored:
    """What was done, or would be."""

    backup: Manifest
    replay: Replay
    story: list[str]
    socket: str = ""
    gtid: str = ""
    unread: str = ""  # why the binary logs cannot be read
    actions: list[str] = field(default_factory=list)


def choose(found: t.Sequence[Manifest], faults: t.Sequence[str], name: str, until: str, now: float) -> tuple[Manifest, Point]:
    """The backup that is meant, and the point in time. Raises Refused."""
    there = ", ".join(one.name for one in found) or "none"
    if not found:
        raise Refused(" ".join(["There is no backup here.", *faults]), "Run playbooks/backup.yml.")
    if name != LATEST:
        named = [one for one in found if one.name == name]
        if not named:
            raise Refused(" ".join([f"There is no usable backup {name!r} here.", *faults]), f"There are: {there}.")
        point = point_of(until, named[0].engine, now)
        if not _before(named[0], point):
            raise Refused(f"{name} is of {moment(named[0].until)} UTC, not older than the point {point}.", f"Take an older one of: {there}.")
        return named[0], point
    proven = [one for one in found if one.verified]
    fitting = [one for one in proven if _before(one, point_of(until, one.engine, now))]
    if not fitting:
        raise Refused(
            " ".join([f"No verified backup here is older than the point {point_of(until, found[0].engine, now)}.", *faults]),
            f"There are: {there}.",
        )
    return fitting[-1], point_of(until, fitting[-1].engine, now)


def _before(one: Manifest, point: Point) -> bool:
    if point.time is not None:
        # Times have whole seconds: of that second it may hold transactions that shall not come back.
        return one.until < point.time
    if point.gtid:
        return bool(one.transactions.behind(GtidSet.parse(point.gtid, one.engine)))
    return True


def plan(wish: Wish, store: Store, here: ServerState) -> Restored:
    """What a restore would do. Raises Refused."""
    found, faults = store.backups()
    backup, point = choose(found, faults, wish.backup, wish.until, wish.now())
    engines.require_tools(backup.engine)
    unread = ""
    try:
        files = archive.merged(archive.archived(store.binlogs), archive.live(_own_logs(wish, here), backup.engine))
    except BinlogError as error:
        if point.replays:
            raise
        files, unread = [], str(error)
    other = GtidSet.parse(wish.also_known, backup.engine)
    replayed = plan_replay(backup.transactions, files, point, seconds(backup.taken), other=other)
    story = [f"backup {backup.name} of {backup.node} ({backup.engine} {backup.version}), taken {backup.taken} UTC, {mib(backup.unpacked)}"]
    if point.replays:
        story.append(f"replayed up to {point}: {replayed.replayed}")
    return Restored(backup, replayed, story, gtid=replayed.gtid, unread=unread)


def _own_logs(wish: Wish, here: ServerState) -> list[str]:
    if here.running:
        with Connection(wish.endpoint) as server:
            return engines.binary_logs(server)
    # It does not run, but what it wrote may be there.
    # Beside a file of MariaDB 11.4 and newer lies an index of it: binlog.000001.idx.
    numbered = {int(path.suffix[1:]): path for path in Path(wish.datadir).glob("binlog.*") if path.suffix[1:].isdigit()}
    return [str(numbered[number]) for number in sorted(numbered)]


def to_scratch(wish: Wish, *, dry_run: bool) -> Restored:
    """Beside the server, which notices nothing. Keeps running until it is removed."""
    store = Store(wish.directory)
    done = plan(wish, store, look(wish.endpoint, wish.datadir))
    store.require_space(_room(done), "the scratch instance")
    done.actions.append(f"restore {done.backup.name} to {store.look}")
    if dry_run:
        _require_whole(store, done.backup)
        return done
    with store.locked():
        remove_scratch(wish, dry_run=False)
        store.look.mkdir(mode=0o700)
        try:
            server = _build(wish, store, done, store.look, LOOK)
        except BaseException as error:
            why = cause(store.path, error) if isinstance(error, (TandemError, OSError)) else ""
            remove_scratch(wish, dry_run=False)
            if why:
                raise OperationFailed(f"There is no scratch instance. {why}", "Nothing of it was kept.") from error
            raise
    done.socket = server.socket
    client = "mariadb" if done.backup.engine == MARIADB else "mysql"
    done.story += [
        f"it runs on {wish.node}; look into it as root: {client} --socket={server.socket}",
        f"remove it with -e scratch=remove (or: systemctl stop {server.unit}; rm -r {store.look})",
    ]
    return done


def _room(done: Restored) -> int:
    """Bytes: what is replayed makes the data grow by about as much as it takes itself."""
    return done.backup.unpacked + archive.room_for(done.replay.files)


def remove_scratch(wish: Wish, *, dry_run: bool) -> list[str]:
    """Stop the scratch instance and remove its data."""
    store = Store(wish.directory)
    if not store.look.exists() and not scratch.running(LOOK, wish.runner):
        return []
    if not dry_run:
        scratch.remove(LOOK, wish.runner)
        shutil.rmtree(store.look, ignore_errors=True)
    return [f"remove the scratch instance {store.look}"]


def to_server(wish: Wish, *, dry_run: bool) -> Restored:
    """In place of the server's data. It is left closed for writes. Raises with the old data in place."""
    store = Store(wish.directory)
    directory = DataDirectory(wish.datadir)
    interrupted = directory.interrupted()
    if not dry_run:
        directory.drop_gone()
    here = look(wish.endpoint, wish.datadir)
    done = plan(wish, store, here)
    _require_fitting(wish, done.backup, here)
    _tell_loss(wish, done, here)
    directory.require_space(_room(done))
    if interrupted:
        done.actions.append("go back to the data from before an interrupted restore")
        done.story.append(f"{wish.node} first goes back to its data from before an interrupted restore; what came to the present ones is in no archive")
    done.actions.append(f"replace the data of {wish.node} by {done.backup.name}")
    if dry_run:
        _require_whole(store, done.backup)
        if not interrupted:
            _require_coming(wish, here, done)
        return done
    _require_closed(wish)
    with store.locked():
        if interrupted:
            _go_back(wish, directory)
            here = look(wish.endpoint, wish.datadir)
        try:
            _keep_logs(wish, store, here, done)
        except OSError as error:
            why = cause(store.path, error)
            archive.clear_partial(store.binlogs)
            raise OperationFailed(f"The binary logs of {wish.node} could not be archived before. {why}", "Its data are as they were.") from error
        actions = done.actions
        here = look(wish.endpoint, wish.datadir)
        done = plan(wish, store, here)
        done.actions = actions
        _tell_loss(wish, done, here)
        scratch.remove(RESTORE, wish.runner)
        target = directory.begin()
        own(directory.work, directory.path)
        try:
            server = _build(wish, store, done, target, RESTORE)
            tables = len(server.tables())
            history = _history(wish, done, here)
            _forget_machine(server, history)
            server.stop()
            _require_closed(wish)
        except BaseException as error:
            why = cause(directory.path, error) if isinstance(error, (TandemError, OSError)) else ""
            scratch.remove(RESTORE, wish.runner)
            shutil.rmtree(directory.work, ignore_errors=True)
            if why:
                raise OperationFailed(f"{done.backup.name} could not be restored on {wish.node}. {why}", "Its data are as they were.") from error
            raise
        for name in _MACHINE:
            if (directory.path / name).exists():
                shutil.copy2(directory.path / name, target / name)
                own(target / name, directory.path)
        _swap(wish, done, directory, history, tables)
    done.gtid = str(history)
    return done


def _require_whole(store: Store, backup: Manifest) -> None:
    """Before anybody is closed for it. The restore itself looks again."""
    path = store.path / backup.name / backup.file
    if checksum(path) != backup.sha256:
        raise Refused(f"{path} is damaged: its checksum is not the one in its manifest.", "Nothing was changed. Use another backup.")


def _require_closed(wish: Wish) -> None:
    """What is written while the restored data are made ready would be in no archive. Raises Refused."""
    if look(wish.endpoint, wish.datadir).writable:
        raise Refused(
            f"{wish.node} takes writes, which its restored data would lack.",
            "Close it first (tandem.lemp.primary with state=closed), as playbooks/restore.yml does.",
        )


def _require_fitting(wish: Wish, backup: Manifest, here: ServerState) -> None:
    if here.running and here.engine != backup.engine:
        raise Refused(f"{wish.node} runs {here.engine}, the backup is of {backup.engine}.", "Restore it where that engine runs.")
    mine = ".".join(here.version.split(".")[:2])
    if here.running and mine != backup.series:
        raise Refused(
            f"{wish.node} runs {here.version}, the backup is of {backup.version}.", "Restore it with a server of the same series."
        )


def _tell_loss(wish: Wish, done: Restored, here: ServerState) -> None:
    lost = done.replay.lost
    if done.unread:
        done.story.append(f"LOST on {wish.node}: all that came after that point. Nobody can tell what, and none of it is archived: {done.unread}")
    else:
        done.story.append(f"LOST on {wish.node}, as they came after that point: {lost}")
    elsewhere = _lacking(wish, here, done)
    if elsewhere and _needs_all(done):
        done.story.append(f"{wish.node} must receive {elsewhere} transactions of the other server first; without them it is not restored")
    elif elsewhere:
        done.story.append(f"LOST as well, unless {wish.node} receives them before: {elsewhere} transactions of the other server")
    if not done.unread:
        done.story.append("what is lost stays readable in the archives of binary logs of both nodes")


def _needs_all(done: Restored) -> bool:
    """The server may lack transactions of before the point: it has not passed it yet, or nobody knows."""
    return done.replay.point.replays and not done.replay.passed


def _lacking(wish: Wish, here: ServerState, done: Restored) -> int:
    """How many transactions of the other server are not here. Of a server that does not run its binary logs tell."""
    engine = done.backup.engine
    has = here.transactions if here.running else GtidSet.parse(done.gtid, engine)
    return has.behind(GtidSet.parse(wish.also_known, engine))


def _go_back(wish: Wish, directory: DataDirectory) -> None:
    wish.say("an earlier restore was interrupted: going back to the data from before")
    scratch.remove(RESTORE, wish.runner)
    wish.service.stop()
    directory.restore()
    wish.service.start()


def _keep_logs(wish: Wish, store: Store, here: ServerState, done: Restored) -> None:
    """Everything up to now is archived before it goes, also what the other server had and this one not yet."""
    engine = done.backup.engine
    if wish.also_known and _needs_all(done):
        _require_all(wish, here, done)
    if done.unread:
        return
    if not here.running:
        for one in archive.missing(archive.live(_own_logs(wish, here), engine), archive.archived(store.binlogs)):
            archive.keep(one, store.binlogs)
        return
    keep_binlogs(wish.endpoint, engine, store, wish.say)


def _require_all(wish: Wish, here: ServerState, done: Restored) -> None:
    """Wait for what only the other server has. Raises Refused if it does not come."""
    if here.running and engines.wait_for(wish.endpoint, GtidSet.parse(wish.also_known, done.backup.engine), _CATCH_UP):
        return
    lacking = _lacking(wish, look(wish.endpoint, wish.datadir), done)
    if lacking or here.running:
        raise _lacks(wish, done, lacking)


def _require_coming(wish: Wish, here: ServerState, done: Restored) -> None:
    """Before anybody is closed for it. Raises Refused where what only the other server has is needed, and replication does not run."""
    told = here.replication
    lacking = _lacking(wish, here, done) if wish.also_known and _needs_all(done) else 0
    if lacking and not (here.running and told is not None and told.healthy):
        raise _lacks(wish, done, lacking)


def _lacks(wish: Wish, done: Restored, lacking: int) -> Refused:
    return Refused(
        f"{wish.node} lacks {lacking} transactions of the other server, which may belong before the point ({done.replay.point}),"
        " and does not receive them. Nothing was restored.",
        _way_on(done),
    )


def _way_on(done: Restored) -> str:
    last = done.replay.replayed.last
    earlier = "restore the backup as it is (without a point)"
    if last is not None:
        earlier = f"name a point that it has passed: {moment(last.when)} UTC, or transaction {last.gtid or 'before'}, or an earlier one"
    return f"Mend its replication first. To give up what it lacks, which the other node's archive of binary logs keeps, {earlier}."


def _build(wish: Wish, store: Store, done: Restored, target: Path, purpose: str) -> Scratch:
    """Unpack, start a scratch instance on it, replay. It is left running."""
    backup = done.backup
    for one in done.replay.files:
        archive.require_whole(one)
    wish.say(f"unpacking {backup.name}")
    source = store.path / backup.name / backup.file
    engines.rebuild(source, backup.engine, backup.sha256, target, Path(wish.datadir), wish.runner, wish.timeout)
    server = Scratch(purpose, target, backup.engine, backup.settings, wish.endpoint, wish.runner)
    server.start()
    if len(server.tables()) != backup.tables:
        raise OperationFailed(f"{backup.name} has {len(server.tables())} tables instead of {backup.tables}.", "Use another backup.")
    if done.replay.files:
        wish.say(f"replaying {done.replay.replayed}")
        replay(done.replay, backup.engine, server.endpoint, wish.timeout, lambda: require_rest(target))
        if backup.engine == MYSQL:
            has = engines.executed_by(server.endpoint)
            if has.behind(GtidSet.parse(done.replay.gtid, MYSQL)):
                raise OperationFailed(f"After the replay the data are at {has} instead of {done.replay.gtid}.", "Nothing was replaced.")
    return server


def _history(wish: Wish, done: Restored, here: ServerState) -> GtidSet:
    """All transactions that ever were, and a gap after them: the numbers of the lost ones are never given out again."""
    engine = done.backup.engine
    history = GtidSet.parse(done.gtid, engine) | done.backup.transactions | GtidSet.parse(wish.also_known, engine)
    if here.running:
        history |= here.transactions
    return history | jump(history, engine, here.server_id or done.backup.server_id, here.server_uuid or done.backup.server_uuid)


def jump(history: GtidSet, engine: str, server_id: int, server_uuid: str) -> GtidSet:
    """A transaction, or a range of them, far after all others of this server."""
    if engine == MARIADB:
        # Of every server: what an administrator still wrote to a closed one is lost like all else after the point.
        others = [item.split("-") for item in str(history).split(",") if item]
        newest = [item.split("-") for item in history.position().split(",") if item]
        far = {domain: int(number) + _JUMP for domain, _server, number in newest}
        said = [f"{domain}-{server}-{far[domain] - 1}" for domain, server, _number in others if int(server) != server_id]
        return GtidSet.parse(",".join([*said, *(f"{domain}-{server_id}-{number}" for domain, number in far.items())]), MARIADB)
    own_part = str(history.of_server(server_uuid))
    last = max((int(part.rpartition("-")[2]) for part in own_part.split(":")[1:] if part[0].isdigit()), default=0)
    return GtidSet.parse(f"{server_uuid}:{last + 1}-{last + _JUMP}", MYSQL)


def _forget_machine(server: Scratch, history: GtidSet) -> None:
    """Whom the copied server followed is forgotten; MySQL is told of the history while it can be."""
    asked = Server.at(server.endpoint)
    try:
        if server.engine != MYSQL:
            return
        asked.forget_source()
        more = history - asked.executed()
    finally:
        asked.close()
    if more:
        with Connection(server.endpoint) as connection:
            connection.rows("SET GLOBAL gtid_purged = %s", [f"+{more}"])


def _swap(wish: Wish, done: Restored, directory: DataDirectory, history: GtidSet, tables: int) -> None:
    wish.say("replacing the data")
    try:
        wish.service.stop()
        directory.swap()
        wish.service.start()
        _adopt(wish, done, history, tables)
    except (TandemError, OSError) as error:
        wish.say(f"the restored server does not work, going back: {error}")
        if directory.interrupted():
            wish.service.stop()
        directory.restore()
        wish.service.start()
        raise OperationFailed(
            f"The restored data did not work on {wish.node}: {error}", "Its old data are back, closed for writes."
        ) from error
    directory.keep_new()


def _adopt(wish: Wish, done: Restored, history: GtidSet, tables: int) -> None:
    """The server starts closed. MariaDB learns of its history here, because only its binary log keeps it."""
    server = Server.at(wish.endpoint)
    try:
        server.close_for_writes()
        if done.backup.engine == MARIADB:
            server.begin_binlog(history)
            server.set_position(history)
        seen = server.executed()
    finally:
        server.close()
    with Connection(wish.endpoint) as connection:
        count = len(scratch.tables_of(connection))
    if count != tables or seen.behind(history):
        raise OperationFailed(f"It has {count} tables instead of {tables}, and is at {seen} instead of {history}.")


def as_lines(found: t.Sequence[Manifest], faults: t.Sequence[str], node: str) -> list[str]:
    """The list of backups for a person."""
    lines = [
        f"{node}  {one.name}  taken {one.taken} UTC  {mib(one.size)}  {one.engine} {one.version}  from {one.node} ({one.role})"
        f"  {'verified' if one.verified else 'NOT VERIFIED'}"
        for one in found
    ]
    return [*lines, *(f"{node}  UNUSABLE: {fault}" for fault in faults)] or [f"{node}  no backups"]
