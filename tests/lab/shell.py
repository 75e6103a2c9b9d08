"""Running commands and telling what goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".lab"
LABEL = "tandem.lemp.lab"


class LabError(Exception):
    """Something the person at the keyboard has to know, in one sentence."""


def say(text: str) -> None:
    """One line of progress."""
    print(f"[lab] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    begin = time.monotonic()
    say(f"{text} ...")
    yield
    say(f"{text} ... {time.monotonic() - begin:.1f} s")


def as_root(command: Sequence[str]) -> list[str]:
    """The same command with the rights it needs."""
    if os.geteuid() == 0:
        return list(command)
    return ["sudo", "env", *(f"{name}={os.environ[name]}" for name in ("CONTAINERS_CONF",) if name in os.environ), *command]


def run(command: Sequence[str], *, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run as root, return the output; a failure becomes one readable error."""
    try:
        done = subprocess.run(as_root(command), capture_output=True, text=True, check=False, input=stdin or "")
    except FileNotFoundError as missing:
        raise LabError(f"{missing.filename} is not installed: run make setup") from None
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


def podman(*arguments: str, check: bool = True, stdin: str | None = None) -> str:
    """Run podman, return what it printed."""
    return run(["podman", *arguments], check=check, stdin=stdin).stdout.strip()


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until the condition holds; say what was waited for if it never does."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise LabError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.1)
