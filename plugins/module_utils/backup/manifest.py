# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup says of itself: manifest.json beside its data."""

from __future__ import annotations

import json
import typing as t
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from ..errors import OperationFailed, TandemError
from ..gtid import GtidSet

FILE = "manifest.json"
FORMAT = 1
_NAME = "%Y%m%dT%H%M%SZ"
_STAMP = "%Y-%m-%d %H:%M:%S"
# What a server must be told to be able to read the data at all.
SETTINGS = ("innodb_page_size", "innodb_data_file_path", "innodb_undo_tablespaces", "lower_case_table_names")


@dataclass(frozen=True)
class Manifest:
    """One backup. Times are UTC, sizes bytes, durations seconds."""

    name: str
    engine: str
    version: str
    node: str  # the machine it was taken from, as the inventory calls it
    role: str  # primary or replica
    gtid: str  # everything that is in it, and nothing else
    started: str
    taken: str  # the moment the data are of
    finished: str
    duration: float
    file: str
    size: int
    unpacked: int
    sha256: str
    hostname: str = ""
    server_id: int = 0
    server_uuid: str = ""
    lineage: str = ""
    tables: int = 0
    newest: str = ""  # when its newest transaction was written, by the clock of its writer; empty: nobody knows
    verified: str = ""  # when it was restored and found right; empty: it was not
    verification: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def series(self) -> str:
        """Data can be read by servers of the same series."""
        return ".".join(self.version.split(".")[:2])

    @property
    def transactions(self) -> GtidSet:
        return GtidSet.parse(self.gtid, self.engine)

    @property
    def until(self) -> int:
        """Seconds since 1970: all that is in it was written before, or in this second. A writer's clock may be ahead of the copied node's."""
        return max(seconds(self.taken), seconds(self.newest) if self.newest else 0)

    def as_dict(self) -> dict[str, t.Any]:
        return asdict(self)

    def write(self, directory: Path) -> None:
        text = json.dumps(self.as_dict(), indent=2, sort_keys=True) + "\n"
        (directory / FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Raises OperationFailed for one that cannot be understood."""
        path = directory / FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if int(data["format"]) > FORMAT:
                raise OperationFailed(f"{path} was written by a newer version.", "Use that one.")
            known = {item.name: data[item.name] for item in fields(cls) if item.name in data}
            manifest = cls(**known)
            # What restores rely on is looked at now, not half-way.
            if manifest.until < 0 or (not manifest.transactions and manifest.gtid) or "/" in manifest.file or not manifest.file:
                raise ValueError("times, file or gtid make no sense")
        except (OSError, ValueError, KeyError, TypeError, TandemError) as error:
            raise OperationFailed(f"{path} cannot be read: {error}", "This backup is not usable; take another one.") from error
        return manifest


def name_of(moment: datetime) -> str:
    """Backups are called by the moment they began."""
    return moment.astimezone(UTC).strftime(_NAME)


def is_name(text: str) -> bool:
    try:
        datetime.strptime(text, _NAME)
    except ValueError:
        return False
    return True


def stamp(moment: datetime) -> str:
    """As people write it, in UTC."""
    return moment.astimezone(UTC).strftime(_STAMP)


def seconds(text: str) -> int:
    """Seconds since 1970 of a stamp."""
    return int(datetime.strptime(text, _STAMP).replace(tzinfo=UTC).timestamp())


def surplus(backups: t.Mapping[str, bool], keep: int) -> list[str]:
    """The names that retention may remove: all but the newest, and never the newest verified one. Given: name, verified."""
    ordered = sorted(backups)
    proven = [name for name in ordered if backups[name]][-1:]
    return [name for name in ordered[: max(0, len(ordered) - max(1, keep))] if name not in proven]
