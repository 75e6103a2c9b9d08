# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on a disk: asked before something large is made, and while it grows."""

from __future__ import annotations

import shutil
from pathlib import Path

from .errors import OperationFailed, of_the_system

# Whoever else lives on that disk, the database above all, is not to stall for a copy.
LEAST = 64 * 1024 * 1024


def free(path: Path) -> int:
    """Bytes, also of a directory that is not there yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def free_if_known(directory: str) -> int | None:
    """Bytes, or None where it cannot be told."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def require_rest(path: Path) -> None:
    """While something grows there: somebody else may be filling the disk. Raises OperationFailed."""
    left = free(path)
    if left < LEAST:
        raise OperationFailed(f"The disk of {path} is full: {mib(left)} free.", "Make room.")


def cause(path: Path, error: Exception) -> str:
    """What went wrong, asked before what was made is removed. Where the disk is full, all that broke by it only confuses."""
    try:
        require_rest(path)
    except OperationFailed as full:
        return str(full)
    return of_the_system(error) if isinstance(error, OSError) else str(error)


def mib(size: int) -> str:
    return f"{size // (1024 * 1024)} MiB"
