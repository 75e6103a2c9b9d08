"""Whoever runs a runbook loses power in the middle of it, and does it again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pair
import pytest
from pair import must, other, playbook, primary, sql

# A number replays the moments of a run that failed: pytest shows the one that was drawn.
SEED = int(os.environ.get("TANDEM_DRILL_SEED") or random.randrange(10**6))


def killed_in(name: str, moment: float, seconds: float, **extra: Any) -> str:
    """Run a playbook, and kill -9 it and all its children so many seconds into the task at that part (0 to 1). Returns what it had printed."""
    argv, env = pair.playbook_command(name, **extra)
    listed = subprocess.run([*argv, "--list-tasks"], env=env, cwd=pair.ROOT, capture_output=True, text=True, check=True).stdout
    tasks = sum("TAGS:" in line and not line.lstrip().startswith("play #") for line in listed.splitlines())
    stop = 1 + int(moment * (tasks - 1))
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        with log.open("w") as out:
            run = subprocess.Popen(argv, env=env, cwd=pair.ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                pair.wait(f"task {stop} of {tasks} of {name}", lambda: log.read_text().count("\nTASK [") >= stop or run.poll() is not None)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(seconds)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(run.pid, signal.SIGKILL)
                run.wait()
        return log.read_text()


# Half of them with each engine: what is tried here is the same for both. A switchover is killed in test_switchover.py.
RUNBOOKS = {"mariadb": ["failback", "backup"], "mysql": ["rejoin", "fence"]}


@pytest.mark.parametrize("name", RUNBOOKS[pair.ENGINE])
def test_killed_at_any_moment_it_is_whole_at_the_first_repeat(name: str) -> None:
    dice = random.Random(f"{SEED}/{name}")
    moment, seconds = dice.random(), dice.random()
    old = primary()
    wanted: dict[str, Any] = {"failback": {"to": other(old)}, "fence": {"node": old}}.get(name, {})
    if name == "rejoin":  # gives it something to do: a copy of all data
        closed = "read_only = {0}" if pair.ENGINE == "mariadb" else "super_read_only = {0}; SET GLOBAL read_only = {0}"
        sql(other(old), f"SET GLOBAL {closed.format(0)}; CREATE DATABASE drill_errant; SET GLOBAL {closed.format(1)}")
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
        log = killed_in(name, moment, seconds, confirm="yes", **wanted)
    told = f"seed {SEED}, {name} killed {seconds:.2f} s into the task at {moment:.2f} of all, after: {log[-1500:]}"
    again = playbook(name, confirm="yes", **wanted)
    assert again.status == 0, f"{told}\n\n{again.text[-3000:]}"
    if name == "fence":
        must(playbook("unfence", confirm="yes", **wanted))
    pair.wait_until_whole()
    assert not any(pair.missing(written, node) for node in pair.PAIR), told
    if name == "rejoin":
        assert not any("drill_errant" in sql(node, "SHOW DATABASES") for node in pair.PAIR), told
