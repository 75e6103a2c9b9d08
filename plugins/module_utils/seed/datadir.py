# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace a data directory by another one so that a kill at any moment loses neither.

Both live inside the data directory, which may be a mount point: DATADIR/.tandem/seed is what comes, .tandem/old is what
was there until the new one works. While names are moved, .tandem/swapping exists, and the unit refuses to start.
MySQL's CLONE replaces data in place: from before it begins until it is complete .tandem/cloning says that they are no data.
"""

from __future__ import annotations

import os
import shutil
import time
import typing as t
from pathlib import Path

from ..errors import Refused
from ..room import free, mib

WORK = ".tandem"
# Kept free beyond the size of the copy: temporary files and the first binary logs.
_RESERVE = 256 * 1024 * 1024


class DataDirectory:
    """A data directory with room for its successor."""

    def __init__(self, path: str, move: t.Callable[[Path, Path], object] = shutil.move) -> None:
        self.path = Path(path)
        self._move = move
        self.work = self.path / WORK
        self.seed = self.work / "seed"
        self.old = self.work / "old"
        self._swapping = self.work / "swapping"
        self._out = self.work / "out"
        self._gone = self.work / "gone"
        self._cloning = self.work / "cloning"

    def require_space(self, needed: int) -> None:
        """Old and new exist side by side."""
        left = free(self.path)
        wanted = int(needed * 1.1) + _RESERVE
        if left < wanted:
            raise Refused(
                f"{self.path} has {mib(left)} free; the copy needs {mib(wanted)} beside the present data.",
                "Nothing was changed. Make room, then run this again.",
            )

    def drop_seed(self) -> None:
        """A copy that did not come to its end takes no room."""
        shutil.rmtree(self.seed, ignore_errors=True)
        if not self.interrupted():
            shutil.rmtree(self.work, ignore_errors=True)

    def interrupted(self) -> bool:
        """True if an earlier call died between taking the old data away and proving the new."""
        return self._swapping.exists() or self.old.exists()

    def swapped(self) -> bool:
        """True if an earlier call died after the new data were in place as a whole, and before they were proven."""
        return self.old.exists() and not self._swapping.exists()

    def begin_clone(self) -> None:
        """Written down first: whatever ends the copy half-way, its remains are never taken for data."""
        self.work.mkdir(mode=0o700, exist_ok=True)
        account = self.path.stat()
        # The server looks through all directories when it starts.
        os.chown(self.work, account.st_uid, account.st_gid)
        self._cloning.touch()

    def clone_broken(self) -> bool:
        """True if an earlier CLONE did not come to its end."""
        return self._cloning.exists()

    def begin(self) -> Path:
        """An empty place for the copy."""
        shutil.rmtree(self.seed, ignore_errors=True)
        self.seed.mkdir(mode=0o700, parents=True)
        self.work.chmod(0o700)
        return self.seed

    def swap(self) -> None:
        """The copy becomes the data; the data become the old ones. The server must be stopped."""
        self._swapping.touch()
        self._out.unlink(missing_ok=True)
        self.old.mkdir(mode=0o700)
        self._move_out(self.old)
        self._out.touch()
        self._move_in(self.seed)
        self._swapping.unlink()

    def restore(self) -> None:
        """The old data become the data again, from wherever the swap had come to. The server must be stopped."""
        if self.old.exists():
            self._swapping.touch()
            dropped = self.work / "dropped"
            # Until everything was out, whatever lies in the data directory is old; from then on it is new.
            if self._out.exists():
                dropped.mkdir(mode=0o700, exist_ok=True)
                self._move_out(dropped)
                self._out.unlink()
            self._move_in(self.old)
            shutil.rmtree(dropped, ignore_errors=True)
        shutil.rmtree(self.seed, ignore_errors=True)
        # The last thing in there is the mark that keeps a server from starting.
        shutil.rmtree(self.work, ignore_errors=True)

    def keep_new(self) -> None:
        """The new data work: the old ones may go."""
        if self.old.exists():
            self._give_old_up()
        shutil.rmtree(self.work, ignore_errors=True)

    def settle(self) -> None:
        """What is here counts from now on, whatever a copy that was killed has left. At once: the next one removes what was given up."""
        if self.swapped():
            self._give_old_up()
        if self.clone_broken():
            self._cloning.unlink()
            _settle(self.work)

    def _give_old_up(self) -> None:
        """By their name first, so that a part of them is never taken for all of them."""
        self._gone.mkdir(mode=0o700, exist_ok=True)
        self.old.rename(self._gone / str(time.time_ns()))
        _settle(self.work)

    def drop_gone(self) -> None:
        """What an earlier call had given up and not yet removed takes no room."""
        shutil.rmtree(self._gone, ignore_errors=True)

    def _move_out(self, target: Path) -> None:
        for entry in sorted(self.path.iterdir()):
            if entry.name != WORK:
                self._move(entry, target / entry.name)

    def _move_in(self, source: Path) -> None:
        for entry in sorted(source.iterdir()):
            self._move(entry, self.path / entry.name)
        source.rmdir()


def _settle(directory: Path) -> None:
    """The names in it are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
