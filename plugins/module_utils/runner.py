# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of this machine, each with a bound. Passed in, so that a test can pass another one."""

from __future__ import annotations

import re
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import TandemError

_TAIL = 1500
# What systemd says of a time, in seconds.
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
# Where a unit may take as long as it likes.
_LONGEST = 3600.0


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


class CommandFailed(TandemError):
    """A command failed or took too long."""

    def __init__(self, result: Result, remedy: str = "") -> None:
        said = (result.stderr or result.stdout).strip()[-_TAIL:]
        super().__init__(f"{' '.join(result.argv[:3])} ended with {result.status}: {said or 'it said nothing'}.", remedy)
        self.result = result


class Runner:
    """Runs commands."""

    def run(self, argv: t.Sequence[str], timeout: float = 60, check: bool = True) -> Result:
        try:
            done = subprocess.run(list(argv), capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
            result = Result(tuple(argv), done.returncode, done.stdout, done.stderr)
        except FileNotFoundError:
            result = Result(tuple(argv), 127, "", "command not found")
        except subprocess.TimeoutExpired:
            result = Result(tuple(argv), 124, "", f"not done after {timeout:g} s")
        if check and result.status != 0:
            raise CommandFailed(result)
        return result


def tail(log: Path) -> str:
    """The last lines of a log, on one line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " / ".join(line.strip() for line in lines[-6:])


@dataclass(frozen=True)
class Service:
    """The database as a systemd service."""

    name: str
    runner: Runner
    timeout: float = 120

    def stop(self) -> None:
        self.runner.run(["systemctl", "stop", self.name], self._stop_timeout())

    def start(self) -> None:
        self._begin("start", self.timeout)

    def restart(self) -> None:
        self._begin("restart", self._stop_timeout() + self.timeout)

    def _stop_timeout(self) -> float:
        """As long as systemd itself waits: whoever gives up before leaves a server that is neither stopped nor running."""
        told = self.runner.run(["systemctl", "show", "--property=TimeoutStopUSec", "--value", self.name], check=False).stdout.strip()
        parts = re.findall(r"(\d+)([a-z]+)", told)
        if not parts or any(unit not in _UNITS for _number, unit in parts):
            return _LONGEST if told == "infinity" else self.timeout
        # Once for the server, once for what is run after it.
        return self.timeout + 2 * sum(int(number) * _UNITS[unit] for number, unit in parts)

    def _begin(self, verb: str, timeout: float) -> None:
        # A unit that failed often lately would be refused without this.
        self.runner.run(["systemctl", "reset-failed", self.name], check=False)
        done = self.runner.run(["systemctl", verb, self.name], timeout, check=False)
        if done.status != 0 or not self.active():
            log = self.runner.run(["journalctl", "--unit", self.name, "--lines=15", "--no-pager", "--output=cat"], check=False)
            raise CommandFailed(
                Result(done.argv, done.status, done.stdout, f"{done.stderr.strip()} {log.stdout.strip()}"),
                f"See journalctl --unit {self.name}.",
            )

    def active(self) -> bool:
        return self.runner.run(["systemctl", "is-active", "--quiet", self.name], check=False).status == 0
