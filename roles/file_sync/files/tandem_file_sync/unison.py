# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two-way synchronisation with unison.

Unison has no dry run and no limit for deletions in batch mode. It is run with its questions on instead: it shows its
plan and waits, the plan is judged by the brake, and the answer is yes or no. What is judged is what is done.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator

from . import guard, link
from .job import MARKER, Job, Stop

_ROW = re.compile(r"(?P<here>.{8}) (?P<arrow><====|====>|<----|---->|<-\?->|<-M->) (?P<there>.{8})   (?P<path>.*)")
_DONE = re.compile(r"\((\d+) items? transferred, (?:(\d+) partially transferred, )?(\d+) skipped, (\d+) failed\)")
_QUESTION = re.compile(r"\[[^\]\n]*\] $")
_PROCEED = "Proceed with propagating updates? [] "
_CONTINUE = "Press return to continue.[<spc>] "
_NO_ARCHIVE_ON_ONE_SIDE = "inconsistent state"
_TO_PEER = ("---->", "====>")
_TO_HERE = ("<----", "<====")
_PREFERRED = ("====>", "<====")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of unison's plan."""

    here: str
    arrow: str
    there: str
    path: str

    @property
    def deletes_there(self) -> bool:
        """The file is gone here and will be deleted on the peer."""
        return self.here == "deleted" and self.arrow in _TO_PEER

    @property
    def deletes_here(self) -> bool:
        """The file is gone on the peer and will be deleted here."""
        return self.there == "deleted" and self.arrow in _TO_HERE

    def __str__(self) -> str:
        return f"{self.here or '-'} {self.arrow} {self.there or '-'} {self.path}"


def rows(output: str) -> list[Row]:
    """The plan in what unison printed; a row printed twice counts once, as it was printed last."""
    found = {}
    for line in re.split(r"[\r\n]", output):
        match = _ROW.fullmatch(line)
        if match:
            path = re.sub(r"  (\[[^\]]*\].*)?$", "", match["path"])
            found[path] = Row(match["here"].strip(), match["arrow"], match["there"].strip(), path)
    return list(found.values())


def files_at(path: str, files: Collection[str]) -> int:
    """How many of the files a deletion of this path takes away; unison shows a directory as one row."""
    if path in files:
        return 1
    return sum(1 for file in files if file.startswith(f"{path}/"))


def deletions(plan: Iterable[Row], known: Collection[str]) -> tuple[int, int]:
    """How many files this plan deletes here and on the peer. A path that nobody knows counts as one file."""
    here = there = 0
    for row in plan:
        if row.deletes_here:
            here += max(files_at(row.path, known), 1)
        if row.deletes_there:
            there += max(files_at(row.path, known), 1)
    return here, there


def arguments(job: Job, full_check: bool, confirmed: bool, fresh: bool) -> list[str]:
    """The command line. No profile is read: everything that matters is here."""
    ignored = [f"Path {MARKER}"]
    ignored += [f"Path {entry.strip('/')}" if entry.startswith("/") else f"Name {entry}" for entry in job.excludes]
    return [
        "unison", str(job.root), f"ssh://peer/{job.root}",
        "-ui", "text", "-dumbtty", "-auto",
        "-sshargs", f"-F {link.ssh_config(job)}",
        "-times", "-prefer", "newer",
        f"-fastcheck={'false' if full_check else 'true'}",
        f"-confirmbigdel={'false' if confirmed else 'true'}",
        f"-ignorearchives={'true' if fresh else 'false'}",
        # Kept out of the tree and out of the web: what loses a conflict, is overwritten or deleted.
        "-backup", "Name *", "-backuploc", "central", "-backupdir", str(job.backups), "-maxbackups", "3",
        "-log=false",
        *[word for pattern in ignored for word in ("-ignore", pattern)],
    ]  # fmt: skip


def environment(job: Job) -> dict[str, str]:
    """Archives live with the job and do not depend on what the node calls itself."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": str(job.private),
        "UNISON": str(job.private / "unison"),
        "UNISONLOCALHOSTNAME": job.node,
    }


def drop_stale_locks(job: Job) -> None:
    """Unison's own locks outlive a killed run. We hold the job's lock, so nobody uses them."""
    for path in (job.private / "unison").glob("lk*"):
        path.unlink(missing_ok=True)


class Dialogue:
    """A running unison: read until it asks, answer."""

    def __init__(self, command: list[str], env: dict[str, str], lock: int) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=env["HOME"],
            pass_fds=(lock,),
        )
        self.output = ""

    def questions(self) -> Iterator[str]:
        """Yield at each question with what was printed since the last one; ends with unison."""
        assert self.process.stdout is not None
        start = 0
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            self.output += chunk.decode("utf-8", "surrogateescape")
            if _QUESTION.search(self.output, max(start, len(self.output) - 200)):
                yield self.output[start:]
                start = len(self.output)
        self.process.wait()

    def answer(self, word: str) -> None:
        """Type a line. A unison that has just ended is noticed by its exit status, not here."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            return


def _converse(dialogue: Dialogue, judge: Callable[[list[Row]], None]) -> Stop | None:
    """Answer the questions. Returns why the plan was turned down, if it was."""
    stop: Stop | None = None
    for question in dialogue.questions():
        if question.endswith(_CONTINUE):
            dialogue.answer("")
        elif stop is not None:
            dialogue.answer("q")
        elif question.endswith(_PROCEED):
            try:
                judge(rows(dialogue.output))
                dialogue.answer("y")
            except Stop as error:
                stop = error
                dialogue.answer("q")
        elif "<-?->" in question.rsplit("\n", 1)[-1]:
            dialogue.answer("/")  # two versions of the same age: no winner, leave both
        elif "really want to proceed" in question:
            stop = Stop("braked", "the whole root vanished on one node while unison was looking; nothing was done")
            dialogue.answer("q")
        else:
            stop = Stop("error", f"unison asked something unexpected: {question.strip().splitlines()[-1]}")
            dialogue.answer("q")
    return stop


def run(job: Job, lock: int, known: Collection[str] | None, full_check: bool, confirmed: bool) -> dict[str, object]:
    """One run. Returns counts and the rows that were carried out."""
    (job.private / "unison").mkdir(mode=0o700, exist_ok=True)
    drop_stale_locks(job)

    def judge(plan: list[Row]) -> None:
        here, there = deletions(plan, known or ())
        for count, where in ((here, job.node), (there, job.peer)):
            if known is None and count:
                raise Stop("braked", f"something would be deleted on {where}, and no success is known to compare with")
            guard.check_deletions(job, count, len(known or ()), where, confirmed)

    for fresh in (False, True):
        dialogue = Dialogue(arguments(job, full_check, confirmed, fresh), environment(job), lock)
        stop = _converse(dialogue, judge)
        if stop is not None:
            raise stop
        # One node was rebuilt: start from the union of both, which deletes nothing.
        if dialogue.process.returncode == 0 or _NO_ARCHIVE_ON_ONE_SIDE not in dialogue.output:
            break
    return _outcome(job, dialogue, known or ())


def _outcome(job: Job, dialogue: Dialogue, known: Collection[str]) -> dict[str, object]:
    plan = rows(dialogue.output)
    done = _DONE.search(dialogue.output)
    here, there = deletions(plan, known)
    failed = int(done[4]) if done else 0
    if dialogue.process.returncode not in (0, 1) or failed:
        raise link.explain(_errors(dialogue.output), job.peer)
    unresolved = [row for row in plan if row.arrow == "<-?->"]
    return {
        "rows": [str(row) for row in plan],
        "transferred": int(done[1]) if done else 0,
        "deleted": here + there,
        "conflicts": sum(row.arrow in _PREFERRED for row in plan),
        "unresolved": [row.path for row in unresolved],
    }


def _errors(output: str) -> str:
    """What a person wants to read: not the progress, not the plan."""
    lines = [line.strip() for line in re.split(r"[\r\n]", output)]
    telling = [line for line in lines if re.search(r"failed|error|refused|cannot|lost|no space", line, re.IGNORECASE)]
    return "\n".join(telling[:8] or lines[-6:])
