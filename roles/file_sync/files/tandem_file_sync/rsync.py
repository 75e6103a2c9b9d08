# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One-way push with rsync from the node that holds the active address."""

from __future__ import annotations

import re
import subprocess

from . import guard, link
from .job import MARKER, Job

_STATISTICS = {
    "files": "Number of files",
    "created": "Number of created files",
    "deleted": "Number of deleted files",
    "transferred": "Number of regular files transferred",
}
# A file that vanished while it was read (24) is not a fault: the next run sees the truth.
_FINE = (0, 24)


def arguments(job: Job, max_delete: int | None) -> list[str]:
    """The command line, to look only without a limit; the peer's forced command knows exactly these options."""
    return [
        "rsync", "-aHAX", "--delete-delay", "--timeout=60",
        "--partial-dir=.rsync-partial", "--backup", f"--backup-dir={job.backups}",
        "--stats", "--out-format=%i %n",
        "--dry-run" if max_delete is None else f"--max-delete={max_delete}",
        *([f"--bwlimit={job.bwlimit}"] if job.bwlimit else []),
        f"--exclude=/{MARKER}", *[f"--exclude={entry}" for entry in job.excludes],
        "-e", f"ssh -F {link.ssh_config(job)}",
        f"{job.root}/", f"peer:{job.root}/",
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


def _rsync(job: Job, lock: int, max_delete: int | None) -> str:
    done = subprocess.run(
        arguments(job, max_delete),
        check=False,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(job.private)},
        pass_fds=(lock,),
    )
    if done.returncode not in _FINE:
        raise link.explain(done.stderr, job.peer)
    return done.stdout


def run(job: Job, lock: int, confirmed: bool) -> dict[str, object]:
    """Look first, then push. When nothing differs, looking is all."""
    plan = _rsync(job, lock, None)
    if not changes(plan):
        return {"rows": [], "transferred": 0, "deleted": 0, "conflicts": 0, "unresolved": []}
    figures = statistics(plan)
    there = figures["files"] - figures["created"] + figures["deleted"]
    guard.check_deletions(job, figures["deleted"], there, job.peer, confirmed)
    # What appears between looking and doing must not delete more than was judged, give or take a few.
    output = _rsync(job, lock, figures["deleted"] + job.delete_free)
    figures = statistics(output)
    return {
        "rows": changes(output),
        "transferred": figures["transferred"],
        "deleted": figures["deleted"],
        "conflicts": 0,
        "unresolved": [],
    }
