# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forced command of a job's key: serves this job to the peer and does nothing else."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import syslog
import time

from . import guard, link, state, unison
from .job import Job, Stop, refused

_UNISON = re.compile(r"unison -server( __new-rpc-mode)?")
_SENDER = "--sender"
_DELETES = "--delete-delay"
_LONG = re.compile(
    r"--(delete-delay|max-delete=-?\d+|timeout=\d+|backup|partial-dir|numeric-ids|stats|dry-run"
    r"|(log|out)-format=[A-Za-z%., ]*|bwlimit=\d+)"
)
_SHORT = re.compile(r"-[vulogDtpAHXbnr]+(e[\d.]*[A-Za-z]*)?")
_REFUSED = 77


def command(job: Job, wanted: str) -> list[str]:
    """The command to run for what the peer asked; refuses whatever this job does not need."""
    if job.method == "unison":
        if not _UNISON.fullmatch(wanted):
            raise refused("this key is for unison only")
        return wanted.split()
    try:
        words = shlex.split(wanted)
    except ValueError:
        words = []
    if words[:2] != ["rsync", "--server"] or words[-2:] != [".", f"{job.root}/"]:
        raise refused("this key is for this job's rsync only")
    options = words[3:-2] if words[2] == _SENDER else words[2:-2]
    values = {"--partial-dir": ".rsync-partial", "--backup-dir": str(job.backups)}
    while options:
        option = options.pop(0)
        name, equals, value = option.partition("=")
        if name in values:
            if (value if equals else options.pop(0) if options else "") != values[name]:
                raise refused(f"the rsync option {name} is not this job's")
        elif not _LONG.fullmatch(option) and not _SHORT.fullmatch(option):
            raise refused(f"the rsync option {option} is not this job's")
    return words


def serve(job: Job, wanted: str) -> int:
    """Check this side as the other side checks itself, then let the tool talk."""
    words = command(job, wanted)
    guard.check_root(job)
    if job.method == "rsync" and job.active_address and link.holds(job.active_address):
        raise refused(f"{job.node} is active itself (it holds {job.active_address}) and takes no files")
    if job.method == "rsync" and _DELETES in words and job.led.exists():
        raise refused(f"{job.node} {guard.HAS_LED}: nothing of it is deleted before that is fetched")
    # A run of the peer that was cut off may still be ending here.
    with guard.locked(job, wait=20) as lock:
        env = unison.environment(job)
        if job.method == "unison":
            (job.private / "unison").mkdir(mode=0o700, exist_ok=True)
            unison.drop_stale_locks(job)
        started = time.time()
        if job.method == "unison":
            status = subprocess.run(words, check=False, env=env, cwd=job.root, pass_fds=(lock,)).returncode
        else:
            job.merge.touch()
            status = link.talk(job, words, as_active=False, env=env, cwd=job.root, pass_fds=(lock,))[0]
            if status == 0 and words[2] == _SENDER:
                job.led.unlink(missing_ok=True)  # fetched
        last = state.load(job)
        fine = status == 0
        finished = time.time()
        state.save(
            job,
            {
                "job": job.name,
                "method": job.method,
                "root": str(job.root),
                "role": "serves",
                "result": "ok" if fine else "error",
                "message": "" if fine else f"serving {job.peer} ended with {status}",
                "finished": finished,
                "duration": round(finished - started, 3),
                "last_success": finished if fine else last.get("last_success"),
            },
        )
        return status


def main(arguments: list[str]) -> int:
    """Entered by sshd, with what the peer wanted in the environment."""
    wanted = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    name = arguments[0] if arguments else ""
    syslog.openlog("tandem-file-sync", syslog.LOG_PID, syslog.LOG_DAEMON)
    try:
        return serve(Job.load(name), wanted)
    except Stop as stop:
        client = os.environ.get("SSH_CONNECTION", "?").split()[0]
        asked = ascii(wanted[:200])
        syslog.syslog(syslog.LOG_WARNING, f"{name}: refused {client}: {stop.message} (asked for: {asked})")
        print(f"{link.REFUSAL}{stop.message}", file=sys.stderr)
        return _REFUSED
