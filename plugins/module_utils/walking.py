# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a directory, one name after the other, so that nobody can lead root elsewhere by a link.

A link is followed where only root can have put it: it is root's, and so is every directory on the way to it.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType

from .errors import TandemError

_HERE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40


class LinkError(TandemError):
    """A link is in the way that somebody else than root may have put there. The message names it."""


def _trusted(status: os.stat_result) -> bool:
    """Whether nobody but root (or who runs this) can put another thing in the place of what root has in this directory."""
    mode = stat.S_IMODE(status.st_mode)
    return status.st_uid in (0, os.geteuid()) and (not mode & 0o022 or bool(mode & stat.S_ISVTX))


class _Walk:
    """One walk: where it is, and whether all of it so far is root's."""

    def __init__(self, path: str, make: bool) -> None:
        self.path, self.make = path, make
        # Names, and whether they are a link's words: what a link lacks is not made.
        self.left = [(name, False) for name in reversed(path.split("/")) if name]
        self.links = 0
        self.here, self.trusted = -1, True

    def go(self) -> int:
        """A descriptor of the directory. Raises OSError and LinkError; closes what it opened."""
        try:
            self._enter("/")
            while self.left:
                self._step(*self.left.pop())
            return self.here
        except BaseException:
            os.close(self.here)
            raise

    def _enter(self, name: str) -> None:
        found = os.open(name, _HERE, dir_fd=None if name == "/" else self.here)
        if self.here >= 0:
            os.close(self.here)
        self.here = found
        self.trusted = _trusted(os.fstat(found)) and self.trusted

    def _step(self, name: str, of_link: bool) -> None:
        try:
            self._enter(name)
        except FileNotFoundError:
            if not self.make or of_link:
                raise
            os.mkdir(name, 0o755, dir_fd=self.here)
            self._enter(name)
        except NotADirectoryError:
            self._follow(name)

    def _follow(self, name: str) -> None:
        status = os.stat(name, dir_fd=self.here, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            raise NotADirectoryError(f"{name} on the way to it is no directory")
        self.links += 1
        if self.links > _LINKS:
            raise OSError(f"{name} on the way to it is a link that leads in a circle")
        if not self.trusted or status.st_uid not in (0, os.geteuid()):
            raise LinkError(
                f"{self.path}: {name!r} on the way is a link, and others than root may have put it there.",
                "Put a directory in its place (or mount one there), or let root own the link and all directories above it.",
            )
        target = os.readlink(name, dir_fd=self.here)
        self.left.extend((word, True) for word in reversed(target.split("/")) if word)
        if target.startswith("/"):
            self._enter("/")


class Places:
    """Directories by descriptor, each walked to once. Use with "with"."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def __enter__(self) -> Places:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def directory(self, path: str, make: bool = False) -> int:
        """A descriptor of the directory, good for names in it. Raises OSError where it is missing (unless made), LinkError."""
        if path not in self._open:
            self._open[path] = _Walk(path, make).go()
        return self._open[path]

    def names(self, path: str) -> list[str]:
        """What is in the directory."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.directory(path))
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)

    def sync(self, path: str) -> None:
        """Let the names in the directory be safe on the disk."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.directory(path))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def status(self, path: str) -> os.stat_result | None:
        """Of what is there, be it a link; none where there is nothing."""
        where, name = os.path.split(path)
        try:
            return os.stat(name or ".", dir_fd=self.directory(where), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
