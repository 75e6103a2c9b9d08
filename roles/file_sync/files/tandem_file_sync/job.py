# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One job as the role configured it, and the ways in which a run can end."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

JOBS = Path("/etc/tandem/file_sync/jobs")
STATE = Path("/var/lib/tandem/file_sync")
KNOWN_HOSTS = Path("/etc/tandem/file_sync/known_hosts")
MARKER = ".tandem-sync-root"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Stop(Exception):
    """A run that ends early. The result is a word for programs, the message is for people."""

    def __init__(self, result: str, message: str) -> None:
        super().__init__(message)
        self.result = result
        self.message = message


def refused(message: str) -> Stop:
    """Something is wrong with this job; a person has to look."""
    return Stop("refused", message)


@dataclasses.dataclass(frozen=True)
class Job:
    """What to keep equal, with whom, and how much may be deleted at once."""

    name: str
    method: str
    user: str
    root: Path
    node: str
    address: str
    peer: str
    peer_address: str
    ssh_port: int
    initiator: bool
    active_address: str
    excludes: tuple[str, ...]
    delete_files: int
    delete_percent: int
    delete_free: int
    bwlimit: int
    full_check_hours: int

    @classmethod
    def read(cls, values: dict[str, Any]) -> Job:
        """From the role's file."""
        return cls(**{**values, "root": Path(values["root"]), "excludes": tuple(values["excludes"])})

    @classmethod
    def load(cls, name: str) -> Job:
        """By name; the name comes from a command line."""
        if not NAME.fullmatch(name):
            raise refused(f"{name!r} is no name of a job")
        try:
            return cls.read(json.loads((JOBS / f"{name}.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise refused(f"there is no job {name} on this node") from None

    @property
    def home(self) -> Path:
        """The job's own directory; others may look up names in it."""
        return STATE / self.name

    @property
    def private(self) -> Path:
        """Key, archives and manifest; for the job's user only."""
        return self.home / "private"

    @property
    def backups(self) -> Path:
        """What was overwritten or deleted, kept for some days."""
        return self.home / "backups"

    @property
    def merge(self) -> Path:
        """While this is there, the next push deletes nothing, and brings here what only the peer has (rsync)."""
        return self.private / "merge"

    @property
    def led(self) -> Path:
        """While this is there, this node was active since the peer last fetched what only this node had (rsync)."""
        return self.private / "led"

    @property
    def marker(self) -> Path:
        """The file that says: this is the directory that was meant, and it is mounted."""
        return self.root / MARKER
