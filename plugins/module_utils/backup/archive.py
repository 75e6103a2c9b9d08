# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive of binary logs: closed files, copied as they are, each under the moment it was begun."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import typing as t
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import OperationFailed
from ..gtid import MARIADB, MYSQL, GtidSet
from .binlog import BinlogError, read_head, server_of
from .store import sync

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class LogFile:
    """One binary log: in the archive, or still the server's own."""

    path: str
    name: str
    created: int  # seconds since 1970
    before: str  # GTID set of everything that came before it
    size: int
    archived: bool = False
    sha256: str = ""
    server: int = 0  # server_id of whose file it is

    @property
    def stored_as(self) -> str:
        """Names begin anew after a copy of the whole server: the moment tells two of one name apart."""
        moment = datetime.fromtimestamp(self.created, UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{moment}.{self.name}"

    @property
    def number(self) -> int:
        """In its run of files; 0: it has none."""
        number = self.name.rpartition(".")[2]
        return int(number) if number.isdecimal() else 0

    def knows(self, other: LogFile) -> bool:
        """All that came before the other one came before this one too."""
        if self.before == other.before:
            return True
        here, there = (GtidSet.parse(text, MYSQL if ":" in text else MARIADB) for text in (self.before, other.before))
        return here.flavor == there.flavor and not here.behind(there)


def in_order(files: t.Iterable[LogFile]) -> list[LogFile]:
    """The oldest first."""
    return [one for one, _begun in _by_begin(files)]


def _by_begin(files: t.Iterable[LogFile]) -> list[tuple[LogFile, int]]:
    """In order, with the second each was begun: not before the one that it goes on from, though a clock was set back in between."""
    begun: dict[LogFile, int] = {}
    named: dict[tuple[int, int], list[LogFile]] = {}
    for one in sorted(files, key=lambda one: (one.number, one.created)):
        # Names begin anew: of several the one that it knows the most of. One that lists nothing may be of any run.
        earlier = [other for other in named.get((one.server, one.number - 1), []) if other.before and one.knows(other)]
        last = functools.reduce(lambda best, other: other if other.knows(best) else best, earlier) if earlier else one
        begun[one] = max(one.created, begun.get(last, 0))
        named.setdefault((one.server, one.number), []).append(one)
    return sorted(begun.items(), key=lambda item: (item[1], item[0].number, item[0].name))


def live(paths: t.Iterable[str], engine: str) -> list[LogFile]:
    """The server's own files, the one it is writing last."""
    found = []
    for text in paths:
        path = Path(text)
        head = read_head(path, engine)
        found.append(LogFile(str(path), path.name, head.created, head.before, path.stat().st_size, server=head.server))
    return found


def archived(directory: Path) -> list[LogFile]:
    """What the archive holds, the oldest first."""
    found = []
    for path in sorted(directory.glob("*.json")) if directory.is_dir() else []:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            # Older descriptions do not say whose file it is.
            data.setdefault("server", server_of(path.with_suffix("")))
            one = LogFile(**{**data, "path": str(path.with_suffix("")), "archived": True})
        except (OSError, ValueError, TypeError, AttributeError, BinlogError) as error:
            raise OperationFailed(f"{path} cannot be read: {error}", "Remove it and the file it describes.") from error
        found.append(one)
    return in_order(found)


def missing(closed: t.Iterable[LogFile], kept: t.Iterable[LogFile]) -> list[LogFile]:
    """Those of the server's closed files that the archive lacks."""
    there = {one.stored_as for one in kept}
    return [one for one in closed if one.stored_as not in there]


def merged(kept: t.Iterable[LogFile], server: t.Iterable[LogFile]) -> list[LogFile]:
    """Archive and server together, each file once; the archive's copy counts. The oldest first."""
    files = {one.stored_as: one for one in server}
    files.update({one.stored_as: one for one in kept})
    return in_order(files.values())


def keep(one: LogFile, directory: Path) -> LogFile:
    """Copy a closed file into the archive. Its description is written last: without it the copy does not count."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = directory / one.stored_as
    partial = directory / f".{one.stored_as}"
    digest = hashlib.sha256()
    with open(one.path, "rb") as source, partial.open("wb") as copy:
        partial.chmod(0o600)
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    sync(partial)
    partial.rename(target)
    stored = LogFile(str(target), one.name, one.created, one.before, target.stat().st_size, True, digest.hexdigest(), one.server)
    description = directory / f".{one.stored_as}.json"
    description.touch(mode=0o600)
    description.write_text(json.dumps(asdict(stored), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    sync(description)
    description.rename(directory / f"{one.stored_as}.json")
    sync(directory)
    return stored


def require_whole(one: LogFile) -> None:
    """Raises BinlogError if a file of the archive is no longer what was put there."""
    if not one.archived:
        return
    digest = hashlib.sha256()
    with open(one.path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != one.sha256:
        raise BinlogError(f"{one.path} is damaged: its checksum is not the one it was stored with.")


def outdated(kept: t.Sequence[LogFile], oldest_backup: int) -> list[LogFile]:
    """Files of which no backup needs anything: a later one of the same server was begun before the oldest backup."""
    found = []
    later: dict[int, int] = {}
    for one, begun in reversed(_by_begin(kept)):
        if later.get(one.server, oldest_backup) < oldest_backup:
            found.append(one)
        # Of one that was begun while the clock was behind nobody knows when it was.
        if one.created == begun:
            later[one.server] = begun
    return found[::-1]


def forget(one: LogFile) -> None:
    path = Path(one.path)
    path.with_name(f"{path.name}.json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def room_for(files: t.Iterable[LogFile]) -> int:
    return sum(one.size for one in files)


def clear_partial(directory: Path) -> None:
    """What a killed run left."""
    for path in directory.glob(".*") if directory.is_dir() else []:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
