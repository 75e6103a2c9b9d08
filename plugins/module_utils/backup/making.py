# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a backup: copy, prove by restoring it, publish, keep the binary logs that lead on from it, remove old ones."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ..connection import Connection, Endpoint
from ..errors import OperationFailed, Refused, TandemError
from ..gtid import MARIADB, GtidSet
from ..room import cause, mib, require_rest
from ..runner import Runner
from ..server import Server, look
from ..state import ServerState
from . import archive, engines, scratch
from .binlog import BinlogError
from .manifest import Manifest, name_of, seconds, stamp, surplus
from .replay import moment, newest_of
from .scratch import Scratch
from .store import Store
from .stream import Packed

FULL, QUICK = "full", "quick"
# What scratch instances are for, and are called.
VERIFY, RESTORE = "verify", "restore"
_KEPT = "Nothing was published, and nothing of it was kept."


@dataclass(frozen=True)
class Wish:
    """What to back up, and how."""

    node: str
    endpoint: Endpoint
    datadir: str
    directory: str
    keep: int
    verify: str
    copy: bool  # False: only the binary logs
    binlogs: bool
    timeout: float
    say: t.Callable[[str], None]
    archive_or_fail: bool = False  # also where the binary logs cannot be read
    runner: Runner = field(default_factory=Runner)
    now: t.Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass
class Made:
    """What was done, or would be."""

    actions: list[str] = field(default_factory=list)
    backup: Manifest | None = None
    path: str = ""
    removed: list[str] = field(default_factory=list)
    binlogs: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def story(self) -> list[str]:
        lines = list(self.actions)
        if self.backup is not None:
            one = self.backup
            lines.append(
                f"{self.path}: {mib(one.size)} ({mib(one.unpacked)} unpacked) of {one.node}, the {one.role}, {one.tables} tables,"
                f" position {one.gtid or 'none'}, in {one.duration:.1f} s; {one.verification or 'not verified'}"
            )
        return lines


def make(wish: Wish, *, dry_run: bool) -> Made:
    """Raises Refused with nothing changed, or OperationFailed with nothing published."""
    store = Store(wish.directory)
    seen = look(wish.endpoint, wish.datadir)
    if not seen.running:
        raise Refused(f"The database of {wish.node} does not answer: {seen.reason}", "Start it first.")
    if not seen.log_bin:
        raise Refused(f"{wish.node} writes no binary log, so its position is unknown.", "Run role database.")
    engines.require_tools(seen.engine)
    if wish.copy:
        engines.require_copyable(wish.endpoint, seen.engine, wish.node)
    size = _size(wish) if wish.copy else 0
    logs: list[archive.LogFile] = []
    warnings = []
    try:
        logs = _unarchived(wish, seen, store) if wish.binlogs else []
    except BinlogError as error:
        if wish.archive_or_fail:
            raise
        warnings.append(f"The binary logs of {wish.node} are not archived: {error} Backups can be restored as they are, to no other point.")
    # The copy and its test restore exist side by side for a while.
    purpose = "the backup, which is restored once for a test," if wish.copy else "the archive of binary logs"
    store.require_space(2 * size + archive.room_for(logs), purpose)
    if dry_run:
        return replace(_plan(wish, store, seen, size, logs), warnings=warnings)
    made = Made(warnings=warnings)
    with store.locked():
        # Left by a run that was killed: whoever is alive holds the lock.
        for purpose in (VERIFY, RESTORE):
            scratch.remove(purpose, wish.runner)
        store.sweep()
        archive.clear_partial(store.binlogs)
        try:
            if wish.copy:
                made.backup = _copy(wish, store, seen, size)
                made.path = str(store.path / made.backup.name)
                made.actions.append(f"backed up {wish.node} to {made.path}")
        except (TandemError, OSError) as error:
            raise OperationFailed(f"No backup of {wish.node} was made. {cause(store.path, error)}", _KEPT) from error
        finally:
            store.done()
        if wish.binlogs and not warnings:
            _archive(wish, seen, store, made)
        if wish.copy:
            made.removed = _retain(store, wish.keep)
            made.actions += [f"removed {name}" for name in made.removed]
    return made


def _archive(wish: Wish, seen: ServerState, store: Store, made: Made) -> None:
    try:
        made.binlogs = [one.stored_as for one in keep_binlogs(wish.endpoint, seen.engine, store, wish.say)]
    except (TandemError, OSError) as error:
        why = cause(store.path, error)
        archive.clear_partial(store.binlogs)
        raise OperationFailed(
            f"The binary logs of {wish.node} could not be archived. {why}",
            f"{f'The backup {made.path} is whole, and stays. ' if made.path else ''}Mend that, then run this again with -e only=binlogs.",
        ) from error
    if made.binlogs:
        made.actions.append(f"archived {len(made.binlogs)} binary logs")


def keep_binlogs(endpoint: Endpoint, engine: str, store: Store, say: t.Callable[[str], None]) -> list[archive.LogFile]:
    """Close the current binary log and archive all closed ones that are not there yet."""
    with Connection(endpoint) as server:
        engines.close_binary_log(server)
        closed = archive.live(engines.binary_logs(server)[:-1], engine)
    wanted = archive.missing(closed, archive.archived(store.binlogs))
    kept = []
    for number, one in enumerate(wanted, 1):
        say(f"archiving binary log {number} of {len(wanted)}: {one.name}")
        kept.append(archive.keep(one, store.binlogs))
    return kept


def _unarchived(wish: Wish, seen: ServerState, store: Store) -> list[archive.LogFile]:
    with Connection(wish.endpoint) as server:
        files = archive.live(engines.binary_logs(server), seen.engine)
    return archive.missing(files, archive.archived(store.binlogs))


def _plan(wish: Wish, store: Store, seen: ServerState, size: int, logs: list[archive.LogFile]) -> Made:
    made = Made()
    if wish.copy:
        role = _role(seen)
        made.actions.append(f"copy about {mib(size)} of {wish.node}, the {role}, to {store.path}")
        made.actions.append("restore it to a scratch instance and look at its tables")
    if logs:
        made.actions.append(f"archive {len(logs)} binary logs, {mib(archive.room_for(logs))}")
    found, _faults = store.backups()
    if wish.copy:
        made.removed = surplus({**_proven(found), name_of(wish.now()): True}, wish.keep)
        made.actions += [f"remove {name}" for name in made.removed]
    return made


def _proven(found: t.Iterable[Manifest]) -> dict[str, bool]:
    return {one.name: bool(one.verified) for one in found}


def _role(seen: ServerState) -> str:
    return "primary" if seen.writable or seen.replication is None else "replica"


def _size(wish: Wish) -> int:
    server = Server.at(wish.endpoint)
    try:
        return server.data_size()
    finally:
        server.close()


def _copy(wish: Wish, store: Store, seen: ServerState, size: int) -> Manifest:
    work = store.fresh()
    datadir = Path(wish.datadir)
    place, made = work / "copy", work / "made"
    for path in (place, made):
        path.mkdir(mode=0o700)
    began, clock = wish.now(), time.monotonic()
    with Connection(wish.endpoint) as server:
        settings = engines.settings_of(server, seen.engine)
        tables_before = len(scratch.tables_of(server))
    before = engines.executed_by(wish.endpoint)
    wish.say(f"copying about {mib(size)} of {wish.node}")
    target = made / engines.file_of(seen.engine)
    packed = engines.take(wish.endpoint, seen.engine, datadir, place, target, wish.timeout, _progress(wish, store, size))
    taken = wish.now()
    after = engines.executed_by(wish.endpoint)
    with Connection(wish.endpoint) as server:
        tables_after = len(scratch.tables_of(server))
    # As many as there were all the time; if somebody made or dropped some meanwhile, nobody knows.
    tables = tables_before if tables_before == tables_after else None
    gtid, count, said = _prove(wish, work, seen, target, packed, settings, (before, after), tables)
    finished = wish.now()
    manifest = Manifest(
        name=name_of(began),
        engine=seen.engine,
        version=seen.version,
        node=wish.node,
        role=_role(seen),
        gtid=gtid,
        started=stamp(began),
        taken=stamp(taken),
        finished=stamp(finished),
        duration=round(time.monotonic() - clock, 1),
        file=target.name,
        size=packed.size,
        unpacked=packed.unpacked,
        sha256=packed.sha256,
        hostname=seen.hostname,
        server_id=seen.server_id,
        server_uuid=seen.server_uuid,
        lineage=seen.lineage,
        tables=count,
        newest=_newest(wish, gtid, seen.engine),
        verified=stamp(finished),
        verification=said,
        settings=settings,
    )
    manifest.write(made)
    store.publish(made, manifest.name)
    return manifest


def _newest(wish: Wish, gtid: str, engine: str) -> str:
    """When the newest transaction of the copy was written."""
    with Connection(wish.endpoint) as server:
        logs = engines.binary_logs(server)
    try:
        written = newest_of(GtidSet.parse(gtid, engine), logs)
    except (BinlogError, OSError):
        return ""
    return moment(written) if written else ""


def _prove(
    wish: Wish,
    work: Path,
    seen: ServerState,
    source: Path,
    packed: Packed,
    settings: dict[str, str],
    bounds: tuple[GtidSet, GtidSet],
    tables: int | None,
) -> tuple[str, int, str]:
    """Restore it. Returns position, number of tables, and what was looked at. Raises OperationFailed."""
    target = work / "verify"
    target.mkdir(mode=0o700)
    wish.say("restoring it to a scratch instance")
    datadir = Path(wish.datadir)
    position = engines.rebuild(source, seen.engine, packed.sha256, target, datadir, wish.runner, wish.timeout)
    server = Scratch(VERIFY, target, seen.engine, settings, wish.endpoint, wish.runner)
    server.start()
    try:
        has = engines.executed_by(server.endpoint)
        position = has if position is None else position
        _require_position(seen, has, position, bounds)
        count = len(server.tables())
        if tables is not None and count != tables:
            raise OperationFailed(f"The copy has {count} tables, {wish.node} has {tables}.", "Nothing was published.")
        said = f"restored, {count} tables counted"
        if wish.verify == FULL:
            server.check(wish.timeout, _every_ten_seconds(wish.say))
            said = f"restored, {count} tables checked"
    finally:
        scratch.remove(VERIFY, wish.runner)
    return position.position(), count, f"{said}, position right"


def _require_position(seen: ServerState, has: GtidSet, position: GtidSet, bounds: tuple[GtidSet, GtidSet]) -> None:
    """The position lies between what the server had before and after the copy, and is that of the restored data."""
    before, after = bounds
    if position.behind(before) or after.behind(position):
        raise OperationFailed(
            f"The copy says position {position}, but the server went from {before} to {after}.", "Nothing was published."
        )
    # A primary of MariaDB writes no position into its data; a replica does, with every transaction.
    if (seen.engine != MARIADB or seen.replication is not None) and (has.behind(position) or position.behind(has)):
        raise OperationFailed(f"The copy says position {position}, but the restored data are at {has}.", "Nothing was published.")


def _retain(store: Store, keep: int) -> list[str]:
    found, _faults = store.backups()
    gone = surplus(_proven(found), keep)
    for name in gone:
        store.remove(name)
    left = [one for one in found if one.name not in gone]
    if left:
        for log in archive.outdated(archive.archived(store.binlogs), seconds(left[0].started)):
            archive.forget(log)
    return gone


def _progress(wish: Wish, store: Store, size: int) -> t.Callable[[int], None]:
    tell = _every_ten_seconds(wish.say)

    def progress(done: int) -> None:
        require_rest(store.path)
        tell(f"copied {mib(done)} of about {mib(size)}")

    return progress


def _every_ten_seconds(say: t.Callable[[str], None], clock: t.Callable[[], float] = time.monotonic) -> t.Callable[[str], None]:
    told = clock()

    def tell(line: str) -> None:
        nonlocal told
        if clock() - told >= 10:
            told = clock()
            say(line)

    return tell
