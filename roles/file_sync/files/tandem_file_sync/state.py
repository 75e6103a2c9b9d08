# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the last run left for status pages, and what the next run has to know."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .job import MARKER, Job


def write_atomically(path: Path, content: str, mode: int) -> None:
    """Readers see the old or the new content, never half of it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(content)
            os.fchmod(descriptor, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def load(job: Job) -> dict[str, Any]:
    """The state of the last run; empty before the first one or when it is damaged."""
    return load_from(job.home)


def load_from(home: Path) -> dict[str, Any]:
    """As above, of a job that may be gone. Root asks, too, in a directory of the site's: no link is followed, no pipe waited for."""
    try:
        descriptor = os.open(home / "state.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            state = json.load(file) if stat.S_ISREG(os.fstat(descriptor).st_mode) else {}
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def save(job: Job, state: dict[str, Any]) -> None:
    """World-readable: it holds names and numbers, no secrets."""
    write_atomically(job.home / "state.json", json.dumps(state, indent=1, sort_keys=True) + "\n", 0o644)


def files_below(root: Path) -> set[str]:
    """Every file of the tree by its relative path, directories left out, the marker too."""
    found: set[str] = set()
    for directory, _names, names in os.walk(root):
        where = os.path.relpath(directory, root)
        found.update(name if where == "." else f"{where}/{name}" for name in names)
    found.discard(MARKER)
    return found


def load_manifest(job: Job) -> set[str] | None:
    """The files that both nodes had at the last success; None when there was none."""
    try:
        content = (job.private / "manifest").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return set(filter(None, content.split("\0")))


def save_manifest(job: Job, files: Iterable[str]) -> None:
    """Remember the files of a success."""
    write_atomically(job.private / "manifest", "\0".join(sorted(files)), 0o600)
