# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction of steps: do, or undo what was done. One deadline, one point of no return."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

from .errors import OperationFailed, TandemError
from .hand.client import HandLost

Act = t.Callable[[], t.Any]


@dataclass(frozen=True)
class Step:
    """One thing to do.

    undo: takes it back, also when ``do`` failed half-way. None: there is nothing to take back.
    essential: False for a step after the point of no return whose failure is only told.
    """

    name: str
    title: str
    do: Act
    undo: Act | None = None
    essential: bool = True


@dataclass
class Record:
    """What became of a step."""

    name: str
    title: str
    began: float  # seconds since the plan began
    seconds: float = 0.0
    state: str = "done"  # done, failed, undone, undo failed, undo not known
    said: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "title": self.title,
            "began_ms": round(self.began * 1000, 1),
            "ms": round(self.seconds * 1000, 1),
            "state": self.state,
            "said": self.said,
        }


class Undone(OperationFailed):
    """A plan could not be finished, and everything is as it was."""


class HalfDone(OperationFailed):
    """A plan could be neither finished nor undone. The message says in which state things were left."""


class InDoubt(OperationFailed):
    """Nobody can tell whether the point of no return was reached. Taking back would be as wrong as going on."""


@dataclass
class Plan:
    """Steps before the point of no return, the point itself, and steps after it.

    deadline: clock value until when the point must be reached; set it with :meth:`within`. Checked before every step. The nearest counts.
    in_doubt: what to do when nobody can tell whether the point was reached.
    """

    before: t.Sequence[Step]
    commit: Act
    after: t.Sequence[Step]
    clock: t.Callable[[], float] = time.monotonic
    records: list[Record] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    deadline: float | None = None
    committed: bool = False
    in_doubt: str = "Run the same runbook again."
    _name: str = ""
    _began: float = 0.0
    _pending: list[Step] = field(default_factory=list)

    def within(self, seconds: float, name: str = "max_pause") -> None:
        """From now on the point of no return has to be reached within so many seconds. name: what the operator calls that."""
        until = self.clock() + seconds
        if self.deadline is None or until < self.deadline:
            self.deadline, self._name = until, name

    def left(self, most: float) -> float:
        """Seconds that a wait may take; raises OperationFailed when there are none left."""
        if self.deadline is None:
            return most
        left = self.deadline - self.clock()
        if left <= 0:
            what = "pause" if self._name == "max_pause" else "time"
            raise OperationFailed(
                f"The {what} that is allowed is over ({self._name}).", f"Run this again when there is less load, or allow a longer {self._name}."
            )
        return min(most, left)

    def warn(self, text: str) -> None:
        """Tell it in the report; empty: there is nothing to tell."""
        self.warnings += filter(None, [text])

    def run(self) -> None:
        """Raises Undone, HalfDone, or nothing. Failures of steps after the point of no return are in ``warnings``."""
        self._began = self.clock()
        try:
            for step in self.before:
                self._pending.append(step)
                self.left(0)
                self._do(step)
            self._do(Step("commit", "Point of no return", self.commit))
        except (TandemError, OSError) as error:
            if isinstance(error, InDoubt):
                raise HalfDone(str(error), f"Neither node takes writes until it is known. {self.in_doubt}") from error
            self._undo(error)
        self.committed = True
        for step in self.after:
            try:
                self._do(step)
            except (TandemError, OSError) as error:
                if step.essential:
                    raise HalfDone(
                        f"{step.title}: {error}", "There is no way back. Run the same runbook again: it goes on from here."
                    ) from error
                self.warnings.append(f"{step.title}: {error}")

    def _do(self, step: Step) -> None:
        record = Record(step.name, step.title, self.clock() - self._began)
        self.records.append(record)
        started = self.clock()
        try:
            said = step.do()
            record.said = str(said) if isinstance(said, str) else ""
        except BaseException as error:
            record.state, record.said = "failed", str(error)
            raise
        finally:
            record.seconds = self.clock() - started

    def _undo(self, cause: Exception) -> t.NoReturn:
        self.deadline = None
        failures, unknown = [], []
        for step in reversed(self._pending):
            if step.undo is None:
                continue
            record = Record(step.name, f"Undo: {step.title}", self.clock() - self._began, state="undone")
            self.records.append(record)
            started = self.clock()
            try:
                step.undo()
            except HandLost as error:
                # It takes back by itself what it had done, and nobody here sees that.
                record.state, record.said = "undo not known", str(error)
                unknown.append(f"{step.title}: {error}")
            except (TandemError, OSError) as error:
                record.state, record.said = "undo failed", str(error)
                failures.append(f"{step.title}: {error}")
            record.seconds = self.clock() - started
        if failures or unknown:
            told = [str(cause)]
            told += ["It could not be taken back completely either.", *failures] if failures else []
            told += ["Whether all was taken back is not known here.", *unknown] if unknown else []
            raise HalfDone(
                " ".join(told),
                "See playbooks/status.yml, then run the same runbook again: it takes back the rest first.",
            ) from cause
        raise Undone(str(cause), "Everything is as it was.") from cause
