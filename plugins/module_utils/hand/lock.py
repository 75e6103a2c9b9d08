# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One operation on a node at a time. The kernel drops the lock with its holder, however that ends (flock(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t
from pathlib import Path

from ..errors import Refused

# In a directory of root's: in /run/lock any account could hold it. Who may open it may hold it as well, so the mode is a narrow one.
LOCK = Path("/run/tandem/operation.lock")
# Where the agents of earlier versions look: until site.yml has renewed them, they must see this operation too.
_FORMER = Path("/run/lock/tandem-operation.lock")
_former: list[int] = []
_MODE = 0o640  # role health gives it to the group of its daemon, which only looks
# Seconds. The agent's own operations take less.
_PATIENCE = 30.0
_POLL = 0.1


def take(name: str, path: Path = LOCK) -> t.IO[str]:
    """The open file that is the lock. Raises Refused while somebody else has it."""
    file = os.fdopen(_open(path), "r+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read(80).strip()
        file.close()
        raise Refused(f"Another operation is running on {name} ({holder or 'unknown'}).", "Wait until it has ended.") from None
    file.truncate(0)
    file.write(f"process {os.getpid()}\n")
    file.flush()
    if path == LOCK:
        _show_earlier_versions()
    return file


def _show_earlier_versions() -> None:
    """For as long as this process lives. Any account can be in the way there: then they do not see it."""
    with contextlib.suppress(OSError):
        former = os.open(_FORMER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        _former.append(former)
        fcntl.flock(former, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _open(path: Path) -> int:
    """Made where it is missing, whatever the umask; what is there keeps its owner and mode."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir()
        path.parent.chmod(0o755)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileExistsError):
        made = os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE)
        os.fchmod(made, _MODE)
        return made
    return os.open(path, flags)


@contextlib.contextmanager
def held(name: str, really: bool = True, patience: float = _PATIENCE, path: Path = LOCK) -> t.Iterator[None]:
    """For what changes a node's role without a hand: the agent leaves the node to it.

    really: False where only a plan is made. patience: seconds to wait for an operation that runs.
    """
    if not really:
        yield
        return
    deadline = time.monotonic() + patience
    while True:
        try:
            file = take(name, path)
            break
        except Refused:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL)
    with file:
        yield


def is_taken(path: Path = LOCK) -> bool:
    """Does anybody hold it? Needs the right to read only. Raises OSError where that cannot be seen."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
