# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One-way push with rsync from the node that holds the active address.

A node that has just become active does not know what the other one was given last. Its first run makes the union of both.
"""

from __future__ import annotations

import re
import subprocess

from . import guard, link
from .job import MARKER, Job, Stop

_STATISTICS = {
    "files": "Number of files",
    "created": "Number of created files",
    "deleted": "Number of deleted files",
    "transferred": "Number of regular files transferred",
}
# A file that vanished while it was read (24) is not a fault: the next run sees the truth.
_FINE = (0, 24)


def arguments(job: Job, *options: str, pull: bool = False) -> list[str]:
    """The command line; the peer's forced command knows exactly these options."""
    ways = [f"{job.root}/", f"peer:{job.root}/"]
    return [
        "rsync", "-aHAX", "--timeout=60",
        "--partial-dir=.rsync-partial", "--backup", f"--backup-dir={job.backups}",
        "--stats", "--out-format=%i %n", *options,
        *([f"--bwlimit={job.bwlimit}"] if job.bwlimit else []),
        f"--exclude=/{MARKER}", *[f"--exclude={entry}" for entry in job.excludes],
        "-e", f"ssh -F {link.ssh_config(job)}",
        *(reversed(ways) if pull else ways),
    ]  # fmt: skip


def statistics(output: str) -> dict[str, int]:
    """The figures of --stats."""
    found = {}
    for key, label in _STATISTICS.items():
        match = re.search(rf"^{label}: ([\d,.]+)", output, re.MULTILINE)
        found[key] = int(re.sub(r"\D", "", match[1])) if match else 0
    return found


def changes(output: str) -> list[str]:
    """The itemized lines: what is sent and what is deleted."""
    return [line for line in output.splitlines() if re.match(r"[<>ch.*][fdLDSd]\S{9} |\*deleting ", line)]


def _rsync(job: Job, lock: int, *options: str, pull: bool = False) -> str:
    status, output, errors = link.talk(
        job,
        arguments(job, *options, pull=pull),
        as_active=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(job.private)},
        pass_fds=(lock,),
    )
    if status not in _FINE:
        raise link.explain(errors, job.peer)
    return output


def run(job: Job, lock: int, confirmed: bool) -> dict[str, object]:
    """One run. A peer that was active since refuses deletions: it may have what this node never saw."""
    if job.merge.exists():
        return _merge(job, lock)
    try:
        return _push(job, lock, confirmed)
    except Stop as stop:
        if guard.HAS_LED not in stop.message:
            raise
        return _merge(job, lock)


def _push(job: Job, lock: int, confirmed: bool) -> dict[str, object]:
    """Look first, then push. When nothing differs, looking is all."""
    plan = _rsync(job, lock, "--delete-delay", "--dry-run")
    if not changes(plan):
        return _outcome()
    figures = statistics(plan)
    there = figures["files"] - figures["created"] + figures["deleted"]
    guard.check_deletions(job, figures["deleted"], there, job.peer, confirmed)
    # What appears between looking and doing must not delete more than was judged, give or take a few.
    return _outcome(_rsync(job, lock, "--delete-delay", f"--max-delete={figures['deleted'] + job.delete_free}"))


def _merge(job: Job, lock: int) -> dict[str, object]:
    """The union of both, of two versions the newer one. Nothing is deleted; what is overwritten is in the backups of its node."""
    job.merge.touch()  # until both ways are done
    outcome = _outcome(_rsync(job, lock, "--update"), _rsync(job, lock, "--update", pull=True))
    job.merge.unlink()
    return outcome


def _outcome(*outputs: str) -> dict[str, object]:
    figures = [statistics(output) for output in outputs]
    return {
        "rows": [row for output in outputs for row in changes(output)],
        "transferred": sum(each["transferred"] for each in figures),
        "deleted": sum(each["deleted"] for each in figures),
        "conflicts": 0,
        "unresolved": [],
    }
