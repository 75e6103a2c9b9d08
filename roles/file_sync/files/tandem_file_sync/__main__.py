# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tandem-file-sync: run, confirm, refill, mark, setup, serve."""

from __future__ import annotations

import argparse
import dataclasses
import os
import pwd
import shutil
import sys
import time
from typing import Any

from . import guard, link, rsync, server, state, unison
from .job import JOBS, NAME, STATE, Job, Stop, refused

# Results after which the unit is not failed: nothing is wrong with this node's files.
_QUIET = ("ok", "waiting", "unreachable", "busy", "conflicts")
_SHOWN_ROWS = 20
_ERROR, _WARNING, _NOTICE = 3, 4, 5


def say(level: int, message: str) -> None:
    """A line for the journal."""
    print(f"<{level}>{message.encode('utf-8', 'backslashreplace').decode()}", flush=True)


def _run_locked(job: Job, lock: int, last: dict[str, Any]) -> dict[str, Any]:
    known = state.load_manifest(job)
    if job.method == "rsync" and job.active_address:
        job.led.touch()
        # While this node was down the other one was active, and this one has no state that says so.
        if last.get("finished", 0) < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
            job.merge.touch()
    guard.check_root(job)
    link.check_peer(job)
    confirmed = guard.take_confirmation(job)
    guard.check_not_emptied(job, known, confirmed)
    full_check = False
    if job.method == "unison":
        # unison misses a change of the same size within two seconds of the one before; a full comparison finds it.
        full_check = time.time() - last.get("last_full_check", 0) > job.full_check_hours * 3600 > 0
        outcome = unison.run(job, lock, known, full_check, confirmed)
    else:
        outcome = rsync.run(job, lock, confirmed)
    if outcome["transferred"] or outcome["deleted"] or known is None:
        state.save_manifest(job, state.files_below(job.root))
    if full_check:
        outcome["last_full_check"] = time.time()
    return outcome


def _judged(job: Job, lock: int, last: dict[str, Any]) -> dict[str, Any]:
    """What one run adds to the state."""
    try:
        if not starts(job):
            why = f"{job.node} does not hold {job.active_address}; the active node pushes"
            raise Stop("waiting", why if job.method == "rsync" else f"{job.peer} starts the runs of this job")
        outcome = _run_locked(job, lock, last)
    except Stop as stop:
        if stop.result == "waiting":
            guard.take_confirmation(job)  # it was not meant for what a later run finds
            if job.method == "rsync":
                job.merge.touch()
        return {"result": stop.result, "message": stop.message}
    report(outcome)
    unresolved = outcome["unresolved"]
    return {
        "result": "conflicts" if unresolved else "ok",
        "message": f"no winner, left as they are: {', '.join(unresolved[:5])}" if unresolved else "",
        "last_success": time.time(),
        "conflicts_total": last.get("conflicts_total", 0) + outcome["conflicts"],
        **{key: value for key, value in outcome.items() if key not in ("rows", "unresolved")},
    }


def starts(job: Job) -> bool:
    """Whether the runs of this job are this node's to start."""
    return job.initiator if job.method == "unison" else link.active(job)


def run(job: Job) -> dict[str, Any]:
    """One run; always returns a state to save, unless another run holds the lock."""
    last = state.load(job)
    started = time.time()
    role = "pushes" if job.method == "rsync" else "initiates"
    new: dict[str, Any] = {"job": job.name, "method": job.method, "root": str(job.root), "role": role, "message": ""}
    for key in ("last_success", "last_full_check", "conflicts_total"):
        if key in last:
            new[key] = last[key]
    try:
        with guard.locked(job) as lock:
            new |= _judged(job, lock, last)
            new |= {"finished": time.time(), "duration": round(time.time() - started, 3)}
            state.save(job, new)
    except OSError as error:
        # Such as a file of the job that is another user's.
        new |= {"result": "error", "message": str(error), "finished": time.time()}
        state.save(job, new)
    if (new["result"], new["message"]) != (last.get("result"), last.get("message")):
        level = _NOTICE if new["result"] in ("ok", "waiting") else _WARNING if new["result"] in _QUIET else _ERROR
        say(level, f"{new['result']}: {new['message']}" if new["message"] else new["result"])
    return new


def report(outcome: dict[str, Any]) -> None:
    """What was carried over, for the journal."""
    # A conflict without a winner is said once, by the result; it comes back in every run.
    rows = [row for row in outcome["rows"] if "<-?->" not in row]
    for row in rows[:_SHOWN_ROWS]:
        say(_NOTICE, row)
    if len(rows) > _SHOWN_ROWS:
        say(_NOTICE, f"... and {len(rows) - _SHOWN_ROWS} more")


def confirm(job: Job) -> str:
    """Let the next run delete what it wants."""
    check_starts(job)
    with guard.as_user(job):
        (job.home / "confirm").touch()
    return f"The next run of {job.name} within an hour may delete as much as it wants."


def check_starts(job: Job) -> None:
    """This node starts the runs of this job; on the other one nothing would come of what a person says."""
    if not starts(job):
        raise refused(f"{job.peer} starts the runs of {job.name}, not {job.node}. Say it there")


def refill(job: Job) -> None:
    """Forget what both nodes had: the next run makes the union of both and deletes nothing."""
    with guard.as_user(job), guard.locked(job, wait=60):
        for path in [*(job.private / "unison").glob("*"), job.private / "manifest"]:
            path.unlink(missing_ok=True)
        if job.method == "rsync":
            job.merge.touch()


def mark(job: Job, first: bool) -> bool:
    """Say that this directory is the one that is meant. True when something changed."""
    record = STATE / f"{job.name}.marked"
    owner = guard.marked_for(job)
    if first and not _new(job, owner, record.exists()):
        return False
    user = pwd.getpwnam(job.user)
    if first and not job.root.exists():
        job.root.mkdir(mode=0o755, parents=True)
        os.chown(job.root, user.pw_uid, user.pw_gid)
    if owner != job.name:
        job.marker.unlink(missing_ok=True)
        descriptor = os.open(job.marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)
            file.write(f"{job.name}\nWithout this file nothing is synchronised here. Do not remove or copy it.\n")
    record.touch()
    return True


def _new(job: Job, owner: str | None, marked: bool) -> bool:
    """Whether setup may mark this root: it never was, or only its job has another name now. A marker that went is for a person."""
    if owner == job.name:
        return not marked
    if owner is None:
        return not marked and not any(_was(job, path.stem) for path in STATE.glob("*.marked"))
    return _was(job, owner)


def _was(job: Job, former: str) -> bool:
    """Whether a job that is no more had this root."""
    if not NAME.fullmatch(former) or (JOBS / f"{former}.json").exists():
        return False
    return state.load(dataclasses.replace(job, name=former)).get("root") == str(job.root)


def forget(present: list[Job]) -> list[str]:
    """Jobs that are no more, with a root that is no more: a new one of that name begins anew. Backups stay."""
    forgotten = []
    for record in sorted(STATE.glob("*.marked")):
        home = STATE / record.stem
        if not NAME.fullmatch(record.stem) or record.stem in [job.name for job in present]:
            continue
        root = state.load_from(home).get("root")
        # A job with another name has this root now: what its marker was called is still asked for.
        if not isinstance(root, str) or os.path.lexists(root) or root in [str(job.root) for job in present]:
            continue
        for path in home.iterdir():
            if path.is_dir() and not path.is_symlink():
                if path.name != "backups":
                    shutil.rmtree(path)
            else:
                path.unlink()
        record.unlink()
        forgotten.append(record.stem)
    return forgotten


def setup() -> int:
    """Mark the roots of new jobs, and of jobs with a new name; a root that was marked once is never marked again by this."""
    present = [Job.load(path.stem) for path in sorted(JOBS.glob("*.json"))]
    for name in forget(present):
        print(f"forgot {name}, which is no job any more and whose root is gone")
    for job in present:
        if mark(job, first=True):
            print(f"marked {job.root} for {job.name}")
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tandem-file-sync", description="Keep directories of two nodes equal.")
    actions = parser.add_subparsers(dest="action", required=True)
    for action, text in (
        ("run", "one run now (the timer does this)"),
        ("confirm", "let the next run delete as much as it wants"),
        ("refill", "let the next run bring back what one node has and the other has not"),
        ("mark", "say that the root is the right directory although its marker is missing, or another job's"),
    ):
        actions.add_parser(action, help=text).add_argument("job")
    actions.add_parser("setup", help="mark the roots of new jobs")
    chosen = parser.parse_args()
    try:
        if chosen.action == "setup":
            return setup()
        job = Job.load(chosen.job)
        if chosen.action == "confirm":
            print(confirm(job))
            return 0
        if chosen.action == "mark":
            mark(job, first=False)
            refill(job)  # a directory that was replaced must not pass for one whose files were deleted
            return 0
        if chosen.action == "refill":
            if job.method == "rsync":
                check_starts(job)
            refill(job)
            print(f"The next run of {job.name} brings back what one node has and the other has not.")
            return 0
        return 0 if run(job)["result"] in _QUIET else 1
    except Stop as stop:
        say(_WARNING, f"{stop.result}: {stop.message}")
        return 0 if stop.result in _QUIET else 1
    except OSError as error:
        say(_ERROR, f"error: {error}")
        return 1


if __name__ == "__main__":
    # The forced command's arguments come from the other node: they are not for argparse.
    sys.exit(server.main(sys.argv[2:]) if sys.argv[1:2] == ["serve"] else main())
