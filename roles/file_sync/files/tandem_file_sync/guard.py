# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this run go on? The checks that keep an empty or foreign directory from emptying the other node."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from .job import MARKER, Job, Stop, refused

CONFIRM_SECONDS = 3600
# Said by the one that refuses, and looked for by the one that is refused.
HAS_LED = "was active itself and may have files that only it has"


@contextlib.contextmanager
def as_user(job: Job) -> Iterator[None]:
    """Be the job's user, if this is root: what is made in the user's directory is the user's, and no link of it is followed with root's rights."""
    if os.geteuid() != 0:
        yield
        return
    user, groups, group = pwd.getpwnam(job.user), os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@contextlib.contextmanager
def locked(job: Job, wait: float = 0.0) -> Iterator[int]:
    """Hold the job's lock. It belongs to the open file: give it to children, and it ends with the last of them.

    There is nothing to clean up after a crash; the kernel has no stale locks.
    """
    descriptor = os.open(job.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise Stop("busy", "another run of this job is still going on") from None
                time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)


def marked_for(job: Job) -> str | None:
    """The job that the root's marker names; none without a marker, and no name from what cannot be read.

    The site's user owns the directory, and this is asked by root: no link is followed, and a pipe is not waited for.
    """
    try:
        descriptor = os.open(job.marker, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        return file.readline(200).strip() if stat.S_ISREG(os.fstat(descriptor).st_mode) else ""


def check_root(job: Job) -> None:
    """The root is there, is a directory, and is the one that was set up."""
    if not job.root.is_dir():
        raise refused(f"{job.root} is missing; nothing was synchronised")
    try:
        owner = job.marker.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except FileNotFoundError:
        raise refused(
            f"{job.marker} is missing: the file system is not mounted, or the directory was replaced. Nothing was "
            f"synchronised. If {job.root} is right as it is: tandem-file-sync mark {job.name}"
        ) from None
    except OSError as error:
        raise refused(f"{job.marker} cannot be read: {error.strerror}") from None
    if owner != job.name:
        raise refused(
            f"{job.marker} belongs to the job {owner!r}, not to {job.name!r}. Nothing was synchronised. "
            f"If {job.root} is right as it is: tandem-file-sync mark {job.name}"
        )


def is_empty(root: Path) -> bool:
    """Nothing but the marker."""
    with os.scandir(root) as entries:
        return all(entry.name == MARKER for entry in entries)


def way_out(job: Job) -> str:
    """What a person can do about a refused deletion."""
    return (
        f"To delete them on both nodes: tandem-file-sync confirm {job.name}. "
        f"To get the files back from the other node: tandem-file-sync refill {job.name}."
    )


def check_not_emptied(job: Job, known: Collection[str] | None, confirmed: bool) -> None:
    """A directory that had content and has none now was probably wiped by accident."""
    if known and not confirmed and is_empty(job.root):
        raise refused(
            f"{job.root} is empty and held {len(known)} files at the last success. "
            f"Nothing was synchronised. {way_out(job)}"
        )


def check_deletions(job: Job, deletions: int, total: int, where: str, confirmed: bool) -> None:
    """The brake: many files at once are deleted by mistake more often than on purpose."""
    if confirmed or deletions <= job.delete_free:
        return
    percent = 100 * deletions / max(total, deletions, 1)
    limits = []
    if deletions > job.delete_files:
        limits.append(f"{job.delete_files} files")
    if percent > job.delete_percent:
        limits.append(f"{job.delete_percent} %")
    if limits:
        raise Stop(
            "braked",
            f"{deletions} of {total} files ({percent:.0f} %) would be deleted on {where}, more than "
            f"{' and '.join(limits)}. Nothing was synchronised. {way_out(job)}",
        )


def take_confirmation(job: Job) -> bool:
    """Whether an operator allowed this one run to delete what it wants."""
    path = job.home / "confirm"
    try:
        age = time.time() - path.stat().st_mtime
        path.unlink()
    except FileNotFoundError:
        return False
    return age < CONFIRM_SECONDS
